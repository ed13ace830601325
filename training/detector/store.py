"""Picture store: every training picture decoded and shrunk once, its people completed once.

One flat file of uint8 pixels, memory-mapped, and one index, under a key over all that they were made from; another key
builds them anew. Coordinates: "store px" are the pixels of the stored picture; boxes are edges, as x0, y0, x1, y1.

Shapes: N boxes of one picture.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from poseunion.models.codec.crop import corners_of
from poseunion.models.errors import BadFileError, ItemError
from poseunion.models.files import atomic_writer, sha256_of
from poseunion.models.images import read_annotated_image, read_image
from poseunion.models.inference.detector import OnnxDetector
from poseunion.models.progress import track
from poseunion.training.data.arrays import picture_state
from poseunion.training.data.pixel_file import Pixels, PixelsWriter, open_or_build
from poseunion.training.detector.pictures import DOUBTFUL, PART_SHARE, SAME_PERSON_IOU, SURE, BoxedPicture, completed

# Longer side of a stored picture at most: 1.4 times the input, so that augmentation can also enlarge a person.
STORE_SIDE_PX = 448
VERSION = 1


@dataclass(frozen=True)
class PictureStore:
    """Pictures and the boxes of their people.

    Attributes:
        dataset: name of the data set they come from.
        image_name: (P,) paths.
        corner: (M, 4) boxes of all pictures, picture by picture, store px.
        ignored: (M,) which of them are regions that may or may not hold people.
        labelled: (M,) which of them a human drew.
        first: (P + 1,) where each picture's boxes begin.
        skipped: (picture, reason) of pictures that could not be read.
    """

    dataset: str
    image_name: tuple[str, ...]
    corner: NDArray[np.float32]
    ignored: NDArray[np.bool_]
    labelled: NDArray[np.bool_]
    first: NDArray[np.int64]
    skipped: tuple[tuple[str, str], ...]
    _pixels: Pixels

    def __len__(self) -> int:
        return len(self.image_name)

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 RGB of one picture."""
        return self._pixels[index]

    def boxes(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """(N, 4) corners, and (N,) whether each is a region to ignore."""
        rows = self._rows(index)
        return self.corner[rows], self.ignored[rows]

    def human(self, index: int) -> NDArray[np.float32]:
        """(N, 4) corners of human boxes."""
        rows = self._rows(index)
        return self.corner[rows][self.labelled[rows]]

    def _rows(self, index: int) -> slice:
        return slice(int(self.first[index]), int(self.first[index + 1]))


def open_pictures(
    dataset: str, pictures: Sequence[BoxedPicture], fillers: Sequence[OnnxDetector], folder: Path
) -> PictureStore:
    """The store of these pictures under `folder`; built when absent or stale.

    Args:
        fillers: detectors that add people, see `pictures.completed`; their own threshold is not used.

    Raises:
        BadFileError: none of the pictures can be read.
    """
    key = _key(dataset, pictures, fillers)
    stem = folder / f"pictures-{dataset}-{key[:16]}"
    pixels_path, index_path = stem.with_suffix(".pixels"), stem.with_suffix(".npz")
    pixels, index = open_or_build(
        pixels_path, index_path, lambda: _build(dataset, pictures, fillers, pixels_path, index_path)
    )
    return PictureStore(
        dataset=dataset,
        image_name=tuple(str(n) for n in index["image_name"]),
        corner=index["corner"],
        ignored=index["ignored"],
        labelled=index["labelled"],
        first=index["first"],
        skipped=tuple((str(n), str(r)) for n, r in index["skipped"]),
        _pixels=pixels,
    )


def _key(dataset: str, pictures: Sequence[BoxedPicture], fillers: Sequence[OnnxDetector]) -> str:
    rules = [SURE, DOUBTFUL, SAME_PERSON_IOU, PART_SHARE]
    facts = [VERSION, STORE_SIDE_PX, *rules, dataset, [sha256_of(f.path) for f in fillers]]
    digest = hashlib.sha256(json.dumps(facts).encode())
    for picture in pictures:
        digest.update(f"{picture.path}|{picture_state(picture.path)}|{picture.wh}|".encode())
        digest.update(picture.box_N4.tobytes() + picture.ignored_N4.tobytes())
    return digest.hexdigest()


def _build(
    dataset: str,
    pictures: Sequence[BoxedPicture],
    fillers: Sequence[OnnxDetector],
    pixels_path: Path,
    index_path: Path,
) -> None:
    names, corners, ignored, labelled, counts = [], [], [], [], [0]
    skipped: list[tuple[str, str]] = []
    with atomic_writer(pixels_path) as file:
        writer = PixelsWriter(file)
        for picture in track(pictures, f"pictures of {dataset}"):
            try:
                image = read_annotated_image(picture.path, picture.wh) if picture.wh else read_image(picture.path)
            except ItemError as error:
                skipped.append((str(picture.path), str(error)))
                continue
            full = picture
            for filler in fillers:
                full = completed(full, filler(image))
            pixels, scale_xy = _shrunk(image)
            box = np.concatenate([full.box_N4, full.ignored_N4])
            corners.append(corners_of(box) * np.tile(scale_xy, 2))
            ignored.append(np.arange(len(box)) >= len(full.box_N4))
            labelled.append(np.arange(len(box)) < len(picture.box_N4))
            names.append(str(picture.path))
            counts.append(len(box))
            writer.add(pixels)
    if not names:
        reason = f"; the first reason: {skipped[0][1]}" if skipped else ""
        raise BadFileError(f"Data set {dataset} has no picture that can be read{reason}.")
    with atomic_writer(index_path) as file:
        np.savez(
            file,
            image_name=np.array(names),
            corner=np.concatenate(corners).astype(np.float32),
            ignored=np.concatenate(ignored),
            labelled=np.concatenate(labelled),
            first=np.cumsum(counts),
            skipped=np.array(skipped, dtype=str).reshape(-1, 2),
            **writer.facts(pixels_path),
        )


def _shrunk(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The picture at most `STORE_SIDE_PX` long, and store px per image px along x and y."""
    h, w = image.shape[:2]
    scale = min(1.0, STORE_SIDE_PX / max(h, w))
    if scale == 1.0:
        return np.ascontiguousarray(image), np.ones(2)
    size = np.maximum(1, np.round(np.array([w, h]) * scale)).astype(int)
    small = cv2.resize(image, size.tolist(), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small, np.uint8), size / [w, h]
