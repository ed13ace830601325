"""Evaluation protocols: COCO AP and mean OKS, PCK. No torch here: a model is whatever `Predictor` runs.

Shapes: N people, K keypoints of the data set.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats import AnnotationSet, read_annotations
from poseunion.models.errors import BadFileError, ItemError, MissingExtraError
from poseunion.models.images import read_annotated_image, read_image
from poseunion.models.metrics import area_from_box, oks, pck_hits, pck_rates, torso_lengths
from poseunion.models.predictor import Predictor
from poseunion.models.skeleton import load_skeleton, project, project_indices
from poseunion.training.people import OFFSETS, apply_offsets
from poseunion.training.progress import track
from poseunion.training.protocols_mpii import head_sizes_of, pckh_scores

PCK12 = tuple(
    f"{side}_{limb}" for limb in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in ("left", "right")
)


@dataclass(frozen=True)
class Predictions:
    """A model's keypoints of every labelled person of a file, in the file's skeleton and definitions.

    Attributes:
        rows: (N,) record index of each person.
        xy: (N, K, 2) image px; 0 where the model does not know the keypoint.
        score: (N, K).
        known: (K,) which keypoints the model predicts.
        skipped: (picture, reason).
    """

    rows: NDArray[np.intp]
    xy: NDArray[np.float64]
    score: NDArray[np.float64]
    known: NDArray[np.bool_]
    skipped: tuple[tuple[str, str], ...]


def predict_people(predictor: Predictor, annotations: AnnotationSet, images: Path) -> Predictions:
    """Run a model on the ground-truth boxes of everyone who has a label."""
    by_image: dict[str, list[Any]] = {}
    for record in annotations.persons():
        if record.skip is None and record.image is not None and np.isfinite(record.box_xywh).all():
            by_image.setdefault(record.image.file_name, []).append(record)
    rows: list[int] = []
    xy, score, skipped = [], [], []
    for name, records in track(by_image.items(), f"{predictor.name}"):
        try:
            ref = records[0].image
            wh = (ref.width, ref.height) if ref.width and ref.height else None
            picture = read_annotated_image(images / name, wh) if wh else read_image(images / name, exif=False)
            poses = predictor(picture, np.stack([r.box_xywh for r in records]))
        except ItemError as error:
            skipped.append((name, str(error)))
            continue
        rows += [r.index for r in records]
        xy.append(poses.xy)
        score.append(poses.score)
    if not rows:
        raise BadFileError(
            f"Nobody in {annotations.source.path} could be predicted: {skipped[:1] or 'no labelled person'}."
        )
    target = annotations.skeleton
    # A model trained in the union's definitions is scored in the data set's own.
    xy_N = np.concatenate(xy).astype(np.float64)
    if predictor.skeleton.name == "union21":
        seen = np.full(xy_N.shape[:2], 2, np.int8)
        xy_N, _ = apply_offsets(xy_N, seen, predictor.skeleton, OFFSETS.get(target.name, ()), inverse=True)
    seen = np.full(xy_N.shape[:2], 2, np.int8)
    xy_target, _ = project(xy_N, seen, predictor.skeleton, target)
    index = project_indices(predictor.skeleton, target)
    score_target = np.where(index >= 0, np.concatenate(score)[:, index], 0.0)
    return Predictions(np.array(rows), xy_target, score_target, index >= 0, tuple(skipped))


def coco_scores(annotations: AnnotationSet, predictions: Predictions) -> dict[str, float]:
    """AP, AP50, AP75, AR by pycocotools and mean OKS, over the labelled people (ground-truth boxes).

    A person's score is the mean of its keypoint scores, as mmpose scores a given box.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ModuleNotFoundError as error:
        raise MissingExtraError("pycocotools", "train") from error
    document = annotations.source.document
    records = [annotations.records[i] for i in predictions.rows]
    results = []
    for record, xy, score in zip(records, predictions.xy, predictions.score, strict=True):
        keypoints = np.column_stack([xy, np.ones(len(xy))]).ravel().tolist()
        results.append(
            {"image_id": record["image_id"], "category_id": record["category_id"], "keypoints": keypoints}
            | {"score": float(score[predictions.known].mean())}
        )
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        # pycocotools marks "unmatched" by id 0, so a file that counts from 0 would lose its first person.
        numbered = [{**record, "id": number} for number, record in enumerate(document["annotations"], 1)]
        truth.dataset = {**document, "annotations": numbered}
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluation.params.kpt_oks_sigmas = annotations.skeleton.sigma_array
        evaluation.params.imgIds = sorted({r["image_id"] for r in records})
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    ap, ap50, ap75, _, _, ar = (100 * float(v) for v in evaluation.stats[:6])
    rows = predictions.rows
    area = np.array([r.get("area") or 0.0 for r in records])
    area = np.where(area > 0, area, area_from_box(annotations.box_xywh[rows]))
    similarity = oks(
        predictions.xy, annotations.xy[rows], annotations.visibility[rows], area, annotations.skeleton.sigma_array
    )
    return {"AP": ap, "AP50": ap50, "AP75": ap75, "AR": ar, "mean_OKS": 100 * float(np.nanmean(similarity))}


def pck_scores(annotations: AnnotationSet, predictions: Predictions, threshold: float = 0.2) -> dict[str, float]:
    """PCK at `threshold` torso lengths: per keypoint, over the 12 limbs (`PCK12`) and over all.

    People whose torso is not fully labelled have no normaliser and do not count.
    """
    rows, skeleton = predictions.rows, annotations.skeleton
    xy, visibility = annotations.xy[rows], annotations.visibility[rows]
    torso = torso_lengths(xy, visibility, skeleton)
    hits, counted = pck_hits(predictions.xy, xy, visibility, torso, threshold)
    hits, counted = hits & predictions.known, counted & predictions.known
    per_keypoint, mean = pck_rates(hits, counted)
    limbs = [k for k, name in enumerate(skeleton.keypoints) if name in PCK12]
    result = {"PCK12": 100 * float(hits[:, limbs].sum() / max(1, counted[:, limbs].sum())), "PCK": 100 * float(mean)}
    return result | {
        name: 100 * float(rate)
        for name, rate, known in zip(skeleton.keypoints, per_keypoint, predictions.known, strict=True)
        if known and np.isfinite(rate)
    }


def evaluate(
    predictor: Predictor,
    annotations_path: Path,
    images: Path,
    skeleton: str | None = None,
    head_boxes: Path | None = None,
) -> dict[str, Any]:
    """Everything that is measured of one model on one file.

    Args:
        head_boxes: for PCKh on MPII's json; see `head_sizes_of`.
    """
    annotations = read_annotations(annotations_path, skeleton=load_skeleton(skeleton) if skeleton else None)
    predictions = predict_people(predictor, annotations, images)
    result: dict[str, Any] = {"model": predictor.name, "people": len(predictions.rows), "skipped": predictions.skipped}
    if annotations.skeleton.name == "coco17":
        result["coco"] = coco_scores(annotations, predictions)
    result["pck"] = pck_scores(annotations, predictions)
    head_size_N = head_sizes_of(annotations, head_boxes)
    if np.isfinite(head_size_N).any():
        result["pckh"] = pckh_scores(annotations, predictions, head_size_N)
    return result
