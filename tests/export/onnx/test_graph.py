from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from poseunion.export.onnx.graph import (
    folded,
    with_fixed_scales,
    with_global_pooling,
    without_logsumexp,
)


def _model(nodes: list[onnx.NodeProto], shape: list[str | int | None], **constants: np.ndarray) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], {"x": x})[0])


def _ops(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node}


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("axes", [[-1], [2], [2, 3]])
def test_logsumexp_in_parts_is_the_operator(keep: int, axes: list[int]) -> None:
    node = helper.make_node("ReduceLogSumExp", ["x", "axes"], ["y"], name="lse", keepdims=keep)
    model = _model([node], [2, 3, 4, 5], axes=np.array(axes))
    # Far below and far above what an exponential holds.
    x = np.random.default_rng(0).normal(0, 300, (2, 3, 4, 5)).astype(np.float32)
    parts = without_logsumexp(model)
    assert "ReduceLogSumExp" not in _ops(parts)
    np.testing.assert_allclose(_run(parts, x), _run(model, x), rtol=1e-6)


def test_means_over_the_map_become_pooling_and_others_stay() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    for axes, expected in (([2, 3], "GlobalAveragePool"), ([-1, -2], "GlobalAveragePool"), ([1, 2], "ReduceMean")):
        node = helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=1)
        model = _model([node], [2, 3, 4, 5], axes=np.array(axes))
        pooled = with_global_pooling(model)
        assert _ops(pooled) == {expected}
        np.testing.assert_allclose(_run(pooled, x), _run(model, x), atol=1e-6)


def test_sizes_known_beforehand_become_factors_and_their_arithmetic_goes() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Slice", ["shape", "zero", "two"], ["people"]),
        helper.make_node("Concat", ["people", "sides"], ["sizes"], axis=0),
        helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], name="r", mode="nearest"),
    ]
    model = _model(nodes, ["batch", 3, 4, 5], zero=np.array([0]), two=np.array([2]), sides=np.array([8, 10]))
    fixed = with_fixed_scales(model)
    assert _ops(fixed) == {"Resize"}
    for batch in (1, 4):
        x = np.random.default_rng(batch).normal(size=(batch, 3, 4, 5)).astype(np.float32)
        np.testing.assert_array_equal(_run(fixed, x), _run(model, x))


def test_folding_keeps_answers_metadata_and_the_old_stamp() -> None:
    nodes = [
        helper.make_node("Add", ["one", "one"], ["two"]),
        helper.make_node("Mul", ["x", "two"], ["y"]),
    ]
    model = _model(nodes, ["batch", 3], one=np.ones(1, np.float32))
    entry = model.metadata_props.add()
    entry.key, entry.value = "poseunion", "kept"
    plain = folded(model)
    assert _ops(plain) == {"Mul"}
    assert [p.value for p in plain.metadata_props] == ["kept"]
    assert {o.domain for o in plain.opset_import} == {""}
    assert plain.ir_version == model.ir_version
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(_run(plain, x), 2 * x)
