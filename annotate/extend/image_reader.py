"""Reading of pictures in the frame of their annotations, one at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats.types import ImageRef
from poseunion.models.errors import ItemError
from poseunion.models.images import read_annotated_image
from poseunion.models.picture_paths import picture_path


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
