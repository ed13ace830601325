"""Real crops for calibration and comparison: people of an annotation file, as the network sees them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats import read_annotations
from poseunion.models.codec.crop import Crop, crop_from_box, cut_crop
from poseunion.models.errors import BadFileError, ItemError
from poseunion.models.images import read_annotated_image, read_image
from poseunion.models.runtime.description import ModelDescription


@dataclass(frozen=True)
class Crops:
    """Crops of people and where they were cut.

    Attributes:
        pixels: (N, H, W, 3) uint8 RGB.
        regions: one a crop.
    """

    pixels: NDArray[np.uint8]
    regions: list[Crop]

    def __len__(self) -> int:
        return len(self.regions)


def read_crops(annotations_path: Path, images: Path, description: ModelDescription, most: int) -> Crops:
    """At most `most` people of a file, spread evenly over it; pictures that cannot be read are passed over.

    Raises:
        BadFileError: nobody could be cut out.
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
        path = images / ref.file_name
        try:
            wh = (ref.width, ref.height) if ref.width and ref.height else None
            picture = read_annotated_image(path, wh) if wh else read_image(path, exif=False)
            region = crop_from_box(person.box_xywh, description.size_wh, description.padding)
        except ItemError as error:
            reason = str(error)
            continue
        pixels.append(cut_crop(picture, region))
        regions.append(region)
    if not regions:
        raise BadFileError(f"Nobody in {annotations_path} could be cut out of {images}: {reason}.")
    return Crops(np.stack(pixels), regions)
