"""Export from torch to a self-describing ONNX file, with the names that rtmlib and mmdeploy expect.

Shapes: N crops, H and W input size, K keypoints.
"""

from __future__ import annotations

import io
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from poseunion.export.onnx.graph import (
    described,
    folded,
    with_fixed_scales,
    without_logsumexp,
)
from poseunion.export.torch_model import TorchModel
from poseunion.models.errors import BadArgumentError, ModelError
from poseunion.models.files import write_bytes
from poseunion.models.networks.onnx_state import pack
from poseunion.models.networks.weights import NETWORK_KEY, NetworkSpec
from poseunion.models.runtime.base import PoseModel
from poseunion.models.runtime.description import METADATA_KEY, ModelDescription
from poseunion.models.runtime.onnx import OnnxModel

# 18 brings the reductions with axes as inputs, 17 LayerNormalization; every runtime of the last three years reads it.
OPSET = 18
# Batch sizes that every exported file is run with.
PROVEN_BATCHES = (1, 2, 7)
# On the beta-10 scale, where a sharp distribution peaks at 1; larger logits (a teacher's, an untrained network's) may
# differ by as much of their own size, which is the resolution of single precision.
TOLERANCE = 1e-4


def export_onnx(weights: Path, out: Path, revision: str = "") -> ModelDescription:
    """Export to ONNX, folded and in single precision, verified against torch in batches of 1, 2 and 7.

    Raises:
        ModelError: the exported network differs from the trained one; nothing is written.
    """
    if out.suffix != ".onnx":
        raise BadArgumentError(f"--out {out} would hold an ONNX model: end its name in .onnx.")
    trained = TorchModel(weights)
    description = trained.description.model_copy(update={"revision": revision})
    content = network_graph(trained.network, description).SerializeToString()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(content)
        prove(trained, OnnxModel(path, threads=1))
    write_bytes(out, content)
    return description


def network_graph(network: nn.Module, description: ModelDescription) -> onnx.ModelProto:
    """Self-describing ONNX model of a network, folded, in single precision, for any number of crops."""
    return described(folded(_traced_on_crops(network, description)), {METADATA_KEY: description.model_dump_json()})


def packed_graph(network: nn.Module, spec: NetworkSpec, description: ModelDescription) -> onnx.ModelProto:
    """ONNX model with the whole torch state, large weights in half precision: `models.networks.onnx_state`."""
    model = pack(_traced_on_crops(network, description), network.state_dict())
    return described(model, {METADATA_KEY: description.model_dump_json(), NETWORK_KEY: spec.model_dump_json()})


def _traced_on_crops(network: nn.Module, description: ModelDescription) -> onnx.ModelProto:
    width, height = description.size_wh
    return traced(
        network,
        (torch.zeros(2, 3, height, width),),
        inputs={"input": {0: "batch"}},
        outputs={name: {0: "batch"} for name in description.output_names},
    )


def traced(
    network: nn.Module,
    example: tuple[torch.Tensor, ...],
    *,
    inputs: dict[str, dict[int, str]],
    outputs: dict[str, dict[int, str]],
) -> onnx.ModelProto:
    """Trace a torch module in evaluation mode to an ONNX model without slow operators; weights keep their names.

    Operations on weights alone, batch norms above all, are left in the graph: see `graph.folded`.

    Args:
        inputs, outputs: name -> its dynamic axes with their names.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The tracing exporter warns of its deprecation; its plain graphs are those that runtimes fuse best.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            example,
            buffer,  # type: ignore[arg-type]  # the tracing exporter takes a file object, its stub lacks it
            dynamo=False,
            training=torch.onnx.TrainingMode.PRESERVE,  # else batch norms are folded, and the folded weights nameless
            do_constant_folding=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={**inputs, **outputs},
        )
    names = set(network.state_dict())
    plain = folded(onnx.load_from_string(buffer.getvalue()), names)
    return folded(without_logsumexp(with_fixed_scales(plain)), names)


def prove(trained: PoseModel, exported: PoseModel) -> float:
    """Verify an export on noise, whose range is larger than that of pictures, in several batch sizes.

    Returns:
        The largest difference of a logit.

    Raises:
        ModelError: it exceeds `TOLERANCE`.
    """
    width, height = trained.description.size_wh
    worst = 0.0
    for batch in PROVEN_BATCHES:
        pixels = np.random.default_rng(batch).integers(0, 256, (batch, height, width, 3), np.uint8)
        for got, want in zip(exported.run(pixels), trained.run(pixels), strict=True):
            difference = float(np.abs(got - want).max())
            worst = max(worst, difference)
            if difference > TOLERANCE * max(1.0, float(np.abs(want).max())):
                raise ModelError(
                    f"The ONNX of {trained.description.name} differs from torch by {difference:.1e} logits."
                )
    return worst
