"""Detectors: every kind of output gives the boxes that were put into it, in the picture's own pixels."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from poseunion.models.errors import BadArgumentError, BadFileError, ModelError
from poseunion.models.files import read_toml
from poseunion.models.images import read_image
from poseunion.models.inference.detector import OnnxDetector, load_detector, parse_description
from poseunion.models.runtime.onnx import DESCRIPTIONS

SIZE = 64
# x, y, width, height in a picture of 128x96, which a letterbox halves and puts at the top.
BOXES = np.array([[16, 8, 40, 60], [80, 20, 24, 70]], np.float64)
SCORES = np.array([0.9, 0.7])
PICTURE = np.zeros((96, 128, 3), np.uint8)


def write(path: Path, outputs: dict[str, NDArray[np.floating]], head: dict[str, Any], **more: Any) -> Path:
    """An ONNX file that answers the same whatever it sees, and says what it is."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        # The input takes part, so that a wrong shape or type would be seen.
        helper.make_node("ReduceSum", ["input"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
    ]
    weights = [numpy_helper.from_array(np.array(0, np.float32), "zero")]
    for name, value in outputs.items():
        weights.append(numpy_helper.from_array(value.astype(np.float32), f"{name}_value"))
        nodes.append(helper.make_node("Add", [f"{name}_value", "nothing"], [name]))
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(v.shape)) for n, v in outputs.items()],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    description = {"kind": "detector", "name": "constant", "size_wh": [SIZE, SIZE], "head": head, **more}
    onnx.helper.set_model_props(model, {"poseunion": json.dumps(description)})
    onnx.save(model, str(path))
    return path


