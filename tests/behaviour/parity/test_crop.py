"""Crops equal mmpose's `GetBBoxCenterScale` and `TopdownAffine`, pixels included."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from poseunion.models.codec.crop import Crop, affine_to_crop, apply_affine, crop_from_box, cut_crop

NUMBERS = range(5)


def _crop(number: int, recipe: ModuleType, *, flip: bool = False) -> tuple[Crop, NDArray[np.float64]]:
    box, size_wh, rotation = recipe.CROPS[number]
    straight = crop_from_box(box, size_wh)
    # mmpose turns the box counter-clockwise by `rotation`; after a mirror the same number turns the other way.
    turned = rotation if flip else -rotation
    x, y, w, h = box
    points = np.array([[x, y], [x + w, y], [x, y + h], [x + w / 2, y + h / 2]])
    return Crop(straight.center_xy, straight.width, size_wh, turned, flip), points


@pytest.mark.parametrize("number", NUMBERS)
def test_extent_and_points(number: int, recipe: ModuleType, mmpose_crops: Mapping[str, NDArray[Any]]) -> None:
    crop, points = _crop(number, recipe)
    assert crop.width == pytest.approx(float(mmpose_crops[f"{number}-scale"][0]), rel=1e-6)
    got = apply_affine(points, affine_to_crop(crop))
    np.testing.assert_allclose(got, mmpose_crops[f"{number}-points"], rtol=0, atol=1e-4)  # mmpose counts in float32


@pytest.mark.parametrize("number", NUMBERS)
def test_mirrored_crops_sit_one_pixel_beside_those_of_random_flip(
    number: int, recipe: ModuleType, mmpose_crops: Mapping[str, NDArray[Any]]
) -> None:
    """mmpose mirrors the picture and puts the centre back on W/2; here, as in its flip test, the crop is mirrored."""
    crop, points = _crop(number, recipe, flip=True)
    got = apply_affine(points, affine_to_crop(crop))
    np.testing.assert_allclose(got + np.array([1, 0]), mmpose_crops[f"{number}-flip-points"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("number", NUMBERS)
def test_pixels(number: int, recipe: ModuleType, mmpose_crops: Mapping[str, NDArray[Any]]) -> None:
    crop, _ = _crop(number, recipe)
    got = cut_crop(recipe.picture(), crop, antialias=False).astype(int)
    expected = mmpose_crops[f"{number}-pixels"].astype(int)
    # The affine is float32 there and float64 here: a sample may fall into the next of OpenCV's 1/32 px steps.
    difference = np.abs(got - expected)
    assert difference.max() <= 12
    assert (difference > 1).mean() < 0.01
