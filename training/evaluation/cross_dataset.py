"""Paper A's Table 1: a model on a data set it was not made for, over all of its keypoints and over the shared 12.

Over all, a keypoint that the model does not know is missed; A scores the pelvis, thorax and so on that it cannot know.
Over the 12, everyone is asked the same, so models of different skeletons compare. A's rows with a star restrict only
the foreign data set to the 12: its own data set's number stands in the row over all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats import AnnotationSet
from poseunion.models.metrics import PCK12
from poseunion.training.evaluation.coco import coco_scores
from poseunion.training.evaluation.mpii import pckh_scores
from poseunion.training.evaluation.pck import has_torso, pck_scores
from poseunion.training.evaluation.predictions import Detected, Predictions

ALL, SHARED = "all", "shared12"
# Columns of the table: label -> where it stands in a row of `cross_rows`.
_MPII = {"PCKh@.5": "PCKh@.5", "PCKh@.1": "PCKh@.1"}
_COCO = {name: name for name in ("AP", "AP50", "AP75", "AR", "AR50", "AR75")}


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
    # What a model does not know is nowhere, and so is never right.
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
            scores |= {name: pckh[name] for name in _MPII}
        if has_torso(annotations.skeleton):
            pck = pck_scores(annotations, asked)
            scores |= {"PCK@.2": pck["PCK"]} if "PCK" in pck else {}
        rows[row] = scores
    return rows


def table1(results: list[list[dict[str, Any]]]) -> str:
    """Paper A's Table 1 as Markdown, from the results of several files; empty unless one is MPII's and one COCO's.

    Args:
        results: for each file, one result a model, the models in the same order.
    """
    mpii = next((file for file in results if file[0]["dataset"] == "mpii" and "pckh" in file[0]), None)
    coco = next((file for file in results if file[0]["dataset"] == "coco"), None)
    if mpii is None or coco is None:
        return ""
    columns = ["model", "keypoints", *_MPII, *_COCO, "mean"]
    lines = ["| " + " | ".join(columns) + " |", "|---|---|" + "---|" * (len(columns) - 2)]
    for ours, theirs in zip(mpii, coco, strict=True):
        for row in (ALL, SHARED):
            values = [ours[row].get(key) for key in _MPII.values()] + [theirs[row].get(key) for key in _COCO.values()]
            pair = (ours[row].get("PCKh@.5"), theirs[row].get("AP"))
            mean = None if None in pair else sum(pair) / 2
            label = f"all: {ours[row]['keypoints']} and {theirs[row]['keypoints']}" if row == ALL else "shared 12"
            cells = ["–" if v is None else f"{v:.2f}" for v in (*values, mean)]
            lines.append("| " + " | ".join([ours["model"], label, *cells]) + " |")
    return "\n".join(lines)
