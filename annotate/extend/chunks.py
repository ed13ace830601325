"""Prediction of one chunk of people: its task, its crops, and its result as a line of the journal."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.extend.image_reader import Pictures, Stamp
from poseunion.annotate.extend.predictions import Predictions
from poseunion.annotate.extend.requested_keypoints import Asked
from poseunion.annotate.formats.types import AnnotationSet, ImageRef
from poseunion.models.calibration.annotator_model import AnnotatorModel
from poseunion.models.codec.crop import Crop
from poseunion.models.errors import BadFileError, ItemError, ModelError
from poseunion.models.inference.interface import PosePredictor
from poseunion.models.keypoint_offsets import OFFSETS, to_model_keypoints
from poseunion.models.skeleton import Skeleton


@dataclass(frozen=True)
class ChunkResult:
    """Predictions of one chunk.

    Attributes:
        record: (n,) indices of the records that were predicted.
        predictions: of them.
        size_wh: (n, 2) int32 size of each record's picture, pixels.
        bad: (record index, why it could not be used).
        stamps: picture -> its size and time, or checksum, when the chunk was predicted.
    """

    chunk: int
    record: NDArray[np.int64]
    predictions: Predictions
    size_wh: NDArray[np.int32]
    bad: list[tuple[int, str]]
    stamps: dict[str, Stamp] = field(default_factory=dict)

    def to_line(self) -> dict[str, Any]:
        """As a journal line; float32 survives exactly."""
        return {
            "chunk": self.chunk,
            "records": self.record.tolist(),
            "pose": base64.b64encode(self.predictions.to_bytes()).decode(),
            "size": self.size_wh.tolist(),
            "bad": self.bad,
            "stamps": self.stamps,
            **({} if self.predictions.model is None else {"models": list(self.predictions.model)}),
        }

    @classmethod
    def from_line(cls, line: dict[str, Any], keypoints: int, path: Path) -> ChunkResult:
        """Back from a journal line; raises BadFileError."""
        try:
            records = np.array(line["records"], np.int64)
            models = tuple(str(name) for name in line["models"]) if "models" in line else None
            content = base64.b64decode(line["pose"], validate=True)
            predictions = Predictions.from_bytes(content, len(records), keypoints, models)
            size = np.array(line["size"], np.int32).reshape(len(records), 2)
            bad = [(int(index), str(reason)) for index, reason in line["bad"]]
            if not predictions.is_finite() or (np.abs(predictions.score - 0.5) > 0.5 + 1e-6).any():
                raise ValueError("a prediction is out of range")
            if (size < 1).any():
                raise ValueError("the size of a picture is out of range")
            stamps = {str(name): _stamp_of(value) for name, value in line["stamps"].items()}
            return cls(int(line["chunk"]), records, predictions, size, bad, stamps)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise BadFileError(f"{path} is damaged ({error}): start again with --overwrite.") from error


def _stamp_of(value: Any) -> Stamp:
    """A stamp of a journal line; raises ValueError or TypeError."""
    if isinstance(value, str):
        return value
    size, time = value
    return int(size), int(time)


class Person(NamedTuple):
    """One person of a task.

    Attributes:
        record: index in the annotation file.
        box_xywh: image pixels; NaN where the record has no box. The model pads it.
        labels: (M, 3) labelled keypoints in the model's order and definitions: x, y, visibility; None: not used.
        wanted: (M,) with labels: the keypoints that the output depends on; None: all.
    """

    record: int
    image: ImageRef
    box_xywh: tuple[float, float, float, float]
    labels: NDArray[np.float64] | None = None
    wanted: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Task:
    """All that predicting one chunk needs of the annotation file: small, and picklable for workers elsewhere."""

    chunk: int
    persons: tuple[Person, ...]


def task_of(
    annotations: AnnotationSet,
    chunk: int,
    records: NDArray[np.int64],
    conditioned: Skeleton | None = None,
    asked: Asked | None = None,
    labelling: AnnotatorModel | None = None,
) -> Task:
    """The task that predicts `records`.

    Args:
        conditioned: the skeleton of a model that uses labelled keypoints.
        asked: what is proposed, and with it `labelling`, see `complete`; None: all keypoints are predicted.
    """
    labels: list[Any] = [None] * len(records)
    wanted: list[Any] = [None] * len(records)
    if conditioned is not None:
        labels = list(_labels(annotations, records, conditioned))
        if asked is not None:
            visibility, dataset = annotations.visibility[records], annotations.skeleton
            wanted = list(asked.to_predict(visibility, dataset, conditioned, labelling))
    return Task(
        chunk,
        tuple(
            Person(
                index,
                annotations.images[int(annotations.image_index[index])],
                _box_of(annotations, index),
                *of_model,
            )
            for index, *of_model in zip(records.tolist(), labels, wanted, strict=True)
        ),
    )


def _labels(annotations: AnnotationSet, records: NDArray[np.int64], model: Skeleton) -> NDArray[np.float64]:
    """(n, M, 3) labelled keypoints and midpoints of them, in the model's order and definitions."""
    dataset = annotations.skeleton
    xy, visibility = to_model_keypoints(
        annotations.xy[records], annotations.visibility[records], dataset, model, OFFSETS.get(dataset.name, ())
    )
    return np.concatenate([xy, visibility[..., None]], -1)


