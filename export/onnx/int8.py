"""Int8 quantisation: static, with onnxruntime's tools, calibrated on real crops.

Weights are signed with one scale an output channel. Activations are unsigned for the CPU, as its fast integer kernels
need; `symmetric` makes everything signed around zero, as TensorRT needs.

What stays float, and why:

- the head, from the layer that makes its logits on: it works in the log domain, where eight bits are too coarse;
- layers with the picture's three input channels: no integer kernel is fast for three;
- hard sigmoids and the layers around them: they have no integer kernel and work on one cell a channel;
- the layers of the largest divergence, one after another, as long as the whole network's exceeds `BUDGET_NATS`.

Shapes: N crops.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from poseunion.export.onnx.graph import described, facts_of, with_global_pooling
from poseunion.models.codec.simcc import softmax
from poseunion.models.errors import BadArgumentError, MissingExtraError
from poseunion.models.runtime.description import ModelDescription
from poseunion.models.runtime.onnx import OnnxModel

# Operators on maps that onnxruntime computes in eight bits on a CPU. Sigmoid and Mul are what a SiLU is made of.
INTEGER_OPS = ("Conv", "Clip", "Relu", "Add", "Mul", "Sigmoid", "Resize", "MaxPool", "Concat", "GlobalAveragePool")
ACTIVATIONS = ("Clip", "Relu")
# Mean KL divergence from the float network's distributions, over keypoints and axes. The first student quantised
# whole has .014 to .032, by the people it is calibrated on, and loses .1 to .2 AP; keeping five layers float brought
# that to .002 nats, saved no AP, and cost a quarter of the speed.
BUDGET_NATS = 0.06
MOST_FLOAT = 8  # more float layers would lose the speed; the contract is checked
CHECKED = 32  # crops that a layer's cost is measured on


@dataclass(frozen=True)
class LayerCost:
    """Sensitivity of one layer: mean KL divergence of the network's output with it alone in eight bits, in nats."""

    layer: str
    op: str
    nats: float


@dataclass(frozen=True)
class Quantised:
    """Quantised network and its divergence from the float one.

    Attributes:
        model: with QuantizeLinear and DequantizeLinear around the operators that run in integers.
        float_layers: layers kept float because of their divergence.
        nats: mean KL divergence of the whole from the float network.
        costs: of every layer alone, the costliest first; empty if not requested.
    """

    model: onnx.ModelProto
    float_layers: tuple[str, ...]
    nats: float
    costs: tuple[LayerCost, ...]


def quantise(
    model: onnx.ModelProto,
    description: ModelDescription,
    pixel_NHW3: NDArray[np.uint8],
    *,
    symmetric: bool = False,
    sensitivity: bool = False,
) -> Quantised:
    """Quantise a network to eight bits.

    Args:
        model: the float network, from `graph_export.network_graph`.
        pixel_NHW3: real crops; activations get the range that they have here.
        symmetric: all signed, zero at zero: for TensorRT.
        sensitivity: measure every layer's divergence even where none has to stay float.

    Raises:
        BadArgumentError: too few crops.
    """
    if len(pixel_NHW3) < CHECKED:
        raise BadArgumentError(
            f"{len(pixel_NHW3)} people are too few to calibrate eight bits on: give a file with {CHECKED} or more."
        )
    with tempfile.TemporaryDirectory() as name, _quiet():
        work = _Work(Path(name), with_global_pooling(model), description, pixel_NHW3, symmetric)
        groups = layer_groups(work.model)
        left_out: list[str] = []
        costs: list[LayerCost] = []
        result, nats = work.quantised(groups, [])
        if sensitivity or nats > BUDGET_NATS:
            costs = [LayerCost(layer, nodes[0].op_type, work.alone(groups, layer)) for layer, nodes in groups.items()]
            costs.sort(key=lambda cost: -cost.nats)
        for cost in costs[:MOST_FLOAT]:
            if nats <= BUDGET_NATS:
                break
            left_out.append(cost.layer)
            result, nats = work.quantised(groups, left_out)
    return Quantised(described(result, facts_of(model)), tuple(left_out), nats, tuple(costs))


