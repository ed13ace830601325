"""Crop geometry: its own inverse, mmpose's conventions, and pixels that land where the affine says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from poseunion.models.codec.crop import (
    Crop,
    affine_to_crop,
    apply_affine,
    compose,
    crop_from_box,
    crop_from_center,
    cut_crop,
    invert_affine,
)
from poseunion.models.errors import ItemError

SIZE = (192, 256)

crops = st.builds(
    Crop,
    center_xy=st.tuples(st.floats(-500, 4000), st.floats(-500, 4000)),
    width=st.floats(1, 5000),
    size_wh=st.sampled_from([(192, 256), (256, 256), (96, 128), (32, 32)]),
    rotation_deg=st.floats(-180, 180),
    flip=st.booleans(),
)


@given(crops, st.integers(0, 2**31))
def test_to_the_crop_and_back_is_exact(crop: Crop, seed: int) -> None:
    affine = affine_to_crop(crop)
    inside = np.random.default_rng(seed).uniform(0, crop.size_wh, (5, 2))
    image_xy = apply_affine(inside, invert_affine(affine))
    np.testing.assert_allclose(apply_affine(image_xy, affine), inside, rtol=0, atol=1e-9)
    np.testing.assert_allclose(compose(affine, invert_affine(affine)), [[1, 0, 0], [0, 1, 0]], rtol=0, atol=1e-9)


@given(crops)
def test_the_centre_lies_on_the_crops_middle_and_one_scale_serves_both_axes(crop: Crop) -> None:
    affine = affine_to_crop(crop)
    width, height = crop.size_wh
    middle = (width - 1 - width / 2 if crop.flip else width / 2, height / 2)
    np.testing.assert_allclose(apply_affine(np.array(crop.center_xy), affine), middle, atol=1e-8)
    scale = width / crop.width
    np.testing.assert_allclose(affine[:, :2] @ affine[:, :2].T, np.eye(2) * scale**2, atol=1e-9 * scale**2)
    assert crop.image_px_per_crop_px == pytest.approx(1 / scale)
    assert np.sign(np.linalg.det(affine[:, :2])) == (-1 if crop.flip else 1)


def test_an_mmpose_crop_by_hand() -> None:
    # A 100 x 200 box is narrower than 3:4: mmpose widens it to 150 x 200 and grows by 1.25.
    crop = crop_from_box((10, 20, 100, 200), SIZE)
    assert crop.center_xy == (60, 120)
    assert crop.width == pytest.approx(187.5)
    affine = affine_to_crop(crop)
    scale = 192 / 187.5
    np.testing.assert_allclose(affine, [[scale, 0, 96 - 60 * scale], [0, scale, 128 - 120 * scale]])
    # A wide box: the width rules, the height follows.
    assert crop_from_box((0, 0, 300, 100), SIZE, padding=1.0).width == 300


@given(st.floats(1, 900), st.floats(1, 900), st.floats(1, 2))
def test_the_whole_box_is_in_the_crop(w: float, h: float, padding: float) -> None:
    crop = crop_from_box((33.0, -7.0, w, h), SIZE, padding)
    corners = np.array([[33, -7], [33 + w, -7 + h]])
    inside = apply_affine(corners, affine_to_crop(crop))
    assert (inside >= -1e-6).all()
    assert (inside <= np.array(SIZE) + 1e-6).all()


def test_mpii_centre_and_scale() -> None:
    crop = crop_from_center((300, 200), (200 * 1.5, 200 * 1.5), (256, 256), 1.25)
    assert (crop.center_xy, crop.width) == ((300.0, 200.0), 375.0)


@pytest.mark.parametrize("box", [(0, 0, 0, 10), (0, 0, 10, -1), (0, 0, float("nan"), 1), (float("inf"), 0, 1, 1)])
def test_a_box_without_area_is_an_item_error(box: tuple[float, ...]) -> None:
    with pytest.raises(ItemError, match="has no area"):
        crop_from_box(box, SIZE)


def test_rotation_turns_the_person_clockwise_in_the_crop() -> None:
    crop = Crop((50, 50), 100, (100, 100), rotation_deg=90)
    above = apply_affine(np.array([50.0, 20.0]), affine_to_crop(crop))
    np.testing.assert_allclose(above, [80, 50], atol=1e-9)  # what was above the centre is to its right


def test_a_flipped_crop_is_the_crop_mirrored() -> None:
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    for rotation in (0.0, 30.0):
        straight = Crop((80, 60), 96, (64, 48), rotation_deg=rotation)
        mirrored = Crop((80, 60), 96, (64, 48), rotation_deg=rotation, flip=True)
        difference = cut_crop(image, straight)[:, ::-1].astype(int) - cut_crop(image, mirrored)
        assert np.abs(difference).max() <= 3  # fixed-point interpolation weights round the other way
        column = apply_affine(np.array([70.0, 50.0]), affine_to_crop(straight))
        other = apply_affine(np.array([70.0, 50.0]), affine_to_crop(mirrored))
        np.testing.assert_allclose([63 - column[0], column[1]], other, atol=1e-9)


def blob(xy: NDArray[np.float64], size_hw: tuple[int, int], sigma: float) -> NDArray[np.uint8]:
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    value = 255 * np.exp(-((x - xy[0]) ** 2 + (y - xy[1]) ** 2) / (2 * sigma**2))
    return np.repeat(np.round(value).astype(np.uint8)[..., None], 3, -1)


def centroid(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    weight = image[..., 0].astype(np.float64)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


@settings(max_examples=25)
@given(
    st.floats(0.4, 5),
    st.floats(-180, 180),
    st.booleans(),
    st.booleans(),
    st.tuples(st.floats(-30, 30), st.floats(-30, 30)),
)
def test_a_drawn_dot_lands_at_the_predicted_pixel(
    shrink: float, rotation: float, flip: bool, antialias: bool, offset: tuple[float, float]
) -> None:
    size = (96, 128)
    crop = Crop((300.0, 250.0), 96 * shrink, size, rotation_deg=rotation, flip=flip)
    wanted = np.array([48.0, 64.0]) + offset
    image_xy = apply_affine(wanted, invert_affine(affine_to_crop(crop)))
    image = blob(image_xy, (500, 600), sigma=max(2.5, 1.6 * shrink))
    np.testing.assert_allclose(centroid(image), image_xy, atol=0.02)  # the dot is whole in the picture
    np.testing.assert_allclose(centroid(cut_crop(image, crop, antialias=antialias)), wanted, atol=0.06)


def test_antialiasing_averages_what_sampling_misses() -> None:
    stripes = np.zeros((800, 800, 3), np.uint8)
    stripes[:, ::4] = 255  # a fine pattern whose mean is 64
    crop = Crop((400, 400), 780, (97, 97))
    smooth = cut_crop(stripes, crop).astype(float)[8:-8, 8:-8]
    rough = cut_crop(stripes, crop, antialias=False).astype(float)[8:-8, 8:-8]
    assert smooth.mean() == pytest.approx(63.75, abs=2)
    assert smooth.std() < 0.25 * rough.std()


def test_enlarging_is_the_same_with_and_without_antialiasing() -> None:
    image = np.random.default_rng(1).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    crop = Crop((30, 30), 40, (96, 128))
    np.testing.assert_array_equal(cut_crop(image, crop), cut_crop(image, crop, antialias=False))


def test_an_upright_crop_at_scale_one_copies_pixels() -> None:
    image = np.random.default_rng(2).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    crop = Crop((40, 50), 32, (32, 48))
    np.testing.assert_array_equal(cut_crop(image, crop), image[50 - 24 : 50 + 24, 40 - 16 : 40 + 16])


@pytest.mark.parametrize("antialias", [True, False])
def test_outside_the_picture_is_the_border_colour(antialias: bool) -> None:
    image = np.full((50, 50, 3), 200, np.uint8)
    for width in (96.0, 500.0):
        crop = Crop((0, 0), width, (96, 96))
        cut = cut_crop(image, crop, antialias=antialias, border=(1, 2, 3))
        assert cut[5, 5].tolist() == [1, 2, 3]
        assert cut[50, 50].tolist() == [200, 200, 200]
        assert cut.shape == (96, 96, 3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (60, 40_000)])
def test_extreme_pictures_and_crops(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 77, np.uint8)
    centre = (shape[1] * 0.9, shape[0] / 2)
    for width in (1e-3, 1.0, 700.0, 1e7):
        for where in (centre, (-1e4, 1e6)):
            assert cut_crop(image, Crop(where, width, SIZE)).shape == (256, 192, 3)
    inside = cut_crop(image, Crop((shape[1] // 2, shape[0] // 2), 1.0, SIZE))
    assert inside[128, 96].tolist() == [77, 77, 77]
