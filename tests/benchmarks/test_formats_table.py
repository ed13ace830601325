"""The README's table of formats is what the registry says, and the registry is what the tests go through."""

from __future__ import annotations

from pathlib import Path

import pytest
from formats_table import markdown, renewed

from poseunion.annotate.formats import FORMATS
from poseunion.models.errors import BadFileError

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_readme_is_not_stale() -> None:
    text = README.read_text(encoding="utf-8")
    assert renewed(text) == text, "make it anew: python benchmarks/maintenance/formats_table.py README.md"


def test_every_format_has_a_row() -> None:
    table = markdown()
    for known in FORMATS.values():
        assert table.count(f"| {known.title} | `{known.name}` |") == 1


def test_a_text_without_a_place_for_it() -> None:
    with pytest.raises(BadFileError, match="no place"):
        renewed("# nothing")
