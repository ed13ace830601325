"""The units of `extend`: which people are predicted, in which order, in which batches, and how one chunk is done.

People are ordered by the first mention of their picture, so that each picture is decoded once, and cut into chunks of
`CHUNK` by that order alone: batches never depend on where a run stopped, nor on who works on a chunk (see `engines`).
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats.types import NO_HUMAN_KEYPOINT, UNUSABLE, AnnotationSet, ImageRef
from poseunion.models.definitions import OFFSETS, apply_offsets
from poseunion.models.errors import BadFileError, ItemError, ModelError
from poseunion.models.geometry import Crop
from poseunion.models.images import read_annotated_image
from poseunion.models.informed import InformedPredictor
from poseunion.models.picture_paths import picture_path
from poseunion.models.router import RoutedPredictor, shares
from poseunion.models.skeleton import Skeleton, derive_midpoints, project
from poseunion.models.types import PoseBatch

CHUNK = 64
# Of a prediction: x, y, confidence, standard deviation, disagreement; the last two NaN without evidence.
COLUMNS = 5
BEYOND_LIMIT = "beyond --limit"


class PosePredictor(Protocol):
    """What `extend` needs of a model; `poseunion.models.predictor.Predictor` is one."""

    name: str
    sha256: str
    provider: str
    skeleton: Skeleton
    size_wh: tuple[int, int]
    padding: float
    batch_size: int
    metadata: Any

    def cut(self, image: NDArray[np.uint8], box_xywh: Any) -> tuple[NDArray[np.uint8], Crop]:
        """One person's crop; raises ItemError."""

    def predict_crops(self, crop_NHW3: NDArray[np.uint8], crops: Sequence[Crop]) -> PoseBatch:
        """Keypoints in image pixels."""


@dataclass(frozen=True)
class Plan:
    """Which records are predicted, in which order.

    Attributes:
        order: record indices, people of one picture together.
        passed: reason -> how many people are not predicted: records, and people of the raw file without a record.
    """

    order: NDArray[np.int64]
    passed: dict[str, int]

    @property
    def unusable(self) -> int:
        """People who cannot be used by a fault of the file, known before any is predicted."""
        return sum(count for reason, count in self.passed.items() if reason in UNUSABLE)

    @property
    def people(self) -> int:
        """People of the raw file, of all categories and classes."""
        return len(self.order) + sum(self.passed.values())

    def reasons(self) -> str:
        """Why people are left out, in one line."""
        return "; ".join(f"{count}: {reason}" for reason, count in sorted(self.passed.items()))

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-len(self.order) // CHUNK)

    def chunk(self, index: int) -> NDArray[np.int64]:
        """Record indices of one chunk."""
        return self.order[index * CHUNK : (index + 1) * CHUNK]


def plan(annotations: AnnotationSet, *, limit: int | None = None, unlabelled: bool = False) -> Plan:
    """Choose and order the people to be predicted.

    Args:
        limit: only the first so many, in the file's order.
        unlabelled: also people without any human keypoint.
    """
    passed: Counter[str] = Counter(annotations.unread)
    chosen: list[int] = []
    for index in range(len(annotations)):
        reason = annotations.skip.get(index)
        if reason == NO_HUMAN_KEYPOINT and unlabelled:
            reason = None
        if reason is None and limit is not None and len(chosen) >= limit:
            reason = BEYOND_LIMIT
        if reason is None:
            chosen.append(index)
        else:
            passed[reason] += 1
    first: dict[int, int] = {}
    for index in chosen:
        first.setdefault(int(annotations.image_index[index]), len(first))
    chosen.sort(key=lambda i: first[int(annotations.image_index[i])])  # stable: file order within a picture
    return Plan(np.array(chosen, np.int64), dict(passed))


