"""Scores over all keypoints of a data set, and over the 12 that COCO and MPII share.

Over all, a keypoint that the model lacks is missed, as in paper A's Table 1; over the 12, models of different skeletons
compare.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats import AnnotationSet
from poseunion.models.metrics import PCK12
from poseunion.training.evaluation.coco import coco_scores
from poseunion.training.evaluation.mpii import pckh_scores
from poseunion.training.evaluation.pck import has_torso, pck_scores
from poseunion.training.evaluation.predictions import Detected, Predictions

ALL, SHARED = "all", "shared12"


def cross_rows(
    annotations: AnnotationSet,
    predictions: Predictions,
    detected: Detected | None,
    head_size_N: NDArray[np.float64] | None,
    with_ap: bool,
    engine: str = "pycocotools",
) -> dict[str, dict[str, float]]:
    """The rows `all` and `shared12` of one model on one data set; nothing where the data set lacks some of the 12.

    Each has `keypoints` (how many), `known` (how many of them the model predicts) and, as far as they are measured
    here, AP and AR, PCKh and `PCK@.2`.
    """
    names = annotations.skeleton.keypoints
    if not set(PCK12) <= set(names):
        return {}
    # What a model lacks is nowhere, and so is never right.
    nowhere = np.where(predictions.known[None, :, None], predictions.xy, np.nan)
    rows: dict[str, dict[str, float]] = {}
    for row, chosen in ((ALL, names), (SHARED, tuple(k for k in names if k in PCK12))):
        counts = np.array([k in chosen for k in names])
        asked = replace(predictions, xy=nowhere, known=counts)
        scores: dict[str, float] = {"keypoints": len(chosen), "known": int((predictions.known & counts).sum())}
        if with_ap:
            scores |= coco_scores(annotations, predictions, detected, keypoints=chosen, engine=engine)
        if head_size_N is not None:
            pckh = pckh_scores(annotations, asked, head_size_N)
            scores |= {name: pckh[name] for name in ("PCKh@.5", "PCKh@.1")}
        if has_torso(annotations.skeleton):
            pck = pck_scores(annotations, asked)
            scores |= {"PCK@.2": pck["PCK"]} if "PCK" in pck else {}
        rows[row] = scores
    return rows
