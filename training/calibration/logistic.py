"""Logistic regression with a Gaussian prior around given weights (MAP, L-BFGS).

Shapes: S samples, K keypoints, F features; the first feature is the constant.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poseunion.models.skeleton import Skeleton, mirrored

# Inverse variances of the Gaussian priors: of a keypoint's weights around those fitted on all keypoints, and of
# those around zero. Of 1, 3, 10, 30 the best likelihood on held-out people; 3 to 30 are alike.
PULL, PULL_ALL = 10.0, 0.1
# The constant differs between keypoints, so that its prior is weak.
PULL_CONSTANT = 0.5


def fit_logistic(
    feature_SF: NDArray[np.float64], right_S: NDArray[np.bool_], start_F: NDArray[np.float64], pull: float
) -> NDArray[np.float64]:
    """(F,) weights.

    Args:
        start_F: centre of the prior.
        pull: its inverse variance; of the constant at most `PULL_CONSTANT`.
    """
    from scipy.optimize import minimize

    x, y = feature_SF, right_S.astype(np.float64)
    pull_F = np.full(len(start_F), pull)
    pull_F[0] = min(pull, PULL_CONSTANT)

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logit = x @ w
        nll = float((np.logaddexp(0, logit) - y * logit).sum() + 0.5 * (pull_F * (w - start_F) ** 2).sum())
        return nll, x.T @ (1 / (1 + np.exp(-logit)) - y) + pull_F * (w - start_F)

    return np.asarray(minimize(loss, start_F, jac=True, method="L-BFGS-B").x)


def fit_weights(
    feature_SF: NDArray[np.float64], true_S: NDArray[np.bool_], keypoint_S: NDArray[np.intp], skeleton: Skeleton
) -> NDArray[np.float64]:
    """(K, F) logistic weights: one fit for all keypoints, and from there one for each, left and right together."""
    everything = fit_logistic(feature_SF, true_S, np.zeros(feature_SF.shape[1]), PULL_ALL)
    weights = np.tile(everything, (len(skeleton), 1))
    for k, name in enumerate(skeleton.keypoints):
        chosen = np.isin(keypoint_S, [k, skeleton.index(mirrored(name))])
        if chosen.any():
            weights[k] = fit_logistic(feature_SF[chosen], true_S[chosen], everything, PULL)
    return weights.round(5)
