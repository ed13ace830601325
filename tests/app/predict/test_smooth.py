"""The One-Euro filter: what rests stays, what trembles trembles less, doubtful points count little."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from poseunion.app.predict.smooth import BETA, MIN_CUTOFF_HZ, SPEED_CUTOFF_HZ, OneEuro

RATE = 25.0


def run(xy_TK2: NDArray[np.float64], confidence_TK: NDArray[np.float64], size_px: float = 100.0) -> NDArray[np.float64]:
    smooth = OneEuro()
    return np.stack(
        [smooth(xy, c, t / RATE, size_px) for t, (xy, c) in enumerate(zip(xy_TK2, confidence_TK, strict=True))]
    )


@given(x=st.floats(-1e3, 1e4), y=st.floats(-1e3, 1e4), confidence=st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_a_point_that_rests_stays_where_it_is(x: float, y: float, confidence: list[float]) -> None:
    still = np.tile([[[x, y]]], (len(confidence), 1, 1))
    np.testing.assert_array_equal(run(still, np.array(confidence)[:, None]), still)


@pytest.mark.parametrize("speed_px", [0.0, 0.5])
def test_noise_becomes_less_and_motion_is_followed(speed_px: float) -> None:
    rng = np.random.default_rng(0)
    path = np.stack([np.arange(400) * speed_px, np.zeros(400)], 1)[:, None]
    noisy = path + rng.normal(0, 1, path.shape)
    smoothed = run(noisy, np.ones((400, 1)))
    trembling, before = (np.diff(xy - path, axis=0)[100:].std() for xy in (smoothed, noisy))
    assert trembling < 0.4 * before
    assert abs((smoothed - path)[100:].mean()) < 1  # pixels behind


def test_fast_motion_has_no_lag_to_speak_of() -> None:
    path = np.stack([np.arange(60) * 10.0, np.zeros(60)], 1)[:, None]  # 2.5 person sizes a second
    assert np.abs(run(path, np.ones((60, 1))) - path)[10:].max() < 10  # less than a frame


@given(st.floats(0.01, 1), st.integers(0, 100))
def test_with_equal_confidences_it_is_the_plain_filter(confidence: float, seed: int) -> None:
    path = np.random.default_rng(seed).normal(0, 20, (12, 3, 2)).cumsum(0)
    np.testing.assert_allclose(run(path, np.full((12, 3), confidence)), plain(path, 100.0), atol=1e-9)


def plain(xy_TK2: NDArray[np.float64], size_px: float) -> NDArray[np.float64]:
    """The paper's algorithm, point by point; a point's speed is the length of its two coordinates'."""

    def alpha(cutoff: float) -> float:
        return 1 / (1 + RATE / (2 * math.pi * cutoff))

    result = np.empty_like(xy_TK2)
    for k in range(xy_TK2.shape[1]):
        smoothed, speed = xy_TK2[0, k], np.zeros(2)
        result[0, k] = smoothed
        for t in range(1, len(xy_TK2)):
            raw = (xy_TK2[t, k] - xy_TK2[t - 1, k]) / size_px * RATE
            speed = alpha(SPEED_CUTOFF_HZ) * raw + (1 - alpha(SPEED_CUTOFF_HZ)) * speed
            share = alpha(MIN_CUTOFF_HZ + BETA * math.hypot(*speed))
            smoothed = share * xy_TK2[t, k] + (1 - share) * smoothed
            result[t, k] = smoothed
    return result


def test_a_doubtful_outlier_moves_its_keypoint_less_than_a_sure_one() -> None:
    path = np.zeros((20, 1, 2))
    path[10] = 40
    doubtful = np.ones((20, 1))
    doubtful[10] = 0.05
    assert np.abs(run(path, doubtful)).max() < 0.3 * np.abs(run(path, np.ones((20, 1)))).max()


@given(st.floats(0.1, 20))
def test_near_and_far_people_are_treated_alike(scale: float) -> None:
    path = np.random.default_rng(1).normal(0, 5, (15, 2, 2)).cumsum(0)
    sure = np.ones((15, 2))
    np.testing.assert_allclose(run(path * scale, sure, 100 * scale), run(path, sure, 100) * scale, rtol=1e-9, atol=1e-9)
