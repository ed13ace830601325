"""`poseunion demo`: what it refuses, in a sentence, before anything is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from poseunion.annotate.example import example_dataset
from poseunion.app.cli_demo import app
from poseunion.models.errors import BadArgumentError, BadFileError, PoseUnionError


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (["--share"], BadArgumentError, "--i-know"),
        (["--port", "70000"], BadArgumentError, "no port"),
        (["--rate", "0"], BadArgumentError, "at least 1"),
        (["--review", "x.json"], BadArgumentError, "belong together"),
        (["--images", "x"], BadArgumentError, "belong together"),
        (["--detector", "none.onnx"], BadFileError, "No detector file"),
        (["--detector", "nobody"], BadArgumentError, "nobody"),
        (["--model", "none.onnx"], PoseUnionError, "none.onnx"),
        (["--review", "none", "--images", "."], BadArgumentError, "neither a file nor a folder"),
    ],
)
def test_what_cannot_be_is_refused(words: list[str], error: type[Exception], said: str) -> None:
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, error)
    assert said in str(result.exception)


def test_a_file_that_cannot_be_reviewed_is_refused_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, images = example_dataset(tmp_path / "images")
    monkeypatch.setattr("poseunion.app.demo.page.build", None)
    monkeypatch.setattr("poseunion.app.demo.inference.PoseEstimator", None)
    result = CliRunner().invoke(app, ["--review", str(labels), "--images", str(images)])
    assert isinstance(result.exception, BadFileError)
    assert result.exception.exit_code == 2
    assert "is not an extended file" in str(result.exception)
    assert "annotate extend" in str(result.exception)


def test_a_taken_port_is_a_sentence(serve_page: object, tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = CliRunner().invoke(app, ["--port", str(taken.getsockname()[1])])
    assert isinstance(result.exception, BadArgumentError)
    assert "Cannot listen" in str(result.exception)


def test_the_command_says_so_and_leaves_with_2() -> None:
    command = [sys.executable, "-m", "poseunion.app.cli", "demo", "--share"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: --share shows the page to anyone")
    assert len(done.stderr.strip().splitlines()) == 1
