"""SimCC labels and decoding equal mmpose's `SimCCLabel`."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from poseunion.models.codec.simcc import SimccGrid, decode, encode, unflip_x


@pytest.mark.parametrize("data", ["coco", "mpii"])
def test_labels(data: str, recipe: ModuleType, mmpose_codec: Mapping[str, NDArray[Any]]) -> None:
    size_wh, sigma = recipe.GRIDS[data]
    x, y, inside = encode(recipe.codec_points(size_wh), SimccGrid(size_wh, 2.0, sigma))
    np.testing.assert_array_equal(inside, mmpose_codec[f"{data}-weight"] > 0)
    assert not inside.all()
    np.testing.assert_allclose(x[..., :: recipe.STRIDE], mmpose_codec[f"{data}-label-x"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(y[..., :: recipe.STRIDE], mmpose_codec[f"{data}-label-y"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("data", ["coco", "mpii"])
def test_decoding(data: str, recipe: ModuleType, mmpose_codec: Mapping[str, NDArray[Any]]) -> None:
    size_wh, sigma = recipe.GRIDS[data]
    logit_x, logit_y = recipe.codec_logits(size_wh)
    xy, score = decode(logit_x, logit_y, SimccGrid(size_wh, 2.0, sigma))
    np.testing.assert_array_equal(score, mmpose_codec[f"{data}-score"])
    # Where no bin is positive mmpose gives bin -1; here the position is the maximum all the same, and the score tells.
    positive = score > 0
    assert positive.any()
    assert not positive.all()
    np.testing.assert_array_equal(xy[positive], mmpose_codec[f"{data}-xy"][positive])
    assert (mmpose_codec[f"{data}-bins"][~positive] == -1).all()


@pytest.mark.parametrize("data", ["coco", "mpii"])
def test_the_flip_test_sits_one_bin_beside(
    data: str, recipe: ModuleType, mmpose_codec: Mapping[str, NDArray[Any]]
) -> None:
    """mmpose reverses the bins; a mirrored pixel u is W - 1 - u, so bin b is 2W - 2 - b, not 2W - 1 - b."""
    size_wh, sigma = recipe.GRIDS[data]
    logit_x, _ = recipe.codec_logits(size_wh)
    back = unflip_x(logit_x[:, recipe.FLIP], SimccGrid(size_wh, 2.0, sigma))
    np.testing.assert_array_equal(back[..., :: recipe.STRIDE], mmpose_codec[f"{data}-unflipped-x"])


def test_the_rule_for_sigma_is_that_of_the_published_configurations(recipe: ModuleType) -> None:
    for size_wh, sigma in recipe.GRIDS.values():
        grid = SimccGrid.for_bins(size_wh, (2 * size_wh[0], 2 * size_wh[1]))
        np.testing.assert_allclose(grid.sigma_bins, sigma, atol=4e-3)
