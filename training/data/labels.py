"""Labelled people of a training: keypoints in the union's order and definitions, and their weights.

Shapes: K keypoints of the target skeleton.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.models.skeleton import Skeleton, project_indices


@dataclass(frozen=True)
class TrainingPerson:
    """A labelled person, or one with a box alone.

    Attributes:
        xy: (K, 2) image px.
        visibility: (K,) `Visibility`; -1 where the dataset does not define the keypoint.
        image_wh: the frame the annotation refers to, where the file states it.
        weight: (K,) how much each label counts, in [0, 1]; None: all of them fully.
    """

    image: Path
    person_id: int
    box_xywh: tuple[float, float, float, float]
    xy: NDArray[np.float64]
    visibility: NDArray[np.int8]
    image_wh: tuple[int, int] | None = None
    weight: NDArray[np.float64] | None = None


def weight_in_union(
    weight_NK: NDArray[np.float64], visibility_NK: NDArray[np.int8], source: Skeleton, target: Skeleton
) -> NDArray[np.float64]:
    """Weights of `source`'s labels for `target`'s keypoints; a derived midpoint weighs as much as its lighter parent.

    Args:
        visibility_NK: of the target's keypoints, from `to_model_keypoints`.
    """
    index = project_indices(source, target)
    weight = np.where(index >= 0, weight_NK[:, index], 0.0)
    for keypoint, parents in target.midpoints.items():
        k, (a, b) = target.index(keypoint), (target.index(p) for p in parents)
        derived = (weight[:, k] == 0) & (visibility_NK[:, k] > 0)
        weight[derived, k] = np.minimum(weight[derived, a], weight[derived, b])
    return np.where(visibility_NK > 0, weight, 0.0)
