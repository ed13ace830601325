"""Predictions of the people of a file, in the file's own skeleton and definitions. No torch: see `Predictor`.

Shapes: N people, K keypoints of the data set, D detected boxes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from poseunion.annotate.formats import AnnotationSet
from poseunion.models.errors import BadFileError, ItemError
from poseunion.models.images import read_annotated_image
from poseunion.models.keypoint_offsets import IN_UNION_DEFINITIONS, MODEL_OFFSETS, OFFSETS, apply_offsets
from poseunion.models.metrics import area_from_box, oks
from poseunion.models.picture_paths import picture_path, refuse_wrong_folder
from poseunion.models.poses.batch import PoseBatch
from poseunion.models.progress import track
from poseunion.models.skeleton import Skeleton, project, project_indices
from poseunion.training.evaluation.detections_file import Boxes


class PoseReader(Protocol):
    """Model under evaluation: a `Predictor`, or several read as one.

    Attributes:
        padding: how much of the surroundings its crops show, as a factor on the person's box.
    """

    @property
    def name(self) -> str: ...

    @property
    def skeleton(self) -> Skeleton: ...

    @property
    def padding(self) -> float: ...

    def __call__(self, image: NDArray[np.uint8], boxes_xywh: ArrayLike, /) -> PoseBatch: ...


@dataclass(frozen=True)
class Predictions:
    """A model's keypoints of labelled people: one row a person.

    Attributes:
        rows: (N,) record index of each person.
        xy: (N, K, 2) image px; 0 where the model lacks the keypoint, NaN where no person was found.
        score: (N, K).
        known: (K,) which keypoints the model predicts.
        skipped: (picture, reason).
        in_picture: (N, K) see `PoseBatch`; None: the model has none.
    """

    rows: NDArray[np.intp]
    xy: NDArray[np.float64]
    score: NDArray[np.float64]
    known: NDArray[np.bool_]
    skipped: tuple[tuple[str, str], ...]
    in_picture: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Detected:
    """A model's keypoints in boxes that need not belong to a person: the input of AP.

    Attributes:
        image: (D,) index of each one's picture.
        xy: (D, K, 2) image px; 0 where the model lacks the keypoint.
        score: (D, K).
        box_score: (D,) of the detector; 1 for a ground-truth box.
        known: (K,) which keypoints the model predicts.
        searched: (I,) pictures whose people were to be found; others do not count.
        skipped: (picture, reason).
        in_picture: (D, K) see `PoseBatch`; None: the model has none.
    """

    image: NDArray[np.intp]
    xy: NDArray[np.float64]
    score: NDArray[np.float64]
    box_score: NDArray[np.float64]
    known: NDArray[np.bool_]
    searched: NDArray[np.intp]
    skipped: tuple[tuple[str, str], ...]
    in_picture: NDArray[np.float64] | None = None


def predict_people(predictor: PoseReader, annotations: AnnotationSet, images: Path) -> Predictions:
    """Run a model on the ground-truth boxes, or on the crops of the dataset's protocol, of all labelled people."""
    wanted: dict[int, list[tuple[int, NDArray[np.float64]]]] = {}
    boxes, protocol = annotations.box_xywh, annotations.protocol
    if protocol is not None:
        boxes = grown(protocol.xywh, protocol.padding / predictor.padding)
    for record in annotations.persons():
        box = boxes[record.index]
        if record.skip is None and record.image is not None and np.isfinite(box).all():
            wanted.setdefault(int(annotations.image_index[record.index]), []).append((record.index, box))
    rows, poses, skipped = _run(predictor, annotations, images, wanted)
    if not len(rows):
        raise BadFileError(
            f"No person of {annotations.source.path} could be predicted: {skipped[:1] or 'no labelled person'}."
        )
    target = annotations.skeleton
    xy, score, known = in_skeleton(poses.xy, poses.score, poses.skeleton, target, predictor.name)
    return Predictions(rows, xy, score, known, tuple(skipped), _in_picture(poses, target))


def predict_boxes(predictor: PoseReader, annotations: AnnotationSet, images: Path, boxes: Boxes) -> Detected:
    """Run a model on a detector's boxes."""
    wanted: dict[int, list[tuple[int, NDArray[np.float64]]]] = {}
    for number, (image, box) in enumerate(zip(boxes.image, boxes.xywh, strict=True)):
        wanted.setdefault(int(image), []).append((number, box))
    rows, poses, skipped = _run(predictor, annotations, images, wanted)
    if not len(rows):
        raise BadFileError(f"No person in the boxes of {boxes.path} could be predicted: {skipped[:1] or 'no box'}.")
    target = annotations.skeleton
    xy, score, known = in_skeleton(poses.xy, poses.score, poses.skeleton, target, predictor.name)
    unreadable = {name for name, _ in skipped}
    searched = np.array([i for i, ref in enumerate(annotations.images) if ref.file_name not in unreadable], np.intp)
    found = boxes.image[rows], xy, score, boxes.score[rows], known, searched, tuple(skipped)
    return Detected(*found, _in_picture(poses, target))


def as_detected(annotations: AnnotationSet, predictions: Predictions) -> Detected:
    """Predictions on ground-truth boxes as if a detector of score 1 had found everyone."""
    image = annotations.image_index[predictions.rows].astype(np.intp)
    ones = np.ones(len(image))
    return Detected(
        image=image,
        xy=predictions.xy,
        score=predictions.score,
        box_score=ones,
        known=predictions.known,
        searched=np.unique(image),
        skipped=predictions.skipped,
        in_picture=predictions.in_picture,
    )


