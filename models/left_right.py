"""Left/right swap detection: predicted pairs of keypoints against labelled ones, straight and exchanged.

Shapes: N people, K keypoints of the labels' skeleton, P pairs of a left and a right keypoint.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from poseunion.models.skeleton import Skeleton

# A pair closer than this, in torso lengths, is too narrow to compare sides.
MIN_APART_TORSO = 0.3
# A prediction matches a pair when both its points are nearer to the labels than this share of the labels' distance:
# below a half, they cannot be near both.
WITHIN_PAIR = 0.4


def pairs_of(skeleton: Skeleton) -> list[tuple[int, int]]:
    """Index pairs of each left keypoint and its right one."""
    return [(int(k), int(m)) for k, m in enumerate(skeleton.flip_indices) if k < m]


def left_right_votes(
    xy_NK2: NDArray[np.floating],
    labelled_NK: NDArray[np.bool_],
    model_xy_NK2: NDArray[np.floating],
    sure_NK: NDArray[np.bool_],
    torso_N: NDArray[np.floating],
    pairs: Sequence[tuple[int, int]],
) -> tuple[NDArray[np.int_], NDArray[np.bool_]]:
    """Left/right agreement of predicted with labelled pairs: as labelled, exchanged, or undecided.

    Args:
        xy_NK2, model_xy_NK2: labels and predictions, px.
        sure_NK: where the prediction counts.
        torso_N: torso lengths, px.

    Returns:
        (N, P) 1 as labelled, -1 exchanged, 0 undecided; and (N, P) which labelled pairs lie apart.
    """
    index = np.asarray(pairs, int).reshape(-1, 2)
    label, predicted = xy_NK2[:, index], model_xy_NK2[:, index]
    distance = np.linalg.norm(label[:, :, 0] - label[:, :, 1], axis=-1)
    apart = labelled_NK[:, index].all(-1) & (distance >= MIN_APART_TORSO * torso_N[:, None])
    compared = apart & sure_NK[:, index].all(-1)
    with np.errstate(invalid="ignore"):
        same, other = (
            compared & (np.linalg.norm(label - order, axis=-1).max(-1) <= WITHIN_PAIR * distance)
            for order in (predicted, predicted[:, :, ::-1])
        )
    return same.astype(int) - other.astype(int), apart
