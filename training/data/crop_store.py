"""Crop store: every training person's surroundings, decoded once, at the resolution of training.

Decoding and shrinking a picture costs more than a training step of a small network, so it is done once per person. A
store is one flat file of uint8 pixels, memory-mapped, and one index. It carries a key over everything it was made from;
a store whose key, size or checksum does not match is rebuilt.

Coordinates: "store px" are the pixels of a person's stored region; boxes and labels are kept in them.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats.types import NO_HUMAN_KEYPOINT
from poseunion.models.errors import BadFileError, ItemError
from poseunion.models.files import atomic_writer
from poseunion.models.images import read_annotated_image
from poseunion.models.skeleton import Skeleton
from poseunion.training.data.arrays import picture_state, save_arrays
from poseunion.training.data.labels import TrainingPerson
from poseunion.training.data.pixel_file import Pixels, PixelsWriter, open_or_build

# A person's padded box is stored 256 px high at most: the largest input trained for.
STORE_HEIGHT_PX = 256
# Surroundings kept, as a factor on the padded box: what scale 1.4 and a rotation can bring into view.
CONTEXT = 1.6
PADDING = 1.25
ASPECT = 192 / 256
VERSION = 1


@dataclass(frozen=True)
class CropStore:
    """People's pixels and labels, ready to be augmented.

    Attributes:
        dataset: name of the data set they come from.
        skeleton: K keypoints of the labels.
        box_xywh: (N, 4) store px, without padding.
        xy: (N, K, 2) store px.
        visibility: (N, K) `Visibility`.
        weight: (N, K) how much each label counts, in [0, 1]; below 1 a model proposed it.
        image_name, image_px_per_store_px, origin_xy: the way back, image = origin + (store + 1/2) * scale - 1/2.
        skipped: (picture, reason) of what could not be used.
        index_sha: key over everything the store was made from.
    """

    dataset: str
    skeleton: Skeleton
    box_xywh: NDArray[np.float64]
    xy: NDArray[np.float64]
    visibility: NDArray[np.int8]
    weight: NDArray[np.float64]
    person_id: NDArray[np.int64]
    image_name: tuple[str, ...]
    image_px_per_store_px: NDArray[np.float64]
    origin_xy: NDArray[np.float64]
    skipped: tuple[tuple[str, str], ...]
    index_sha: str
    _pixels: Pixels

    @classmethod
    def of(
        cls,
        dataset: str,
        skeleton: Skeleton,
        index: Mapping[str, NDArray[Any]],
        skipped: tuple[tuple[str, str], ...],
        index_sha: str,
        pixels: Pixels,
    ) -> CropStore:
        """A store from the arrays of `save_index`."""
        visibility = index["visibility"]
        return cls(
            dataset,
            skeleton,
            box_xywh=index["box_xywh"],
            xy=index["xy"],
            visibility=visibility,
            weight=index["weight"] if "weight" in index else (visibility > 0).astype(np.float64),
            person_id=index["person_id"],
            image_name=tuple(str(n) for n in index["image_name"]),
            image_px_per_store_px=index["scale"],
            origin_xy=index["origin"],
            skipped=skipped,
            index_sha=index_sha,
            _pixels=pixels,
        )

    def __len__(self) -> int:
        return len(self.box_xywh)

    @property
    def certain(self) -> NDArray[np.bool_]:
        """(N, K) whether a keypoint has a human label, no proposal."""
        return (self.visibility > 0) & (self.weight >= 1)

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 RGB of one person."""
        return self._pixels[index]

    def to_image(self, index: int, xy_store: NDArray[np.floating]) -> NDArray[np.float64]:
        """Store px -> image px of one person."""
        scale = self.image_px_per_store_px[index]
        return np.asarray(self.origin_xy[index] + (np.asarray(xy_store) + 0.5) * scale - 0.5)


def open_store(
    dataset: str,
    people: Sequence[TrainingPerson],
    skeleton: Skeleton,
    folder: Path,
    left_out: Mapping[str, int] | None = None,
) -> CropStore:
    """The store of these people under `folder`; built when absent or stale.

    Pictures that cannot be read are skipped and listed in `skipped`.

    Args:
        left_out: reasons why others of the file are not among them, for the message.

    Raises:
        BadFileError: no people, or none whose picture can be read.
    """
    key = _key(dataset, people, skeleton)
    stem = folder / f"{dataset}-{key[:16]}"
    pixels_path, index_path = stem.with_suffix(".pixels"), stem.with_suffix(".npz")

    def build() -> None:
        if not people:
            reasons = "; ".join(f"{count}: {reason}" for reason, count in (left_out or {}).items())
            advice = ". With teachers, kind: boxes trains on these" if NO_HUMAN_KEYPOINT in (left_out or {}) else ""
            raise BadFileError(
                f"Dataset {dataset} has no people to train on ({reasons or 'its file has no person'}){advice}."
            )
        _build(people, pixels_path, index_path)

    pixels, index = open_or_build(pixels_path, index_path, build)
    skipped = tuple((str(n), str(r)) for n, r in index["skipped"])
    return CropStore.of(dataset, skeleton, index, skipped, key, pixels)


