"""Pseudo-labels: teachers' keypoints that a dataset does not define, for people on which they agree with the labels.

A teacher whose limbs are far from the labels (or from another teacher's) predicts another person or fails: its other
keypoints are not used. Where it agrees, they are labels of reduced weight.

Shapes: N people, K keypoints of the target skeleton.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from poseunion.models.metrics import torso_lengths
from poseunion.models.skeleton import Skeleton, Visibility
from poseunion.training.data.crop_store import CropStore
from poseunion.training.teachers.cached_targets import TeacherPeaks

LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")

# On people with ground truth: at least 75 % of limbs closer than .25 torso keeps 60 % of LSPET and lifts
# EfficientPose's neck from 66.8 to 82.3 PCK@.2.
AGREE_WITHIN_TORSO = 0.25
AGREE_SHARE = 0.75
MIN_COMPARED = 4
# Of agreeing people's neck and head_top on LSPET, EfficientPose-RT (with flip) places 86 % right above it and 58 %
# below; of the limbs 89 %, and TinyPose 84 %.
MIN_SCORE = 0.4


def agreement(
    xy_a_NK2: NDArray[np.floating],
    known_a_NK: NDArray[np.bool_],
    xy_b_NK2: NDArray[np.floating],
    known_b_NK: NDArray[np.bool_],
    torso_N: NDArray[np.floating],
    limbs: Sequence[int],
) -> NDArray[np.bool_]:
    """(N,) whether two sources have a person's limbs at the same places.

    Args:
        limbs: indices of the keypoints to compare.
        torso_N: length that distances are measured in, px; not finite where unknown (then: no agreement).
    """
    both = (known_a_NK & known_b_NK)[:, limbs]
    distance = np.linalg.norm(xy_a_NK2[:, limbs] - xy_b_NK2[:, limbs], axis=-1)
    with np.errstate(invalid="ignore"):
        close = both & (distance <= AGREE_WITHIN_TORSO * torso_N[:, None])
    count = both.sum(1)
    return np.asarray((count >= MIN_COMPARED) & (close.sum(1) >= AGREE_SHARE * count) & np.isfinite(torso_N))


def person_length(
    xy_NK2: NDArray[np.floating], known_NK: NDArray[np.bool_], box_xywh: NDArray[np.floating], skeleton: Skeleton
) -> NDArray[np.float64]:
    """(N,) torso lengths in px; a quarter of the box's longer side where the torso is unknown or foreshortened."""
    torso = torso_lengths(xy_NK2, known_NK.astype(np.int8) * 2, skeleton)
    fallback = box_xywh[:, 2:].max(1) / 4
    return np.where(np.isfinite(torso) & (torso > fallback / 2), torso, fallback)


def agrees_with_labels(store: CropStore, taught: Sequence[TeacherPeaks]) -> list[NDArray[np.bool_]]:
    """For each teacher, (N,) whether its keypoints of a person agree with the labels or with another teacher.

    People with enough labelled limbs are compared with these, others with another teacher's limbs.
    """
    skeleton = store.skeleton
    limbs = [k for k, name in enumerate(skeleton.keypoints) if name.split("_")[-1] in LIMBS]
    human = store.certain
    labelled = human[:, limbs].sum(1) >= MIN_COMPARED
    length = person_length(store.xy, human, store.box_xywh, skeleton)
    result = []
    for number, one in enumerate(taught):
        seen = one.score >= MIN_SCORE
        agrees = agreement(store.xy, human, one.xy, seen, length, limbs)
        for other in (t for i, t in enumerate(taught) if i != number):
            seen_other = other.score >= MIN_SCORE
            length_other = person_length(other.xy, seen_other, store.box_xywh, skeleton)
            agrees |= ~labelled & agreement(one.xy, seen, other.xy, seen_other, length_other, limbs)
        result.append(agrees)
    return result


def complete(
    store: CropStore, taught: Sequence[TeacherPeaks], agreements: Sequence[NDArray[np.bool_]], weight: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Labels, and pseudo-labels of the teachers that agree with them.

    Args:
        taught: of each teacher; a keypoint comes from the first one that has it.
        agreements: of each teacher, see `agrees_with_labels`.
        weight: of a pseudo-label, against 1 for a human label.

    Returns:
        (N, K, 2) store px and (N, K) weights in [0, 1].
    """
    xy, weights = store.xy.copy(), np.where(store.visibility > 0, store.weight, 0.0)
    for one, agrees in zip(taught, agreements, strict=True):
        # Only keypoints that the dataset does not define: one that an annotator left out gets no pseudo-label.
        unknown = (store.visibility == Visibility.UNDEFINED) & (weights == 0)
        fill = agrees[:, None] & (one.score >= MIN_SCORE) & unknown
        xy[fill] = one.xy[fill]
        weights[fill] = weight
    return xy, weights
