"""What the texts say can be done: links lead somewhere, commands and options exist, examples work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from poseunion.models.skeleton import load_skeleton

ROOT = Path(__file__).resolve().parents[1]
TEXTS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
CARDS_AND_NOTES = sorted([*ROOT.glob("models/**/*.md"), *ROOT.glob("benchmarks/**/*.md")])
# Where a script or a note of benchmarks/ is named: a command, a source of a figure.
NAMING = [ROOT / "Makefile", *CARDS_AND_NOTES, *TEXTS] + [
    path
    for folder in ("models", "annotate", "training", "export", "app", "benchmarks", "tests")
    for ending in ("py", "toml", "json", "sh")
    for path in sorted((ROOT / folder).rglob(f"*.{ending}"))
]


def _blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@cache
def _help(*words: str) -> str:
    module = {"annotate": "poseunion.annotate.cli.main", "poseunion": "poseunion.app.cli"}[words[0]]
    environment = {**os.environ, "COLUMNS": "250", "NO_COLOR": "1", "TERMINAL_WIDTH": "250"}
    command = [sys.executable, "-m", module, *words[1:], "--help"]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


@pytest.mark.parametrize("path", [*TEXTS, *CARDS_AND_NOTES], ids=lambda p: p.name)
def test_links_lead_to_files(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_scripts_and_notes_that_are_named_exist() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in NAMING
        for name in re.findall(r"\bbenchmarks/[\w./-]+\.(?:py|md|png|sh)\b", path.read_text(encoding="utf-8"))
        if not (ROOT / name).is_file() and "DATE" not in name
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.name)
def test_commands_and_options_exist(path: Path) -> None:
    for line in "\n".join(_blocks(path, "bash")).replace("\\\n", " ").splitlines():
        words = line.split("#")[0].split()
        if words[:1] == ["make"]:
            goals = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
            assert set(words[1:]) <= set(goals), line
        elif words[:1] in (["annotate"], ["poseunion"]):
            options = {word for word in words if word.startswith("--")}
            shown = _help(*words[:2])
            assert all(re.search(rf"{option}\b", shown) for option in options), line


def test_the_skeleton_file_in_the_text_is_one(tmp_path: Path) -> None:
    blocks = _blocks(ROOT / "docs" / "skeletons.md", "toml")
    assert blocks
    for block in blocks:
        (tmp_path / "described.toml").write_text(block, encoding="utf-8")
        assert len(load_skeleton(tmp_path / "described.toml")) > 1
