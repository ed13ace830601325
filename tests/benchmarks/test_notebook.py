"""The notebook of the docs and the README's Python lines show what they give."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from notebook import cells_shown, shown

from poseunion.annotate.example import example_dataset

pytest.importorskip("skimage", reason="the notebook's pictures need scikit-image (extra `example`)")
pytest.importorskip("pandas", reason="its tables need pandas (extra `interop`)")

README = Path(__file__).resolve().parents[2] / "README.md"
NOTEBOOK = README.parent / "docs" / "python.ipynb"
NUMBER = re.compile(r"-?\d+\.\d+")
TOLERANCE = 0.05  # of pixels; runtimes differ between processors


def test_cells_show_what_they_give() -> None:
    cells = list(cells_shown(json.loads(NOTEBOOK.read_text(encoding="utf-8"))))
    assert cells
    for cell, data in cells:
        (stored, *_) = [output["data"] for output in cell["outputs"]] or [{}]
        assert set(data) == set(stored), "".join(cell["source"])
        assert_alike("".join(data.get("text/plain", "")), "".join(stored.get("text/plain", "")))


def assert_alike(text: str, expected: str) -> None:
    """The same words, and numbers within the tolerance."""
    assert NUMBER.sub("#", text).split() == NUMBER.sub("#", expected).split()
    assert [float(n) for n in NUMBER.findall(text)] == pytest.approx(
        [float(n) for n in NUMBER.findall(expected)], abs=TOLERANCE
    )


def test_the_readme_shows_what_its_lines_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment that begins as a `repr` is the one of its line."""
    example_dataset(tmp_path)
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    compared = 0
    for line in block.splitlines():
        data = shown(line, names)
        if expected := re.search(r"  # ([A-Z]\w+\(.*?\))(; .*)?$", line):
            assert_alike(data["text/plain"], expected[1])
            compared += 1
    assert compared >= 3


def test_a_cell_shows_its_last_expression() -> None:
    names: dict[str, Any] = {}
    assert shown("x = 1", names) == {}
    assert shown("x += 1\nx", names) == {"text/plain": "2"}


def test_the_notebook_is_small() -> None:
    assert NOTEBOOK.stat().st_size <= 100_000