def _box_of(annotations: AnnotationSet, index: int) -> tuple[float, float, float, float]:
    x, y, w, h = annotations.box_xywh[index].tolist()
    return x, y, w, h


@dataclass
class Cut:
    """A task's crops.

    Attributes:
        record: the usable records.
        pixels, crops, size_wh, labels, wanted: of each of them: the crop, its place, the size of its picture, and
            `Person`'s.
        bad: (record, why it cannot be used).
        stamps: of the pictures, see `ChunkResult`.
    """

    record: list[int]
    pixels: list[NDArray[np.uint8]]
    crops: list[Crop]
    size_wh: list[tuple[int, int]]
    labels: list[NDArray[np.float64] | None]
    wanted: list[NDArray[np.bool_] | None]
    bad: list[tuple[int, str]]
    stamps: dict[str, Stamp] = field(default_factory=dict)


def cut_task(task: Task, pictures: Pictures, predictor: PosePredictor) -> Cut:
    """Decode a task's pictures and cut its people out."""
    cut = Cut([], [], [], [], [], [], [])
    for person in task.persons:
        try:
            if person.image.file_name not in cut.stamps and (stamp := pictures.stamp(person.image.file_name)):
                cut.stamps[person.image.file_name] = stamp  # before it is read: a later change shows
            if any(v != v for v in person.box_xywh):
                raise ItemError("it has no bbox")
            picture = pictures.read(person.image)
            pixels, crop = predictor.cut(picture, person.box_xywh)
        except ItemError as error:
            cut.bad.append((person.record, str(error)))
            continue
        cut.record.append(person.record)
        cut.pixels.append(pixels)
        cut.crops.append(crop)
        cut.size_wh.append((picture.shape[1], picture.shape[0]))
        cut.labels.append(person.labels)
        cut.wanted.append(person.wanted)
    return cut


def predict_cut(chunk: int, cut: Cut, predictor: PosePredictor) -> ChunkResult:
    """Run the network over a chunk's crops; raises ModelError when its output is not finite."""
    found = Predictions.empty(len(cut.record), len(predictor.skeleton))
    models = np.full(len(cut.record), "", object)
    for model, rows in predictor.assign(cut.crops):
        models[rows] = model.name
        for start in range(0, len(rows), model.batch_size):
            part = rows[start : start + model.batch_size]
            pixels, crops = np.stack([cut.pixels[i] for i in part]), [cut.crops[i] for i in part]
            size_wh = np.array([cut.size_wh[i] for i in part], np.float64)
            labels, wanted = (_stacked(values, part) for values in (cut.labels, cut.wanted))
            found.put(part, model.predict_crops(pixels, crops, labels, size_wh, wanted))
    if predictor.route:
        found = replace(found, model=tuple(models))
    if not found.is_finite():
        raise ModelError(f"Model {predictor.name} returned a number that is not finite: the model file is damaged.")
    record, sizes = np.array(cut.record, np.int64), np.array(cut.size_wh, np.int32).reshape(-1, 2)
    return ChunkResult(chunk, record, found, sizes, cut.bad, cut.stamps)


def _stacked(values: Sequence[NDArray[Any] | None], rows: NDArray[np.intp]) -> NDArray[Any] | None:
    """Those of some people, (n, …); None where they have none."""
    given = [value for i in rows if (value := values[i]) is not None]
    return np.stack(given) if given else None