@dataclass(frozen=True)
class ChunkResult:
    """Predictions of one chunk.

    Attributes:
        record: (n,) indices of the records that were predicted.
        pose: (n, M, 5) float32, see `COLUMNS`.
        size_wh: (n, 2) int32 size of each record's picture, pixels.
        bad: (record index, why it could not be used).
        stamps: picture -> its size in bytes and its time of change, ns, as the chunk has seen it.
    """

    chunk: int
    record: NDArray[np.int64]
    pose: NDArray[np.float32]
    size_wh: NDArray[np.int32]
    bad: list[tuple[int, str]]
    stamps: dict[str, tuple[int, int]] = field(default_factory=dict)

    def to_line(self) -> dict[str, Any]:
        """As a journal line; float32 survives exactly."""
        return {
            "chunk": self.chunk,
            "records": self.record.tolist(),
            "pose": base64.b64encode(self.pose.astype("<f4").tobytes()).decode(),
            "size": self.size_wh.tolist(),
            "bad": self.bad,
            "stamps": self.stamps,
        }

    @classmethod
    def from_line(cls, line: dict[str, Any], keypoints: int, path: Path) -> ChunkResult:
        """Back from a journal line; raises BadFileError."""
        try:
            records = np.array(line["records"], np.int64)
            pose = np.frombuffer(base64.b64decode(line["pose"], validate=True), "<f4").astype(np.float32)
            size = np.array(line["size"], np.int32).reshape(len(records), 2)
            bad = [(int(index), str(reason)) for index, reason in line["bad"]]
            pose = pose.reshape(len(records), keypoints, COLUMNS)
            if not np.isfinite(pose[..., :3]).all() or (np.abs(pose[..., 2] - 0.5) > 0.5 + 1e-6).any():
                raise ValueError("a prediction is out of range")
            if (size < 1).any():
                raise ValueError("the size of a picture is out of range")
            stamps = {str(name): (int(n), int(t)) for name, (n, t) in line["stamps"].items()}
            return cls(int(line["chunk"]), records, pose, size, bad, stamps)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise BadFileError(f"{path} is damaged ({error}): start again with --overwrite.") from error


class Person(NamedTuple):
    """One person of a task.

    Attributes:
        record: index in the annotation file.
        box_xywh: image pixels; NaN where the record has no box. The model pads it.
        known: (M, 3) what humans labelled, in the model's keypoints and definitions: x, y, visibility; None: not told.
    """

    record: int
    image: ImageRef
    box_xywh: tuple[float, float, float, float]
    known: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Task:
    """All that predicting one chunk needs of the annotation file: small, and picklable for workers elsewhere."""

    chunk: int
    persons: tuple[Person, ...]


def task_of(
    annotations: AnnotationSet,
    chunk: int,
    records: NDArray[np.int64],
    told: Skeleton | None = None,
) -> Task:
    """The task that predicts `records`.

    Args:
        told: the skeleton of a model that is to know what humans labelled.
    """
    known = [None] * len(records) if told is None else list(known_joints(annotations, records, told))
    return Task(
        chunk,
        tuple(
            Person(
                index,
                annotations.images[int(annotations.image_index[index])],
                _box_of(annotations, index),
                joints,
            )
            for index, joints in zip(records.tolist(), known, strict=True)
        ),
    )


def known_joints(annotations: AnnotationSet, records: NDArray[np.int64], model: Skeleton) -> NDArray[np.float64]:
    """(n, M, 3) what humans labelled and what follows from it, in the model's keypoints and definitions.

    A keypoint whose definition differs and cannot be converted is not known.
    """
    dataset = annotations.skeleton
    xy, visibility = apply_offsets(
        annotations.xy[records], annotations.visibility[records], dataset, OFFSETS.get(dataset.name, ())
    )
    xy, visibility, _ = derive_midpoints(*project(xy, visibility, dataset, model), model)
    return np.concatenate([xy, visibility[..., None]], -1)


def taken_by(annotations: AnnotationSet, records: NDArray[np.int64], predictor: RoutedPredictor) -> list[str]:
    """The model that predicts each of `records`, by its box."""
    return predictor.names(annotations.box_xywh[records].reshape(-1, 4))


