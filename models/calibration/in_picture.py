"""Probability that a keypoint is in the picture at all, apart from whether its proposal is in the right place.

    confidence = P(in the picture and right) = in_picture x P(right | in the picture)

The confidence is fitted by itself (`schema.KeypointLogistic`); this is a second logistic function of its features and
one or three more, fitted on the same people, whole and cut at a border of the picture, so that the joints beyond are
known to be absent. P(right | in the picture) is the quotient, so the confidence may not exceed P(in the picture):

- conditioned on labelled keypoints, the confidence has the border among its features, and stands: `in_picture` is
  raised to it where it is lower;
- from the picture alone the confidence is of the distribution's shape only, and too high near a border: it is lowered
  to `in_picture` there. An exported graph does not have the picture's size, and keeps the higher one.

Shapes: N people, K keypoints, F features, W and H bins.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from poseunion.models.calibration.odds import log_odds, logistic
from poseunion.models.codec.crop import Crop, affine_to_crop, apply_affine
from poseunion.models.codec.simcc import SimccGrid, softmax

# Added to the features of a confidence: log odds of the prediction's mass inside the picture. The picture alone also
# needs the distance to the border, which the conditioned one has.
WITH_LABELS = ("inside",)
WITHOUT_LABELS = ("border", "outside", *WITH_LABELS)
# A proposal this near to the picture's border, as a share of the crop's height, may belong to a joint beyond it.
BORDER = 0.1
# Mass is clipped to this distance from 0 and 1.
LEAST_MASS = 0.005


class InPicture(BaseModel):
    """Logistic functions of all keypoints.

    Attributes:
        weights: (K, F) of the confidence's features, then `WITH_LABELS` or `WITHOUT_LABELS`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    weights: tuple[tuple[float, ...], ...]

    def probability(
        self, feature_SF: NDArray[np.floating], keypoint_S: NDArray[np.integer] | slice = slice(None)
    ) -> NDArray[np.float64]:
        """Probability that each keypoint is in the picture: (N, K) of (N, K, F) features, or (S,) of keypoints."""
        logit = (feature_SF * np.asarray(self.weights)[keypoint_S]).sum(-1)
        return logistic(logit)


def features_with_labels(feature_NKF: NDArray[np.floating], inside_NK: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, K, F + 1) features of conditioned keypoints.

    Args:
        feature_NKF: of the confidence.
        inside_NK: mass of the posterior inside the picture.
    """
    return np.concatenate([feature_NKF, log_odds(inside_NK, LEAST_MASS)[..., None]], -1)


def features_without_labels(
    feature_NKF: NDArray[np.floating],
    xy_NK2: NDArray[np.floating],
    logit_x_NKW: NDArray[np.floating],
    logit_y_NKH: NDArray[np.floating],
    grid: SimccGrid,
    crops: Sequence[Crop],
    image_wh_N2: NDArray[np.floating],
) -> NDArray[np.float64]:
    """(N, K, F + 3) features of a SimCC network's keypoints, from the picture alone.

    Args:
        feature_NKF: of the confidence.
        xy_NK2: image px.
    """
    distance = border_distance(xy_NK2, crops, image_wh_N2)
    near = np.stack([np.clip(distance / BORDER, -1, 1), distance < 0], -1)
    low_N2, high_N2 = _bounds_px(crops, image_wh_N2)
    inside = np.ones(distance.shape)
    for axis, logit in enumerate((logit_x_NKW, logit_y_NKH)):
        at_px = np.arange(logit.shape[-1]) / grid.split
        shown_NB = (at_px >= low_N2[:, axis, None]) & (at_px <= high_N2[:, axis, None])
        inside *= np.einsum("nkb,nb->nk", softmax(logit), shown_NB.astype(np.float64))
    return features_with_labels(np.concatenate([feature_NKF, near], -1), inside)


def border_distance(
    xy_NK2: NDArray[np.floating], crops: Sequence[Crop], image_wh_N2: NDArray[np.floating]
) -> NDArray[np.float64]:
    """(N, K) distance to the nearest border of the picture, share of the crop's height; negative outside."""
    height = np.array([crop.width * crop.size_wh[1] / crop.size_wh[0] for crop in crops])[:, None]
    return np.asarray(np.minimum(xy_NK2, image_wh_N2[:, None] - 1 - xy_NK2).min(-1) / height)


def _bounds_px(
    crops: Sequence[Crop], image_wh_N2: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, 2) lowest and highest crop px of the pictures, of upright crops."""
    corner_N22 = np.stack([np.full_like(image_wh_N2, -0.5), image_wh_N2 - 0.5], 1)
    at = [apply_affine(xy, affine_to_crop(crop)) for xy, crop in zip(corner_N22, crops, strict=True)]
    bounds = np.array(at, np.float64).reshape(-1, 2, 2)
    return bounds.min(1), bounds.max(1)
