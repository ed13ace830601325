"""Ranges of an ONNX network's values, against the end of half precision."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from poseunion.models.errors import ModelError

HALF_LARGEST = 65504.0
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)


def largest_activations(model: onnx.ModelProto, inputs: Iterable[NDArray[np.float32]], name: str) -> dict[str, float]:
    """Largest magnitude of every floating-point value inside a network.

    Args:
        inputs: single crops, normalised: all values of a batch together are large.
        name: of the network's input.

    Raises:
        ModelError: onnxruntime cannot run it.
    """
    import onnxruntime

    probe = copy.deepcopy(model)
    made = {output for node in model.graph.node for output in node.output} - {o.name for o in model.graph.output}
    typed = onnx.shape_inference.infer_shapes(model, data_prop=True).graph.value_info
    probe.graph.output.extend(v for v in typed if v.name in made and v.type.tensor_type.elem_type in FLOATS)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    largest: dict[str, float] = {}
    try:
        session = onnxruntime.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
        kind = np.float16 if session.get_inputs()[0].type == "tensor(float16)" else np.float32
        names = [output.name for output in session.get_outputs()][len(model.graph.output) :]
        for value in inputs:
            for output, result in zip(names, session.run(names, {name: value.astype(kind)}), strict=True):
                largest[output] = max(largest.get(output, 0.0), magnitude(result))
    except Exception as error:  # onnxruntime's own classes
        raise ModelError(f"onnxruntime cannot run the network on one crop: {str(error).splitlines()[0]}") from error
    return largest


def magnitude(value: NDArray[Any]) -> float:
    """Largest absolute value."""
    return float(np.abs(value.astype(np.float64)).max(initial=0.0))
