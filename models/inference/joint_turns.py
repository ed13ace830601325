"""Turned pictures for an ensemble of pose networks: people upside down or lying, read at 90, 180 and 270 degrees too.

Shapes: N people, M members, K keypoints, V views of a person, h and w cells.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from poseunion.models.codec.crop import Crop, crop_from_box, crop_from_center
from poseunion.models.metrics import PCK12
from poseunion.models.skeleton import Skeleton

ANGLES_DEG = (90.0, 180.0, 270.0)
# How much a view counts: exp(sharpness * mean peak of the limbs), the upright one `lead` ahead. Of 12 pairs the best on
# 360 held-out people of COCO and LSP; plain averaging loses 3.4 and 1.8 OKS
# (benchmarks/notes/2026-11-27-joint-teacher.md).
VIEW_SHARPNESS = 10.0
UPRIGHT_LEAD = 0.1
# Below this agreement about the limbs a person is read in turned pictures: of the same people 19 % of LSP's, with nine
# tenths of the gain of turning all.
AGREED = 0.9
TURN_CONSTANTS = (ANGLES_DEG, VIEW_SHARPNESS, UPRIGHT_LEAD, AGREED)


class Turns(str, Enum):
    """Choice of the people that are read in turned pictures, besides upright."""

    NONE = "none"
    DISAGREEMENT = "disagreement"
    ALWAYS = "always"

    def rows(self, agreement_N: NDArray[np.floating]) -> NDArray[np.intp]:
        """Indices of the people that are read in turned pictures."""
        if self is Turns.NONE:
            return np.zeros(0, np.intp)
        return np.flatnonzero((agreement_N < AGREED) | (self is Turns.ALWAYS))


def crop_of(box_xywh: ArrayLike, size_wh: tuple[int, int], padding: float, turned_deg: float = 0.0) -> Crop:
    """The crop of a box's person, turned by quarters; it holds the padded box whichever way it is turned."""
    x, y, w, h = (float(v) for v in np.asarray(box_xywh, np.float64))
    if turned_deg % 360 == 0:
        return crop_from_box((x, y, w, h), size_wh, padding)
    extent = (h, w) if turned_deg % 180 else (w, h)
    return replace(crop_from_center((x + w / 2, y + h / 2), extent, size_wh, padding), rotation_deg=turned_deg)


def agreement(
    heat_MNKhw: NDArray[np.float32], mean_NKhw: NDArray[np.float32], weight_MK: NDArray[np.float32], skeleton: Skeleton
) -> NDArray[np.float32]:
    """(N,) in [0, 1]: height of the mean's peaks as a share of the members' own, averaged over the limbs.

    1 where all members have their peaks at the same places, about 1 / M where each has another.
    """
    limbs = _limbs(skeleton)
    own = np.einsum("mk,mnk->nk", weight_MK[:, limbs], heat_MNKhw[:, :, limbs].max((-2, -1)))
    together = mean_NKhw[:, limbs].max((-2, -1))
    return (together.sum(-1) / np.maximum(own.sum(-1), 1e-12)).astype(np.float32)


def merged(
    heat_VNKhw: NDArray[np.float32],
    skeleton: Skeleton,
    sharpness: float = VIEW_SHARPNESS,
    lead: float = UPRIGHT_LEAD,
) -> NDArray[np.float32]:
    """(N, K, h, w) mean over a person's views, the first one upright; a view counts by the height of its peaks."""
    peak_VN = heat_VNKhw[:, :, _limbs(skeleton)].max((-2, -1)).mean(-1)
    peak_VN[0] += lead
    weight_VN = np.exp(sharpness * (peak_VN - peak_VN.max(0)))
    return np.einsum("vn,vnkhw->nkhw", weight_VN / weight_VN.sum(0), heat_VNKhw).astype(np.float32)


def _limbs(skeleton: Skeleton) -> list[int]:
    """The keypoints that all data sets share, for a person's orientation; all where a skeleton has none of them."""
    shared = [k for k, name in enumerate(skeleton.keypoints) if name in PCK12]
    return shared or list(range(len(skeleton)))
