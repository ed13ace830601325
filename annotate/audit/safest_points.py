"""Largest set of accepted points that holds at most a share of gross errors with a stated probability.

The order in which points may stay does not depend on the answers: log odds of the confidence plus a multiple of the log
of the keypoint's tolerance, since what is not in a confidence (careless labels, a wrong area, another person's box)
makes errors where the tolerance is small. Candidates are the beginnings of that order, as in Learn-then-Test's fixed
sequence (Angelopoulos et al., 2021). The longest one stays whose share of errors is at most the risk in 93 % of the
possible truths: functions drawn from the recalibration's posterior, and errors drawn from each.

Before that, per keypoint, as many of the most confident points remain as keep the mean error probability of the most
probable function at the risk: a keypoint that failed is not carried by the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats.extension import CONFIDENCE_DIGITS
from poseunion.models.calibration.odds import log_odds, logistic

if TYPE_CHECKING:
    from poseunion.annotate.audit.recalibration import Recalibration

# Of the possible truths. The lowest of .9, .93 and .95 at which 90 % of the draws kept the risk, the confidence of
# `extend --risk`, on people outside the training set: files whose errors are unlikely by the prior need the margin.
PROBABILITY = 0.93
TRUTHS = 300
# Log odds that a tolerance larger by a factor of e is worth: of 3, 4 and 6 the one that kept the risk most often on the
# same people, whose labels, areas and boxes were made wrong.
TOLERANCE_WEIGHT = 6.0
LEAST = 10.0**-CONFIDENCE_DIGITS


def largest_safe_set(
    function: Recalibration,
    keypoints: Sequence[str],
    confidence_N: NDArray[np.float64],
    tolerance_N: NDArray[np.float64],
    risk: float,
) -> NDArray[np.bool_]:
    """(N,) which points stay accepted; equal ones do so together.

    Args:
        keypoints, confidence_N: accepted points without a decision.
        tolerance_N: distances beyond which they are gross errors, any unit.
    """
    # Equal points are one group: a large file has few hundred of them a keypoint.
    names, name_N = np.unique(np.array(keypoints), return_inverse=True)
    key_N2 = np.stack([name_N, confidence_N], 1)
    _, first_G, group_N, count_G = np.unique(key_N2, axis=0, return_index=True, return_inverse=True, return_counts=True)
    name_G, confidence_G = name_N[first_G], confidence_N[first_G]
    feature_GF = function.features(names[name_G].tolist(), confidence_G)
    expected_G = 1 - logistic(feature_GF @ function.weights)
    safety_G = log_odds(confidence_G, LEAST) + TOLERANCE_WEIGHT * np.log(tolerance_N[first_G])
    kept_G = np.zeros(len(count_G), bool)
    for name in range(len(names)):
        own = np.flatnonzero(name_G == name)
        own = own[np.argsort(-confidence_G[own])]
        share = np.cumsum(expected_G[own] * count_G[own]) / np.cumsum(count_G[own])
        kept_G[_beginning(own, share <= risk)] = True
    order = np.flatnonzero(kept_G)
    order = order[np.argsort(-safety_G[order], kind="stable")]
    rng = np.random.default_rng(0)
    weight_FB = rng.multivariate_normal(function.weights, np.array(function.covariance), TRUTHS).T
    wrong_GB = rng.binomial(count_G[order, None], 1 - logistic(feature_GF[order] @ weight_FB))
    keeps_GB = np.cumsum(wrong_GB, 0) <= risk * np.cumsum(count_G[order])[:, None]
    kept_G[:] = False
    kept_G[_beginning(order, keeps_GB.mean(1) >= PROBABILITY)] = True
    return np.asarray(kept_G[group_N.reshape(-1)])


def _beginning(order: NDArray[np.intp], good: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The longest beginning of `order` that is good at its end."""
    return order[: np.flatnonzero(good)[-1] + 1] if good.any() else order[:0]
