"""A route: everybody is taken by exactly one model, the order is kept, and one model for all is that model alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from poseunion.models.errors import BadArgumentError, BadFileError, ItemError, ModelError
from poseunion.models.inference.predictor import Predictor, load_predictor
from poseunion.models.inference.size_routing import (
    Route,
    RoutedPredictor,
    Student,
    find_route,
    outdated,
    read_route,
    route_path,
    with_route,
)
from poseunion.models.poses.batch import PoseBatch
from poseunion.models.zoo import WEIGHTS, shipped_models

pytest.importorskip("onnxruntime")

Make = Callable[..., Predictor]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A described ONNX file of a few weights: bins depend on the crop's mean colour, and on the file's seed."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    folder = tmp_path_factory.mktemp("models")

    def model(name: str, size_wh: tuple[int, int], skeleton: str = "union21", k: int = 21) -> Predictor:
        path = folder / f"{name}.onnx"
        rng = np.random.default_rng(size_wh[0])
        nodes = [
            helper.make_node("GlobalAveragePool", ["input"], ["pool"]),
            helper.make_node("Flatten", ["pool"], ["flat"]),
        ]
        weights, outputs = [], []
        for axis, side in zip("xy", size_wh, strict=True):
            table = rng.uniform(0, 0.6, (3, k * 2 * side)).astype(np.float32)
            weights += [
                numpy_helper.from_array(table, f"w{axis}"),
                numpy_helper.from_array(np.array([0, k, 2 * side], np.int64), f"s{axis}"),
            ]
            nodes.append(helper.make_node("MatMul", ["flat", f"w{axis}"], [f"m{axis}"]))
            nodes.append(helper.make_node("Reshape", [f"m{axis}", f"s{axis}"], [f"simcc_{axis}"]))
            outputs.append(helper.make_tensor_value_info(f"simcc_{axis}", TensorProto.FLOAT, ["n", k, 2 * side]))
        shape: list[str | int | None] = ["n", 3, size_wh[1], size_wh[0]]
        inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)]
        graph = helper.make_graph(nodes, name, inputs, outputs, weights)
        file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        description = {"name": name, "skeleton": skeleton, "size_wh": list(size_wh), "head": {"kind": "simcc"}}
        onnx.helper.set_model_props(file, {"poseunion": json.dumps(description)})
        onnx.save(file, str(path))
        return load_predictor(path, threads=1, batch_size=3)

    return model


@pytest.fixture(scope="module")
def routed(make: Make) -> RoutedPredictor:
    return RoutedPredictor(make("big", (24, 32)), [(make("tiny", (8, 8)), 20.0), (make("small", (16, 16)), 50.0)])


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 255, (150, 200, 3), dtype=np.uint8)


SIDE = st.floats(1, 150)
BOXES = st.lists(st.tuples(st.floats(0, 150), st.floats(0, 100), SIDE, SIDE), max_size=12)


def names(routed: RoutedPredictor, boxes: Any) -> list[str]:
    return [routed.models[i].name for i in routed.model_of(boxes)]


@settings(max_examples=30)
@given(boxes=BOXES)
def test_everybody_is_taken_once_and_stays_in_order(
    boxes: list[tuple[float, float, float, float]], routed: RoutedPredictor, picture: NDArray[np.uint8]
) -> None:
    box = np.array(boxes, np.float64).reshape(-1, 4)
    who = routed.model_of(box)
    assert who.shape == (len(box),)
    poses = routed(picture, box)
    assert len(poses) == len(box)
    np.testing.assert_allclose(poses.box_xywh, box, atol=1e-4)
    for person, number in enumerate(who):
        alone = routed.models[number](picture, box[person : person + 1])
        np.testing.assert_allclose(poses.xy[person], alone.xy[0], atol=1e-4)
        np.testing.assert_allclose(poses.score[person], alone.score[0], atol=1e-6)


def test_the_threshold_itself_belongs_to_the_larger_model(routed: RoutedPredictor) -> None:
    below, at = np.nextafter(20.0, 0), 20.0
    boxes = [[0, 0, 5, below], [0, 0, 5, at], [0, 0, below, 3], [0, 0, 49.9, 3], [0, 0, 3, 50], [0, 0, 90, 2]]
    assert names(routed, boxes) == ["tiny", "small", "tiny", "small", "big", "big"]
    assert names(routed, [[0, 0, np.nan, 10]]) == ["big"]
    assert names(routed, np.zeros((0, 4))) == []


@pytest.mark.parametrize("number", [0, 1, 2])
def test_where_one_takes_all_it_is_that_model(number: int, routed: RoutedPredictor, picture: NDArray[np.uint8]) -> None:
    side = (10.0, 30.0, 80.0)[number]
    boxes = [[[x, 5, side / 2, side] for x in (5, 20, 60, 70)], [], [[50, 20, side, side / 3]]]
    pictures = [picture, picture, picture[::-1].copy()]
    for ours, theirs in zip(
        routed.predict(pictures, boxes), routed.models[number].predict(pictures, boxes), strict=True
    ):
        assert isinstance(ours, PoseBatch)
        np.testing.assert_array_equal(ours.xy, theirs.xy)
        np.testing.assert_array_equal(ours.score, theirs.score)
        np.testing.assert_array_equal(ours.box_xywh, theirs.box_xywh)


def test_crops_of_different_sizes_find_their_models(routed: RoutedPredictor, picture: NDArray[np.uint8]) -> None:
    boxes = np.array([[5, 5, 40, 90], [5, 5, 6, 12], [9, 9, 20, 40], [1, 1, 30, 99], [60, 60, 18, 18]], np.float64)
    pixels, crops = zip(*(routed.cut(picture, box) for box in boxes), strict=True)
    assert [crop.size_wh for crop in crops] == [(24, 32), (8, 8), (16, 16), (24, 32), (8, 8)]
    np.testing.assert_allclose(routed.predict_crops(pixels, crops).xy, routed(picture, boxes).xy, atol=1e-4)
    taken = np.concatenate([rows for _, rows in routed.assign(crops)])
    assert sorted(taken.tolist()) == list(range(len(boxes)))
    ((plain, everyone),) = routed.base.assign(crops)
    assert plain is routed.base
    assert everyone.tolist() == list(range(len(boxes)))
    assert not routed.uses_labels


def test_a_box_outside_the_picture_is_a_bad_item(routed: RoutedPredictor, picture: NDArray[np.uint8]) -> None:
    with pytest.raises(ItemError, match="lies outside"):
        routed(picture, [[5, 5, 40, 90], [500, 5, 6, 12]])
    with pytest.raises(BadArgumentError, match="one list a picture"):
        routed.predict([picture], [])


def test_models_that_do_not_fit_together_are_refused(make: Make) -> None:
    big, small = make("big", (24, 32)), make("small", (16, 16))
    with pytest.raises(ModelError, match="skeleton or padding"):
        RoutedPredictor(big, [(make("coco", (16, 16), "coco17", 17), 50.0)])
    with pytest.raises(ModelError, match="two of these read the same"):
        RoutedPredictor(big, [(make("twin", (24, 32)), 50.0)])
    for below in ([50.0, 50.0], [-1.0, 50.0], [60.0, 50.0]):
        with pytest.raises(BadArgumentError, match="rising sizes above 0"):
            RoutedPredictor(big, [(make("tiny", (8, 8)), below[0]), (small, below[1])])


def test_a_route_file_is_read_and_checked(make: Make, tmp_path: Path) -> None:
    big, small = make("big", (24, 32)), make("small", (16, 16))
    student: dict[str, Any] = {"model": str(small.model.path), "sha256": small.sha256, "below_px": 40, "flip": True}
    content: dict[str, Any] = {"model": "big", "sha256": big.sha256, "students": [student], "how": "by hand"}
    path = tmp_path / "big.route.json"
    path.write_text(json.dumps(content))
    route = read_route(path)
    routed = with_route(big, route, threads=1)
    assert names(routed, [[0, 0, 9, 39], [0, 0, 9, 41]]) == ["small", "big"]
    assert [(row["below_px"], row["flip"]) for row in routed.route] == [(40.0, True), (None, False)]
    assert outdated(route, routed) == ["small"]  # named by its path: what was measured is another name
    faults: list[dict[str, Any]] = [{"students": people} for people in ([], [student, student])]
    faults += [{"more": 1}, {"students": [{**student, "below_px": 0}]}]
    for wrong in faults:
        path.write_text(json.dumps({**content, **wrong}))
        with pytest.raises(BadFileError, match="is not a route"):
            read_route(path)


def test_a_model_without_a_route_says_so() -> None:
    with pytest.raises(BadArgumentError, match=r"absent has no route: .* OKS .*leave out --route auto"):
        find_route("absent")


@pytest.mark.skipif(not list(WEIGHTS.glob("*.route.json")), reason="no route is shipped")
def test_the_shipped_routes_name_shipped_models(picture: NDArray[np.uint8]) -> None:
    for file in WEIGHTS.glob("*.route.json"):
        route = read_route(file)
        assert route_path(route.model) == file
        assert {route.model, *(student.model for student in route.students)} <= set(shipped_models())
        routed = with_route(load_predictor(route.model, threads=1), route, threads=1)
        largest = routed.below_px[-1]
        boxes = np.array([[0, 0, 10, below - 1] for below in (*routed.below_px, largest + 2)])
        assert names(routed, boxes) == [model.name for model in routed.models]
        poses = routed(picture, boxes)
        assert np.isfinite(poses.xy).all()
        assert ((poses.score >= 0) & (poses.score <= 1)).all()


def test_outdated_weights_are_named(make: Make) -> None:
    big, small = make("big", (24, 32)), make("small", (16, 16))
    routed = RoutedPredictor(big, [(small, 40.0)])
    students = (Student(model="small", sha256=small.sha256, below_px=40.0),)
    assert outdated(Route(model="big", sha256=big.sha256, students=students, how=""), routed) == []
    assert outdated(Route(model="big", sha256="0", students=students, how=""), routed) == ["big"]
