"""The set of points that stays keeps the risk, and few answers leave few points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.audit.recalibration import exposures, fit
from poseunion.annotate.audit.safest_points import largest_safe_set
from poseunion.models.calibration.odds import logistic

TOLERANCE = {"nose": 0.026, "left_knee": 0.087, "right_hip": 0.107}
POINTS = 600


def points(seed: int) -> tuple[NDArray[np.str_], NDArray[np.float64], NDArray[np.float64], np.random.Generator]:
    rng = np.random.default_rng(seed)
    names = rng.choice(list(TOLERANCE), POINTS)
    confidence = (1 - rng.beta(0.9, 30, POINTS)).clip(0.75, 0.9999).round(4)
    return names, confidence, np.array([TOLERANCE[name] for name in names]), rng


def stays(seed: int, answers: int, risk: float = 0.05) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(N,) what stays, and what is wrong, both without the answered points; the truth is drawn from the fit's prior."""
    names, confidence, tolerance, rng = points(seed)
    exposure = exposures(TOLERANCE, tolerance)
    prior = fit([], np.zeros(0), np.zeros(0, bool), exposure)
    truth = rng.multivariate_normal(prior.weights, np.array(prior.covariance))
    wrong = rng.random(POINTS) > logistic(prior.features(names.tolist(), confidence) @ truth)
    drawn, left = np.arange(answers), slice(answers, None)
    function = fit(names[drawn].tolist(), confidence[drawn], wrong[drawn], exposure)
    return largest_safe_set(function, names[left].tolist(), confidence[left], tolerance[left], risk), wrong[left]


def test_the_share_of_errors_stays_within_the_risk() -> None:
    kept = [(wrong[safe].sum(), safe.sum()) for safe, wrong in (stays(seed, 50) for seed in range(50))]
    assert np.mean([errors <= 0.05 * count for errors, count in kept]) > 0.85  # .9 but for chance
    assert np.mean([count > 0 for _, count in kept]) > 0.5


def test_more_answers_and_a_larger_risk_leave_more() -> None:
    few, many = (np.mean([stays(seed, answers)[0].mean() for seed in range(8)]) for answers in (10, 200))
    assert few < many
    strict, lax = (stays(0, 50, risk)[0] for risk in (0.03, 0.2))
    assert strict.sum() < lax.sum()


def test_what_stays_is_the_beginning_of_the_order() -> None:
    names, confidence, *_ = points(0)
    safe = stays(0, 50)[0]
    for name in TOLERANCE:
        own = names[50:] == name
        if (own & safe).any() and (own & ~safe).any():
            assert confidence[50:][own & safe].min() > confidence[50:][own & ~safe].max()


def test_a_keypoint_that_failed_is_not_carried_by_the_others() -> None:
    names, confidence, tolerance, _ = points(0)
    drawn = np.arange(300)
    wrong = names[drawn] == "right_hip"
    function = fit(names[drawn].tolist(), confidence[drawn], wrong, exposures(TOLERANCE, tolerance))
    safe = largest_safe_set(function, names.tolist(), confidence, tolerance, 0.4)
    assert set(names[safe]) == {"nose", "left_knee"}


def test_nothing_of_nothing() -> None:
    function = fit([], np.zeros(0), np.zeros(0, bool), {"nose": 1.0})
    assert largest_safe_set(function, [], np.zeros(0), np.zeros(0), 0.05).shape == (0,)