def _box_of(annotations: AnnotationSet, index: int) -> tuple[float, float, float, float]:
    x, y, w, h = annotations.box_xywh[index].tolist()
    return x, y, w, h


class Pictures:
    """Reads pictures in the frame their annotations are in; keeps only the last one. For one thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._last: tuple[ImageRef | None, NDArray[np.uint8] | ItemError] = (None, ItemError("no picture"))

    def path(self, image: ImageRef) -> Path:
        """Where a picture lies."""
        return picture_path(self.folder, image.file_name)

    def stamp(self, file_name: str) -> tuple[int, int] | None:
        """Size in bytes and time of change, ns, of a picture; None where there is none."""
        try:
            found = picture_path(self.folder, file_name).stat()
        except (OSError, ValueError):
            return None
        return found.st_size, found.st_mtime_ns

    def unchanged(self, stamps: dict[str, tuple[int, int]]) -> bool:
        """Are these pictures those that were read?"""
        return all(self.stamp(name) == stamp for name, stamp in stamps.items())

    def read(self, image: ImageRef) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB; raises ItemError."""
        if self._last[0] != image:
            try:
                self._last = (image, read_framed(self.path(image), image))
            except ItemError as error:
                self._last = (image, error)
        content = self._last[1]
        if isinstance(content, ItemError):
            raise content
        return content


def read_framed(path: Path, image: ImageRef) -> NDArray[np.uint8]:
    """A picture in the frame of its annotations: that of the stated size, else as stored. Raises ItemError."""
    stated = None if image.width is None or image.height is None else (image.width, image.height)
    return read_annotated_image(path, stated)


@dataclass
class Cut:
    """A task's crops.

    Attributes:
        record: the usable records.
        pixels, crops, size_wh, known: of each of them: what was cut, where, and out of a picture of which size; and
            what the model is told, see `Person`.
        bad: (record, why it cannot be used).
        stamps: of the pictures, see `ChunkResult`.
    """

    record: list[int]
    pixels: list[NDArray[np.uint8]]
    crops: list[Crop]
    size_wh: list[tuple[int, int]]
    known: list[NDArray[np.float64] | None]
    bad: list[tuple[int, str]]
    stamps: dict[str, tuple[int, int]] = field(default_factory=dict)


def cut_task(task: Task, pictures: Pictures, predictor: PosePredictor) -> Cut:
    """Decode a task's pictures and cut its people out."""
    cut = Cut([], [], [], [], [], [])
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
        cut.known.append(person.known)
    return cut


def predict_cut(chunk: int, cut: Cut, predictor: PosePredictor) -> ChunkResult:
    """Run the network over a chunk's crops; raises ModelError when its output is not finite."""
    pose = np.full((len(cut.record), len(predictor.skeleton), COLUMNS), np.nan, np.float32)
    for model, rows in shares(predictor, cut.crops):
        for start in range(0, len(rows), model.batch_size):
            part = rows[start : start + model.batch_size]
            pixels, crops = np.stack([cut.pixels[i] for i in part]), [cut.crops[i] for i in part]
            known = [k for k in (cut.known[i] for i in part) if k is not None]
            if isinstance(model, InformedPredictor) and known:
                size_wh = np.array([cut.size_wh[i] for i in part], np.float64)
                pose[part] = model.propose(pixels, crops, np.stack(known), size_wh)
                continue
            batch = model.predict_crops(pixels, crops)
            pose[part, :, :2], pose[part, :, 2] = batch.xy, batch.score
    if not np.isfinite(pose[..., :3]).all():
        raise ModelError(f"Model {predictor.name} gave a number that is not finite: the model file is broken.")
    return ChunkResult(
        chunk, np.array(cut.record, np.int64), pose, np.array(cut.size_wh, np.int32).reshape(-1, 2), cut.bad, cut.stamps
    )
