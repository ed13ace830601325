"""`predict` on a video: detect, follow, place keypoints, smooth, draw; a line of generators, so memory stays flat.

Threads detect, place and draw small parts of the video, each with networks of one thread; what has to go frame by
frame (decoding, following, smoothing, encoding) runs in between, in the main thread.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.extend.executor import ahead
from poseunion.app import pose_records
from poseunion.app.predict.inputs import InputFile
from poseunion.app.predict.openpose import FOLDER_ENDING
from poseunion.app.predict.people import Boxed, People, estimate_poses, usable
from poseunion.app.predict.pictures import Progress
from poseunion.app.predict.settings import COCO, PredictSettings
from poseunion.app.predict.smooth import OneEuro
from poseunion.app.predict.tracks import NO_TRACK, Tracker
from poseunion.app.predict.video_file import Frame, VideoReader, VideoWriter
from poseunion.models.errors import ItemError

ENDING = ".poses.json"
# Frames that a thread takes at a time, decoded: enough people for a network call, and little memory.
PART_FRAMES = 8
PART_PIXELS = 8_000_000
# More threads wait for Python's lock, and hold frames meanwhile.
MOST_WORKERS = 8
# Seconds without a box after which a track's filter is dropped.
FORGOTTEN_S = 5.0
WHITE, BLACK = (255, 255, 255), (25, 25, 30)

F = TypeVar("F")
T = TypeVar("T")


@dataclass(frozen=True)
class TrackedFrame:
    """A frame, its boxes with track numbers, and later its people."""

    frame: Frame
    boxes: Boxed
    track: NDArray[np.int64]
    people: People | None = None

    @property
    def size_wh(self) -> tuple[int, int]:
        """Of the frame, pixels."""
        return self.frame.image.shape[1], self.frame.image.shape[0]


@dataclass(frozen=True)
class VideoReport:
    """Report of a video.

    Attributes:
        frames: that were read.
        tracks: different people that were followed.
        damaged: parts of the file that could not be decoded.
    """

    name: str
    file: str
    video: str | None
    frames: int
    people: int
    tracks: int
    damaged: int
    seconds: float


def outputs(given: InputFile, out: Path, settings: PredictSettings) -> tuple[Path, Path]:
    """The json, or of OpenPose's format the folder of them, and the video that `predict_video` writes."""
    target = out / given.name
    poses = target.with_suffix(ENDING) if settings.format == COCO else target.with_name(target.stem + FOLDER_ENDING)
    return poses, target.with_suffix(".mp4")


def frame_name(given: InputFile, index: int) -> str:
    """Name of a frame in the file, as of a picture in a folder of the video's name."""
    return f"{Path(given.name).with_suffix('').as_posix()}/{index:06d}.jpg"


def predict_video(given: InputFile, out: Path, settings: PredictSettings, progress: Progress) -> VideoReport:
    """Find and follow people in a video; its two files appear when both are whole.

    Raises:
        ItemError: it cannot be read. MissingExtraError: the packages for videos are not installed.
    """
    started = time.perf_counter()
    json_path, video_path = outputs(given, out, settings)
    with VideoReader(given.path, settings.every) as reader, settings.output(json_path.parent) as written:
        frames = iter(reader)
        first = next(frames, None)
        if first is None:
            raise ItemError("has no frame that can be decoded")
        json_path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".poseunion-", dir=json_path.parent) as folder:
            part = Path(folder) / video_path.name
            writer = VideoWriter(part, reader.frames_per_s) if settings.overlays else None
            tracks: set[int] = set()
            with writer or contextlib.nullcontext():
                for seen, drawn in _results(chain([first], frames), reader, given, settings):
                    assert seen.people is not None
                    tracks.update(set(seen.track.tolist()) - {NO_TRACK})
                    view = settings.view(seen.people.poses)
                    name = frame_name(given, seen.frame.index)
                    facts = {"frame": seen.frame.index, "time_s": round(seen.frame.time_s, 4)}
                    written.add(name, seen.size_wh, seen.people, view, settings.threshold, **facts)
                    if writer is not None:
                        writer.add(drawn, seen.frame.time_s)
                    progress(written.images, max(reader.count, written.images))
            written.write(json_path)
            if writer is not None:
                part.replace(video_path)
        return VideoReport(
            name=given.name,
            file=str(json_path),
            video=str(video_path) if settings.overlays else None,
            frames=written.images,
            people=written.people,
            tracks=len(tracks),
            damaged=reader.damaged,
            seconds=round(time.perf_counter() - started, 3),
        )


