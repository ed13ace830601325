"""Left/right swaps of annotators, detected by teachers and corrected for training.

Annotators often confuse the sides of people seen from behind or upside down. With TinyPose and
EfficientPose as teachers, 7 % of LSP Extended's people are concerned, which a crowd labelled, and 1 % of COCO's
(`poseunion train` prints how many). Of the pairs that TinyPose exchanges and EfficientPose finds too, it exchanges six
in seven. A student trained on such labels confuses the sides as well.

Only training uses the corrected labels: files, validation and evaluation keep the human ones.

Shapes: N people, K keypoints of the target skeleton, P pairs of a left and a right keypoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from poseunion.models.left_right import left_right_votes, pairs_of
from poseunion.training.data.crop_store import CropStore
from poseunion.training.teachers.cached_targets import TeacherPeaks
from poseunion.training.teachers.pseudo_labels import MIN_SCORE, person_length


def corrected(store: CropStore, taught: Sequence[TeacherPeaks]) -> tuple[CropStore, NDArray[np.bool_]]:
    """The store with left and right exchanged where most teachers predict them so, and (N, K) the changed labels.

    Where teachers exchange some pairs of a person and confirm none, the others that lie apart are undecided: these lose
    their weight.

    Args:
        taught: those of the target skeleton itself are left out: a unified student was trained on such labels.
    """
    pairs = pairs_of(store.skeleton)
    length = person_length(store.xy, store.certain, store.box_xywh, store.skeleton)
    votes = np.zeros((len(store), len(pairs)), int)
    apart = np.zeros(votes.shape, bool)
    for one in (t for t in taught if t.skeleton != store.skeleton.name):
        vote, apart = left_right_votes(store.xy, store.certain, one.xy, one.score >= MIN_SCORE, length, pairs)
        votes += vote
    swap = votes < 0
    confused = np.asarray(swap.any(1) & ~(votes > 0).any(1))
    doubtful = apart & (votes == 0) & confused[:, None]
    order = np.tile(np.arange(len(store.skeleton)), (len(store), 1))
    weight = store.weight.copy()
    for p, (left, right) in enumerate(pairs):
        order[swap[:, p], left], order[swap[:, p], right] = right, left
        weight[np.ix_(doubtful[:, p], [left, right])] = 0.0
    rows = np.arange(len(store))[:, None]
    return (
        replace(store, xy=store.xy[rows, order], visibility=store.visibility[rows, order], weight=weight[rows, order]),
        order != np.arange(len(store.skeleton)),
    )
