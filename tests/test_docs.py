"""What the texts say can be done: links lead somewhere, commands and options exist, examples work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from poseunion.models.skeleton import load_skeleton

ROOT = Path(__file__).resolve().parents[1]
TEXTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("docker/*.md")])
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


def test_every_picture_is_made_by_a_script() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    makers = dict(re.findall(r"^\| `(docs/\S+)` \| `python (\S+)` \|$", text, re.MULTILINE))
    for pattern, script in makers.items():
        stem = re.split(r"[*.]", pattern.removeprefix("docs/"))[0]
        assert stem in (ROOT / script).read_text(encoding="utf-8"), f"{script} writes no {pattern}"
    pictures = [path for kind in ("jpg", "png", "svg", "webp", "gif") for path in ROOT.glob(f"docs/**/*.{kind}")]
    assert pictures
    unmade = [path.name for path in pictures if not any(path.match(pattern) for pattern in makers)]
    assert not unmade, "no row in CONTRIBUTING.md, Pictures"
    for path in ROOT.glob("benchmarks/notes/*.png"):
        command = path.with_suffix(".md").read_text(encoding="utf-8").partition("\n![")[0]
        assert path.name in command, f"the note's command does not write {path.name}"


def test_the_skeleton_file_in_the_text_is_one(tmp_path: Path) -> None:
    blocks = _blocks(ROOT / "docs" / "skeletons.md", "toml")
    assert blocks
    for block in blocks:
        (tmp_path / "described.toml").write_text(block, encoding="utf-8")
        assert len(load_skeleton(tmp_path / "described.toml")) > 1
