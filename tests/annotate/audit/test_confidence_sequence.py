"""Bounds of the number of errors: they cover, they tighten, and they are exact once everything is inspected."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from poseunion.annotate.audit import confidence_sequence as cs
from poseunion.annotate.extend.risk_control import upper_bound as clopper_pearson

ALPHA = 0.05


def drawn(wrong_N: np.ndarray, weight_N: np.ndarray, size: int, seed: int) -> cs.Draws:
    """The first draws of a random order."""
    uniform = np.random.default_rng(seed).random(len(wrong_N))
    order = np.argsort(-np.log(uniform) / weight_N)[:size]
    return cs.draws_of(weight_N, order, wrong_N[order])


@st.composite
def populations(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int, int]:
    """(wrong, weight, inspected, seed) of small populations."""
    n = draw(st.integers(1, 24))
    wrong = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    weight = np.array(draw(st.lists(st.sampled_from([1.0, 1.4, 2.0, 20.0]), min_size=n, max_size=n)))
    return wrong, weight, draw(st.integers(0, n)), draw(st.integers(0, 999))


@given(populations())
def test_bounds_agree_with_what_was_seen(case: tuple[np.ndarray, np.ndarray, int, int]) -> None:
    wrong, weight, size, seed = case
    draws = drawn(wrong, weight, size, seed)
    low, high = cs.lower_bound(draws, ALPHA), cs.upper_bound(draws, ALPHA)
    assert draws.errors <= low <= high <= len(wrong) - (size - draws.errors)
    if size == len(wrong):
        assert low == high == wrong.sum()


@given(populations())
def test_probabilities_are_those_of_the_draw(case: tuple[np.ndarray, np.ndarray, int, int]) -> None:
    wrong, weight, size, seed = case
    draws = drawn(wrong, weight, size, seed)
    assert np.all((draws.least <= draws.probability * (1 + 1e-9)) & (draws.probability <= 1))
    if size == len(wrong):
        assert draws.probability[-1] == pytest.approx(1)


# Ten draws that missed the truth (one audit in twenty may): later draws count what the early interval left out.
MISSED = (np.arange(22) >= 20, np.ones(22), 21, 360)


@given(populations())
@example(MISSED)
def test_more_inspections_never_loosen_a_bound(case: tuple[np.ndarray, np.ndarray, int, int]) -> None:
    """Except to what the inspected points alone prove: an interval that missed the truth moves to it."""
    wrong, weight, size, seed = case
    early, late = (drawn(wrong, weight, t, seed) for t in (size // 2, size))
    early_low, early_high = cs.lower_bound(early, ALPHA), cs.upper_bound(early, ALPHA)
    low, high = cs.lower_bound(late, ALPHA), cs.upper_bound(late, ALPHA)
    most_possible = len(wrong) - (size - late.errors)
    assert min(early_low, most_possible) <= low <= high <= max(early_high, late.errors)


@given(populations())
def test_evidence_grows_with_the_number_of_errors_it_is_against(
    case: tuple[np.ndarray, np.ndarray, int, int],
) -> None:
    """What the bisection rests on."""
    wrong, weight, size, seed = case
    draws = drawn(wrong, weight, size, seed)
    possible = range(draws.errors, len(wrong) - (size - draws.errors) + 1)
    most = [cs.most_evidence(draws, errors) for errors in possible]
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(most))


def test_the_martingale_has_mean_one_under_the_truth() -> None:
    wrong, weight = np.arange(6) < 2, np.array([1.0, 2.0, 1.0, 2.0, 4.0, 1.0])
    final = [np.exp(cs.evidence(drawn(wrong, weight, 4, seed), 2)[-1]) for seed in range(1500)]
    assert np.mean(final) == pytest.approx(1, abs=4 * np.std(final) / np.sqrt(len(final)))


@pytest.mark.parametrize("rate", [0.02, 0.1])
@pytest.mark.parametrize("weights", ["equal", "right", "opposite"])
def test_bounds_cover_at_all_times_together(rate: float, weights: str) -> None:
    """Errors come in blocks, as those of one person; weights that lead to the errors, away from them, or neither."""
    wrong = np.zeros(400, bool)
    wrong[: int(400 * rate)] = True
    weight = {"equal": np.ones(400), "right": np.where(wrong, 2.0, 1.0), "opposite": np.where(wrong, 1.0, 2.0)}[weights]
    missed, runs = 0, 400
    for seed in range(runs):
        draws = drawn(wrong, weight, 200, seed)
        # The bound has been below the truth at some time, not only at the end: a reviewer may stop when it suits.
        missed += cs.most_evidence(draws, int(wrong.sum())) >= -np.log(ALPHA)
    assert missed / runs <= ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / runs)


def test_width_beside_the_exact_bound_of_a_fixed_sample() -> None:
    wrong = np.arange(20_000) < 400  # 2 %
    ours, fixed = [], []
    for seed in range(15):
        draws = drawn(wrong, np.ones(len(wrong)), 240, seed)
        ours.append(cs.upper_bound(draws, ALPHA) / len(wrong))
        fixed.append(clopper_pearson(draws.errors, 240, 1 - ALPHA))
    assert 1 < np.mean(ours) / np.mean(fixed) < 1.3  # what it costs to hold at any time


def test_a_small_population_needs_fewer_inspections() -> None:
    bounds = [cs.upper_bound(drawn(np.zeros(n, bool), np.ones(n), 60, 0), ALPHA) / n for n in (80, 200, 20_000)]
    assert bounds[0] < bounds[1] < bounds[2]


def test_the_estimate_is_unbiased() -> None:
    wrong, weight = np.arange(50) < 5, np.linspace(1, 3, 50)
    estimates = [cs.estimate(drawn(wrong, weight, 20, seed)) or 0.0 for seed in range(1000)]
    assert np.mean(estimates) == pytest.approx(0.1, abs=0.005)
    assert cs.estimate(drawn(wrong, weight, 0, 0)) is None