def _results(
    frames: Iterator[Frame], reader: VideoReader, given: InputFile, settings: PredictSettings
) -> Iterator[tuple[TrackedFrame, NDArray[np.uint8]]]:
    """Every frame with its people, and drawn."""
    workers = min(settings.workers, MOST_WORKERS)
    pool = ThreadPoolExecutor(workers)

    def detect(part: list[Frame]) -> list[tuple[Frame, Boxed]]:
        return [(frame, _boxes(frame, given, settings)) for frame in part]

    def pose(part: list[TrackedFrame]) -> list[TrackedFrame]:
        found = estimate_poses(settings.predictor, [seen.frame.image for seen in part], [seen.boxes for seen in part])
        return [
            dataclasses.replace(s, people=dataclasses.replace(f, track=s.track))
            for s, f in zip(part, found, strict=True)
        ]

    def draw(part: list[TrackedFrame]) -> list[tuple[TrackedFrame, NDArray[np.uint8]]]:
        return [(seen, _drawn(seen, settings)) for seen in part]

    try:
        detected = _each(ahead(pool, detect, _parts(frames, lambda frame: frame.image), workers))
        followed = _followed(detected, settings, float(reader.frames_per_s))
        placed = _each(ahead(pool, pose, _parts(followed, _image), workers))
        smoothed = _smoothed(placed) if settings.smooth else placed
        yield from _each(ahead(pool, draw, _parts(smoothed, _image), workers))
    finally:
        pool.shutdown(cancel_futures=True)


def _image(seen: TrackedFrame) -> NDArray[np.uint8]:
    return seen.frame.image


def _boxes(frame: Frame, given: InputFile, settings: PredictSettings) -> Boxed:
    if settings.boxes is None:
        assert settings.finder is not None
        return settings.finder.all(frame.image)
    box = settings.boxes.get(frame_name(given, frame.index), np.zeros((0, 4)))
    box = box[usable(box, (frame.image.shape[1], frame.image.shape[0]))]
    return box, np.ones(len(box), np.float32)


def _followed(
    detected: Iterator[tuple[Frame, Boxed]], settings: PredictSettings, frames_per_s: float
) -> Iterator[TrackedFrame]:
    """Frames with track numbers, one behind: a track has its number from its first box on."""
    tracker = Tracker(0.5 if settings.finder is None else settings.finder.threshold, frames_per_s)
    before: TrackedFrame | None = None
    for frame, (box, score) in detected:
        assert score is not None
        boxes, track = tracker((box, score))
        if before is not None:
            named = tracker.name_before((before.boxes[0], before.track), (boxes[0], track))
            yield dataclasses.replace(before, track=named)
        before = TrackedFrame(frame, boxes, track)
    if before is not None:
        yield before


def _smoothed(placed: Iterator[TrackedFrame]) -> Iterator[TrackedFrame]:
    filters: dict[int, tuple[OneEuro, float]] = {}
    for seen in placed:
        assert seen.people is not None
        poses, now_s = seen.people.poses, seen.frame.time_s
        xy = poses.xy.copy()
        for n, track in enumerate(seen.track.tolist()):
            if track != NO_TRACK:
                smooth = filters[track][0] if track in filters else OneEuro()
                size_px = float(np.sqrt(poses.box_xywh[n, 2] * poses.box_xywh[n, 3]))
                xy[n] = smooth(poses.xy[n], poses.score[n], now_s, size_px)
                filters[track] = smooth, now_s
        filters = {track: known for track, known in filters.items() if now_s - known[1] < FORGOTTEN_S}
        people = dataclasses.replace(seen.people, poses=dataclasses.replace(poses, xy=xy))
        yield dataclasses.replace(seen, people=people)


def _drawn(seen: TrackedFrame, settings: PredictSettings) -> NDArray[np.uint8]:
    """The frame with its people drawn and numbered; as it is without overlays."""
    if not settings.overlays:
        return seen.frame.image
    assert seen.people is not None
    drawn = pose_records.draw(seen.frame.image, settings.view(seen.people.poses), settings.threshold)
    scale = max(0.6, max(seen.size_wh) / 1000)
    for (x, y, w, _), track in zip(seen.people.poses.box_xywh.tolist(), seen.track.tolist(), strict=True):
        if track != NO_TRACK:
            (width, height), _ = cv2.getTextSize(str(track), cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
            start_xy = round(x + w / 2 - width / 2), max(height + 4, round(y - 0.6 * height))
            for colour, stroke in ((BLACK, 5 * scale), (WHITE, 2 * scale)):
                put = cv2.FONT_HERSHEY_SIMPLEX, scale, colour, max(1, round(stroke)), cv2.LINE_AA
                cv2.putText(drawn, str(track), start_xy, *put)
    return drawn


def _parts(frames: Iterator[F], image_of: Callable[[F], NDArray[np.uint8]]) -> Iterator[list[F]]:
    """The frames in parts that fill a network call and fit into memory."""
    for first in frames:
        height, width = image_of(first).shape[:2]
        yield [first, *islice(frames, max(1, min(PART_FRAMES, PART_PIXELS // (height * width))) - 1)]


def _each(parts: Iterator[list[T]]) -> Iterator[T]:
    for part in parts:
        yield from part
