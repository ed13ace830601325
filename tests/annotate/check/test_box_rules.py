"""The implausible: boxes that are corners or fit no keypoint, areas of nothing, pictures twice or truncated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from poseunion.annotate.check.json_patch import apply_patch, operations
from poseunion.annotate.check.run import check
from poseunion.annotate.formats import Problem
from poseunion.models.skeleton import load_skeleton

COCO = load_skeleton("coco17")
WIDTH, HEIGHT = 640, 480


def document(boxes_xywh: Sequence[Sequence[float]], *, corners: bool = False, **fields: Any) -> dict[str, Any]:
    """A file whose people fill their boxes, which are written as corners or as sizes."""
    people = []
    for i, (x, y, w, h) in enumerate(boxes_xywh):
        k = len(COCO)
        points = [v for n in range(k) for v in (x + w * n / (k - 1), y + h * ((n * 7) % k) / (k - 1), 2)]
        box = [x, y, x + w, y + h] if corners else [x, y, w, h]
        record = {"id": i + 1, "image_id": 1, "category_id": 1, "bbox": box, "keypoints": points, "area": w * h}
        people.append(record | fields)
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT}],
        "annotations": people,
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.keypoints)}],
    }


def found(folder: Path, content: Any) -> list[Problem]:
    path = folder / "labels.json"
    path.write_text(json.dumps(content))
    return [p for p in check(path)[1] if "swap" not in p.text and "exchanged" not in p.text]


BOXES = [[10, 20, 100, 200], [300, 100, 200, 300], [400, 250, 100, 100], [30, 30, 90, 90]]


def test_corners_are_one_fault_and_converted(tmp_path: Path) -> None:
    (problem,) = found(tmp_path, document(BOXES, corners=True))
    assert "corners x1, y1, x2, y2" in problem.text
    assert not problem.fatal
    mended = apply_patch(document(BOXES, corners=True), operations([problem]))
    assert mended == document(BOXES)
    assert found(tmp_path, mended) == []


@given(
    boxes=st.lists(
        st.tuples(st.integers(0, 600), st.integers(0, 440), st.integers(20, 640), st.integers(20, 480)), min_size=1
    )
)
@settings(max_examples=40, deadline=None)
def test_boxes_with_sizes_are_no_corners(boxes: list[tuple[int, int, int, int]], tmp_path_factory: Any) -> None:
    inside = [[float(v) for v in (x, y, min(w, WIDTH - x), min(h, HEIGHT - y))] for x, y, w, h in boxes]
    problems = found(tmp_path_factory.mktemp("x"), document(inside))
    assert not any("corners" in p.text or "over the edge" in p.text for p in problems)


def test_one_box_over_the_edge_is_no_convention(tmp_path: Path) -> None:
    content = document(BOXES)
    content["annotations"][0]["bbox"] = [500, 20, 300, 200]
    texts = [p.text for p in found(tmp_path, content)]
    assert any("over the edge" in text for text in texts)
    assert not any("corners" in text for text in texts)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda person: person.update(bbox=[500, 400, 20, 20]), "bbox holds none of its keypoints"),
        (lambda person: person["keypoints"].__setitem__(slice(0, 2), [600, 20]), "wrong position? nose far outside"),
        (lambda person: person.update(area=0), "area is 0 beside a bbox"),
    ],
)
def test_a_person_that_does_not_fit_its_box(damage: Any, text: str, tmp_path: Path) -> None:
    content = document(BOXES)
    damage(content["annotations"][0])
    (problem,) = found(tmp_path, content)
    assert problem.place == "annotations[0] (id 1)"
    assert text in problem.text
    assert problem.fix == ()


def test_no_keypoint_is_visible(tmp_path: Path) -> None:
    content = document(BOXES)
    for person in content["annotations"]:
        person["keypoints"][2::3] = [1] * len(COCO)
    (problem,) = found(tmp_path, content)
    assert "all 68 labelled keypoints have v 1" in problem.text


def test_a_picture_listed_twice(tmp_path: Path) -> None:
    content = document(BOXES)
    content["images"].append({**content["images"][0], "id": 2})
    (problem,) = found(tmp_path, content)
    assert problem.text == "a.jpg is also image 1"


def test_truncated_and_copied_pictures(tmp_path: Path) -> None:
    content = document(BOXES)
    content["images"] = [{**content["images"][0], "id": i, "file_name": f"{i}.png"} for i in (1, 2, 3)]
    Image.effect_noise((WIDTH, HEIGHT), 50).save(tmp_path / "1.png")
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "2.png").write_bytes(whole)
    (tmp_path / "3.png").write_bytes(whole[: len(whole) // 2])
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(content))
    texts = {p.place: p.text for p in check(path, images=tmp_path)[1]}
    assert texts["image 2"] == "2.png is the same picture as 1.png"
    assert "truncated" in texts["image 3"]
    assert "image 1" not in texts
