"""Running the model over a file's people: which ones, in which order, in which batches.

People are ordered by the first mention of their picture, so that each picture is decoded once, and cut into chunks of
`CHUNK` by that order alone: batches never depend on where a run stopped. Pictures are read one at a time; the next
chunk's crops are cut while the network works on the last one's.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats.types import NO_HUMAN_KEYPOINT, AnnotationSet, ImageRef
from poseunion.models.errors import BadFileError, ItemError, ModelError
from poseunion.models.geometry import Crop
from poseunion.models.images import read_annotated_image
from poseunion.models.skeleton import Skeleton
from poseunion.models.types import PoseBatch

CHUNK = 64
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
        passed: reason -> how many records are passed through.
    """

    order: NDArray[np.int64]
    passed: dict[str, int]

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
    passed: Counter[str] = Counter()
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
        pose: (n, M, 3) float32 x, y, confidence.
        size_wh: (n, 2) int32 size of each record's picture, pixels.
        bad: (record index, why it could not be used).
    """

    chunk: int
    record: NDArray[np.int64]
    pose: NDArray[np.float32]
    size_wh: NDArray[np.int32]
    bad: list[tuple[int, str]]

    def to_line(self) -> dict[str, Any]:
        """As a journal line; float32 survives exactly."""
        return {
            "chunk": self.chunk,
            "records": self.record.tolist(),
            "pose": base64.b64encode(self.pose.astype("<f4").tobytes()).decode(),
            "size": self.size_wh.tolist(),
            "bad": self.bad,
        }

    @classmethod
    def from_line(cls, line: dict[str, Any], keypoints: int, path: Path) -> ChunkResult:
        """Back from a journal line; raises BadFileError."""
        try:
            records = np.array(line["records"], np.int64)
            pose = np.frombuffer(base64.b64decode(line["pose"], validate=True), "<f4").astype(np.float32)
            size = np.array(line["size"], np.int32).reshape(len(records), 2)
            bad = [(int(index), str(reason)) for index, reason in line["bad"]]
            return cls(int(line["chunk"]), records, pose.reshape(len(records), keypoints, 3), size, bad)
        except (KeyError, TypeError, ValueError) as error:
            raise BadFileError(f"{path} is damaged ({error}): start again with --overwrite.") from error


class Pictures:
    """Reads a set's pictures in the frame their annotations are in; keeps only the last one."""

    def __init__(self, annotations: AnnotationSet, folder: Path) -> None:
        self.annotations, self.folder = annotations, folder
        self._last: tuple[int, NDArray[np.uint8] | ItemError] = (-1, ItemError("no picture"))

    def path(self, image: ImageRef) -> Path:
        """Where a picture lies."""
        return self.folder / image.file_name

    def read(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB of picture `index`; raises ItemError."""
        if self._last[0] != index:
            image = self.annotations.images[index]
            try:
                self._last = (index, read_framed(self.path(image), image))
            except ItemError as error:
                self._last = (index, error)
        content = self._last[1]
        if isinstance(content, ItemError):
            raise content
        return content


def read_framed(path: Path, image: ImageRef) -> NDArray[np.uint8]:
    """A picture in the frame of its annotations: that of the stated size, else as stored. Raises ItemError."""
    stated = None if image.width is None or image.height is None else (image.width, image.height)
    return read_annotated_image(path, stated)


Cut = tuple[list[int], list[NDArray[np.uint8]], list[Crop], list[tuple[int, int]], list[tuple[int, str]]]


def cut_chunk(
    annotations: AnnotationSet, records: NDArray[np.int64], pictures: Pictures, predictor: PosePredictor
) -> Cut:
    """Crops of a chunk: usable records, crops, where they were cut, picture sizes; and the bad ones with reasons."""
    good, pixels, crops, sizes, bad = [], [], [], [], []
    for index in records.tolist():
        person = annotations.person(index)
        try:
            if np.isnan(person.box_xywh).any():
                raise ItemError("it has no bbox")
            picture = pictures.read(int(annotations.image_index[index]))
            pixel, crop = predictor.cut(picture, _grown(person.box_xywh, person.padding, predictor.padding))
        except ItemError as error:
            bad.append((index, str(error)))
            continue
        good.append(index)
        pixels.append(pixel)
        crops.append(crop)
        sizes.append((picture.shape[1], picture.shape[0]))
    return good, pixels, crops, sizes, bad


def _grown(box_xywh: NDArray[np.float64], padding: float | None, model_padding: float) -> NDArray[np.float64]:
    """The box which, padded by the model, shows what the dataset's own padding would show."""
    if padding is None or padding == model_padding:
        return box_xywh
    factor = padding / model_padding
    centre, extent = box_xywh[:2] + box_xywh[2:] / 2, box_xywh[2:] * factor
    return np.concatenate([centre - extent / 2, extent])


def predict_chunk(chunk: int, cut: Cut, predictor: PosePredictor) -> ChunkResult:
    """Run the network over a chunk's crops; raises ModelError when its output is not finite."""
    good, pixels, crops, sizes, bad = cut
    k = len(predictor.skeleton)
    pose = np.zeros((len(good), k, 3), np.float32)
    for start in range(0, len(good), predictor.batch_size):
        part = slice(start, start + predictor.batch_size)
        batch = predictor.predict_crops(np.stack(pixels[part]), crops[part])
        pose[part, :, :2], pose[part, :, 2] = batch.xy, batch.score
    if not np.isfinite(pose).all():
        raise ModelError(f"Model {predictor.name} gave a number that is not finite: the model file is broken.")
    return ChunkResult(chunk, np.array(good, np.int64), pose, np.array(sizes, np.int32).reshape(-1, 2), bad)


def run_chunks(
    annotations: AnnotationSet, work: Plan, todo: Sequence[int], pictures: Pictures, predictor: PosePredictor
) -> Iterator[ChunkResult]:
    """Results of the chunks `todo`, in that order; the next chunk is cut while this one is predicted."""
    with ThreadPoolExecutor(1, thread_name_prefix="crops") as pool:

        def submit(chunk: int) -> Future[Cut]:
            return pool.submit(cut_chunk, annotations, work.chunk(chunk), pictures, predictor)

        following = submit(todo[0]) if todo else None
        for position, chunk in enumerate(todo):
            assert following is not None
            cut = following.result()
            following = submit(todo[position + 1]) if position + 1 < len(todo) else None
            yield predict_chunk(chunk, cut, predictor)
