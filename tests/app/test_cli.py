"""The root command line hands over to the rooms and says what went wrong in a sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from poseunion.annotate.cli.console import FORMAT_NAMES
from poseunion.annotate.formats import FORMATS
from poseunion.models import cli as models_cli

COMMANDS = (
    *(
        "annotate",
        "models",
        "train",
        "train-detector",
        "average",
        "cache",
        "evaluate",
        "export",
        "export-detector",
        "convert",
    ),
    *("engine", "bench", "predict", "demo"),
)


def run(*words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "poseunion.app.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


def test_help_names_every_command_and_imports_no_room() -> None:
    code = (
        "import sys; sys.argv = ['poseunion', '--help']\n"
        "from poseunion.app.cli import main\n"
        "try: main()\n"
        "finally: print([m for m in sys.modules if m.startswith(('torch', 'poseunion.annotate', 'poseunion.t'))])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert all(name in result.stdout for name in COMMANDS)
    assert result.stdout.rstrip().endswith("[]")


def test_help_of_annotate_needs_no_numbers() -> None:
    """A quarter of a second: what takes the rest is imported by the commands themselves."""
    code = (
        "import sys; sys.argv = ['annotate', 'extend', '--help']\n"
        "from poseunion.annotate.cli.main import main\n"
        "try: main()\n"
        "finally: print([m for m in sys.modules if m in ('numpy', 'cv2', 'PIL', 'onnxruntime', 'torch')])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.rstrip().endswith("[]")


def test_no_command_line_imports_numbers_before_it_runs() -> None:
    """What takes most of a help text's time is imported by the commands themselves."""
    code = (
        "import importlib, sys\n"
        "from poseunion.app.cli import _COMMANDS\n"
        "for module, *_ in _COMMANDS.values(): importlib.import_module(module)\n"
        "print({'numpy', 'cv2', 'PIL', 'msgspec', 'pydantic', 'onnxruntime', 'torch', 'yaml'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_the_formats_that_help_names_are_those_of_the_registry() -> None:
    assert tuple(FORMATS) == FORMAT_NAMES


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_shows_its_own_help(name: str) -> None:
    result = run(name, "--help")
    assert result.returncode == 0, result.stderr
    assert f"poseunion {name}" in result.stdout


def test_models_lists_skeletons_and_finds_their_files() -> None:
    listed = json.loads(run("models", "--json").stdout)
    assert {"coco17", "mpii16", "union21"} <= {s["name"] for s in listed["skeletons"]}
    for item in [item for part in listed.values() for item in part]:
        result = CliRunner().invoke(models_cli.app, ["--path", item["name"]])
        assert result.output.strip() == item["path"]
        assert Path(item["path"]).is_file()


def test_an_unknown_model_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    result = run("models", "--path", "nothing", folder=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: No model, detector or skeleton 'nothing'")
    assert len(result.stderr.strip().splitlines()) == 1