def layer_groups(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    """Layers that can be quantised: a layer's name -> its node and the activation that is fused with it."""
    rank = _ranks(model)
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            readers[name].append(node)
    weights = {i.name: i.dims for i in model.graph.initializer}

    def on_maps(node: onnx.NodeProto) -> bool:
        three_channels = node.op_type == "Conv" and weights.get(node.input[1], [0, 0])[1] == 3
        grouped = any(a.name == "group" and a.i > 1 for a in node.attribute)
        return node.op_type in INTEGER_OPS and rank.get(node.output[0]) == 4 and not (three_channels and not grouped)

    # Backwards: a node whose output a float node reads is left float, too.
    chosen: set[str] = set()
    for node in reversed(model.graph.node):
        wanted_by = readers[node.output[0]]
        if on_maps(node) and wanted_by and all(reader.op_type in INTEGER_OPS for reader in wanted_by):
            chosen.add(node.name)
    groups: dict[str, list[onnx.NodeProto]] = {}
    made_by: dict[str, str] = {}
    for node in model.graph.node:
        if node.name not in chosen:
            continue
        source = made_by.get(node.input[0])
        if node.op_type in ACTIVATIONS and source is not None and len(readers[node.input[0]]) == 1:
            groups[source].append(node)
        elif node.op_type not in ACTIVATIONS:
            groups[node.name] = [node]
            made_by[node.output[0]] = node.name
    return groups


def computed_in(path: Path) -> Counter[str]:
    """Number of nodes of each operator in onnxruntime's optimised graph: `QLinear…` are those in eight bits."""
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingExtraError("onnxruntime", "cpu") from error
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(Path(folder) / "run.onnx")
        options.log_severity_level = 3
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        nodes = onnx.load(options.optimized_model_filepath).graph.node
    return Counter(node.op_type for node in nodes)


class _Work:
    """Working state of one quantisation: files, calibration and reference outputs, made once."""

    def __init__(
        self,
        folder: Path,
        model: onnx.ModelProto,
        description: ModelDescription,
        pixel_NHW3: NDArray[np.uint8],
        symmetric: bool,
    ) -> None:
        self.folder, self.model, self.description, self.symmetric = folder, model, description, symmetric
        self.float_path = folder / "float.onnx"
        onnx.save(model, self.float_path)
        reference = OnnxModel(self.float_path, threads=1)
        # Every few: a file's people come picture by picture.
        self.checked = pixel_NHW3[:: len(pixel_NHW3) // CHECKED][:CHECKED]
        self.inputs = [{description.input: reference.normalise(crop[None])} for crop in pixel_NHW3]
        self.expected = [softmax(logit) for logit in reference.run(self.checked)]

    def quantised(
        self, groups: Mapping[str, Sequence[onnx.NodeProto]], left_out: Sequence[str]
    ) -> tuple[onnx.ModelProto, float]:
        """Network with all layers but `left_out` in eight bits, and its divergence, in nats."""
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

        path = self.folder / "quantised.onnx"
        kind = QuantType.QInt8 if self.symmetric else QuantType.QUInt8
        options: dict[str, Any] = {"ActivationSymmetric": self.symmetric}
        if self.symmetric:
            # TensorRT fuses the nodes between the pairs; its bias stays float, and so do the activations' nodes.
            options |= {"QuantizeBias": False, "QDQKeepRemovableActivations": True}
        quantize_static(
            str(self.float_path),
            str(path),
            _Reader(self.inputs),
            quant_format=QuantFormat.QDQ,
            nodes_to_quantize=[n.name for layer, nodes in groups.items() if layer not in left_out for n in nodes],
            per_channel=True,
            activation_type=kind,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            calibration_cache_path=str(self.folder / "ranges.json"),
            extra_options=options,
        )
        got = OnnxModel(path, self.description, threads=1).run(self.checked)
        return onnx.load(path), _divergence(self.expected, [softmax(logit) for logit in got])

    def alone(self, groups: Mapping[str, Sequence[onnx.NodeProto]], layer: str) -> float:
        """Divergence with `layer` alone in eight bits, in nats."""
        return self.quantised({layer: groups[layer]}, [])[1]


class _Reader:
    """Calibration data reader for onnxruntime: one crop after another, then None."""

    def __init__(self, inputs: Sequence[Mapping[str, NDArray[np.float32]]]) -> None:
        self._rest: Iterator[Mapping[str, NDArray[np.float32]]] = iter(inputs)

    def get_next(self) -> Mapping[str, NDArray[np.float32]] | None:
        return next(self._rest, None)


def _divergence(expected: Sequence[NDArray[np.float64]], got: Sequence[NDArray[np.float64]]) -> float:
    """Mean KL(expected ‖ got) over crops, keypoints and axes, in nats."""
    tiny = 1e-12
    parts = [(p * (np.log(p + tiny) - np.log(q + tiny))).sum(-1).mean() for p, q in zip(expected, got, strict=True)]
    return float(np.mean(parts))


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    values = [*graph.value_info, *graph.input, *graph.output]
    return {v.name: len(v.type.tensor_type.shape.dim) for v in values if v.type.tensor_type.HasField("shape")}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the tools' advice to preprocess: the graph is already folded."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
