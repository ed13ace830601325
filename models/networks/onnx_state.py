"""ONNX files as weights files: initialisers in half precision under the names of the torch state dict.

A network is stored once. Runtimes fold the casts and the batch norms when they load the file (onnxruntime ends at the
same graph as from a file of folded weights), training reads the state dict back:

| of the state dict | in the file |
|---|---|
| large floats, read by the graph | half-precision initialiser `NAME`, and its Cast to `NAME/single` |
| other tensors, read by the graph | initialiser `NAME` as it is: batch norms, biases |
| tensors outside the graph: counts of batches | `training_info`, ONNX's place for state that inference ignores |

Initialisers that are not of the state dict, constants of the graph, have names that begin with "/"; large ones that
half precision holds exactly are stored so. Values between operators have short names, `v1`, `v2` …; operators keep
theirs, which name the module.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from poseunion.models.errors import BadFileError
from poseunion.models.onnx_file import read_onnx

if TYPE_CHECKING:
    import onnx

# A cast costs about 100 bytes of names, so that smaller tensors gain nothing.
LEAST_HALVED = 256
LARGEST_HALF = 65504.0
CONSTANT = "/"
SINGLE = "/single"


def is_halved(tensor: Tensor) -> bool:
    """Whether a tensor is stored in half precision: weights of convolutions and linear layers are.

    Batch norms and biases, a twentieth of all bytes, stay exact.
    """
    if not tensor.is_floating_point() or tensor.ndim < 2 or tensor.numel() < LEAST_HALVED:
        return False
    return bool(tensor.abs().amax() <= LARGEST_HALF)


def pack(model: onnx.ModelProto, state: Mapping[str, Tensor]) -> onnx.ModelProto:
    """Pack a torch state dict into an ONNX graph, whose initialisers get the names of `state`.

    Args:
        model: from `export.onnx.graph_export.traced`: batch norms and weights are not folded.
    """
    from onnx import helper, numpy_helper

    result = type(model)()
    result.CopyFrom(model)
    graph, casts = result.graph, {}
    constants = {i.name: f"{CONSTANT}{i.name}" for i in graph.initializer if not _is_named(i.name, state)}
    read: set[str] = set()
    for tensor in graph.initializer:
        if tensor.name not in state:
            tensor.name = constants.get(tensor.name, tensor.name)
            if _is_exact_in_half(constant := numpy_helper.to_array(tensor)):
                tensor.CopyFrom(numpy_helper.from_array(constant.astype(np.float16), tensor.name))
                casts[tensor.name] = _cast(tensor.name)
            continue
        name, value = tensor.name, state[tensor.name].detach().cpu()
        read.add(name)
        if is_halved(value):
            tensor.CopyFrom(numpy_helper.from_array(_array(value), name))
            casts[name] = _cast(name)
    for node in graph.node:
        names = [constants.get(name, name) for name in node.input]
        node.input[:] = [name + SINGLE if name in casts else name for name in names]
    nodes = [*casts.values(), *graph.node]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    _shorten_names(graph, state)
    if unread := [numpy_helper.from_array(_array(state[name].cpu()), name) for name in state if name not in read]:
        rest = helper.make_graph([], "state that inference does not read", [], [], unread)
        result.training_info.append(helper.make_training_info(helper.make_graph([], "none", [], []), [], rest, []))
    return result


def _cast(name: str) -> onnx.NodeProto:
    from onnx import TensorProto, helper

    return helper.make_node("Cast", [name], [name + SINGLE], name=f"{name}/cast", to=TensorProto.FLOAT)


def _is_exact_in_half(array: np.ndarray) -> bool:
    if array.dtype != np.float32 or array.size < LEAST_HALVED or np.abs(array).max() > LARGEST_HALF:
        return False
    return np.array_equal(array.astype(np.float16).astype(np.float32), array)


def _shorten_names(graph: onnx.GraphProto, state: Mapping[str, Tensor]) -> None:
    """Short names of the values between operators: a seventh of a small network's file is names otherwise."""
    taken = {value.name for value in (*graph.input, *graph.output, *graph.initializer)} | set(state)
    made = (name for node in graph.node for name in node.output if name and name not in taken)
    free = (name for number in itertools.count(1) if (name := f"v{number}") not in taken)
    short = dict(zip(made, free, strict=False))  # `free` has no end
    for node in graph.node:
        node.input[:] = [short.get(name, name) for name in node.input]
        node.output[:] = [short.get(name, name) for name in node.output]


def _is_named(name: str, state: Mapping[str, Tensor]) -> bool:
    return name in state or name.startswith(CONSTANT)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().to(torch.float16 if is_halved(tensor) else tensor.dtype).contiguous().numpy()


def read_packed(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """State dict, large floats in half precision, and metadata of a packed file; of another file its initialisers.

    Raises:
        BadFileError: not an ONNX file.
    """
    model = read_onnx(path)
    from onnx import numpy_helper

    unread = [tensor for info in model.training_info for tensor in info.initialization.initializer]
    named = [tensor for tensor in model.graph.initializer if not tensor.name.startswith(CONSTANT)]
    try:
        state = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in [*named, *unread]}
    except (ValueError, TypeError, KeyError) as error:  # fewer values than its shape needs, a type that torch lacks
        raise BadFileError(f"{path} is damaged: {str(error).splitlines()[0]}.") from error
    return state, {entry.key: entry.value for entry in model.metadata_props}
