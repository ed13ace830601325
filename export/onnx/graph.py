"""Equivalent rewrites of an ONNX graph: constant folding, and fast operators in place of slow ones."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from poseunion.models.errors import MissingExtraError

# IR version 8 goes with opset 18: a newer stamp would be refused by runtimes that can run every operator in the file.
IR_VERSION = 8


def facts_of(model: onnx.ModelProto) -> dict[str, str]:
    """Metadata of a model, key -> text."""
    return {entry.key: entry.value for entry in model.metadata_props}


def described(model: onnx.ModelProto, facts: Mapping[str, str]) -> onnx.ModelProto:
    """Copy of a model with `facts` as its metadata, checked."""
    result = copy.deepcopy(model)
    _set_facts(result, facts)
    result.producer_name, result.producer_version = "poseunion", ""
    onnx.checker.check_model(result, full_check=True)
    return result


def _set_facts(model: onnx.ModelProto, facts: Mapping[str, str]) -> None:
    del model.metadata_props[:]
    for key, value in facts.items():
        model.metadata_props.add(key=key, value=value)


def folded(model: onnx.ModelProto, keep: Collection[str] = ()) -> onnx.ModelProto:
    """Constant folding of an ONNX model, in plain ONNX operators.

    Args:
        keep: initialisers that stay as they are, and with them the batch norms that they belong to.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingExtraError("onnxruntime", "cpu") from error
    opened = copy.deepcopy(model)
    # An initialiser that is an input, too, may be overridden by a caller: no optimiser touches it.
    kept = [tensor for tensor in model.graph.initializer if tensor.name in keep]
    opened.graph.input.extend(helper.make_tensor_value_info(i.name, i.data_type, list(i.dims)) for i in kept)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "folded.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 3
        onnxruntime.InferenceSession(opened.SerializeToString(), options, providers=["CPUExecutionProvider"])
        result = onnx.load(path)
    own = [opset for opset in result.opset_import if opset.domain == ""]
    del result.opset_import[:]
    result.opset_import.extend(own)
    _set_facts(result, facts_of(model))
    result.ir_version = IR_VERSION
    inputs = [value for value in result.graph.input if value.name not in keep]
    del result.graph.input[:]
    result.graph.input.extend(inputs)
    return result


def with_fixed_scales(model: onnx.ModelProto) -> onnx.ModelProto:
    """Resize operators with constant factors: sizes computed at run time hide every later shape."""
    result = copy.deepcopy(model)
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    values = [*graph.value_info, *graph.input, *graph.output]
    sides = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}
    for node in result.graph.node:
        if node.op_type != "Resize" or len(node.input) < 4:
            continue
        before, after = sides.get(node.input[0], []), sides.get(node.output[0], [])
        if len(after) == 4 and all([*before[1:], *after[1:]]):
            name = f"{node.name}/scales"
            scales = [1.0, 1.0, after[2] / before[2], after[3] / before[3]]
            result.graph.initializer.append(numpy_helper.from_array(np.array(scales, np.float32), name))
            del node.input[1:]
            node.input.extend(["", name])
    return _pruned(result)


def without_logsumexp(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace ReduceLogSumExp by max + log(sum(exp(x - max))).

    onnxruntime computes the operator itself one number at a time: a tenth of the student's time, and a fifth once the
    rest is in eight bits. The parts are vectorised.
    """
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        nodes += _logsumexp_parts(node) if node.op_type == "ReduceLogSumExp" else [node]
    result = copy.deepcopy(model)
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    return result


def _logsumexp_parts(node: NodeProto) -> list[NodeProto]:
    keep = next((a.i for a in node.attribute if a.name == "keepdims"), 1)
    x, axes, out = node.input[0], list(node.input[1:]), node.output[0]

    def part(op: str, inputs: list[str], step: str, **attributes: Any) -> NodeProto:
        last = step == "add"
        return helper.make_node(op, inputs, [out if last else f"{out}/{step}"], f"{node.name}/{step}", **attributes)

    parts = [
        part("ReduceMax", [x, *axes], "max", keepdims=1),
        part("Sub", [x, f"{out}/max"], "below"),
        part("Exp", [f"{out}/below"], "exp"),
        part("ReduceSum", [f"{out}/exp", *axes], "sum", keepdims=keep),
        part("Log", [f"{out}/sum"], "log"),
    ]
    top = f"{out}/max"
    if not keep:
        parts.append(part("Squeeze", [top, *axes], "squeezed"))
        top = f"{out}/squeezed"
    return [*parts, part("Add", [f"{out}/log", top], "add")]


def with_global_pooling(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace means over rows and columns by GlobalAveragePool, which has an eight-bit kernel."""
    result = copy.deepcopy(model)
    values = {i.name: numpy_helper.to_array(i) for i in result.graph.initializer}
    for node in result.graph.node:
        if node.op_type != "ReduceMean" or len(node.input) < 2 or node.input[1] not in values:
            continue
        keep = next((a.i for a in node.attribute if a.name == "keepdims"), 1)
        if keep and sorted(int(a) % 4 for a in values[node.input[1]]) == [2, 3]:
            node.op_type = "GlobalAveragePool"
            del node.input[1:]
            del node.attribute[:]
    return _pruned(result)


def _pruned(model: onnx.ModelProto) -> onnx.ModelProto:
    """Prune, in place, nodes and initialisers that no output needs."""
    graph = model.graph
    wanted, kept = {output.name for output in graph.output}, []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            wanted |= set(node.input)
            kept.append(node)
    nodes, constants = kept[::-1], [i for i in graph.initializer if i.name in wanted]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    return model
