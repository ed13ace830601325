"""Learn then Test: the arithmetic, and that the guarantee holds as often as stated."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poseunion.annotate.extend.risk_control import CONFIDENCE, binomial_tail, guarantee, upper_bound
from poseunion.models.calibration.schema import RiskCoverage

THRESHOLDS = np.linspace(0.95, 0.05, 19)


def _ladder(confidence: np.ndarray, right: np.ndarray) -> RiskCoverage:
    reached = confidence >= THRESHOLDS[:, None]
    used = reached.any(1)
    return RiskCoverage(
        people=len(right),
        absent=0,
        threshold=tuple(THRESHOLDS[used].tolist()),
        accepted=tuple(reached[used].sum(1).tolist()),
        wrong=tuple((reached & ~right)[used].sum(1).tolist()),
        expected=tuple((reached * (1 - confidence))[used].sum(1).tolist()),
    )


@settings(max_examples=50)
@given(n=st.integers(1, 400), share=st.floats(0, 1), rate=st.floats(0.001, 0.999))
def test_the_tail_is_the_binomial_distributions(n: int, share: float, rate: float) -> None:
    from scipy.stats import binom

    wrong = int(share * n)
    assert binomial_tail(wrong, n, rate) == pytest.approx(binom.cdf(wrong, n, rate), abs=1e-9)


@settings(max_examples=50)
@given(n=st.integers(1, 400), share=st.floats(0, 1))
def test_the_bound_is_clopper_and_pearsons(n: int, share: float) -> None:
    from scipy.stats import beta

    wrong = int(share * n)
    expected = 1.0 if wrong == n else beta.ppf(CONFIDENCE, wrong + 1, n - wrong)
    assert upper_bound(wrong, n) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("flatter", [0.0, 0.5])
def test_the_guarantee_is_broken_in_at_most_a_tenth_of_calibrations(flatter: float) -> None:
    """True rates are known here; with `flatter` the confidences are too high, which may cost but never break it."""
    rng, risk, broken, kept = np.random.default_rng(0), 0.1, 0, 0
    everyone = rng.beta(3, 1, 40_000)
    truly_right = everyone - flatter * everyone * (1 - everyone)
    for _ in range(150):
        drawn = rng.integers(0, len(everyone), 250)
        right = rng.random(250) < truly_right[drawn]
        guaranteed = guarantee(_ladder(everyone[drawn], right), risk)
        if math.isfinite(guaranteed.threshold):
            rate = 1 - truly_right[everyone >= guaranteed.threshold].mean()
            broken += rate > risk
            kept += rate <= risk
            assert guaranteed.bound is not None
            assert guaranteed.bound <= risk + 1e-6
    assert broken <= 0.1 * 150 + 3 * math.sqrt(0.1 * 0.9 * 150)
    assert kept > 15 or flatter  # it does accept something


def test_too_few_people_accept_nothing_and_say_so() -> None:
    guaranteed = guarantee(_ladder(np.full(40, 0.9), np.ones(40, bool)), 0.05)
    assert guaranteed.threshold == math.inf
    assert guaranteed.bound is None
    assert "40 calibration people have it, 45 are the fewest" in guaranteed.reason
    assert guaranteed.to_json()["threshold"] is None


def test_a_keypoint_without_people_accepts_nothing() -> None:
    empty = RiskCoverage(people=0, absent=0, threshold=(), accepted=(), wrong=(), expected=())
    assert guarantee(empty, 0.2).reason == "no calibration person has it"


def test_the_search_ends_at_the_first_threshold_that_fails() -> None:
    ladder = RiskCoverage(
        people=500,
        absent=0,
        threshold=(0.9, 0.8, 0.7, 0.6),
        accepted=(100, 200, 300, 400),
        expected=(1.0, 4.0, 20.0, 30.0),
        wrong=(0, 2, 40, 40),
    )
    assert guarantee(ladder, 0.05).threshold == 0.8
    # What lies beyond a failure does not count, however good it is.
    assert guarantee(ladder.model_copy(update={"wrong": (0, 2, 40, 2)}), 0.05).threshold == 0.8
