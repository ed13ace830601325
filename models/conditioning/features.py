"""Features from which the confidence of a conditioned keypoint is computed.

Shapes: N people, K keypoints, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poseunion.models.calibration.in_picture import BORDER, border_distance
from poseunion.models.calibration.odds import log_odds
from poseunion.models.calibration.schema import picture_features
from poseunion.models.codec.crop import Crop
from poseunion.models.conditioning.prior import box_of_crops
from poseunion.models.metrics import AREA_OF_BOX, oks_radius_px


@dataclass(frozen=True)
class Conditioned:
    """Keypoints conditioned on the labelled ones, with posterior deviations and features.

    Attributes:
        xy_NK2: image px; a known keypoint is the label itself.
        sd_px_NK: image px, per axis, of the posterior; 0 where known.
        features: inputs of the confidence, (N, K) unless stated otherwise, see `FEATURES`.
        score_NK: the network's raw score, the lower of the two peaks.
    """

    xy_NK2: NDArray[np.float64]
    sd_px_NK: NDArray[np.float64]
    features: dict[str, NDArray[np.float64]]
    score_NK: NDArray[np.float32]


FEATURES = {
    "near": "posterior mass within the keypoint's OKS-.5 radius of the estimate; 1 where known",
    "known_error": "(N,) the student's mean error on the known joints: 1 - OKS of them; 0.5 where none is known",
    "near_error": "the same, the joints next to the keypoint counting more",
    "swapped": "posterior share of the hypothesis that left and right are exchanged",
    "lost": "posterior share of the hypothesis that the student's peak is on something else",
    "surprise": "distance of picture and prior in units of their joint standard deviation",
    "disagreement": "distance of the picture's estimate and the prior's mean in OKS-.5 radii",
    "picture_sd_px": "image px, of the picture's expert alone",
    "prior_sd_px": "image px, of the prior alone",
    "prior_inside": "mass of the prior inside the crop (and the picture, where its size is given)",
    "inside": "posterior mass inside the picture, where its size is given; 1 where known; only with `inside`",
    "known": "(N,) how many keypoints are known",
}


def evidence_features(
    raw_NK: NDArray[np.floating],
    size_bounds: tuple[float, float],
    found: Conditioned,
    crops: Sequence[Crop],
    wh_N2: NDArray[np.floating],
    sigma_K: NDArray[np.floating],
) -> NDArray[np.float64]:
    """(N, K, F) confidence features `EVIDENCE_FEATURES` of conditioned keypoints.

    Args:
        raw_NK: the network's raw scores.
        found: result of `fusion.fuse` with the pictures' sizes `wh_N2`, px.
    """
    size = np.array([crop.image_px_per_crop_px for crop in crops])
    _, height = box_of_crops(crops)
    aspect = np.array([crop.size_wh[0] / crop.size_wh[1] for crop in crops])
    radius = oks_radius_px(AREA_OF_BOX * height**2 * aspect, sigma_K)
    to_border = border_distance(found.xy_NK2, crops, wh_N2)
    of, full = found.features, np.ones(raw_NK.shape)
    more = [
        log_odds(of["near"], 0.005),
        log_odds(of["prior_inside"], 0.02),
        np.clip(to_border / BORDER, -1, 1),
        (to_border < 0) * full,
        of["near_error"] - 0.5,
        np.log(np.maximum(of["prior_sd_px"] / radius, 0.01)),
        np.log1p(of["known"])[:, None] * full,
    ]
    return np.concatenate([picture_features(raw_NK, size, size_bounds), np.stack(more, -1)], -1)
