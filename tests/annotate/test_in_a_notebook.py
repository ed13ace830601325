"""docs/python.ipynb in a real Jupyter kernel: its cells show what is stored, and a completion its progress."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="make test-consumers brings it")
nbclient = pytest.importorskip("nbclient", reason="make test-consumers brings it")
pytest.importorskip("ipykernel", reason="make test-consumers brings it")

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "python.ipynb"
PATIENCE_S = 600  # for a busy machine


def test_cells_show_what_is_stored_and_a_completion_its_progress(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    stored = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    notebook.cells.append(nbformat.v4.new_code_cell("poseunion.complete(dataset='example')"))
    here = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=PATIENCE_S, kernel_name="python3", resources=here).execute()
    *shown, completed = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]

    def texts(outputs: list[dict[str, dict[str, str]]]) -> list[str]:
        # A notebook's own printing wraps long values over lines.
        found = [json.dumps(output["data"]["text/plain"].split()) for output in outputs if "data" in output]
        return [text for text in found if "object at 0x" not in text and "PIL.Image" not in text]

    for cell, before in zip(shown, stored, strict=True):
        assert texts(cell) == texts(before)
    bar, value = completed
    assert bar["output_type"] == "display_data"
    assert bar["data"]["text/plain"].startswith("people ")
    assert "100% 3/3" in bar["data"]["text/plain"]
    assert value["data"]["text/plain"].startswith("CompletedFile(3 of 3 people")
