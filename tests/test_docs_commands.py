"""Command blocks of the texts: each line is a command that exists, with options that exist; marked blocks are run."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from poseunion.annotate.cli.main import app as annotate_app
from poseunion.annotate.example import example_dataset
from poseunion.app.cli import _COMMANDS as PROGRAMS
from poseunion.app.cli import app as poseunion_app

ROOT = Path(__file__).resolve().parents[1]
# Not the notes of benchmarks/: what they ran is history.
TEXTS = sorted(
    path
    for folder in (".", "docs", "docs/integrations", "docker", "benchmarks", "models/weights")
    for path in (ROOT / folder).glob("*.md")
)
BLOCK = re.compile(r"^( *)```bash\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
GOALS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
# A block below this comment, which pages do not show, is run as it stands, in a folder with the example as `train.json`
# and `train/`, extended as `train_21.json`; but what needs a person, an installation or a video. A page's blocks follow
# each other.
MARKED = re.compile(r"^<!-- run -->\n```bash\n(.*?)^```", re.DOTALL | re.MULTILINE)
PERSONS = {"review", "pull", "demo"}
# Programs of other projects that the texts call.
OTHERS = {
    *("cd", "cvat-cli", "docker", "echo", "export", "fiftyone", "grep", "hf", "mkdir", "pip"),
    *("pre-commit", "rsync", "sed", "ssh", "xargs"),
}
VARIABLE = re.compile(r"^[A-Z_]+=")
ENDS = {"&&", "||", "|", ";", "&"}


def commands(block: str) -> list[list[str]]:
    """Words of each command of a block: lines joined, comments and redirections left out, pipes and lists split."""
    found: list[list[str]] = []
    for line in block.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in ENDS:
                words.append(word)
                continue
            while words and VARIABLE.match(words[0]):
                words = words[1:]
            if ">" in words:
                words = words[: words.index(">")]
            if words:
                found.append(words)
            words = []
    return found


def resolved(words: list[str]) -> tuple[typer.Typer, list[str]]:
    """App that a command of ours runs, and its arguments."""
    program, *rest = words
    if program == "annotate" or rest[:1] == ["annotate"]:
        return annotate_app, rest[rest[:1] == ["annotate"] :]
    if rest[:1] and rest[0] in PROGRAMS:
        app: typer.Typer = importlib.import_module(PROGRAMS[rest[0]][0]).app
        group = typer.main.get_command(app)
        return app, rest if isinstance(group, TyperGroup) and rest[0] in group.commands else rest[1:]
    return poseunion_app, rest


def parsed(words: list[str]) -> str | None:
    """Error of a command line of ours, None where it parses: commands, options, and the types of their values."""
    app, rest = resolved(words)
    command = typer.main.get_command(app)
    try:
        while isinstance(command, TyperGroup):
            if not rest or rest[0] not in command.commands:
                return None if rest in (["--version"], ["--help"]) else f"no command {rest[:1]}"
            command, rest = command.commands[rest[0]], rest[1:]
        eager = {option for parameter in command.params if parameter.is_eager for option in parameter.opts}
        if not {"--help", *eager} & set(rest):  # what acts at once is not to act here
            command.make_context(words[0], list(rest)).close()
    except Exception as error:  # click's, of which typer has a copy of its own
        if not hasattr(error, "format_message"):
            raise
        return str(error.format_message())
    return None


def wrong(words: list[str]) -> str | None:
    """What is wrong with a command of a text; None: nothing."""
    program = words[0]
    if program in ("annotate", "poseunion"):
        return parsed(words)
    if program == "make":
        goals = {word for word in words[1:] if not VARIABLE.match(word)}
        return f"no goals {sorted(goals - GOALS)}" if goals - GOALS else None
    if Path(program).name in ("python", "python3", "sh") and words[1:] and words[1].endswith((".py", ".sh")):
        program = words[1]
    if "/" in program or program.endswith((".py", ".sh")):
        return None if (ROOT / program).is_file() else f"no file {program}"
    return None if program in OTHERS or program in ("python", "python3") else f"no program {program}"


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_commands_parse(path: Path) -> None:
    errors = [
        f"{shlex.join(words)}\n    {error}"
        for _, block in BLOCK.findall(path.read_text(encoding="utf-8"))
        for words in commands(block)
        if (error := wrong(words))
    ]
    assert not errors, "\n".join(errors)


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("annotate extend --no-such-option", "No such option: --no-such-option"),
        ("annotate extend --limit many", "Invalid value for '--limit'"),
        ("annotate extent", "no command ['extent']"),
        ("poseunion predict", "Missing argument"),
        ("make tets", "no goals ['tets']"),
        ("python docs/none.py", "no file docs/none.py"),
        ("annotat extend", "no program annotat"),
    ],
)
def test_a_wrong_command_is_found(command: str, error: str) -> None:
    found = wrong(command.split())
    assert found is not None
    assert found.startswith(error)


def test_blocks_are_split_into_commands() -> None:
    block = "A=1 make x  # why\nannotate a \\\n  --b 'c d' && poseunion e > f | sed g\n"
    assert commands(block) == [["make", "x"], ["annotate", "a", "--b", "c d"], ["poseunion", "e"], ["sed", "g"]]


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the example under the names that the texts use."""
    pytest.importorskip("skimage", reason="the example's pictures need scikit-image (extra `example`)")
    folder = tmp_path_factory.mktemp("example")
    for name in ("train", "images", "pictures"):
        labels, pictures = example_dataset(folder / name)
    shutil.copy(labels, folder / "train.json")
    shutil.copy(pictures / "grace_hopper.jpg", folder / "holiday.jpg")
    words = ["extend", "--annotations", folder / "train.json", "--images", folder / "train"]
    done = CliRunner().invoke(annotate_app, [str(word) for word in [*words, "--out", folder / "train_21.json"]])
    assert done.exit_code == 0, done.output
    return folder


PAGES = {path: MARKED.findall(path.read_text(encoding="utf-8")) for path in TEXTS}


@pytest.mark.parametrize("path", [path for path, blocks in PAGES.items() if blocks], ids=lambda path: path.name)
def test_marked_blocks_run(path: Path, example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(example, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    for words in [words for block in PAGES[path] for words in commands(block)]:
        ours = words[0] in ("annotate", "poseunion") and words[1] not in PERSONS
        if ours and not any(word.endswith(".mp4") for word in words):
            app, rest = resolved(words)
            done = CliRunner().invoke(app, rest)
            assert done.exit_code == 0, f"{shlex.join(words)}\n{done.output}\n{done.exception}"
