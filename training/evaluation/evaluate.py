"""Evaluation: the measures of each data set. No torch here: a model is what `Predictor` runs.

| data set            | measures                                                                        |
|---------------------|---------------------------------------------------------------------------------|
| coco                | AP, AR, mean OKS (`coco`)                                                       |
| mpii                | PCKh@.5 and @.1, with the head boxes of the .mat or of `--head-boxes` (`mpii`)  |
| halpe               | AP on the union's 21 keypoints, with our sigmas and with Halpe's (`halpe`)      |
| lsp, jhmdb          | PCK@.2 of the torso (`pck`)                                                     |
| any other           | AP with its skeleton's sigmas: not always its challenge's own protocol          |

PCK@.2 is measured on all of them, the kinds of errors (`error_types`), and scores over the keypoints that COCO and MPII
share (`cross_dataset`).
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats import AnnotationSet, read_annotations
from poseunion.models.errors import BadArgumentError
from poseunion.models.skeleton import load_skeleton
from poseunion.training.evaluation.coco import coco_scores, find_engine
from poseunion.training.evaluation.cross_dataset import cross_rows
from poseunion.training.evaluation.detections_file import Boxes, read_boxes
from poseunion.training.evaluation.error_types import error_scores
from poseunion.training.evaluation.halpe import SIGMA_ORIGIN, halpe21, halpe_sigmas
from poseunion.training.evaluation.mpii import head_sizes_of, pckh_parts, pckh_scores
from poseunion.training.evaluation.pck import has_torso, pck_scores
from poseunion.training.evaluation.predictions import (
    Detected,
    PoseReader,
    Predictions,
    matched,
    predict_boxes,
    predict_people,
)

# Name of a data set -> the skeleton its file has.
DATASETS = {
    "coco": "coco17",
    "mpii": "mpii16",
    "halpe": "halpe26",
    "lsp": "lsp14",
    "crowdpose": "crowdpose14",
    "aic": "aic14",
    "posetrack18": "posetrack17",
    "jhmdb": "jhmdb15",
    "ochuman": "ochuman17",
    "mhp": "mhp16",
}
# Their own protocols are shares of correct keypoints.
WITHOUT_AP = ("mpii", "lsp", "jhmdb")
GROUND_TRUTH = "gt"


@dataclass(frozen=True)
class Task:
    """A labelled file, ready to be measured on.

    Attributes:
        dataset: a name of `DATASETS`, or the skeleton's for others.
        annotations: as they are scored: Halpe's in the union's 21.
        images: folder of the pictures.
        boxes: a detector's; None: the ground truth's.
        head_size: (N,) px, for PCKh; NaN where unknown.
        engine: of AP; see `coco.ENGINES`.
    """

    dataset: str
    annotations: AnnotationSet
    images: Path
    boxes: Boxes | None
    head_size: NDArray[np.float64]
    engine: str = "pycocotools"


UNPREDICTED = "its box or its picture cannot be used"


@dataclass(frozen=True)
class Evaluation:
    """Scores of one model, and the predictions that they are of (a detector's: matched to the labels)."""

    scores: dict[str, Any]
    predictions: Predictions


def read_task(
    annotations_path: Path,
    images: Path,
    *,
    dataset: str | None = None,
    skeleton: str | None = None,
    boxes: str = GROUND_TRUTH,
    head_boxes: Path | None = None,
    engine: str = "pycocotools",
) -> Task:
    """Read what a model is to be measured on.

    Args:
        dataset: of `DATASETS`; None: recognised by the file's keypoints.
        skeleton: of a file that does not name it, where no dataset is given.
        boxes: `gt`, or a detector's results file (see `boxes`).
        head_boxes: for PCKh on MPII's json; see `head_sizes_of`.

    Raises:
        BadArgumentError: unknown data set, or one that contradicts `skeleton`. BadFileError: a file cannot be used.
    """
    if dataset is not None and dataset not in DATASETS:
        raise BadArgumentError(f"No dataset {dataset!r}: choose one of {', '.join(DATASETS)}, or leave it out.")
    if dataset is not None and skeleton not in (None, DATASETS[dataset]):
        raise BadArgumentError(f"Dataset {dataset} has the skeleton {DATASETS[dataset]}, not {skeleton}: give one.")
    wanted = DATASETS[dataset] if dataset else skeleton
    annotations = read_annotations(annotations_path, skeleton=load_skeleton(wanted) if wanted else None)
    by_skeleton = {value: key for key, value in DATASETS.items()}
    name = dataset or by_skeleton.get(annotations.skeleton.name, annotations.skeleton.name)
    found = None if boxes == GROUND_TRUTH else read_boxes(Path(boxes), annotations)
    if name == "halpe":
        annotations = halpe21(annotations)
    task = Task(name, annotations, images, found, head_sizes_of(annotations, head_boxes), engine)
    if _with_ap(task):
        find_engine(engine)  # before an hour of predicting
    return task


def measure(predictor: PoseReader, task: Task) -> Evaluation:
    """Everything that is measured of one model on one file; scores are percentages."""
    annotations = task.annotations
    detected: Detected | None = None
    if task.boxes is None:
        predictions = predict_people(predictor, annotations, task.images)
    else:
        detected = predict_boxes(predictor, annotations, task.images, task.boxes)
        predictions = matched(annotations, detected)
    return Evaluation(scores_of(task, predictor.name, predictions, detected), predictions)


def scores_of(task: Task, model: str, predictions: Predictions, detected: Detected | None = None) -> dict[str, Any]:
    """The scores of predictions, as `evaluate` prints them with `--json`.

    Args:
        detected: what AP is measured on, where the boxes were a detector's.
    """
    annotations, engine = task.annotations, task.engine
    result: dict[str, Any] = {
        "model": model,
        "dataset": task.dataset,
        "keypoints": len(annotations.skeleton),
        "boxes": GROUND_TRUTH if task.boxes is None else str(task.boxes.path),
        "people": len(predictions.rows),
        "left_out": left_out(annotations, predictions),
        "skipped": predictions.skipped,
    }
    if _with_ap(task):
        result["coco"] = coco_scores(annotations, predictions, detected, engine=engine)
        result["sigmas"] = {"coco": annotations.skeleton.sigma_origin}
    if task.dataset == "halpe":
        sigmas = halpe_sigmas()
        result["table5"] = coco_scores(annotations, predictions, detected, sigma_K=sigmas, engine=engine)
        result["sigmas"]["table5"] = SIGMA_ORIGIN
    result["errors"] = error_scores(annotations, predictions)
    if has_torso(annotations.skeleton):
        result["pck"] = pck_scores(annotations, predictions)
    head_size_N = task.head_size if np.isfinite(task.head_size).any() else None
    if head_size_N is not None:
        result["pckh"] = pckh_scores(annotations, predictions, head_size_N)
        result["pckh@.1"] = pckh_parts(annotations, predictions, head_size_N, 0.1)
    result |= cross_rows(annotations, predictions, detected, head_size_N, _with_ap(task), engine)
    return {key: _finite(value) if isinstance(value, dict) else value for key, value in result.items()}


def left_out(annotations: AnnotationSet, predictions: Predictions) -> dict[str, int]:
    """Reason why people of the file are not measured -> how many; with the measured ones they are all of its people."""
    measured = set(predictions.rows.tolist())
    reasons = Counter(annotations.unread)
    for index in range(len(annotations)):
        if index not in measured:
            reasons[annotations.skip.get(index) or UNPREDICTED] += 1
    return dict(reasons)


def _with_ap(task: Task) -> bool:
    """A detector's boxes are always measured by AP: no other measure counts missed people and false boxes."""
    return task.dataset not in WITHOUT_AP or task.boxes is not None


def _finite(scores: dict[str, Any]) -> dict[str, Any]:
    """Scores without those that could not be measured: JSON has no NaN."""
    return {name: value for name, value in scores.items() if not isinstance(value, float) or math.isfinite(value)}


def evaluate(
    predictor: PoseReader,
    annotations_path: Path,
    images: Path,
    skeleton: str | None = None,
    head_boxes: Path | None = None,
) -> dict[str, Any]:
    """The scores of one model on the ground-truth boxes of one file."""
    return measure(predictor, read_task(annotations_path, images, skeleton=skeleton, head_boxes=head_boxes)).scores
