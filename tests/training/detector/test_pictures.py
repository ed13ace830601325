"""Boxes stay on their people through store, scaling, mosaics and mirroring; doubt is kept out of the loss."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poseunion.models.errors import BadFileError
from poseunion.training.config.overrides import changed
from poseunion.training.data.data_file import DatasetEntry
from poseunion.training.detector.pictures import BoxedPicture, completed, overlaps, read_pictures
from poseunion.training.detector.recipe import DetectorRecipe
from poseunion.training.detector.store import STORE_SIDE_PX, PictureStore, open_pictures
from poseunion.training.detector.views import BORDER, Pictures, draw_pictures, in_view

PLAIN = changed(DetectorRecipe(), hsv=(0, 0, 0), blur_prob=0.0)
NO_BOXES = np.zeros((0, 4))


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_boxes_lie_on_what_they_name(store: PictureStore, mosaic: float, seed: int) -> None:
    recipe = changed(PLAIN, mosaic_prob=mosaic)
    parts = [Pictures(store, np.arange(len(store)), 1.0)]
    batch = draw_pictures(parts, np.random.default_rng(seed), 4, 128, recipe, mild=False)
    boxes = 0
    for image, corner in zip(batch.image_NSS3, batch.corner, strict=True):
        white = image[..., 0] > 200
        outside = white.copy()
        for x0, y0, x1, y1 in corner:
            inner = white[int(np.ceil(y0 + 1)) : int(y1 - 1), int(np.ceil(x0 + 1)) : int(x1 - 1)]
            assert inner.all()
            outside[int(max(0, y0 - 1)) : int(np.ceil(y1 + 1)), int(max(0, x0 - 1)) : int(np.ceil(x1 + 1))] = False
            boxes += 1
        assert not outside.any()
    assert boxes


def test_a_view_depends_on_its_seed_alone(store: PictureStore) -> None:
    parts = [Pictures(store, np.arange(len(store)), 1.0)]
    one, same, other = (
        draw_pictures(parts, np.random.default_rng(seed), 3, 96, DetectorRecipe(), mild=False) for seed in (1, 1, 2)
    )
    assert np.array_equal(one.image_NSS3, same.image_NSS3)
    assert not np.array_equal(one.image_NSS3, other.image_NSS3)


def test_around_a_small_picture_there_is_grey(store: PictureStore) -> None:
    recipe = changed(PLAIN, mosaic_prob=0.0, scale=(0.5, 0.5))
    parts = [Pictures(store, np.arange(1), 1.0)]
    (image,) = draw_pictures(parts, np.random.default_rng(0), 1, 128, recipe, mild=False).image_NSS3
    assert (image == BORDER).all(-1).mean() > 0.7


@given(st.floats(-40, 90), st.floats(-40, 90), st.floats(2, 80), st.floats(2, 80))
def test_what_is_cut_is_inside_and_too_little_is_ignored(x: float, y: float, w: float, h: float) -> None:
    cut, ignored = in_view(np.array([[x, y, x + w, y + h]]), np.array([False]), np.array([0, 0]), np.array([64, 64]))
    assert ((cut >= 0) & (cut <= 64)).all()
    seen = np.clip(min(x + w, 64) - max(x, 0), 0, None) * np.clip(min(y + h, 64) - max(y, 0), 0, None)
    assert len(cut) == (seen > 0)
    if len(cut) and seen < 0.24 * w * h:
        assert ignored.all()


def test_crowds_and_doubt_are_ignored_and_sure_people_filled_in() -> None:
    known = np.array([[10.0, 10, 20, 40]])
    picture = BoxedPicture(Path("p"), None, known, NO_BOXES)
    found = np.array([[11, 10, 20, 40], [60, 10, 20, 40], [100, 10, 20, 40], [12, 12, 10, 20], [150, 0, 20, 40]])
    scores = np.array([0.9, 0.6, 0.3, 0.3, 0.1])  # a double, a person, a doubt, a part of the first, nothing
    full = completed(picture, (found.astype(np.float32), scores.astype(np.float32)))
    assert full.box_N4.tolist() == [[10, 10, 20, 40], [60, 10, 20, 40]]
    assert full.ignored_N4.tolist() == [[100, 10, 20, 40]]
    assert len(completed(full, (found.astype(np.float32), scores.astype(np.float32))).box_N4) == 2


def test_files_of_boxes_and_of_crowds_are_read(rectangles: DatasetEntry, tmp_path: Path) -> None:
    document = json.loads(rectangles.annotations.read_text())
    document["annotations"][0]["iscrowd"] = 1
    (tmp_path / "crowd.json").write_text(json.dumps(document))
    entry = rectangles.model_copy(update={"annotations": tmp_path / "crowd.json"})
    first = read_pictures(entry)[0]
    assert (len(first.box_N4), len(first.ignored_N4)) == (1, 1)
    (tmp_path / "boxes.json").write_text('[{"file_name": "r0.png", "boxes": [[1, 2, 3, 4]]}, {"file_name": "r1.png"}]')
    listed = entry.model_copy(update={"annotations": tmp_path / "boxes.json", "kind": "boxes"})
    assert [len(p.box_N4) for p in read_pictures(listed)] == [1, 0]
    (tmp_path / "boxes.json").write_text('[{"boxes": []}]')
    with pytest.raises(BadFileError, match="file_name"):
        read_pictures(listed)


def test_large_pictures_are_stored_smaller_and_broken_ones_told_of(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "large.png"), np.zeros((600, 900, 3), np.uint8))
    (tmp_path / "broken.jpg").write_text("no picture")
    box = np.array([[90.0, 60, 180, 300]])
    pictures = [BoxedPicture(tmp_path / name, None, box, NO_BOXES) for name in ("large.png", "broken.jpg")]
    store = open_pictures("p", pictures, [], tmp_path)
    assert len(store) == 1
    assert "broken.jpg" in store.skipped[0][0]
    assert max(store.pixels(0).shape) == STORE_SIDE_PX
    np.testing.assert_allclose(store.boxes(0)[0][0] / STORE_SIDE_PX, np.array([90, 60, 270, 360]) / 900, atol=1e-3)
    with pytest.raises(BadFileError, match="no picture that can be read"):
        open_pictures("q", pictures[1:], [], tmp_path)


@given(st.lists(st.tuples(*[st.floats(1, 50)] * 4), min_size=1, max_size=4))
def test_overlap_is_symmetric_and_one_with_oneself(boxes: list[tuple[float, ...]]) -> None:
    box = np.array(boxes)
    iou = overlaps(box, box)
    np.testing.assert_allclose(iou, iou.T, atol=1e-9)
    np.testing.assert_allclose(iou.diagonal(), 1)
