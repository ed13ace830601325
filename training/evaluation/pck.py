"""PCK at a share of the torso: LSP's measure, and the one that every data set here can be compared by.

Shapes: N people, K keypoints of the data set.
"""

from __future__ import annotations

import numpy as np

from poseunion.annotate.formats import AnnotationSet
from poseunion.models.metrics import PCK12, pck_hits, pck_rates, torso_diagonals
from poseunion.models.skeleton import Skeleton
from poseunion.training.evaluation.predictions import Predictions


def has_torso(skeleton: Skeleton) -> bool:
    """Whether there are the left shoulder and the right hip to measure by."""
    return {"left_shoulder", "right_hip"} <= set(skeleton.keypoints)


def pck_scores(annotations: AnnotationSet, predictions: Predictions, threshold: float = 0.2) -> dict[str, float]:
    """PCK at `threshold` torsos: over the 12 limbs (`PCK12`), over all (`PCK`), and per keypoint.

    A torso is left shoulder to right hip, the reference distance of LSP's evaluation (Pishchulin et al., ICCV 2013).
    People without these two labels have no normaliser and do not count, nor does a keypoint that the model
    lacks. A rate without labels is left out: it was not measured, which is not 0.

    Raises:
        SkeletonError: the skeleton has no torso.
    """
    rows, skeleton = predictions.rows, annotations.skeleton
    xy, visibility = annotations.xy[rows], annotations.visibility[rows]
    torso = torso_diagonals(xy, visibility, skeleton)
    hits, counted = pck_hits(predictions.xy, xy, visibility, torso, threshold)
    hits, counted = hits & predictions.known, counted & predictions.known
    per_keypoint, mean = pck_rates(hits, counted)
    limbs = [k for k, name in enumerate(skeleton.keypoints) if name in PCK12]
    result = {"PCK12": 100 * float(pck_rates(hits[:, limbs], counted[:, limbs])[1]), "PCK": 100 * float(mean)}
    return {name: rate for name, rate in result.items() if np.isfinite(rate)} | {
        name: 100 * float(rate)
        for name, rate, known in zip(skeleton.keypoints, per_keypoint, predictions.known, strict=True)
        if known and np.isfinite(rate)
    }
