"""The augmentation's statistics are those of mmpose 1.3.2's RTMPose-t configuration."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from poseunion.models.codec.crop import Crop
from poseunion.models.skeleton import load_skeleton
from poseunion.training.config.augmentation import NONE, Augmentation
from poseunion.training.data.augment import jitter_pixels, random_crop

COCO = load_skeleton("coco17")
BOX, SIZE, DRAWS = (10.0, 20.0, 30.0, 80.0), (192, 256), 4000
CENTRE, PADDED_WH = np.array([25.0, 60.0]), np.array([37.5, 100.0])
# Standard deviation of a standard normal that is cut at +-1.
TRUNCATED_SD = 0.5396
NOBODY = np.zeros(len(COCO), bool)


def crops(
    strength: Augmentation, known: NDArray[np.bool_] = NOBODY, xy: NDArray[np.float64] | None = None
) -> list[Crop]:
    rng = np.random.default_rng(1)
    points = np.zeros((len(COCO), 2)) if xy is None else xy
    return [random_crop(rng, np.array(BOX), points, known, COCO, SIZE, 1.25, strength) for _ in range(DRAWS)]


# RandomBBoxTransform: shift_factor .16 (0 in stage 2) with probability .3, scale .6-1.4 (.75-1.25), rotation 80 (60)
# with probability .6; RandomFlip .5.
@pytest.mark.parametrize(
    ("strength", "degrees", "scale", "shift_prob"),
    [(Augmentation(), 80, (0.6, 1.4), 0.3), (Augmentation().mild(), 60, (0.75, 1.25), 0.0)],
)
def test_crops_are_distributed_like_mmposes(
    strength: Augmentation, degrees: float, scale: tuple[float, float], shift_prob: float
) -> None:
    drawn = crops(strength)
    rotation = np.array([c.rotation_deg for c in drawn])
    turned = rotation[rotation != 0]
    assert len(turned) / DRAWS == pytest.approx(0.6, abs=0.03)
    assert np.abs(turned).max() == pytest.approx(degrees, rel=0.01)
    assert turned.std() == pytest.approx(TRUNCATED_SD * degrees, rel=0.05)

    # The padded box is narrower than the input's aspect: its height decides the crop's width.
    scales = np.array([c.width for c in drawn]) / (PADDED_WH[1] * 192 / 256)
    assert (scales.min(), scales.max()) == pytest.approx(scale, abs=0.01)
    assert scales.std() == pytest.approx(TRUNCATED_SD * (scale[1] - scale[0]) / 2, rel=0.05)

    shift = (np.array([c.center_xy for c in drawn]) - CENTRE) / PADDED_WH
    moved = shift[(shift != 0).any(1)]
    assert len(moved) / DRAWS == pytest.approx(shift_prob, abs=0.03)
    if shift_prob:
        np.testing.assert_allclose(moved.std(0), TRUNCATED_SD * 0.16, rtol=0.06)
    assert np.mean([c.flip for c in drawn]) == pytest.approx(0.5, abs=0.03)


def test_half_bodies() -> None:
    """RandomHalfBody: .3 of people with nine keypoints; .7 upper; 1.5 times the keypoints' extent around their mean."""
    only_half = Augmentation(rotation_prob=0, scale=(1, 1), shift_prob=0, half_body_prob=0.3)
    xy = np.random.default_rng(2).uniform([10, 20], [40, 100], (len(COCO), 2))
    everything = np.ones(len(COCO), bool)
    halves = {}
    for name, rows in (("upper", slice(0, 11)), ("lower", slice(11, 17))):
        extent = 1.5 * (xy[rows].max(0) - xy[rows].min(0))
        halves[name] = (*xy[rows].mean(0), max(extent[0], extent[1] * 192 / 256))
    drawn = np.array([(*c.center_xy, c.width) for c in crops(only_half, everything, xy)])
    share = {name: np.isclose(drawn, view).all(1).mean() for name, view in halves.items()}
    assert share["upper"] == pytest.approx(0.3 * 0.7, abs=0.02)
    assert share["lower"] == pytest.approx(0.3 * 0.3, abs=0.02)

    eight = everything.copy()
    eight[8:] = False
    assert {c.center_xy for c in crops(only_half, eight, xy)} == {(25.0, 60.0)}


def test_pixels_are_changed_like_mmposes() -> None:
    """YOLOXHSVRandomAug (5, 30, 30, each half of the time), Blur and MedianBlur .1 each, one hole of .2-.4 a side."""
    rng = np.random.default_rng(3)
    grey = np.full((64, 48, 3), 128, np.uint8)
    holes, values = [], []
    for _ in range(1500):
        out = jitter_pixels(rng, grey, Augmentation(blur_prob=0))
        black = (out == 0).all(-1)
        rows, columns = black.any(1).sum(), black.any(0).sum()
        assert rows * columns == black.sum(), "one rectangle"
        holes.append((rows / 64, columns / 48))
        values.append(int(cv2.cvtColor(out, cv2.COLOR_RGB2HSV)[~black][0, 2]) - 128)
    low, high = np.min(holes), np.max(holes)
    assert 0.18 <= low < 0.21
    assert 0.38 < high <= 0.4
    assert np.mean(np.array(values) == 0) == pytest.approx(0.5, abs=0.05)
    assert (min(values), max(values)) == (-29, 29)

    noise = np.random.default_rng(4).integers(0, 255, (64, 48, 3), np.uint8)
    blurred = [jitter_pixels(rng, noise, Augmentation(hsv=(0, 0, 0), dropout_prob=0)) for _ in range(2000)]
    assert np.mean([(b != noise).any() for b in blurred]) == pytest.approx(1 - 0.9 * 0.9, abs=0.03)

    mild = Augmentation().mild()
    dropped = [(jitter_pixels(rng, grey, mild) == 0).all(-1).any() for _ in range(1000)]
    assert np.mean(dropped) == pytest.approx(0.5, abs=0.05)


def test_the_last_stage_is_never_stronger() -> None:
    gentle = Augmentation(rotation_deg=30, scale=(0.9, 1.1), dropout_prob=0.2).mild()
    assert (gentle.rotation_deg, gentle.scale, gentle.dropout_prob) == (30, (0.9, 1.1), 0.2)


def test_low_resolution_is_off_until_asked_for_and_moves_nothing() -> None:
    rng = np.random.default_rng(5)
    picture = np.zeros((128, 96, 3), np.uint8)
    cv2.circle(picture, (40, 70), 12, (255, 255, 255), -1)
    assert (jitter_pixels(rng, picture, NONE) == picture).all()

    for height in (16, 32, 64):
        low = Augmentation(
            0, 0, (1, 1), 0, 0, 0, 0, (0, 0, 0), 0, 0, low_res_prob=1, low_res_height_px=(height, height)
        )
        out = jitter_pixels(rng, picture, low).astype(float)
        assert out.shape == picture.shape
        weight = out[..., 0] / out[..., 0].sum()
        centre = (weight * np.arange(96)).sum(), (weight.T * np.arange(128)).sum()
        assert centre == pytest.approx((40, 70), abs=0.3)
        assert len(np.unique(out)) > 2, "detail is gone"
    mixed = Augmentation(0, 0, (1, 1), 0, 0, 0, 0, (0, 0, 0), 0, 0, low_res_prob=0.25)
    changed = [(jitter_pixels(rng, picture, mixed) != picture).any() for _ in range(800)]
    assert np.mean(changed) == pytest.approx(0.25, abs=0.05)
