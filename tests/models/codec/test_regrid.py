"""Redistribution between axes: mass, identity, paper B's sum, and a heatmap teacher that becomes our label."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poseunion.models.codec.crop import Crop, affine_to_crop, apply_affine, invert_affine
from poseunion.models.codec.regrid import Axis, axis_map, marginals_from_heatmap, regrid, sharpen, upsample
from poseunion.models.codec.simcc import SimccGrid, encode, softmax
from poseunion.models.errors import BadArgumentError

axes = st.builds(Axis, st.integers(1, 80), st.sampled_from([0.25, 0.5, 1.0, 1.7, 2.0, 4.0]), st.floats(-20, 20))
scales = st.sampled_from([0.25, 0.5, 0.731, 1.0, 2.0, -1.0, -0.4])


def random_distribution(bins: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(bins, 0.3), (2, 3))


@settings(max_examples=80)
@given(axes, axes, scales, st.floats(-30, 30), st.integers(0, 99))
def test_mass_is_conserved_inside_and_dropped_outside(
    source: Axis, target: Axis, scale: float, shift: float, seed: int
) -> None:
    sparse = regrid(source, target, scale=scale, shift_px=shift)
    matrix = sparse.dense()
    assert matrix.shape == (source.bins, target.bins)
    low, high = np.sort(scale * np.stack([source.edges_px[:-1], source.edges_px[1:]]) + shift, axis=0)
    seen = np.clip(np.minimum(high, target.edges_px[-1]) - np.maximum(low, target.edges_px[0]), 0, None) / (high - low)
    np.testing.assert_allclose(matrix.sum(1), seen, atol=1e-6)
    assert (sparse.weight > 0).all()
    assert (sparse.weight <= 1 + 1e-9).all()
    prob = random_distribution(source.bins, seed)
    np.testing.assert_allclose(sparse.apply(prob).sum(-1), prob @ seen, atol=1e-6)


@given(axes)
def test_equal_axes_give_the_identity(axis: Axis) -> None:
    np.testing.assert_allclose(regrid(axis, axis).dense(), np.eye(axis.bins), atol=1e-12)


@pytest.mark.parametrize(("m", "split"), [(4, 2.0), (8, 2.0), (2, 1.0)])
def test_integer_case_is_the_sum_of_adjacent_bins_of_paper_b(m: int, split: float) -> None:
    fine, coarse = Axis.tiling(16 * m, split), Axis.tiling(16, split)
    prob = random_distribution(16 * m, m)
    expected = prob.reshape(2, 3, 16, m).sum(-1)  # eq. 6
    np.testing.assert_allclose(regrid(fine, coarse, scale=1 / m).apply(prob), expected, atol=1e-12)


def test_bins_at_multiples_of_the_split_keep_their_position() -> None:
    fine, coarse = Axis.of(SimccGrid((256, 256)), 0), Axis.of(SimccGrid((64, 64)), 0)
    prob = np.exp(-((np.arange(512) - 200.0) ** 2) / (2 * 20**2))
    prob /= prob.sum()
    regridded = regrid(fine, coarse, scale=0.25).apply(prob)
    assert (regridded * np.arange(128)).sum() / 2 == pytest.approx(25.0, abs=1e-6)  # pixel 100 of 256 is 25 of 64
    tiled = regrid(Axis.tiling(512, 2), Axis.tiling(128, 2), scale=0.25).apply(prob)
    assert (tiled * np.arange(128)).sum() / 2 == pytest.approx(25.0 - 1.5 / 8, abs=1e-6)  # 1.5 fine bins


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.booleans(), st.booleans())
def test_two_crops_of_one_picture(seed: int, flip_source: bool, flip_target: bool) -> None:
    random = np.random.default_rng(seed)

    def crop(size_wh: tuple[int, int], flip: bool) -> Crop:
        centre = random.uniform(80, 120, 2)
        return Crop((float(centre[0]), float(centre[1])), float(random.uniform(80, 200)), size_wh, flip=flip)

    source, target = crop((256, 256), flip_source), crop((192, 256), flip_target)
    point = random.uniform(60, 140, 2)
    in_source, in_target = (apply_affine(point, affine_to_crop(c)) for c in (source, target))
    np.testing.assert_allclose(apply_affine(in_source, invert_affine(affine_to_crop(source))), point)
    for axis in (0, 1):
        scale, shift = axis_map(source, target, axis)
        assert scale * in_source[axis] + shift == pytest.approx(in_target[axis])
        assert (scale < 0) == (axis == 0 and flip_source != flip_target)


def test_the_mirrored_teacher_is_the_teacher_read_backwards() -> None:
    grid = SimccGrid((64, 64))
    straight, mirrored = Crop((50, 50), 80, (64, 64)), Crop((50, 50), 80, (64, 64), flip=True)
    scale, shift = axis_map(mirrored, straight, 0)
    matrix = regrid(Axis.of(grid, 0), Axis.of(grid, 0), scale=scale, shift_px=shift).dense()
    # Column u of the mirrored crop is 63 - u: bin b becomes bin 126 - b, and the last bin has no partner.
    np.testing.assert_allclose(matrix[:127, :127], np.eye(127)[::-1], atol=1e-9)


def test_rotated_crops_have_no_common_axes() -> None:
    with pytest.raises(BadArgumentError, match="parallel"):
        axis_map(Crop((0, 0), 10, (64, 64)), Crop((0, 0), 10, (64, 64), rotation_deg=5), 0)
    with pytest.raises(BadArgumentError, match="not zero"):
        regrid(Axis(3, 1), Axis(3, 1), scale=0)
    with pytest.raises(BadArgumentError, match="positive split"):
        Axis(3, 0)


def gaussian(bins: int, centre: float, sigma: float) -> np.ndarray:
    prob = np.exp(-((np.arange(bins) - centre) ** 2) / (2 * sigma**2))
    return prob / prob.sum()


@pytest.mark.parametrize("sigma_px", [2.45, 4.0, 8.0])
@pytest.mark.parametrize("x", [40.0, 95.5, 150.0])
def test_a_gaussian_teacher_on_other_bins_becomes_our_label(sigma_px: float, x: float) -> None:
    grid = SimccGrid((192, 256))
    teacher = Axis(1024, 4.0)  # 256 px wide, twice as fine, showing the same scale 32 px further to the left
    prob = gaussian(1024, (x + 32) * 4, sigma_px * 4)
    regridded = regrid(teacher, Axis.of(grid, 0), shift_px=-32).apply(prob)
    label, _, _ = encode(np.array([[[x, 100.0]]]), grid)
    ours = sharpen(regridded, sigma_px * grid.split, grid.sigma_bins[0])
    np.testing.assert_allclose(ours, softmax(label)[0, 0], atol=1e-3)


@pytest.mark.parametrize(("x", "y"), [(96.0, 128.0), (33.5, 200.0), (150.0, 61.5)])
def test_a_heatmap_teacher_becomes_our_label(x: float, y: float) -> None:
    grid, stride, sigma_cells = SimccGrid((192, 256)), 4, 2.0
    rows, columns = np.mgrid[:64, :48]
    centre_x, centre_y = (x + 0.5) / stride - 0.5, (y + 0.5) / stride - 0.5  # pixel centres
    heat = np.exp(-((columns - centre_x) ** 2 + (rows - centre_y) ** 2) / (2 * sigma_cells**2)) - 1e-9
    labels = encode(np.array([[[x, y]]]), grid)[:2]
    for axis, (marginal, label) in enumerate(zip(marginals_from_heatmap(heat[None, None]), labels, strict=True)):
        fine = upsample(marginal, 8)
        cells = Axis(fine.shape[-1], 8 / stride, first_px=0.5 * (stride / 8) - 0.5)
        regridded = regrid(cells, Axis.of(grid, axis)).apply(fine)
        ours = sharpen(regridded, sigma_cells * stride * grid.split, grid.sigma_bins[axis])
        np.testing.assert_allclose(ours, softmax(label), atol=1e-3)


def test_upsampling_keeps_the_mean_and_handles_the_ends() -> None:
    for centre in (0.0, 3.3, 19.0):
        fine = upsample(gaussian(20, centre, 2.0), 5)
        expected = gaussian(100, centre * 5 + 2, 10.0)
        np.testing.assert_allclose(fine, expected, atol=1e-5)
    np.testing.assert_allclose(upsample(random_distribution(7, 1), 1), random_distribution(7, 1))
    assert not upsample(np.zeros((1, 9)), 4).any()


def test_nothing_stays_nothing() -> None:
    x, y = marginals_from_heatmap(np.full((1, 2, 4, 3), -1.0))
    assert x.shape == (1, 2, 3)
    assert y.shape == (1, 2, 4)
    assert not x.any()
    assert not y.any()
    assert not sharpen(x, 3, 2).any()
    assert np.isfinite(regrid(Axis(3, 1), Axis(5, 1)).apply(x)).all()


def test_the_floor_removes_what_noise_adds_up_to() -> None:
    heat = np.full((1, 1, 64, 48), 0.02)
    heat[0, 0, 10, 20] = 1.0
    x, _ = marginals_from_heatmap(heat)
    assert x[0, 0, 20] < 0.1
    x, y = marginals_from_heatmap(heat, floor=0.05)
    assert x[0, 0, 20] == y[0, 0, 10] == 1
