"""Node times of a real profile add up, and a profile's events become times per operator and module."""

from __future__ import annotations

from typing import Any

import pytest

from poseunion.export.onnx import operators
from poseunion.export.onnx.operators import NodeTime, module_of, node_times, operator_of, profile, tables
from poseunion.models.inference.predictor import load_predictor


def event(name: str, operator: str, us: int, *shapes: list[int], index: int = 0) -> dict[str, Any]:
    inputs = [{"float": list(shape)} for shape in shapes]
    arguments = {"op_name": operator, "input_type_shape": inputs, "node_index": str(index)}
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": us, "args": arguments}


@pytest.mark.parametrize(
    ("operator", "shapes", "expected"),
    [
        ("Conv", [[1, 40, 64, 48], [24, 40, 1, 1], [24]], "Conv 1x1"),
        ("FusedConv", [[8, 64, 32, 24], [64, 1, 5, 5]], "Conv depthwise 5x5"),
        ("FusedConv", [[21, 1, 48], [24, 1, 5], [24]], "Conv 5"),  # one channel in, many out
        ("QLinearConv", [[1, 32, 8, 8], [], [], [32, 1, 3, 3]], "QLinearConv depthwise 3x3"),
        ("Add", [[1, 8, 4, 4], [1, 8, 4, 4]], "Add"),
        ("Conv", [], "Conv"),
    ],
)
def test_a_convolution_is_named_with_its_kernel(operator: str, shapes: list[list[int]], expected: str) -> None:
    assert operator_of(event("a", operator, 1, *shapes)["args"]) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("/body/stage2/unit0/conv/Conv_output_0_nchwc", "body/stage2"),
        ("/body/Conv", "body"),
        ("/Div_1", "network itself"),
        ("Split_2", operators.NO_PATH),
        ("relu_0.tmp_0_nchwc", operators.NO_PATH),
    ],
)
def test_a_module_is_the_beginning_of_a_nodes_path(name: str, expected: str) -> None:
    assert module_of(name) == expected


def test_the_least_of_the_runs_after_the_warm_up_counts() -> None:
    runs = [9, 9, 1, 7, 4, 6]  # us; the first three warm up
    events = [event("/a/Add", "Add", us) for us in runs] + [{"cat": "Session", "name": "model_run", "dur": 100}]
    assert node_times(events, batch=2) == [NodeTime("Add", "a", 0.002)]


def test_nodes_of_one_name_are_told_apart() -> None:
    events = [event("", "Add", 5, index=index) for index in (1, 2) for _ in range(operators.WARM_UP + 1)]
    assert len(node_times(events, batch=1)) == 2


def test_rows_of_a_table_add_up_to_its_last() -> None:
    nodes = [NodeTime(f"op{i}", "one", float(1 + i)) for i in range(operators.SHOWN + 3)]
    lines = list(tables({"net": {1: nodes, 8: nodes[:2]}}))
    assert not any("by module" in line for line in lines)  # all in one
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")][1:]
    assert rows[0][0] == f"op{operators.SHOWN + 2}"
    assert rows[-2][0] == "3 others"
    assert [sum(float(row[column]) for row in rows[:-1]) for column in (1, 2, 4)] == [18, 171, 3]
    assert rows[-1] == ["all", "18", "171.00", "100 %", "3.00", "100 %"]


def test_a_real_profile_holds_the_network() -> None:
    found = profile(load_predictor("unified", threads=1), 1, runs=2)
    kinds = {node.operator for node in found}
    assert "Conv 1x1" in kinds
    assert any("depthwise" in kind for kind in kinds)
    assert len({node.module for node in found}) > 1
    assert min(node.ms for node in found) >= 0
