"""The root command line hands over to the rooms and says what went wrong in a sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from poseunion.annotate.cli import main as annotate_cli
from poseunion.annotate.cli.console import FORMAT_NAMES
from poseunion.annotate.formats import FORMATS
from poseunion.models import cli as models_cli

COMMANDS = (
    *("annotate", "models", "train", "train-detector", "pack", "average", "cache", "evaluate", "fit-prior"),
    *("fit-evidence", "calibrate", "export", "export-detector", "convert", "engine", "bench", "predict", "demo"),
)


def run(*words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "poseunion.app.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


HEAVY = {"numpy", "cv2", "PIL", "msgspec", "pydantic", "onnxruntime", "torch", "yaml", "scipy", "gradio", "fiftyone"}
HEAVY |= {"rich", "markdown_it", "pygments", "attr"}  # rich imports the others
SHOW_HELP = """
import contextlib, json, sys
from poseunion.models.command_line import start
from {module} import app

def show(*words):
    with contextlib.suppress(SystemExit):
        start(app, "{name}", [*words, "--help"])

show()
rooms = [name for name in sys.modules if name.startswith("poseunion.")]
for command in {commands}:
    show(*command.split())
json.dump({{"rooms": rooms, "all": [name for name in sys.modules if "." not in name]}}, sys.stderr)
"""


def show_help(name: str, module: str, commands: Sequence[str]) -> tuple[str, dict[str, list[str]]]:
    """Help texts of the program and its commands, shown by one process, and the modules that were imported for them."""
    code = SHOW_HELP.format(name=name, module=module, commands=list(commands))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return result.stdout, json.loads(result.stderr)


def test_help_shows_every_command_and_imports_neither_rooms_nor_heavy_packages() -> None:
    """Modules are counted, not seconds: typer is most of what is left of a help text's time."""
    shown, imported = show_help("poseunion", "poseunion.app.cli", COMMANDS)
    assert all(f"Usage: poseunion {name} " in shown for name in COMMANDS)
    assert {name.split(".")[1] for name in imported["rooms"]} == {"app", "models"}
    assert not HEAVY & set(imported["all"])


def test_help_of_annotate_and_its_commands_imports_no_heavy_package() -> None:
    """Its group has options (of completion), whose values typer would check by pydantic."""
    commands = typer.main.get_command(annotate_cli.app).commands  # type: ignore[attr-defined]  # a group
    shown, imported = show_help("annotate", "poseunion.annotate.cli.main", tuple(commands))
    assert all(f"Usage: annotate {name} " in shown for name in commands)
    assert not HEAVY & set(imported["all"])


def test_options_of_a_group_are_parsed_where_no_command_is_named() -> None:
    result = run("--show-completion")
    assert (
        "_POSEUNION_COMPLETE" in result.stdout or "Shell" in result.stderr
    )  # where the caller is no shell that is known


def test_the_formats_that_help_names_are_those_of_the_registry() -> None:
    assert tuple(FORMATS) == FORMAT_NAMES


def test_recipes_are_listed_without_torch() -> None:
    code = "import sys; from poseunion.app.cli import app; from poseunion.models.command_line import start\ntry:\n "
    code += "start(app, 'poseunion', ['train', '--list'])\nfinally:\n print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "unified: " in done.stdout
    assert not {"torch", "onnxruntime", "cv2", "scipy"} & set(done.stderr.split())


def test_models_lists_skeletons_and_finds_their_files() -> None:
    listed = json.loads(run("models", "--json").stdout)
    assert {"coco17", "mpii16", "union21"} <= {s["name"] for s in listed["skeletons"]}
    for item in [item for part in listed.values() for item in part]:
        result = CliRunner().invoke(models_cli.app, ["--path", item["name"]])
        assert result.output.strip() == item["path"]
        assert Path(item["path"]).is_file()


def test_models_shows_every_name_whole_and_a_column_a_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    """However wide the terminal is; on one of 80 characters no line of a table is too long, so that none wraps."""
    listed = json.loads(run("models", "--json").stdout)
    shown = set()
    for columns in ("20", "80", "120"):
        monkeypatch.setenv("COLUMNS", columns)
        shown.add(CliRunner().invoke(models_cli.app, []).output)
    (text,) = shown
    tables = text.split("Licence of")[0].splitlines()
    assert max(map(len, tables)) < 80
    first_words = [line.split()[0] for line in tables if line.strip()]
    assert {item["name"] for part in listed.values() for item in part} <= set(first_words)
    for network in [*listed["models"], *listed["detectors"]]:
        (line,) = [line for line in tables if line.split()[:1] == [network["name"]]]
        measured = [f"{value:.1f}" for row in network["accuracy"].values() for value in row.values()]
        assert line.split()[-len(measured) :] == measured
    assert [line.split() for line in tables[:2]] == [
        ["CPU", "COCO", "COCO", "LSP"],
        ["Model", "Skeleton", "Input", "Params", "Type", "MB", "ms", "AP", "PCK@.2", "PCK@.2"],
    ]


def test_an_unknown_model_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    result = run("models", "--path", "nothing", folder=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: No model, detector or skeleton 'nothing'")
    assert len(result.stderr.strip().splitlines()) == 1
