"""SimCC labels and decoding: mmpose's conventions, positions kept, sub-bin refinement."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poseunion.models.codec.simcc import (
    BETA,
    SimccGrid,
    decode,
    decode_expected,
    encode,
    softmax,
    tolerances_px,
    unflip_x,
)

GRID = SimccGrid((192, 256))
grids = st.sampled_from([GRID, SimccGrid.for_bins((96, 128), (384, 512)), SimccGrid.for_bins((64, 64), (128, 128))])


def test_the_published_grid() -> None:
    assert GRID.bins_wh == (384, 512)
    assert GRID.sigma_bins == pytest.approx(SimccGrid.for_bins((192, 256), (384, 512)).sigma_bins, abs=5e-3)


@settings(max_examples=50)
@given(grids, st.integers(0, 2**31))
def test_encode_then_decode_is_within_half_a_bin(grid: SimccGrid, seed: int) -> None:
    xy = np.random.default_rng(seed).uniform(0, np.array(grid.size_wh) - 1, (3, 5, 2))
    x, y, inside = encode(xy, grid)
    assert inside.all()
    decoded, score = decode(x, y, grid)
    assert np.abs(decoded - xy).max() <= 0.5 / grid.split + 1e-5
    np.testing.assert_array_equal(score, 1)
    refined, _ = decode(x, y, grid, refine=True)
    np.testing.assert_allclose(refined, decoded, atol=1e-5)  # a symmetric label has nothing to refine


def test_labels_equal_mmposes_formula() -> None:
    xy = np.array([[[50.26, 100.0], [0.0, 255.0]]])
    x, y, _ = encode(xy, GRID)
    for k, (px, py) in enumerate(xy[0]):
        mu_x, mu_y = np.around(px * 2.0), np.around(py * 2.0)  # simcc_split_ratio
        np.testing.assert_allclose(x[0, k], np.exp(-((np.arange(384) - mu_x) ** 2) / (2 * 4.9**2)), atol=1e-6)
        np.testing.assert_allclose(y[0, k], np.exp(-((np.arange(512) - mu_y) ** 2) / (2 * 5.66**2)), atol=1e-6)
    assert x.dtype == y.dtype == np.float32


@pytest.mark.parametrize("refine", [False, True])
def test_decoding_takes_the_maximum_and_the_lower_score(refine: bool) -> None:
    x, y = np.full((1, 2, 384), -1.0), np.full((1, 2, 512), -1.0)
    x[0, 0, 100], y[0, 0, 31] = 0.9, 0.4
    x[0, 1, 383], y[0, 1, 0] = 0.2, 0.7
    xy, score = decode(x, y, GRID, refine=refine)
    np.testing.assert_allclose(xy[0], [[50, 15.5], [191.5, 0]])
    np.testing.assert_allclose(score, [[0.4, 0.2]])


@given(st.floats(20, 170))
def test_refinement_finds_the_peak_between_bins(x: float) -> None:
    bins = np.arange(384)
    logit = np.exp(-((bins - 2 * x) ** 2) / (2 * 4.9**2))[None, None]
    plain, _ = decode(logit, logit, GRID)
    refined, _ = decode(logit, logit, GRID, refine=True)
    assert abs(plain[0, 0, 0] - x) <= 0.25 + 1e-5
    assert abs(refined[0, 0, 0] - x) < 0.01  # a fiftieth of a bin
    parabola = -((bins - 2 * x) ** 2)[None, None]
    np.testing.assert_allclose(decode(parabola, parabola, GRID, refine=True)[0][0, 0, 0], x, atol=1e-4)


@settings(max_examples=50)
@given(st.integers(0, 2**31))
def test_refinement_never_leaves_its_bin(seed: int) -> None:
    random = np.random.default_rng(seed)
    x, y = random.normal(size=(2, 3, 384)), random.normal(size=(2, 3, 512))
    x[0, 0] = 0  # flat: nothing to refine
    plain, score = decode(x, y, GRID)
    refined, same_score = decode(x, y, GRID, refine=True)
    assert np.abs(refined - plain).max() <= 0.25 + 1e-6
    np.testing.assert_array_equal(score, same_score)


SIGMAS = (0.025, 0.107)


def expected_oks(p_x: np.ndarray, p_y: np.ndarray, xy: np.ndarray, tolerance: float) -> np.ndarray:
    """(P,) by its definition: OKS with every bin, weighed by the bin's probability."""
    x, y = (np.arange(len(p)) / GRID.split for p in (p_x, p_y))
    distance = (xy[:, 0, None, None] - x[None, :, None]) ** 2 + (xy[:, 1, None, None] - y) ** 2
    return np.einsum("pxy,x,y->p", np.exp(-distance / (2 * tolerance**2)), p_x, p_y)


