"""Torch weights to a self-describing ONNX file, named as rtmlib and mmdeploy expect."""

from __future__ import annotations

import io
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from poseunion.models.errors import BadArgumentError, ModelError
from poseunion.models.files import write_bytes
from poseunion.models.metadata import METADATA_KEY, ModelDescription
from poseunion.models.networks.weights import load_network
from poseunion.models.runtime import OnnxModel

# 18 brings the reductions with axes as inputs, 17 LayerNormalization; every runtime of the last three years reads it.
OPSET = 18
# Batches that a dynamic axis must really take.
PROVEN_BATCHES = (1, 2, 7)
TOLERANCE = 1e-4


def export_onnx(weights: Path, out: Path, revision: str = "") -> ModelDescription:
    """Write `out` and prove it: checker-clean, batches of 1, 2 and 7, logits equal to torch's within 1e-4.

    Raises:
        ModelError: the exported network differs from the trained one; nothing is written.
    """
    if out.suffix != ".onnx":
        raise BadArgumentError(f"--out {out} would hold an ONNX model: end its name in .onnx.")
    network, description = load_network(weights)
    description = description.model_copy(update={"revision": revision})
    width, height = description.size_wh
    example = torch.zeros(2, 3, height, width)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The tracing exporter announces its successor; its graphs are the plain ones that runtimes fuse best.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (example,),
            buffer,  # type: ignore[arg-type]  # the tracing exporter takes a file object, its stub does not say so
            dynamo=False,
            opset_version=OPSET,
            input_names=["input"],
            output_names=["simcc_x", "simcc_y"],
            dynamic_axes={"input": {0: "batch"}, "simcc_x": {0: "batch"}, "simcc_y": {0: "batch"}},
        )
    model = onnx.load_from_string(buffer.getvalue())
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, description.model_dump_json()
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString()
    _prove(network, description, content)
    write_bytes(out, content)
    return description


def _prove(network: nn.Module, description: ModelDescription, content: bytes) -> None:
    width, height = description.size_wh
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(content)
        runtime = OnnxModel(path, threads=1)
        for batch in PROVEN_BATCHES:
            pixels = np.random.default_rng(batch).integers(0, 256, (batch, height, width, 3), np.uint8)
            with torch.no_grad():
                expected = network(torch.from_numpy(runtime.normalise(pixels)))
            for got, want in zip(runtime.run(pixels), expected, strict=True):
                difference = float(np.abs(got - want.numpy()).max())
                if difference > TOLERANCE:
                    raise ModelError(f"The ONNX of {description.name} differs from torch by {difference:.1e} logits.")
