"""Groups of labelled keypoints that are hidden together, to predict them again.

What a file lacks is rarely one keypoint alone. So a person is predicted in rounds, each hiding keypoints that are
lacking together somewhere: the face (MPII has none), the head (COCO has neither neck nor crown), the limbs in groups of
about four drawn at random, and with a hip or shoulder the midpoint that follows from it.

Shapes: R rounds, K keypoints of the model.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poseunion.models.skeleton import Skeleton

FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
HEAD = ("upper_neck", "head_top")
LIMB_GROUPS = 3


def hiding_rounds(skeleton: Skeleton, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(R, K) what each round hides; the limbs' groups are drawn."""
    special = {*FACE, *HEAD, *skeleton.midpoints}
    order = rng.permutation([k for k, name in enumerate(skeleton.keypoints) if name not in special])
    groups = [[k for k, name in enumerate(skeleton.keypoints) if name in names] for names in (FACE, HEAD)]
    groups += [part.tolist() for part in np.array_split(order, LIMB_GROUPS)]
    hidden = np.zeros((len(groups), len(skeleton)), bool)
    for row, group in zip(hidden, groups, strict=True):
        row[group] = True
        for name, parents in skeleton.midpoints.items():
            row[skeleton.index(name)] |= any(row[skeleton.index(p)] for p in parents)
    return hidden
