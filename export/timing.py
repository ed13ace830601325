"""Benchmark of end-to-end latency: a picture and boxes in, keypoints out.

Arms take turns, round after round, and ratios are formed within a round, so that other load on the machine affects
all of them alike. Opening files and one warm-up call are outside every arm.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats import read_annotations
from poseunion.export.machine import installed_versions, processor
from poseunion.models.errors import BadFileError, MissingExtraError
from poseunion.models.images import read_image
from poseunion.models.inference.predictor import Predictor
from poseunion.models.runtime.base import cores

Box = NDArray[np.float64]
Picture = NDArray[np.uint8]
K = TypeVar("K")  # names of arms


@dataclass(frozen=True)
class Work:
    """Workload of one round: pictures and boxes.

    Attributes:
        pictures: encoded, as in a file; reading the disk is in no arm.
        boxes: (P, 4) xywh px of each picture, P the same for all.
        decoded: pictures are decoded beforehand, and no arm does it again.
    """

    pictures: tuple[bytes, ...]
    boxes: tuple[Box, ...]
    decoded: bool = False

    @property
    def people(self) -> int:
        """Number of people in all pictures."""
        return sum(map(len, self.boxes))


def bundled_pictures() -> list[bytes]:
    """Pictures of installed packages, three, as JPEG.

    Raises:
        MissingExtraError: scikit-image or matplotlib is absent.
    """
    try:
        from matplotlib.cbook import get_sample_data
        from skimage import data
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "scikit-image", "example") from error
    drawn = [data.astronaut(), np.repeat(data.camera()[..., None], 3, 2)]
    encoded = [bytes(cv2.imencode(".jpg", picture[..., ::-1])[1]) for picture in drawn]
    return [*encoded, Path(get_sample_data("grace_hopper.jpg", asfileobj=False)).read_bytes()]


def bundled_work(people: int) -> Work:
    """Workload of the bundled pictures, each with `people` boxes of a third to nine tenths of it."""
    rng = np.random.default_rng(0)
    pictures = bundled_pictures()
    boxes = []
    for content in pictures:
        height, width = read_image(content).shape[:2]
        extent = rng.uniform(0.3, 0.9, (people, 2)) * [width, height]
        boxes.append(np.concatenate([rng.uniform(0, 1, (people, 2)) * ([width, height] - extent), extent], 1))
    return Work(tuple(pictures), tuple(boxes))


def annotated_work(annotations: Path, images: Path, people: int, pictures: int) -> Work:
    """Workload of the first `pictures` of a file, each with `people` boxes, repeated slightly moved where it has fewer.

    Raises:
        BadFileError: no person in the file has a box and a picture.
    """
    records = read_annotations(annotations)
    by_picture: dict[str, list[Box]] = {}
    for person in records.persons():
        if person.skip is None and person.image is not None and np.isfinite(person.box_xywh).all():
            by_picture.setdefault(person.image.file_name, []).append(np.asarray(person.box_xywh, np.float64))
    contents, boxes = [], []
    rng = np.random.default_rng(0)
    for name, own in list(by_picture.items())[:pictures]:
        try:
            contents.append((images / name).read_bytes())
        except OSError as error:
            raise BadFileError(
                f"Cannot read {images / name}: {error.strerror}; give its folder as --images."
            ) from error
        chosen = np.stack([own[i % len(own)] for i in range(people)])
        chosen[len(own) :, :2] += rng.uniform(-0.05, 0.05, (max(0, people - len(own)), 2)) * chosen[len(own) :, 2:]
        boxes.append(chosen)
    if not contents:
        raise BadFileError(f"No person of {annotations} has a box: there is nothing to time.")
    return Work(tuple(contents), tuple(boxes))


def ours(predictor: Predictor, work: Work) -> Callable[[], object]:
    """Arm of our predictor: decode, crop, network, keypoints, as a user calls it."""
    return arm(predictor, read_image, work)


def arm(
    predict: Callable[[Picture, Box], object], decode: Callable[[bytes], Picture], work: Work
) -> Callable[[], object]:
    images = [decode(picture) for picture in work.pictures] if work.decoded else []

    def run() -> None:
        given = iter(images) if work.decoded else map(decode, work.pictures)
        for image, boxes in zip(given, work.boxes, strict=True):
            predict(image, boxes)

    return run


def measure(arms: Mapping[K, Callable[[], object]], rounds: Iterable[int]) -> dict[K, list[tuple[float, float]]]:
    """Wall and CPU seconds of every arm in every round; the order rotates, so that no arm is always the first."""
    taken: dict[K, list[tuple[float, float]]] = {name: [] for name in arms}
    names = list(arms)
    for number in rounds:
        for name in names[number % len(names) :] + names[: number % len(names)]:
            wall, cpu = time.perf_counter(), time.process_time()
            arms[name]()
            taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return taken


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median with minimum and maximum in brackets, as text."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def stages(predictor: Predictor, work: Work, rounds: int = 5) -> dict[str, float]:
    """CPU milliseconds a person of each step, the best of `rounds`: on one thread, one batch after the other.

    CPU time of this thread excludes the work of other threads, but not their use of the caches.
    """
    model, size = predictor.model.alone(), predictor.batch_size
    best: dict[str, float] = {}

    @contextlib.contextmanager
    def step(name: str) -> Iterator[None]:
        start = time.thread_time()
        yield
        best[name] = min(best.get(name, np.inf), (time.thread_time() - start) * 1e3 / work.people)

    for _ in range(rounds):
        with step("decode the picture"):
            images = [read_image(picture) for picture in work.pictures]
        people = [(image, box) for image, boxes in zip(images, work.boxes, strict=True) for box in boxes]
        with step("cut"):
            cut = [predictor.cut(image, box) for image, box in people]
        parts = [cut[i : i + size] for i in range(0, len(cut), size)]
        with step("normalise"):
            fed = [model.normalise(np.stack([crop for crop, _ in part])) for part in parts]
        with step("network"):
            outputs = [model.forward(x) for x in fed]
        with step("keypoints"):
            for output, part in zip(outputs, parts, strict=True):
                predictor.located(output, [region for _, region in part])
    best["before and after the network"] = best["cut"] + best["normalise"] + best["keypoints"]
    return best


def batches(predictor: Predictor, sizes: Sequence[int], rounds: int = 5) -> dict[int, float]:
    """Network latency, milliseconds a person, at each batch size: medians of interleaved rounds."""
    width, height = predictor.size_wh
    crops = np.random.default_rng(0).integers(0, 256, (max(sizes), height, width, 3), np.uint8)
    fed = predictor.model.normalise(crops)
    taken = measure({size: partial(predictor.model.forward, fed[:size]) for size in sizes}, range(rounds))
    return {size: statistics.median(wall for wall, _ in taken[size]) * 1e3 / size for size in sizes}


def machine() -> str:
    """Machine description: processor, cores, load and versions."""
    load = f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown"
    packages = ("onnxruntime", "onnxruntime-gpu", "numpy", "opencv-python-headless", "pillow", "rtmlib")
    python, *found = (f"{name} {number}" for name, number in installed_versions(packages).items())
    return f"{processor()}, {cores()} cores, load {load} at the start; {python.capitalize()}, {', '.join(found)}"


def commit(of: Path = Path(__file__)) -> str:
    """Git revision, and whether the checkout has changes; `unknown` outside a checkout."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(of.resolve().parent), *words]
        try:
            return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        except OSError:
            return ""

    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if git("status", "--short") else "")
