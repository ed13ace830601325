"""What the page computes: views of people, the low-resolution simulator, boxes from outside, the saved file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poseunion.annotate.formats import read_annotations
from poseunion.app.demo.downscale import reduce_resolution
from poseunion.app.demo.inference import (
    KNOWN,
    MOST_PEOPLE,
    RESOLUTIONS,
    SKELETONS,
    PicturePeople,
    PoseEstimator,
    as_coco,
    displayed_as,
    usable_boxes,
)
from poseunion.app.demo.pictures import KEPT_SIDE_PX, Picture, read_upload, safe_name, to_jpeg
from poseunion.app.pose_records import draw
from poseunion.models.codec.crop import crop_from_box
from poseunion.models.errors import BadArgumentError, ItemError
from poseunion.models.files import write_json
from poseunion.models.images import read_image
from poseunion.models.poses.batch import PoseBatch
from poseunion.models.skeleton import load_skeleton
from poseunion.models.zoo import shipped_models

UNION = load_skeleton("union21")


def people(n: int = 2, seed: int = 0) -> PoseBatch:
    rng = np.random.default_rng(seed)
    xy = rng.uniform(5, 95, (n, 21, 2)).astype(np.float32)
    score = rng.uniform(0.1, 1, (n, 21)).astype(np.float32)
    return PoseBatch(UNION, xy, score, np.tile(np.array([0, 0, 100, 100], np.float32), (n, 1)))


@pytest.mark.parametrize("view", SKELETONS)
def test_a_view_holds_each_keypoint_it_shares_with_the_model(view: str) -> None:
    poses = people()
    seen = displayed_as(poses, view, "COCO")
    for k, name in enumerate(seen.skeleton.keypoints):
        if name in UNION.keypoints:
            np.testing.assert_array_equal(seen.xy[:, k], poses.keypoint(name))
        else:
            assert np.isnan(seen.xy[:, k]).all()
            assert not seen.shown(0.0)[:, k].any()


def test_openposes_neck_is_the_thorax() -> None:
    poses = people()
    seen = displayed_as(poses, "OpenPose, 18", "COCO")
    np.testing.assert_array_equal(seen.xy[:, seen.skeleton.index("neck")], poses.keypoint("thorax"))


@pytest.mark.parametrize(
    ("known", "new"),
    [
        ("COCO", {"pelvis", "thorax", "upper_neck", "head_top"}),
        ("MPII", {"nose", "left_eye", "right_eye", "left_ear", "right_ear"}),
    ],
)
def test_new_is_what_the_dataset_lacks(known: str, new: set[str]) -> None:
    seen = displayed_as(people(), "Union, 21", known)
    assert {k for k, is_new in zip(UNION.keypoints, seen.new, strict=True) if is_new} == new


def test_new_keypoints_are_drawn_red_and_known_ones_white() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    xy = np.full((1, 21, 2), 300, np.float32)
    xy[0, UNION.index("nose")], xy[0, UNION.index("head_top")] = (50, 50), (150, 150)
    poses = PoseBatch(UNION, xy, np.ones((1, 21), np.float32), np.zeros((1, 4), np.float32))
    drawn = draw(image, displayed_as(poses, "Union, 21", "COCO"), 0.3)
    assert drawn[50, 50].min() > 240
    red, green, blue = drawn[150, 150].astype(int)
    assert red > 200
    assert max(green, blue) < 80


@given(threshold=st.floats(0, 1), view=st.sampled_from(list(SKELETONS)), known=st.sampled_from(list(KNOWN)))
def test_the_saved_file_is_one_that_annotate_reads(
    threshold: float, view: str, known: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    poses = people(3)
    picture = Picture(b"", (100, 80), (400, 320), "p.jpg")
    seen = displayed_as(poses, view, known)
    found = PicturePeople(picture, poses, "hand", "unified", "Full", 1.0)
    path = tmp_path_factory.mktemp("saved") / "p.json"
    write_json(path, as_coco(found, seen, threshold))
    read = read_annotations(path)
    assert read.skeleton.name == SKELETONS[view]
    shown = seen.shown(threshold)
    shown &= ((seen.xy * 4 >= 0) & (seen.xy * 4 <= np.array([400, 320]) - 1)).all(-1)  # what lies in the picture
    np.testing.assert_array_equal(read.visibility > 0, shown)
    np.testing.assert_allclose(read.xy[shown], seen.xy[shown] * 4, atol=0.01)


@given(
    x=st.integers(-30, 90), y=st.integers(-30, 90), w=st.integers(5, 80), h=st.integers(5, 80), side=st.integers(4, 96)
)
def test_from_afar_only_the_region_changes_and_its_mean_stays(x: int, y: int, w: int, h: int, side: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (100, 100, 3)).astype(np.uint8)
    crop = crop_from_box((x, y, w, h), (48, 64))
    before = image.copy()
    seen = reduce_resolution(image, crop, side)
    np.testing.assert_array_equal(image, before)
    half = np.array([crop.width, crop.width * 64 / 48]) / 2
    low, high = np.array(crop.center_xy) - half - 1, np.array(crop.center_xy) + half + 1
    outside = np.ones((100, 100), bool)
    x0, y0, x1, y1 = (int(v) for v in (*np.clip(low, 0, 100), *np.clip(np.ceil(high), 0, 100)))
    outside[y0:y1, x0:x1] = False
    np.testing.assert_array_equal(seen[outside], image[outside])
    if side >= 2 * half.max():
        np.testing.assert_array_equal(seen, image)


def test_from_afar_nothing_is_left_that_fewer_pixels_cannot_hold() -> None:
    stripes = np.zeros((64, 48, 3), np.uint8)
    stripes[:, ::2] = 255
    seen = reduce_resolution(stripes, crop_from_box((0, 0, 48, 64), (48, 64), 1.0), 16)
    assert np.ptp(seen.astype(int)) <= 2  # uniformly grey


@pytest.mark.parametrize("boxes", ["abc", [[1, 2, 3]], [["a", 1, 1, 1]], [[float("nan"), 0, 9, 9]], {"x": 1}])
def test_boxes_that_are_none_are_a_sentence(boxes: Any) -> None:
    with pytest.raises(ItemError, match="four"):
        usable_boxes(boxes, (100, 100))


def test_boxes_end_at_the_picture_and_specks_are_dropped() -> None:
    boxes = [[-10, -10, 50, 50], [10, 10, 2, 2], [90, 90, 100, 100], [300, 0, 50, 50]]
    np.testing.assert_allclose(usable_boxes(boxes, (100, 100)), [[0, 0, 40, 40], [90, 90, 10, 10]])
    with pytest.raises(ItemError, match="at most"):
        usable_boxes([[0, 0, 20, 20]] * (MOST_PEOPLE + 1), (100, 100))


def test_an_upload_is_kept_small_and_says_how_much_smaller() -> None:
    big = to_jpeg(np.full((1000, 4 * KEPT_SIDE_PX, 3), 90, np.uint8))
    picture = read_upload(big, "big.jpg")
    assert picture.size_wh == (KEPT_SIDE_PX, 250)
    assert picture.original_wh == (4 * KEPT_SIDE_PX, 1000)
    assert picture.original_px == 4
    assert read_image(picture.jpeg).shape == (250, KEPT_SIDE_PX, 3)


def test_an_upload_is_encoded_anew() -> None:
    marked = to_jpeg(np.full((40, 40, 3), 90, np.uint8)) + b"<script>hidden</script>"
    assert b"script" not in read_upload(marked, "a.jpg").jpeg


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "notes.jpg is empty"),
        (b"hello, I am text", "notes.jpg is not a picture"),
        (to_jpeg(np.zeros((300, 300, 3), np.uint8))[:700], "notes.jpg is truncated"),
    ],
)
def test_broken_uploads_are_a_sentence(content: bytes, said: str) -> None:
    with pytest.raises(ItemError, match=said) as raised:
        read_upload(content, "notes.jpg")
    assert str(raised.value).endswith("(JPEG, PNG or WebP).")


@given(st.text(max_size=200))
def test_a_name_is_never_a_path_nor_markup(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert len(safe) <= 60
    assert not set(safe) & set("/\\<>\"'&\0\n")


def test_the_engine_offers_its_models_and_no_other() -> None:
    estimator = PoseEstimator(shipped_models()[:1], None, threads=1)
    with pytest.raises(BadArgumentError, match="offered"):
        estimator.predictor("../../etc/passwd.onnx")
    with pytest.raises(BadArgumentError, match="resolution"):
        estimator.poses(np.zeros((9, 9, 3), np.uint8), np.zeros((1, 4)), estimator.models[0], "Huge")
    with pytest.raises(BadArgumentError, match="No model"):
        PoseEstimator([])


def test_enough_pixels_are_as_good_as_all(photo: bytes) -> None:
    estimator = PoseEstimator(shipped_models()[:1], None, threads=1)
    image = read_image(photo)[::2, ::2]
    box = np.array([[60.0, 10, 90, 120]])
    full, _ = estimator.poses(image, box, estimator.models[0], "Full")
    # The region around this box is smaller than 64 pixels after the picture is made smaller.
    small = np.ascontiguousarray(image[::4, ::4])
    same, _ = estimator.poses(small, box / 4, estimator.models[0], "64 px")
    plain, _ = estimator.poses(small, box / 4, estimator.models[0], "Full")
    np.testing.assert_allclose(same.xy, plain.xy)
    blurred, _ = estimator.poses(image, box, estimator.models[0], "32 px")
    assert np.abs(blurred.xy - full.xy).max() > 1


def test_boxes_stay_as_they_are_at_every_resolution(photo: bytes) -> None:
    estimator = PoseEstimator(shipped_models()[:1], None, threads=1)
    picture = read_upload(photo, "p.png")
    boxes = [[10.0, 20.0, 300.0, 100.0], [200.0, 100.0, 80.0, 300.0]]
    for resolution in RESOLUTIONS:
        found = estimator.find(picture, estimator.models[0], resolution, boxes)
        np.testing.assert_allclose(found.poses.box_xywh, boxes)
