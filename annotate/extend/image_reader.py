"""Reading of pictures in the frame of their annotations, one at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats.types import ImageRef
from poseunion.models.errors import BadFileError, ItemError
from poseunion.models.files import sha256_of
from poseunion.models.images import read_annotated_image
from poseunion.models.picture_paths import picture_path

# What a picture is known by: its size in bytes and its time of change, ns; or the SHA-256 of its content.
Stamp = tuple[int, int] | str


class Pictures:
    """Reads pictures in the frame their annotations are in; keeps only the last one. For one thread.

    Args:
        strict: identify pictures by their content. A file that was exchanged under the same size and time shows; each
            is read twice.
    """

    def __init__(self, folder: Path, *, strict: bool = False) -> None:
        self.folder, self.strict = folder, strict
        self._last: tuple[ImageRef | None, NDArray[np.uint8] | ItemError] = (None, ItemError("no picture"))

    def path(self, image: ImageRef) -> Path:
        """Where a picture lies."""
        return picture_path(self.folder, image.file_name)

    def stamp(self, file_name: str, *, strict: bool | None = None) -> Stamp | None:
        """What a picture is known by; None where there is none."""
        path = picture_path(self.folder, file_name)
        try:
            if self.strict if strict is None else strict:
                return sha256_of(path)
            found = path.stat()
        except (BadFileError, OSError, ValueError):
            return None
        return found.st_size, found.st_mtime_ns

    def unchanged(self, stamps: dict[str, Stamp]) -> bool:
        """Are these pictures those that were read? With `strict`, a size and a time are no proof."""
        return all(
            self.stamp(name, strict=isinstance(stamp, str) or self.strict) == stamp for name, stamp in stamps.items()
        )

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
