"""The notebook of the docs shows what its cells give."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from notebook import cells_shown, shown

pytest.importorskip("skimage", reason="the notebook's pictures need scikit-image (extra `example`)")
pytest.importorskip("pandas", reason="its tables need pandas (extra `interop`)")

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "python.ipynb"
NUMBER = re.compile(r"-?\d+\.\d+")
TOLERANCE = 0.05  # of pixels; runtimes differ between processors


def test_cells_show_what_they_give() -> None:
    cells = list(cells_shown(json.loads(NOTEBOOK.read_text(encoding="utf-8"))))
    assert cells
    for cell, data in cells:
        (stored, *_) = [output["data"] for output in cell["outputs"]] or [{}]
        assert set(data) == set(stored), "".join(cell["source"])
        text, expected = ("".join(given.get("text/plain", "")) for given in (data, stored))
        assert NUMBER.sub("#", text).split() == NUMBER.sub("#", expected).split()
        numbers = [[float(number) for number in NUMBER.findall(given)] for given in (text, expected)]
        assert numbers[0] == pytest.approx(numbers[1], abs=TOLERANCE)


def test_a_cell_shows_its_last_expression() -> None:
    names: dict[str, object] = {}
    assert shown("x = 1", names) == {}
    assert shown("x += 1\nx", names) == {"text/plain": "2"}


def test_the_notebook_is_small() -> None:
    assert NOTEBOOK.stat().st_size <= 100_000
