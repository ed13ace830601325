"""The pictures that the page offers: the bundled example's, whose boxes are known."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.example import example_dataset
from poseunion.app.demo.pictures import Picture, read_upload, shrunk
from poseunion.models.errors import MissingExtraError
from poseunion.models.files import read_json


@dataclass(frozen=True)
class Example:
    """A picture and the boxes of its people: x, y, width, height in its pixels."""

    picture: Picture
    boxes: tuple[tuple[float, ...], ...]

    def thumbnail(self, side_px: int = 160) -> NDArray[np.uint8]:
        """The middle of the picture, square."""
        image = self.picture.pixels()
        side = min(image.shape[:2])
        top, left = 0, (image.shape[1] - side) // 2
        return shrunk(image[top : top + side, left : left + side], (side_px, side_px))


def examples() -> list[Example]:
    """The bundled pictures; none where the packages that bring them are not installed."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            labels, pictures = example_dataset(Path(folder))
        except MissingExtraError:
            return []
        document = read_json(labels)
        found = []
        for image in document["images"]:
            boxes = tuple(tuple(map(float, a["bbox"])) for a in document["annotations"] if a["image_id"] == image["id"])
            content = (pictures / image["file_name"]).read_bytes()
            found.append(Example(read_upload(content, image["file_name"]), boxes))
    return found