@settings(max_examples=20)
@given(st.integers(0, 2**31))
def test_no_bin_has_more_expected_oks_than_the_place_that_is_taken(seed: int) -> None:
    random = np.random.default_rng(seed)
    tolerance = tolerances_px(SIGMAS, GRID)
    logits = []
    for bins in GRID.bins_wh:  # three Gaussians of different heights and widths on noise
        height, centre, width = (
            random.uniform(low, high, (1, 2, 3, 1)) for low, high in ((0.1, 1), (0, bins), (3, 40))
        )
        bumps = height * np.exp(-((np.arange(bins) - centre) ** 2) / (2 * width**2))
        logits.append(bumps.sum(2) + random.normal(0, 0.01, (1, 2, bins)))
    logit_x, logit_y = logits
    xy, expected = decode_expected(logit_x, logit_y, GRID, tolerance)
    anywhere = random.uniform(0, GRID.size_wh, (40, 2))
    for k, sd in enumerate(tolerance):
        p_x, p_y = (softmax(logit[0, k]) for logit in logits)
        near = xy[:, k] + random.normal(0, sd, (20, 2))
        ours, *others = expected_oks(p_x, p_y, np.concatenate([xy[:, k], near, anywhere]), sd)
        assert ours >= 0.95 * max(others)  # cells of 2 px beside a tolerance of 3.2
        assert expected[0, k] == pytest.approx(ours, rel=0.05)


@settings(max_examples=30)
@given(grids, st.integers(0, 2**31))
def test_a_sharp_distribution_is_taken_at_its_peak(grid: SimccGrid, seed: int) -> None:
    xy = np.random.default_rng(seed).uniform(0.1, 0.9, (4, 2, 2)) * grid.size_wh
    x, y, _ = encode(xy, grid)
    found, _ = decode_expected(x, y, grid, tolerances_px(SIGMAS, grid))
    assert np.abs(found - xy).max() <= 0.75 / grid.split


def test_many_weak_votes_outweigh_one_strong_one() -> None:
    logit_x, logit_y = np.zeros((1, 1, 384)), np.zeros((1, 1, 512))
    logit_x[..., 40] = logit_y[..., 256] = 1.0
    logit_x[..., 296:304] = 0.9  # an eighth of a hip's tolerance wide, and three times as probable in all
    plain, _ = decode(logit_x, logit_y, GRID, refine=True)
    weighed, _ = decode_expected(logit_x, logit_y, GRID, tolerances_px((0.107,), GRID))
    assert plain[0, 0, 0] == pytest.approx(20, abs=0.3)
    assert weighed[0, 0, 0] == pytest.approx(150, abs=2)


def test_bins_that_no_cell_divides_are_weighed_one_by_one() -> None:
    grid = SimccGrid((33, 33), 1.0)
    logit = np.zeros((1, 1, 33))
    logit[..., 11] = 1.0
    xy, _ = decode_expected(logit, logit, grid, (1.0,))
    np.testing.assert_allclose(xy, 11, atol=0.05)


def test_keypoints_far_outside_carry_no_label() -> None:
    far_x, far_y = 3 * 4.9 / 2, 3 * 5.66 / 2  # three sigma, pixels
    xy = np.array(
        [
            [
                [96, 128],
                [-far_x + 1, 128],
                [-far_x - 1, 128],
                [192 + far_x - 1, 128],
                [192 + far_x + 1, 128],
                [96, -far_y - 1],
                [96, 256 + far_y + 1],
                [np.nan, 128],
                [96, np.inf],
            ]
        ]
    )
    x, y, inside = encode(xy, GRID)
    assert inside[0].tolist() == [True, True, False, True, False, False, False, False, False]
    assert not x[~inside].any()
    assert not y[~inside].any()
    assert (x[inside].max(-1) > 0.01).all()
    assert np.isfinite(x).all()


def test_softmax_of_a_label_has_a_core_of_two_bins() -> None:
    x, _, _ = encode(np.array([[[96.0, 128.0]]]), GRID)
    prob = softmax(x)[0, 0]
    assert prob.sum() == pytest.approx(1)
    spread = np.sqrt((prob[150:235] * (np.arange(150, 235) - 192) ** 2).sum())
    assert 1.0 < spread < 3.0
    assert BETA == 10.0
    huge = softmax(np.array([1e5, 0.0, -1e5]))
    np.testing.assert_allclose(huge, [1, 0, 0])


@pytest.mark.parametrize("grid", [GRID, SimccGrid.for_bins((96, 128), (384, 512)), SimccGrid((64, 64), 1.0)])
def test_the_flip_tests_logits_line_up(grid: SimccGrid) -> None:
    width = grid.size_wh[0]
    for column in (3, 20, width - 1):
        straight, _, _ = encode(np.array([[[column, 10.0]]]), grid)
        mirrored, _, _ = encode(np.array([[[width - 1 - column, 10.0]]]), grid)
        back = unflip_x(mirrored, grid)
        assert back.shape == straight.shape
        seen = slice(0, grid.bins_wh[0] - round(grid.split))  # the last bins have no partner in the mirrored crop
        np.testing.assert_allclose(back[..., seen], straight[..., seen], atol=1e-6)
