"""Speed beside rtmlib and other programs: arms take turns, and ratios are formed within a round."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest
from speed import app
from speed_arms import Beside, runs_in_rtmlib
from speed_report import Arm, Measured, note, plot_latency
from typer.testing import CliRunner

from poseunion.export.timing import Work, bundled_work
from poseunion.models.errors import BadArgumentError, DeviceError
from poseunion.models.images import read_image
from poseunion.models.inference.predictor import load_predictor
from poseunion.models.runtime.onnx import CPU


@pytest.fixture
def small() -> Work:
    work = bundled_work(1)
    return Work(work.pictures[:1], work.boxes[:1])


def test_another_program_works_once_a_round(small: Work, tmp_path: Path) -> None:
    program = tmp_path / "other.py"
    program.write_text(
        textwrap.dedent("""
        import json, pathlib, sys
        folder, threads = pathlib.Path(sys.argv[1]), sys.argv[2]
        assert len(json.loads((folder / "boxes.json").read_text())[0]) == 1 and threads == "2"
        for number, _ in enumerate(sys.stdin):
            (folder / "rounds").write_text(str(number + 1))
            print("done", flush=True)
        """)
    )
    other = Beside(f"{sys.executable} {program}", small, 2, tmp_path)
    other()
    other.close()
    assert (tmp_path / "rounds").read_text() == "2"  # one to warm it
    with pytest.raises(BadArgumentError, match="ended without an answer"):
        Beside(f"{sys.executable} -c pass", small, 1, tmp_path)
    with pytest.raises(BadArgumentError, match="cannot start"):
        Beside("/nowhere/python", small, 1, tmp_path)


def test_the_command_writes_a_note(tmp_path: Path) -> None:
    pytest.importorskip("rtmlib")
    out = tmp_path / "note.md"
    words = ["--model", "unified", "--people", "1", "--threads", "1", "--batch", "1", "--rounds", "1"]
    words += ["--out", str(out), "--decoded", "--operators"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    text = out.read_text()
    for line in ("Date: ", "Command: ", "Machine: ", "Commit: ", "| 1 | 1 | ours | unified |", "| network |"):
        assert line in text
    assert "| 1 | 1 | rtmlib | unified |" in text
    assert "3 decoded pictures" in text
    assert "`unified` by operator:" in text
    assert "| Conv 1x1 |" in text
    assert isinstance(CliRunner().invoke(app, words).exception, BadArgumentError)  # the note is there
    assert out.read_text() == text


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--plot", "a.png"], BadArgumentError),
        (["--annotations", "a.json"], BadArgumentError),
        (["--beside", "python"], BadArgumentError),
        (["--model", "nothing"], BadArgumentError),
        (["--device", "npu"], BadArgumentError),
        (["--operators", "--device", "cuda"], BadArgumentError),
        (["--operators", "--model", "a.engine"], BadArgumentError),
        (["--decoded", "--beside", "a=b"], BadArgumentError),
        (["--device", "cuda"], DeviceError),
    ],
)
def test_what_cannot_be_measured_leaves_no_note(words: list[str], error: type[Exception], tmp_path: Path) -> None:
    if error is DeviceError and load_predictor("unified", device="cuda", allow_fallback=True).provider != CPU:
        pytest.skip("a GPU is here")
    out = tmp_path / "note.md"
    assert isinstance(CliRunner().invoke(app, [*words, "--out", str(out)]).exception, error)
    assert not out.exists()


def test_ratios_are_formed_within_a_round(tmp_path: Path) -> None:
    ours, theirs, other = Arm("ours", "unified", 1, 10), Arm("rtmlib", "unified", 1, 10), Arm("other", "", 1, 10)
    wall = {ours: [1.0, 4.0, 2.0], theirs: [2.0, 4.0, 6.0], other: [4.0, 4.0, 4.0]}
    steps, calls = {"unified": {"network": 1.0}}, {("unified", 1): {8: 1.0}}
    measured = Measured({"unified": load_predictor("unified", threads=1)}, wall, wall, steps, calls, 3, 3)
    text = note(measured, {"unified": 27.8}, "a machine", "poseunion bench", tmp_path / "plot.png")
    same = "1.00 (1.00–1.00)"
    row = (
        f"| 10 | 1 | ours | unified | 2.00 (1.00–4.00) | 2.00 | 2.00 (1.00–3.00) | 2.00 (1.00–3.00) | {same} | {same} |"
    )
    assert row in text
    assert "| 10 | 1 | other | its own | 4.00 (4.00–4.00) | – | – | 1.00 (0.50–1.50) | 0.50 (0.25–1.00) | – |" in text
    assert "AP 27.8" in text
    plot_latency(measured, {"unified": 27.8}, tmp_path / "plot.png")
    assert read_image(tmp_path / "plot.png").std() > 1


def test_rtmlib_is_only_asked_what_it_can_run() -> None:
    pytest.importorskip("rtmlib")
    assert runs_in_rtmlib(load_predictor("unified", threads=1))