def _key(dataset: str, people: Sequence[TrainingPerson], skeleton: Skeleton) -> str:
    digest = hashlib.sha256(
        json.dumps([VERSION, STORE_HEIGHT_PX, CONTEXT, PADDING, dataset, skeleton.keypoints, len(people)]).encode()
    )
    for image in dict.fromkeys(person.image for person in people):
        digest.update(f"{image}|{picture_state(image)}".encode())
    for person in people:
        digest.update(f"{person.image}|{person.person_id}|{person.box_xywh}".encode())
        digest.update(person.xy.tobytes() + person.visibility.tobytes())
        if person.weight is not None:
            digest.update(person.weight.tobytes())
    return digest.hexdigest()


def _build(people: Sequence[TrainingPerson], pixels_path: Path, index_path: Path) -> None:
    rows: list[tuple[TrainingPerson, float, NDArray[np.float64]]] = []
    skipped: list[tuple[str, str]] = []
    groups: dict[Path, list[TrainingPerson]] = defaultdict(list)
    for person in people:
        groups[person.image].append(person)
    with atomic_writer(pixels_path) as file:
        writer = PixelsWriter(file)
        for image, group in groups.items():
            try:
                picture = read_annotated_image(image, group[0].image_wh)
            except ItemError as error:
                skipped += [(str(image), str(error))] * len(group)
                continue
            for person in group:
                try:
                    pixels, scale, origin = _region(picture, person)
                except ItemError as error:
                    skipped.append((str(image), str(error)))
                    continue
                writer.add(pixels)
                rows.append((person, scale, origin))
    if not rows:
        raise BadFileError(f"None of {len(people)} people could be read; the first reason: {skipped[0][1]}.")
    save_index(
        index_path,
        box_xywh=np.array([r[0].box_xywh for r in rows]),
        xy=np.stack([r[0].xy for r in rows]),
        scale=np.array([r[1] for r in rows]),
        origin=np.stack([r[2] for r in rows]),
        visibility=np.stack([r[0].visibility for r in rows]),
        weight=np.stack([(p.visibility > 0).astype(np.float64) if p.weight is None else p.weight for p, *_ in rows]),
        person_id=np.array([r[0].person_id for r in rows]),
        image_name=np.array([str(r[0].image) for r in rows]),
        skipped=np.array(skipped, dtype=str).reshape(-1, 2),
        **writer.facts(pixels_path),
    )


def save_index(
    path: Path,
    *,
    box_xywh: NDArray[np.float64],
    xy: NDArray[np.float64],
    scale: NDArray[np.float64],
    origin: NDArray[np.float64],
    **others: NDArray[Any],
) -> None:
    """Write a store's index; boxes and keypoints are given in image px."""
    corner = (box_xywh[:, :2] - origin + 0.5) / scale[:, None] - 0.5
    save_arrays(
        path,
        box_xywh=np.concatenate([corner, box_xywh[:, 2:] / scale[:, None]], 1),
        xy=(xy - origin[:, None] + 0.5) / scale[:, None, None] - 0.5,
        scale=scale,
        origin=origin,
        **others,
    )


def context_half(width: float, height: float, context: float) -> tuple[float, NDArray[np.float64]]:
    """A box's height, once it has the crop's shape, and half the width and height of what is kept around its centre."""
    box_height = max(height, width / ASPECT)
    half = np.array([box_height * ASPECT, box_height]) * context / 2
    # A rotated crop reaches beyond its sides: keep the larger extent both ways.
    return box_height, np.maximum(half, half.max() * 0.8)


def _region(picture: NDArray[np.uint8], person: TrainingPerson) -> tuple[NDArray[np.uint8], float, NDArray[np.float64]]:
    """Pixels of a person's surroundings, image px per store px, and the image point of the region's corner."""
    x, y, w, h = person.box_xywh
    if not (np.isfinite(person.box_xywh).all() and w > 0 and h > 0):
        raise ItemError(f"box {list(person.box_xywh)} has no area")
    box_height, half = context_half(w, h, PADDING * CONTEXT)
    padded_h = box_height * PADDING
    centre = np.array([x + w / 2, y + h / 2])
    size = np.array([picture.shape[1], picture.shape[0]])
    low = np.clip(np.floor(centre - half), 0, size - 1).astype(int)
    high = np.clip(np.ceil(centre + half), low + 1, size).astype(int)
    region = picture[low[1] : high[1], low[0] : high[0]]
    scale = max(1.0, padded_h / STORE_HEIGHT_PX)
    if scale > 1.0:
        small = np.maximum(1, np.round((high - low) / scale)).astype(int)
        # One scale for both axes; the half-pixel that rounding leaves is below the labels' precision.
        region = np.asarray(cv2.resize(region, (int(small[0]), int(small[1])), interpolation=cv2.INTER_AREA), np.uint8)
        scale = float((high[1] - low[1]) / small[1]) if small[1] > small[0] else float((high[0] - low[0]) / small[0])
    return np.ascontiguousarray(region, np.uint8), scale, low.astype(np.float64)
