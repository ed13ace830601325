"""TensorRT precheck: evidence, without TensorRT, that an ONNX file will build; never proof.

Sources: the support list of ONNX-TensorRT 10.15 (docs/operators.md) and the ONNX opset guide of TensorRT 11.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from poseunion.export.onnx.ranges import FLOATS, HALF_LARGEST, largest_activations, magnitude
from poseunion.models.errors import ModelError, install_command
from poseunion.models.onnx_file import read_onnx
from poseunion.models.runtime.description import ModelDescription
from poseunion.models.runtime.onnx import OnnxModel

OPSETS = (9, 24)  # ONNX-TensorRT 10.15; TensorRT 11 takes 25, too
# Operators of the list that image networks use; any other is reported, to be checked by hand.
OPERATORS = """
Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape Conv
ConvTranspose Cos DepthToSpace DequantizeLinear Div Dropout Einsum Elu Equal Erf Exp Expand Flatten Floor Gather
GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GridSample
GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization LayerNormalization LeakyRelu Less
LessOrEqual Log LogSoftmax MatMul Max MaxPool Mean Min Mish Mul Neg Not Or PRelu Pad Pow QuantizeLinear Range
Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
ReduceSumSquare Relu Reshape Resize Round Shape Sigmoid Sign Sin Size Slice Softmax Softplus Split Sqrt Squeeze Sub
Tanh Tile TopK Transpose Unsqueeze Where Xor
"""
SUPPORTED = frozenset(OPERATORS.split())
RESIZE = {
    "mode": ("nearest", "linear"),
    "coordinate_transformation_mode": (
        "half_pixel",
        "pytorch_half_pixel",
        "tf_half_pixel_for_nn",
        "asymmetric",
        "align_corners",
    ),
    "nearest_mode": ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"),
}
PROBES = 8  # synthetic crops that ranges are measured on


@dataclass(frozen=True)
class Finding:
    """Result of one check. `passed` is None where it could not be run."""

    question: str
    passed: bool | None
    answer: str


@dataclass(frozen=True)
class Evidence:
    """Results of all checks of one file."""

    path: Path
    precision: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(finding.passed is not False for finding in self.findings)

    def text(self) -> str:
        """Report as text."""
        marks = {True: "yes", False: "NO", None: "not run"}
        rows = [f"{marks[f.passed]:>9}  {f.question}: {f.answer}" for f in self.findings]
        end = "no check failed" if self.passed else "it will not build as it is"
        return "\n".join(
            [
                f"{self.path} ({self.precision}) for TensorRT: evidence from the file alone; no engine was built here.",
                *rows,
                f"Result: {end}. Only a build on a GPU proves it (docker/README.md).",
            ]
        )


def check(path: Path, batch: tuple[int, int, int] = (1, 8, 32)) -> Evidence:
    """Run all checks that need no TensorRT.

    Args:
        batch: smallest, usual and largest number of crops of the engine's profile.

    Raises:
        BadFileError: not an ONNX file. ModelError: not a pose model that onnxruntime runs.
    """
    model = read_onnx(path)
    network = OnnxModel(path, threads=1)
    precision = precision_of(model)
    findings = [
        _opset(model),
        _operators(model),
        *_restrictions(model),
        *([_quantisation(model)] if precision == "int8" else []),
        *_shapes(model, network, batch),
        _half_range(model, network.normalise(_probes(network.description)), network.description.input),
        _folding(model),
    ]
    return Evidence(path, precision, tuple(findings))


def precision_of(model: onnx.ModelProto) -> str:
    """Precision of a strongly typed network of this file: `int8` (quantised), `fp16` or `fp32`."""
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        return "int8"
    # Weights that are only stored in half precision are cast before anything is computed.
    stored = {node.input[0]: node.attribute[0].i for node in model.graph.node if node.op_type == "Cast"}
    matrices = [tensor for tensor in model.graph.initializer if len(tensor.dims) > 1]
    kinds = Counter(stored.get(tensor.name, tensor.data_type) for tensor in matrices)
    return "fp16" if kinds[TensorProto.FLOAT16] > kinds[TensorProto.FLOAT] else "fp32"


def _opset(model: onnx.ModelProto) -> Finding:
    versions = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    opset = versions.pop("ai.onnx", 0)
    passed = OPSETS[0] <= opset <= OPSETS[1]
    return Finding("opset", passed, f"{opset}, supported are {OPSETS[0]} to {OPSETS[1]}")


def _operators(model: onnx.ModelProto) -> Finding:
    used = {f"{n.domain}:{n.op_type}" if n.domain else n.op_type for n in model.graph.node}
    unknown = sorted(used - SUPPORTED)
    answer = f"all {len(used)} kinds are on the list" if not unknown else f"not on the list: {', '.join(unknown)}"
    return Finding("operators", not unknown, answer)


def _restrictions(model: onnx.ModelProto) -> Iterator[Finding]:
    constants = {t.name for t in model.graph.initializer}
    constants |= {n.output[0] for n in model.graph.node if n.op_type == "Constant"}
    reductions = [n for n in model.graph.node if n.op_type.startswith("Reduce") and len(n.input) > 1]
    if reductions:
        moving = [n.name for n in reductions if n.input[1] not in constants]
        yield Finding("axes of reductions are constants", not moving, ", ".join(moving) or f"all {len(reductions)}")
    resizes = [n for n in model.graph.node if n.op_type == "Resize"]
    if resizes:
        wrong = [f"{n.name} ({fault})" for n in resizes for fault in _resize_faults(n)]
        yield Finding("modes of Resize", not wrong, ", ".join(wrong) or f"all {len(resizes)}")


def _resize_faults(node: onnx.NodeProto) -> Iterator[str]:
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    for name, allowed in RESIZE.items():
        value = given.get(name)
        if isinstance(value, bytes) and value.decode() not in allowed:
            yield f"{name} {value.decode()}"
    if given.get("antialias"):
        yield "antialias"


def _quantisation(model: onnx.ModelProto) -> Finding:
    """Check of Q/DQ pairs: signed bytes around zero everywhere; biases and everything else stay float."""
    tensors = {t.name: t for t in model.graph.initializer}
    faults: Counter[str] = Counter()
    pairs = 0
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        pairs += 1
        zero = tensors.get(node.input[2]) if len(node.input) > 2 else None
        quantised = tensors.get(node.input[0])
        if zero is not None and zero.data_type == TensorProto.UINT8:
            faults["unsigned bytes"] += 1
        elif zero is not None and numpy_helper.to_array(zero).any():
            faults["zero points that are not 0"] += 1
        elif quantised is not None and quantised.data_type == TensorProto.INT32:
            faults["biases in 32 bits"] += 1
    listed = ", ".join(f"{number} with {fault}" for fault, number in faults.items())
    return Finding("quantisation is signed, around zero", not faults, listed or f"all {pairs} operators")


def _shapes(model: onnx.ModelProto, network: OnnxModel, batch: tuple[int, int, int]) -> Iterator[Finding]:
    names = [i for i in model.graph.input if i.name == network.description.input]
    dims = [d.dim_value or d.dim_param or "?" for d in names[0].type.tensor_type.shape.dim]
    fixed = len(dims) == 4 and isinstance(dims[0], str) and all(isinstance(d, int) for d in dims[1:])
    answer = f"{network.description.input} {dims}, so one profile is enough"
    yield Finding("only the batch is dynamic", fixed, answer if fixed else f"{network.description.input} {dims}")
    try:
        for size in batch:
            network.run(np.resize(_probes(network.description), (size, *network.description.size_wh[::-1], 3)))
    except ModelError as error:
        yield Finding("batches of the profile", False, str(error))
    else:
        yield Finding("batches of the profile", True, f"{', '.join(map(str, batch))} run in onnxruntime")


def _probes(description: ModelDescription) -> NDArray[np.uint8]:
    """Synthetic crops (PROBES, H, W, 3): black, white, noise, and noise of ever larger grain."""
    width, height = description.size_wh
    rng = np.random.default_rng(0)
    crops = [np.zeros((height, width, 3), np.uint8), np.full((height, width, 3), 255, np.uint8)]
    for number in range(PROBES - 2):
        grain = 2**number
        small = rng.integers(0, 256, (-(-height // grain), -(-width // grain), 3), np.uint8)
        crops.append(small.repeat(grain, 0).repeat(grain, 1)[:height, :width])
    return np.stack(crops)


def _half_range(model: onnx.ModelProto, input_N: NDArray[np.float32], name: str) -> Finding:
    weights = (t for t in model.graph.initializer if t.data_type in FLOATS)
    largest = largest_activations(model, np.split(input_N, len(input_N)), name)
    largest |= {t.name: magnitude(numpy_helper.to_array(t)) for t in weights}
    worst = max(largest, key=lambda tensor: largest[tensor])
    answer = f"at most {largest[worst]:.4g} ({worst}) on {PROBES} synthetic crops, half precision ends at 65504"
    return Finding("values fit half precision", largest[worst] < HALF_LARGEST, answer)


def _folding(model: onnx.ModelProto) -> Finding:
    """Check that polygraphy can fold the constants: TensorRT's parser fails on a graph that it cannot fold."""
    question = "polygraphy folds its constants"
    try:
        import onnxruntime
        from polygraphy.logger import G_LOGGER

        G_LOGGER.module_severity = G_LOGGER.CRITICAL  # before the rest of it logs
        from polygraphy.backend.onnx import FoldConstants
    except ImportError:
        return Finding(question, None, f"not installed ({install_command('check-tensorrt')})")
    before = len(model.graph.node)
    onnxruntime.set_default_logger_severity(3)  # it opens sessions that log
    try:
        # onnxruntime's shape inference needs torch; onnx' own is enough.
        folded: onnx.ModelProto = FoldConstants(copy.deepcopy(model), allow_onnxruntime_shape_inference=False)()
        onnx.checker.check_model(folded)
    except Exception as error:  # its own classes, and those of what it calls
        return Finding(question, False, str(error).splitlines()[0])
    finally:
        onnxruntime.set_default_logger_severity(2)  # its default
    return Finding(question, True, f"{before} operators become {len(folded.graph.node)}")
