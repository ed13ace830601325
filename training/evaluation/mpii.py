"""MPII's protocol: PCKh, as evalMPII and mmpose's `MpiiPCKAccuracy` compute it.

A distance is measured in head sizes, .6 of the head box's diagonal. Pelvis and thorax do not count; "Head" is head_top.
MPII's files count pixels from 1: `annotate.formats` makes labels 0-based as predictions are, where mmpose leaves the
labels and adds 1 to the predictions. Both differences are the same.

Shapes: N people, K keypoints of MPII.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.matlab import load_mat
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.metrics import head_sizes, pck_hits, pck_rates
from poseunion.training.evaluation.predictions import Predictions

NOT_COUNTED = ("pelvis", "thorax")
SIDES = ("left", "right")
PARTS = {"Head": ("head_top",)} | {
    part.capitalize(): tuple(f"{side}_{part}" for side in SIDES)
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
}


def pckh_scores(
    annotations: AnnotationSet, predictions: Predictions, head_size_N: NDArray[np.floating]
) -> dict[str, float]:
    """PCKh in percent: `PCKh@.5` of each part and of all, and `PCKh@.1` of all.

    A part is the mean of its two sides; the mean of all weights every keypoint by how often it is labelled. A keypoint
    that the model lacks does not count, and a part without labels is left out.

    Args:
        head_size_N: (N,) pixels, of every record of the file; NaN where unknown: that person does not count.

    Raises:
        BadArgumentError: another skeleton.
    """
    skeleton = annotations.skeleton
    if missing := [k for part in PARTS.values() for k in part if k not in skeleton.keypoints]:
        raise BadArgumentError(f"PCKh is defined on MPII's keypoints: {skeleton.name} has no {', '.join(missing)}.")
    counts = predictions.known & [k not in NOT_COUNTED for k in skeleton.keypoints]
    scores = pckh_parts(annotations, predictions, head_size_N, 0.5)
    for threshold in (0.5, 0.1):
        hits, counted = _hits(annotations, predictions, head_size_N, threshold)
        _, mean = pck_rates(hits & counts, counted & counts)
        scores[f"PCKh@.{threshold * 10:.0f}"] = 100 * mean
    return scores


def pckh_parts(
    annotations: AnnotationSet, predictions: Predictions, head_size_N: NDArray[np.floating], threshold: float
) -> dict[str, float]:
    """PCKh in percent of each part, the mean of its two sides; a part that is not measured is left out."""
    skeleton = annotations.skeleton
    hits, counted = _hits(annotations, predictions, head_size_N, threshold)
    per_keypoint, _ = pck_rates(hits & predictions.known, counted & predictions.known)
    rates = {
        part: float(np.mean([per_keypoint[skeleton.index(name)] for name in names])) for part, names in PARTS.items()
    }
    return {part: 100 * rate for part, rate in rates.items() if np.isfinite(rate)}


def _hits(
    annotations: AnnotationSet, predictions: Predictions, head_size_N: NDArray[np.floating], threshold: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    rows = predictions.rows
    xy, visibility = annotations.xy[rows], annotations.visibility[rows]
    return pck_hits(predictions.xy, xy, visibility, head_size_N[rows], threshold)


def head_sizes_of(annotations: AnnotationSet, head_boxes: Path | None = None) -> NDArray[np.float64]:
    """(N,) head size of each record, NaN where unknown.

    Args:
        head_boxes: the `mpii_gt_val.mat` that goes with MPII's json, which has no head boxes: (2, 2, N)
            `headboxes_src`, corner, then x and y. Without it the records' own `head_box` counts, which MPII's .mat has.

    Raises:
        BadFileError: not such a file. BadArgumentError: it is about another number of people.
    """
    if head_boxes is None:
        unknown = [np.nan] * 4
        return head_sizes(np.array([r.get("head_box", unknown) for r in annotations.records]).reshape(-1, 4))
    boxes = np.asarray(load_mat(head_boxes).get("headboxes_src"))
    if boxes.ndim != 3 or boxes.shape[:2] != (2, 2):
        raise BadFileError(
            f"{head_boxes} holds no head boxes: a 2x2xN `headboxes_src` is expected, as in mpii_gt_val.mat."
        )
    if boxes.shape[2] != len(annotations):
        raise BadArgumentError(
            f"{boxes.shape[2]} head boxes for the {len(annotations)} people of {annotations.source.path}: "
            "they belong to another file."
        )
    return head_sizes(boxes.astype(np.float64).reshape(4, -1).T)
