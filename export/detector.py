"""Export of a trained person detector to a self-describing ONNX file for `models.inference.detector`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from poseunion.export.convert import both_files
from poseunion.export.onnx.graph import described
from poseunion.export.onnx.graph_export import traced
from poseunion.export.starts import Layer, Start
from poseunion.models.errors import BadArgumentError, ModelError
from poseunion.models.files import refuse_existing, write_bytes
from poseunion.models.inference.detector import DetectorDescription, DistanceOutput, OnnxDetector
from poseunion.models.networks.onnx_state import pack
from poseunion.models.networks.person_detector import (
    STRIDES,
    DetectorSpec,
    PersonDetector,
    read_detector,
    save_detector,
)
from poseunion.models.networks.weights import NETWORK_KEY
from poseunion.models.runtime.description import METADATA_KEY

# Of logits and distances in strides, on noise: single precision, in another order of operations.
TOLERANCE = 1e-3


def export_detector(
    weights: Path,
    out: Path,
    *,
    score_threshold: float | None = None,
    iou_threshold: float | None = None,
    side: int | None = None,
    revision: str = "",
    overwrite: bool = False,
) -> DetectorDescription:
    """Export a detector to ONNX and verify it against the weights read back from the file.

    Large weights are stored in half precision: see `models.networks.onnx_state`.

    Args:
        score_threshold, iou_threshold, side: default: the weights file's.

    Raises:
        BadFileError: `out` exists. BadArgumentError: no ONNX name; a side that is no multiple of the largest stride.
        ModelError: the two differ; nothing is written.
    """
    if out.suffix != ".onnx":
        raise BadArgumentError(f"--out {out} would hold an ONNX model: end its name in .onnx.")
    refuse_existing(out, overwrite=overwrite)
    network, description = read_detector(weights)
    side = side or description.size_wh[0]
    if side < STRIDES[-1] or side % STRIDES[-1]:
        raise BadArgumentError(f"--side {side} is not a multiple of {STRIDES[-1]}.")
    threshold = description.score_threshold if score_threshold is None else score_threshold
    overlap = description.iou_threshold if iou_threshold is None else iou_threshold
    changes = {"name": out.stem, "size_wh": (side, side), "score_threshold": threshold, "iou_threshold": overlap}
    description = description.model_copy(update={**changes, "revision": revision})
    content = detector_graph(network, description)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(content)
        prove(read_detector(path)[0], OnnxDetector(path, threads=1))
    write_bytes(out, content)
    return description


def convert_detector(file: Path, layers: list[Layer], start: Start, stem: Path, licence: str) -> DetectorDescription:
    """Convert a public detector: write `<stem>.safetensors` and `<stem>.onnx`, both or neither."""
    network = PersonDetector()
    network.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in start.state(layers).items()})
    description = DetectorDescription(
        name=stem.name,
        size_wh=start.size_wh,
        head=DistanceOutput(outputs=[f"p{s}" for s in STRIDES], strides=list(STRIDES)),
        licence=licence or start.licence,
        source=f"converted from {start.origin(file)}",
    )
    with both_files(stem) as (weights, onnx):
        save_detector(weights, network.state_dict(), description)
        return export_detector(weights, onnx)


def detector_graph(network: PersonDetector, description: DetectorDescription) -> bytes:
    """ONNX model of a detector, for any number of pictures."""
    assert isinstance(description.head, DistanceOutput)
    width, height = description.size_wh
    model = traced(
        network,
        (torch.zeros(1, 3, height, width),),
        inputs={description.input: {0: "batch"}},
        outputs={name: {0: "batch"} for name in description.head.outputs},
    )
    facts = {METADATA_KEY: description.model_dump_json(), NETWORK_KEY: DetectorSpec().model_dump_json()}
    return bytes(described(pack(model, network.state_dict()), facts).SerializeToString())


@torch.no_grad()
def prove(network: PersonDetector, exported: OnnxDetector) -> float:
    """Largest difference on noise, of logits and distances in strides; raises ModelError beyond `TOLERANCE`."""
    width, height = exported.description.size_wh
    head = exported.description.head
    assert isinstance(head, DistanceOutput)
    worst = 0.0
    for batch in (1, 2):
        noise = np.random.default_rng(batch).normal(size=(batch, 3, height, width)).astype(np.float32)
        got = exported.session.run(head.outputs, {exported.description.input: noise})
        for output, expected, stride in zip(got, network(torch.from_numpy(noise)), STRIDES, strict=True):
            apart = np.abs(output - expected.numpy()) / np.array([1, stride, stride, stride, stride])
            worst = max(worst, float(apart.max()))
    if not worst <= TOLERANCE:
        raise ModelError(f"The ONNX of {exported.name} differs from torch by {worst:.1e}.")
    return worst
