"""Layers of a public ONNX file by graph order, checked shape by shape.

Only initialisers are read: no operator of the file is run, and its own names, which tools rewrite, are ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from poseunion.models.errors import ModelError
from poseunion.models.files import sha256_of
from poseunion.models.onnx_file import read_onnx

State = dict[str, NDArray[np.float32]]

# Constants of no more values are sizes, axes and scales (a Resize has 8); larger ones are weights.
MOST_VALUES = 8


@dataclass(frozen=True)
class Layer:
    """Convolution of a public file: weight (out, in / groups, rows, columns), bias (out,), zeros where it has none."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True)
class Start:
    """Public network that can initialise a student or a person detector.

    Attributes:
        name: of the public network.
        network: name of our class, as `build_network` takes it.
        skeleton: of the file's keypoints, to which ours adds those of its own; empty for a person detector.
        size_wh: input size.
        shapes: names in our class -> shapes of the weights, in the order of the file's graph.
        convert: from weights and biases under these names, as read, to equivalent ones of our class.
        gain: heatmap -> logit of a keypoint's distribution over all cells.
        licence: of the weights, as stated by the publishers.
        published: sha256 of the tested files -> source of each.
    """

    name: str
    network: str
    skeleton: str
    size_wh: tuple[int, int]
    shapes: dict[str, tuple[int, ...]]
    convert: Callable[[State], State]
    licence: str
    published: dict[str, str]
    gain: float = 1.0

    def fault(self, layers: list[Layer]) -> str | None:
        """First difference of a file's layers from this network; None where there is none."""
        for number, ((name, shape), layer) in enumerate(zip(self.shapes.items(), layers, strict=False), 1):
            if layer.weight.shape != shape:
                return f"convolution {number} has weights of {layer.weight.shape}, {name} has {shape}"
        if len(layers) != len(self.shapes):
            return f"{len(layers)} convolutions, where there are {len(self.shapes)}"
        return None

    def origin(self, file: Path) -> str:
        """Where a file's weights come from: network, publisher, name and checksum."""
        sha256 = sha256_of(file)
        published = self.published.get(sha256, "a file of the same graph")
        return f"{self.name} ({published}; {file.name}, sha256 {sha256})"

    def state(self, layers: list[Layer]) -> State:
        """State dict: weights and biases under the names of our class."""
        read: State = {}
        for name, layer in zip(self.shapes, layers, strict=True):
            read |= {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}
        return self.convert(read)


def read_layers(path: Path) -> list[Layer]:
    """Read the convolutions of an ONNX file, in graph order.

    Raises:
        BadFileError: not an ONNX file. ModelError: it holds weights elsewhere than in convolutions, or values that are
            not finite.
    """
    graph = read_onnx(path, external=False).graph
    constants = {one.name: one for one in graph.initializer}
    layers = []
    for node in graph.node:
        if node.op_type != "Conv":
            continue
        names = list(node.input[1:])
        if not 1 <= len(names) <= 2 or any(name not in constants for name in names):
            raise ModelError(f"{path}: convolution {node.name or node.output[0]} has no weights stored.")
        weight, *bias = (_array(constants[name], path) for name in names)
        layers.append(Layer(weight, bias[0] if bias else np.zeros(len(weight), np.float32)))
    # A constant that is an output, too, is none of the network's.
    harmless = {name for node in graph.node if node.op_type in ("Conv", "Identity") for name in node.input}
    for name, one in constants.items():
        if name not in harmless and np.prod(one.dims, dtype=int) > MOST_VALUES:
            raise ModelError(f"{path} has weights outside of its convolutions ({name}).")
    return layers


def _array(constant: onnx.TensorProto, path: Path) -> NDArray[np.float32]:
    if constant.data_location == onnx.TensorProto.EXTERNAL:
        raise ModelError(f"{path} keeps its weights in another file: save it as one.")
    value = np.asarray(numpy_helper.to_array(constant), np.float32)
    if not np.isfinite(value).all():
        raise ModelError(f"{path} holds weights that are not finite ({constant.name}).")
    return value
