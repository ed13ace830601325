"""Half-precision (fp16) conversion of an ONNX network, for GPUs; inputs and outputs stay single.

Half precision ends at 65,504. The range of every value is measured on real crops; a layer within `HEADROOM` of the end
stays single. So does the head from its logarithms on, where sums of exponentials need the digits.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from poseunion.export.onnx.ranges import HALF_LARGEST, largest_activations
from poseunion.models.errors import BadArgumentError
from poseunion.models.runtime.base import PoseModel
from poseunion.models.runtime.description import ModelDescription

HEADROOM = 8.0  # other pictures than those measured may reach further
# Operators that mark a log domain; the nodes behind them work there, too.
LOG_DOMAIN = ("Exp", "Log", "ReduceLogSumExp")
# Squares of long vectors, which a norm sums, leave the range soonest.
NORMS = ("ReduceL2", "ReduceSumSquare")


@dataclass(frozen=True)
class Halved:
    """Half-precision network and the ranges of its values.

    Attributes:
        largest: the largest absolute value inside, on the crops.
        too_large: nodes that stay single because their values come near the end of the range.
    """

    model: onnx.ModelProto
    largest: float
    too_large: tuple[str, ...]


def halve(
    model: onnx.ModelProto, description: ModelDescription, normaliser: PoseModel, pixel_NHW3: NDArray[np.uint8]
) -> Halved:
    """Convert a network to half precision.

    Args:
        normaliser: turns pixels into the network's input.
        pixel_NHW3: real crops to find each layer's range on.

    Raises:
        BadArgumentError: no crops.
    """
    if not len(pixel_NHW3):
        raise BadArgumentError("Half precision needs real crops, to check that nothing overflows.")
    inputs = (normaliser.normalise(crop[None]) for crop in pixel_NHW3)
    largest = largest_activations(model, inputs, description.input)
    too_large = [node.name for node in model.graph.node if _is_too_large(node, largest)]
    single = [*too_large, *_log_domain(model)]
    result = _converted(model, set(largest), set(single))
    onnx.checker.check_model(result, full_check=True)
    return Halved(result, max(largest.values()), tuple(too_large))


def _is_too_large(node: onnx.NodeProto, largest: dict[str, float]) -> bool:
    reached = max((largest.get(name, 0.0) for name in [*node.input, *node.output]), default=0.0)
    if node.op_type in NORMS:  # the sum of squares inside is the square of what comes out
        reached = max(reached, reached**2)
    return reached * HEADROOM > HALF_LARGEST


def _log_domain(model: onnx.ModelProto) -> list[str]:
    """Nodes in the log domain: the first exponential or logarithm and everything after it."""
    first = next((i for i, node in enumerate(model.graph.node) if node.op_type in LOG_DOMAIN), None)
    if first is None:
        return []
    start = first - (first > 0 and model.graph.node[first - 1].op_type == "Sub")  # the difference that is exponentiated
    return [node.name for node in model.graph.node[start:]]


def _converted(model: onnx.ModelProto, floats: set[str], single: set[str]) -> onnx.ModelProto:
    """Convert every node but `single` to half precision, with casts only between the two kinds.

    onnxruntime's converter rounds to half precision between neighbouring single nodes, too.

    Args:
        floats: values inside that are floating-point.
    """
    result = copy.deepcopy(model)
    graph = result.graph
    constants = {i.name: i for i in graph.initializer if i.data_type == TensorProto.FLOAT}
    kinds = dict.fromkeys((i.name for i in graph.input), TensorProto.FLOAT)
    nodes: list[onnx.NodeProto] = []
    made: dict[str, onnx.TensorProto] = {}
    casts: set[str] = set()

    def read(name: str, kind: int) -> str:
        """Name of the value in the required precision."""
        suffix = "/half" if kind == TensorProto.FLOAT16 else "/single"
        if name in constants:
            if kind == TensorProto.FLOAT:
                made[name] = constants[name]
                return name
            made[name + suffix] = numpy_helper.from_array(
                numpy_helper.to_array(constants[name]).astype(np.float16), name + suffix
            )
        elif kinds[name] == kind:
            return name
        elif name + suffix not in casts:
            casts.add(name + suffix)
            nodes.append(helper.make_node("Cast", [name], [name + suffix], name=name + suffix, to=kind))
        return name + suffix

    for node in list(graph.node):
        kind = TensorProto.FLOAT if node.name in single or node.op_type == "Cast" else TensorProto.FLOAT16
        for position, name in enumerate(node.input):
            if name in kinds or name in constants:
                factors = node.op_type == "Resize" and position > 0  # always single, as the operator has it
                node.input[position] = read(name, TensorProto.FLOAT if factors else kind)
        kinds |= dict.fromkeys((name for name in node.output if name in floats), kind)
        nodes.append(node)
    for output in graph.output:
        if kinds.get(output.name) == TensorProto.FLOAT16:
            raw = f"{output.name}/half"
            for node in nodes:
                node.output[:] = [raw if name == output.name else name for name in node.output]
                node.input[:] = [raw if name == output.name else name for name in node.input]
            nodes.append(
                helper.make_node("Cast", [raw], [output.name], name=f"{output.name}/out", to=TensorProto.FLOAT)
            )
    others = [i for i in graph.initializer if i.name not in constants]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*others, *made.values()])
    return result