def logit(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(p / (1 - p))


def in_input(stretch: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners of the two boxes in pixels of the input."""
    scale = np.array([SIZE / 128, SIZE / 96]) if stretch else np.array([0.5, 0.5])
    return BOXES[:, :2] * scale, (BOXES[:, :2] + BOXES[:, 2:]) * scale


def distances() -> tuple[dict[str, NDArray[np.floating]], dict[str, Any]]:
    """Each box is predicted by two cells: the first one's lower score is suppressed."""
    low, high = in_input(stretch=False)
    maps = {f"p{s}": np.full((1, (SIZE // s) ** 2, 5), -9.0) for s in (8, 16)}
    for i, (a, b) in enumerate(zip(low, high, strict=True)):
        for stride, weight in ((8, 1.0), (16, 0.9)):
            row = maps[f"p{stride}"][0, SIZE // stride + 1 + i]  # the second row's second or third cell
            corner = np.array([stride * (1 + i), stride])
            row[:] = [logit(SCORES[i] * weight), *(corner - a), *(b - corner)]
    return dict(maps), {"kind": "distances", "outputs": ["p8", "p16"], "strides": [8, 16]}


def yolox() -> tuple[dict[str, NDArray[np.floating]], dict[str, Any]]:
    low, high = in_input(stretch=False)
    raw = np.zeros((1, 8 * 8, 5 + 2))
    for i, cell in enumerate((9, 20)):
        centre, extent = (low[i] + high[i]) / 2, high[i] - low[i]
        corner = np.array([cell % 8, cell // 8]) * 8
        raw[0, cell] = [*((centre - corner) / 8), *np.log(extent / 8), 0.95, 0.1, SCORES[i] / 0.95]
    return {"output": raw}, {"kind": "yolox", "strides": [8]}


def boxes() -> tuple[dict[str, NDArray[np.floating]], dict[str, Any]]:
    low, high = in_input(stretch=False)
    rows = np.concatenate([low, high, SCORES[:, None]], 1)
    other = np.array([[0, 0, 60, 60, 0.99]])
    return (
        {"dets": np.concatenate([other, rows])[None], "labels": np.array([[7, 1, 1]])},
        {"kind": "boxes"},
    )


def queries() -> tuple[dict[str, NDArray[np.floating]], dict[str, Any]]:
    low, high = in_input(stretch=True)
    centre, extent = (low + high) / 2 / SIZE, (high - low) / SIZE
    labels = np.full((1, 2, 3), -9.0)
    labels[0, :, 1] = logit(SCORES)
    return {"dets": np.concatenate([centre, extent], 1)[None], "labels": labels}, {"kind": "queries"}


@pytest.mark.parametrize("kind", [distances, yolox, boxes, queries])
def test_boxes_come_back_in_the_pictures_pixels(kind: Any, tmp_path: Path) -> None:
    outputs, head = kind()
    resize = "stretch" if head["kind"] == "queries" else "letterbox"
    person = 0 if head["kind"] == "distances" else 1
    detect = OnnxDetector(write(tmp_path / "d.onnx", outputs, head, person=person, resize=resize), threads=1)
    found, score = detect(PICTURE)
    np.testing.assert_allclose(found, BOXES, atol=1e-3)
    np.testing.assert_allclose(score, SCORES, atol=1e-4)


def test_boxes_end_at_the_picture_and_weak_ones_are_dropped(tmp_path: Path) -> None:
    dets = np.array([[[-9.0, -9, 70, 70, 0.8], [1, 1, 20, 20, 0.2]]])
    path = write(tmp_path / "d.onnx", {"dets": dets}, {"kind": "boxes", "labels": None})
    found, _ = load_detector(path, threads=1)(PICTURE)
    np.testing.assert_allclose(found, [[0, 0, 128, 96]])


def test_nobody_is_an_empty_answer(tmp_path: Path) -> None:
    path = write(tmp_path / "d.onnx", {"dets": np.zeros((1, 4, 5))}, {"kind": "boxes", "labels": None})
    found, score = load_detector(path, threads=1)(PICTURE)
    assert found.shape == (0, 4)
    assert score.shape == (0,)


def test_what_is_not_a_detector_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match="No detector file"):
        load_detector(tmp_path / "none.onnx")
    with pytest.raises(BadArgumentError, match="nobody"):
        load_detector("nobody")
    wrong = write(tmp_path / "w.onnx", {"dets": np.zeros((1, 4, 3))}, {"kind": "boxes", "labels": None})
    with pytest.raises(ModelError, match="shapes"):
        load_detector(wrong, threads=1)(PICTURE)
    absent = write(tmp_path / "a.onnx", {"dets": np.zeros((1, 4, 5))}, {"kind": "boxes", "output": "others"})
    with pytest.raises(ModelError, match="labels, others"):
        load_detector(absent)
    nan = write(tmp_path / "n.onnx", {"dets": np.full((1, 4, 5), np.nan)}, {"kind": "boxes", "labels": None})
    with pytest.raises(ModelError, match="not finite"):
        load_detector(nan, threads=1)(PICTURE)
    pose = {"name": "p", "skeleton": "coco17", "size_wh": [8, 8], "head": {"kind": "simcc"}}
    with pytest.raises(ModelError, match=r"x\.toml does not describe a detector"):
        parse_description(pose, "x.toml")


@pytest.mark.parametrize("path", sorted((DESCRIPTIONS / "detectors").glob("*.toml")), ids=lambda p: p.stem)
def test_descriptions_can_be_read(path: Path) -> None:
    description = parse_description(read_toml(path), str(path))
    assert description.name == path.stem
    assert description.source


@pytest.mark.data
def test_rtmdet_nano_is_run_as_its_reference_runs_it(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(shared / "teachers"))
    reference = __import__("reference").RTMDetNano()
    ours = load_detector(shared / "teachers" / "rtmdet-nano.onnx", threads=1)
    pictures = sorted((shared / "data" / "coco" / "test").glob("*.jpg"))[:12]
    assert pictures
    total = 0
    for path in pictures:
        image = read_image(path)
        expected, scores = reference.detect(image, thr=0.3, iou=0.6)
        found, found_scores = ours(image)
        assert len(found) == len(expected)
        order = np.argsort(-scores, kind="stable")
        # The reference scales by one factor, we by what the rounded size really is: part of a pixel.
        np.testing.assert_allclose(found, expected[order], atol=1.5)
        np.testing.assert_allclose(found_scores, scores[order], atol=1e-3)
        total += len(found)
    assert total > 10
    sys.modules.pop("reference", None)
