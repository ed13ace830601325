"""`predict` on pictures: threads take parts of the list from decoding to overlays, each with networks of one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.extend.executor import ahead
from poseunion.annotate.show import overlay_name
from poseunion.app import pose_records
from poseunion.app.demo.pictures import to_jpeg
from poseunion.app.predict.document import Document
from poseunion.app.predict.inputs import InputFile
from poseunion.app.predict.openpose import FOLDER_ENDING, OpenPoseFiles
from poseunion.app.predict.people import Boxed, People, estimate_poses, usable
from poseunion.app.predict.settings import COCO, PredictSettings
from poseunion.models.errors import BadArgumentError, ItemError
from poseunion.models.files import write_bytes
from poseunion.models.images import read_image

FILE, FILES = "poses.json", f"poses{FOLDER_ENDING}"
FOLDER = "overlays"
# A part is as many pictures as fill some network calls, unless they are large: decoded they take 3 bytes a pixel.
PART_PICTURES = 8
PART_PIXELS = 40_000_000

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PicturePoses:
    """One picture and its people, and where its overlay lies."""

    name: str
    size_wh: tuple[int, int]
    people: People


@dataclass
class PicturesReport:
    """Report of a run on pictures.

    Attributes:
        people, keypoints: found, and accepted keypoints of them.
        boxless: pictures that the file of boxes does not name.
        bad: (picture, why it was skipped).
    """

    file: str
    overlays: str | None
    pictures: int = 0
    people: int = 0
    keypoints: int = 0
    boxless: int = 0
    bad: list[tuple[str, str]] = field(default_factory=list)


def predict_pictures(
    given: list[InputFile], out: Path, settings: PredictSettings, progress: Progress
) -> PicturesReport:
    """Find people in pictures and write their file or folder, and overlays beside it."""
    path = file_of_pictures(out, settings)
    report = PicturesReport(str(path), str(out / FOLDER) if settings.overlays else None)
    if settings.boxes is not None:
        report.boxless = sum(one.name not in settings.boxes for one in given)
    pool = ThreadPoolExecutor(settings.workers)
    with settings.output(out) as written:
        try:
            parts = ahead(pool, lambda part: _part(part, out, settings), _parts(given), settings.workers)
            for done, bad in parts:
                report.bad += bad
                for one in done:
                    _add(written, one, settings)
                progress(written.images + len(report.bad), len(given))
        finally:
            pool.shutdown(cancel_futures=True)
        if written.images:
            written.write(path)
    report.pictures, report.people, report.keypoints = written.images, written.people, written.keypoints
    return report


def file_of_pictures(out: Path, settings: PredictSettings) -> Path:
    """The json of all pictures, or of OpenPose's format the folder of them."""
    return out / (FILE if settings.format == COCO else FILES)


def targets(given: list[InputFile], out: Path, settings: PredictSettings) -> Iterator[Path]:
    """Every file that `predict_pictures` would write."""
    if given:
        yield file_of_pictures(out, settings)
    if settings.overlays:
        yield from (_overlay_path(out, one.name) for one in given)


def _parts(given: list[InputFile]) -> Iterator[list[InputFile]]:
    """The list in parts that fit into memory."""
    part: list[InputFile] = []
    pixels = 0
    for one in given:
        if part and (len(part) == PART_PICTURES or pixels + one.pixels > PART_PIXELS):
            yield part
            part, pixels = [], 0
        part.append(one)
        pixels += one.pixels
    if part:
        yield part


def _part(
    part: list[InputFile], out: Path, settings: PredictSettings
) -> tuple[list[PicturePoses], list[tuple[str, str]]]:
    """One part from files to people and overlays, and the pictures that could not be used."""
    bad: list[tuple[str, str]] = []
    read: list[tuple[InputFile, NDArray[np.uint8], Boxed]] = []
    for one in part:
        try:
            image = read_image(one.path)
        except ItemError as error:
            bad.append((one.name, str(error).removeprefix(f"{one.path} ")))
            continue
        read.append((one, image, _boxes(one, image, settings)))
    found = estimate_poses(settings.predictor, [image for _, image, _ in read], [boxes for *_, boxes in read])
    done = []
    for (one, image, _), people in zip(read, found, strict=True):
        if settings.overlays:
            try:
                drawn = pose_records.draw(image, settings.view(people.poses), settings.threshold)
                write_bytes(_overlay_path(out, one.name), to_jpeg(drawn))
            except (BadArgumentError, MemoryError) as error:  # larger than a JPEG, or than the memory, can be
                bad.append((one.name, f"could not be drawn: {error}" if str(error) else "could not be drawn"))
                continue
        done.append(PicturePoses(one.name, (image.shape[1], image.shape[0]), people))
    return done, bad


def _boxes(one: InputFile, image: NDArray[np.uint8], settings: PredictSettings) -> Boxed:
    if settings.boxes is None:
        assert settings.finder is not None
        return settings.finder.sure(image)
    box = settings.boxes.get(one.name, np.zeros((0, 4)))
    return box[usable(box, (image.shape[1], image.shape[0]))], None


def _add(written: Document | OpenPoseFiles, one: PicturePoses, settings: PredictSettings) -> None:
    written.add(one.name, one.size_wh, one.people, settings.view(one.people.poses), settings.threshold)


def _overlay_path(out: Path, name: str) -> Path:
    return out / FOLDER / overlay_name(name)