def matched(annotations: AnnotationSet, detected: Detected) -> Predictions:
    """For every labelled person the pose in the picture that is most like it (OKS); NaN where there is none.

    PCK and the gallery concern labelled people. Two that overlap may get the same pose: AP counts that as an error.
    """
    rows = np.array(
        [
            record.index
            for record in annotations.persons()
            if record.skip is None and annotations.image_index[record.index] in detected.searched
        ],
        np.intp,
    )
    k = len(annotations.skeleton)
    xy, score = np.full((len(rows), k, 2), np.nan), np.zeros((len(rows), k))
    area = person_areas(annotations, rows)
    for i, row in enumerate(rows):
        here = np.flatnonzero(detected.image == annotations.image_index[row])
        if len(here):
            truth, visibility = annotations.xy[row], annotations.visibility[row]
            many = len(here)
            similarity = oks(
                detected.xy[here],
                np.broadcast_to(truth, (many, k, 2)),
                np.broadcast_to(visibility, (many, k)),
                np.full(many, area[i]),
                annotations.skeleton.sigma_array,
            )
            best = here[int(np.argmax(similarity))]
            xy[i], score[i] = detected.xy[best], detected.score[best]
    return Predictions(rows, xy, score, detected.known, detected.skipped)


def person_areas(annotations: AnnotationSet, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """(N,) square px: the record's `area`, as COCO has it from the segmentation, else .53 of its box."""
    records = annotations.records
    stated = [records[i].get("area") if isinstance(records[i], dict) else None for i in rows]
    area = np.array([a if isinstance(a, (int, float)) else 0.0 for a in stated], np.float64)
    return np.where(area > 0, area, np.nan_to_num(area_from_box(annotations.box_xywh[rows])))


def in_skeleton(
    xy_NK2: NDArray[np.floating],
    score_NK: NDArray[np.floating],
    source: Skeleton,
    target: Skeleton,
    model: str = "",
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """A model's keypoints in a data set's order and definitions: xy, score, and which keypoints the model has.

    Args:
        model: name of its description, for its offsets.
    """
    xy_N = np.asarray(xy_NK2, np.float64)
    seen = np.full(xy_N.shape[:2], 2, np.int8)
    xy_N, _ = apply_offsets(xy_N, seen, source, MODEL_OFFSETS.get(model, ()))
    # A model trained in the union's definitions is scored in the data set's own.
    if source.name in IN_UNION_DEFINITIONS:
        xy_N, _ = apply_offsets(xy_N, seen, source, OFFSETS.get(target.name, ()), inverse=True)
    xy_target, _ = project(xy_N, seen, source, target)
    return xy_target, _in_order(score_NK, source, target), project_indices(source, target) >= 0


def _in_order(value_NK: NDArray[np.floating], source: Skeleton, target: Skeleton) -> NDArray[np.float64]:
    """A value of each keypoint in another skeleton's order; 0 where `source` lacks the keypoint."""
    index = project_indices(source, target)
    return np.where(index >= 0, np.asarray(value_NK, np.float64)[:, index], 0.0)


def _run(
    predictor: PoseReader,
    annotations: AnnotationSet,
    images: Path,
    wanted: Mapping[int, list[tuple[int, NDArray[np.float64]]]],
) -> tuple[NDArray[np.intp], PoseBatch, list[tuple[str, str]]]:
    """Numbers and poses of the boxes that could be predicted, and (picture, reason) of the rest.

    Args:
        wanted: index of a picture -> (number, xywh) of each of its boxes.
    """
    numbers: list[int] = []
    found: list[PoseBatch] = []
    skipped: list[tuple[str, str]] = []
    refuse_wrong_folder(images, (annotations.images[i].file_name for i in wanted), annotations.source.path)
    for position, people in track(wanted.items(), f"{predictor.name}"):
        ref = annotations.images[position]
        try:
            wh = (ref.width, ref.height) if ref.width and ref.height else None
            path = picture_path(images, ref.file_name)
            picture = read_annotated_image(path, wh)
        except ItemError as error:
            skipped.append((ref.file_name, str(error)))
            continue
        try:
            batches = [(people, predictor(picture, np.stack([box for _, box in people])))]
        except ItemError:  # one bad box must not lose its picture's other people
            batches = []
            for person in people:
                try:
                    batches.append(([person], predictor(picture, person[1][None])))
                except ItemError as error:
                    skipped.append((f"{ref.file_name}, person {person[0]}", str(error)))
        for part, poses in batches:
            numbers += [number for number, _ in part]
            found.append(replace(poses, image=None))  # the pictures would fill the memory
    whole = PoseBatch.concatenate(found) if found else PoseBatch.empty(predictor.skeleton)
    return np.array(numbers, np.intp), whole, skipped


def _in_picture(poses: PoseBatch, target: Skeleton) -> NDArray[np.float64] | None:
    """(N, K) in a data set's order; 0 where the model lacks the keypoint."""
    return None if poses.in_picture is None else _in_order(poses.in_picture, poses.skeleton, target)


def grown(box_xywh_N4: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """(N, 4) boxes grown about their centres, so that a model's padding shows what a protocol's own would show."""
    extent = box_xywh_N4[:, 2:]
    return np.concatenate([box_xywh_N4[:, :2] + extent * (1 - factor) / 2, extent * factor], 1)
