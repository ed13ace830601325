"""Writes the manifests of `models/weights` and `models/detectors`:  python benchmarks/maintenance/shipped_manifests.py

To be run whenever a file or a card there changes; a test fails until it is.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from poseunion.export.tensorrt.precheck import precision_of
from poseunion.models.files import sha256_of, write_json
from poseunion.models.inference.detector import OnnxDetector
from poseunion.models.networks.onnx_state import CONSTANT
from poseunion.models.networks.weights import NETWORK_KEY
from poseunion.models.runtime.onnx import OnnxModel
from poseunion.models.zoo import (
    DETECTOR_MANIFEST,
    DETECTORS,
    MANIFEST,
    WEIGHTS,
    ShippedDetector,
    ShippedModel,
    Speed,
)

NOTES = Path(__file__).parents[1] / "notes"

# Rows of a card's tables that are worth a column in a list.
MEASURES = {"AP": "AP", "PCK@.2 PCK": "PCK@.2", "recall": "recall"}


def catalogue(folder: Path = WEIGHTS) -> list[ShippedModel]:
    """What the files in `folder` are."""
    found = []
    for path in sorted(folder.glob("*.onnx"), key=lambda path: path.stem):
        graph, description = onnx.load(path), OnnxModel(path, threads=1).description
        card = card_of(path)
        found.append(
            ShippedModel(
                name=path.stem,
                sha256=sha256_of(path),
                bytes=path.stat().st_size,
                skeleton=description.skeleton,
                size_wh=description.size_wh,
                parameters=parameters(graph),
                precision=precision_of(graph),
                licence=description.licence,
                accuracy=scores(card.read_text(encoding="utf-8"), path.stem) if card else {},
                speed=speed_of(path.stem, sha256_of(path)),
                card=card.name if card else None,
            )
        )
    return found


def detectors(folder: Path = DETECTORS) -> list[ShippedDetector]:
    """What the detectors in `folder` are; each has a card of its own."""
    found = []
    for path in sorted(folder.glob("*.onnx"), key=lambda path: path.stem):
        description, card = OnnxDetector(path, threads=1).description, path.with_suffix(".md")
        found.append(
            ShippedDetector(
                name=path.stem,
                sha256=sha256_of(path),
                bytes=path.stat().st_size,
                size_wh=description.size_wh,
                parameters=parameters(onnx.load(path)),
                licence=description.licence,
                accuracy=scores(card.read_text(encoding="utf-8"), path.stem),
                card=card.name,
            )
        )
    return found


def speed_of(name: str, sha256: str, notes: Path = NOTES) -> Speed | None:
    """Speed of a file in the newest note of `benchmarks/runtime/speed.py` that timed it on one thread."""
    for note in sorted(notes.glob("*-speed.md"), reverse=True):
        lines = note.read_text(encoding="utf-8").splitlines()
        if not any(line.startswith("Models: ") and f"sha256 {sha256[:12]}" in line for line in lines):
            continue
        machine = next(
            line.removeprefix("Machine: ").partition(",")[0] for line in lines if line.startswith("Machine: ")
        )
        for line in lines:
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if cells[1:4] == ["1", "ours", name]:
                return Speed(cpu_ms=round(float(cells[5]), 1), machine=machine, note=f"benchmarks/notes/{note.name}")
    return None


def card_of(path: Path) -> Path | None:
    """`unified-int8.onnx` has the card `unified-int8.md` or, where that is not there, `unified.md`."""
    parts = path.stem.split("-")
    cards = (path.with_name("-".join(parts[:n]) + ".md") for n in range(len(parts), 0, -1))
    return next((card for card in cards if card.is_file()), None)


def parameters(model: onnx.ModelProto) -> int:
    """Numbers in weights and biases: without shapes, indices, batch statistics, and the scales of quantisation."""
    if NETWORK_KEY in {entry.key for entry in model.metadata_props}:
        learned = [t for t in model.graph.initializer if not t.name.startswith(CONSTANT) and "running_" not in t.name]
        return sum(int(np.prod(t.dims)) for t in learned)
    scales = {name for n in model.graph.node if n.op_type.endswith("izeLinear") for name in n.input[1:]}
    kinds = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32)
    tensors = [t for t in model.graph.initializer if t.data_type in kinds and t.name not in scales]
    return sum(int(np.prod(t.dims)) for t in tensors)


def scores(card: str, name: str) -> dict[str, dict[str, float]]:
    """`MEASURES` of a model in a card: of the first table below each line that begins with an annotation file."""
    found: dict[str, dict[str, float]] = {}
    for file, rows in measured(card).items():
        for row, cells in rows.items():
            if row in MEASURES and cells.get(name, "–") != "–":
                found.setdefault(file, {})[MEASURES[row]] = float(cells[name])
    return found


def measured(card: str) -> dict[str, dict[str, dict[str, str]]]:
    """The same tables whole: annotation file -> row -> model -> cell."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    file, heads = "", None
    for line in card.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.split(",")[0].endswith(".json"):
            file, heads = line.split(",")[0], None
        elif not line.startswith("|"):
            file = "" if heads else file  # the table has ended
        elif file and heads is None:
            heads = cells[1:]
        elif file and heads:
            found.setdefault(file, {}).setdefault(cells[0], dict(zip(heads, cells[1:], strict=False)))
    return found


def main() -> None:
    """Write the manifests."""
    write_json(MANIFEST, {"models": [model.model_dump(mode="json") for model in catalogue()]}, indent=1)
    found = [detector.model_dump(mode="json") for detector in detectors()]
    write_json(DETECTOR_MANIFEST, {"detectors": found}, indent=1)


if __name__ == "__main__":
    main()
