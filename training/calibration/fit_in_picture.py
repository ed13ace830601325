"""Fit of the probability that a keypoint is in the picture, on people whole and cut at a border.

Shapes: N views, K keypoints, S samples, F features.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poseunion.models.calibration.in_picture import InPicture, features_without_labels
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.skeleton import Skeleton
from poseunion.training.calibration.logistic import fit_weights
from poseunion.training.calibration.masking import BLOCK
from poseunion.training.calibration.samples import ViewPredictions


def presence_without_labels(
    predicted: ViewPredictions, feature_NKF: NDArray[np.float64], grid: SimccGrid
) -> NDArray[np.float64]:
    """(N, K, F + 3) features of all keypoints from the picture alone.

    Args:
        predicted: with logits.
        feature_NKF: of the confidence.
    """
    if predicted.logits is None:
        raise ValueError("predictions without logits have no mass inside the picture")
    x_NKW, y_NKH = predicted.logits
    blocks = [slice(start, start + BLOCK) for start in range(0, len(predicted.views), BLOCK)]
    parts = [
        features_without_labels(
            feature_NKF[i], predicted.xy[i], x_NKW[i], y_NKH[i], grid, predicted.crops[i], predicted.wh[i]
        )
        for i in blocks
    ]
    return np.concatenate(parts)


def fit_in_picture(
    feature_SF: NDArray[np.float64] | None,
    inside_S: NDArray[np.bool_],
    keypoint_S: NDArray[np.intp],
    skeleton: Skeleton,
) -> InPicture | None:
    """Logistic functions of every keypoint; None without features (heatmaps), or where no keypoint is cut off."""
    if feature_SF is None or inside_S.all():
        return None
    weights = fit_weights(feature_SF, inside_S, keypoint_S, skeleton)
    return InPicture(weights=tuple(map(tuple, weights.tolist())))
