"""Calibration crops: people of an annotation file as network input, for quantisation and comparison."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats import ImageRef, read_annotations
from poseunion.models.codec.crop import Crop, crop_from_box, cut_crop
from poseunion.models.errors import BadFileError, ItemError
from poseunion.models.images import read_annotated_image
from poseunion.models.runtime.description import ModelDescription


@dataclass(frozen=True)
class Crops:
    """Crops of people with their geometry.

    Attributes:
        pixels: (N, H, W, 3) uint8 RGB.
        regions: one a crop.
    """

    pixels: NDArray[np.uint8]
    regions: list[Crop]

    def __len__(self) -> int:
        return len(self.regions)


def read_picture(images: Path, ref: ImageRef) -> NDArray[np.uint8]:
    """Picture (H, W, 3) uint8 RGB in the frame of its annotations; raises ItemError where it cannot be read."""
    stated_wh = (ref.width, ref.height) if ref.width and ref.height else None
    return read_annotated_image(images / ref.file_name, stated_wh)


def read_crops(annotations_path: Path, images: Path, description: ModelDescription, most: int) -> Crops:
    """Read crops of at most `most` people, spread evenly over a file; unreadable pictures are skipped.

    Raises:
        BadFileError: no person could be cropped.
    """
    annotations = read_annotations(annotations_path)
    people = [p for p in annotations.persons() if p.skip is None and p.image is not None]
    chosen = [people[i] for i in np.unique(np.linspace(0, len(people) - 1, min(most, len(people))).round().astype(int))]
    pixels: list[NDArray[np.uint8]] = []
    regions: list[Crop] = []
    reason = "it has no labelled person"
    for person in chosen:
        ref = person.image
        assert ref is not None
        try:
            picture = read_picture(images, ref)
            region = crop_from_box(person.box_xywh, description.size_wh, description.padding)
        except ItemError as error:
            reason = str(error)
            continue
        pixels.append(cut_crop(picture, region))
        regions.append(region)
    if not regions:
        raise BadFileError(f"No person of {annotations_path} could be cropped from {images}: {reason}.")
    return Crops(np.stack(pixels), regions)
