"""Person boxes grown from labelled joints, for files that state no person box: MPII, LSP, results, Datumaro, AIC.

Every labelled joint stands for the part of the body around it: a person's box holds them all, each with its own margin.
Margins are shares of the person's size: 7.5 head lengths (upper_neck to head_top), about an upright person's height.
MPII states it (its scale is made from the head: 250 * scale px are 7.5 head lengths within 2 % in the 2,958 people of
its validation set); else it is the median of the labelled segments, each divided by its usual share of the size.

Measured against COCO's own boxes on 3,913 people of train2017 with MPII's keypoints
(`benchmarks/accuracy/person_boxes.py`):

| box                               | IoU, median | IoU, 10 % below | side, 10 … 90 % | the 21 keypoints in the crop |
|-----------------------------------|------------:|----------------:|----------------:|-----------------------------:|
| 200 * scale px square             |         .29 |             .11 |      1.31 … 2.94 |                       99.8 % |
| .1 of the longer side around them |         .71 |             .47 |       .85 … 1.30 |                       99.8 % |
| these margins                     |         .79 |             .53 |       .87 … 1.19 |                       99.9 % |

Shapes: N people, K keypoints.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from poseunion.models.keypoint_offsets import OFFSETS, apply_offsets
from poseunion.models.skeleton import Skeleton, sideless

# How far COCO's box reaches beyond a joint that is its outermost, in sizes: rounded medians over the sides (same
# people). A box that ends at a wrist holds the hand, one that ends at an ankle the foot.
MARGINS = {
    "head_top": 0.035,
    "upper_neck": 0.04,
    "shoulder": 0.04,
    "elbow": 0.03,
    "wrist": 0.05,
    "hip": 0.05,
    "knee": 0.036,
    "ankle": 0.057,
    "nose": 0.07,
    "eye": 0.07,
    "ear": 0.07,
}
OTHER_MARGIN = 0.042  # the one margin for all joints that fits best
# Above head_top there is only hair.
HEAD_TOP_ABOVE = 0.005
# Usual lengths in sizes: medians, the same in MPII's validation set and COCO within .003. Both sides count.
SEGMENTS = {
    ("shoulder", "hip"): 0.235,
    ("shoulder", "elbow"): 0.126,
    ("elbow", "wrist"): 0.1,
    ("hip", "knee"): 0.18,
    ("knee", "ankle"): 0.18,
    ("left_shoulder", "right_shoulder"): 0.135,
    ("upper_neck", "head_top"): 1 / 7.5,
}
# Longer side of the joints' box of a whole person, in sizes: where no segment is labelled.
LONGER_SIDE = 0.72
# No side is shorter, in sizes: the highest IoU for people with fewer than eight joints, of .1 to .3.
LEAST_SIDE = 0.2
FEWEST_JOINTS = 2


def boxes_of_joints(
    xy_NK2: NDArray[np.float64],
    visibility_NK: NDArray[np.int8],
    skeleton: Skeleton,
    size_N: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """(N, 4) xywh around the labelled joints; NaN where fewer than two are labelled.

    Args:
        size_N: px, as the file states it; NaN or not positive: it does not.
    """
    xy, visibility = apply_offsets(xy_NK2, visibility_NK, skeleton, OFFSETS.get(skeleton.name, ()))
    labelled = visibility > 0
    size = person_sizes(xy, labelled, skeleton)
    if size_N is not None:
        size = np.where(np.nan_to_num(size_N) > 0, size_N, size)
    names = [sideless(name) for name in skeleton.keypoints]
    margin = np.array([MARGINS.get(name, OTHER_MARGIN) for name in names])
    above = np.where([name == "head_top" for name in names], HEAD_TOP_ABOVE, margin)
    outward_K2 = np.stack([margin, above], -1)
    low = np.where(labelled[..., None], xy - outward_K2 * size[:, None, None], np.inf).min(1)
    high = np.where(labelled[..., None], xy + margin[:, None] * size[:, None, None], -np.inf).max(1)
    usable = labelled.sum(1) >= FEWEST_JOINTS
    low, high = (np.where(usable[:, None], edge, np.nan) for edge in (low, high))
    extent = np.maximum(high - low, LEAST_SIDE * size[:, None])
    return np.concatenate([(low + high - extent) / 2, extent], 1)


def fill_boxes(
    box_N4: NDArray[np.float64],
    xy_NK2: NDArray[np.float64],
    visibility_NK: NDArray[np.int8],
    skeleton: Skeleton,
    size_N: NDArray[np.float64] | None = None,
) -> None:
    """Fill missing boxes (NaN) with boxes around the joints, in place; see `boxes_of_joints`."""
    without = np.isnan(box_N4).any(1)
    if without.any():
        size = None if size_N is None else size_N[without]
        box_N4[without] = boxes_of_joints(xy_NK2[without], visibility_NK[without], skeleton, size)


def person_sizes(
    xy_NK2: NDArray[np.float64], labelled_NK: NDArray[np.bool_], skeleton: Skeleton
) -> NDArray[np.float64]:
    """(N,) px: 7.5 head lengths, estimated from the labelled segments; NaN where fewer than two joints are labelled.

    On COCO people it is within 10 % of 7.5 head lengths for half of them, whatever part of the body is labelled.
    """
    index = {name: k for k, name in enumerate(skeleton.keypoints)}
    found = []
    for (first, second), usual in SEGMENTS.items():
        for side in ("", "left_", "right_"):
            a, b = index.get(side + first), index.get(side + second)
            if a is not None and b is not None:
                length = np.hypot(*(xy_NK2[:, a] - xy_NK2[:, b]).T) / usual
                found.append(np.where(labelled_NK[:, a] & labelled_NK[:, b], length, np.nan))
    points = np.where(labelled_NK[..., None], xy_NK2, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all NaN: so is the result
        longer = (np.nanmax(points, 1) - np.nanmin(points, 1)).max(1)
        size = np.nanmedian(found, 0) if found else np.full(len(xy_NK2), np.nan)
    size = np.where(np.isfinite(size), np.maximum(size, longer), longer / LONGER_SIDE)
    return np.where(labelled_NK.sum(1) >= FEWEST_JOINTS, size, np.nan)
