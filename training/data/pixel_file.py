"""One flat, memory-mapped file of pictures, and its entries in the index beside it.

Shapes: P pictures of h by w pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from poseunion.models.errors import BadFileError
from poseunion.models.files import sha256_of
from poseunion.training.data.arrays import read_arrays


@dataclass(frozen=True)
class Pixels:
    """Pictures of a flat file, by number.

    Attributes:
        flat: all bytes of the file.
        offset_P: where each picture begins in it.
        shape_P2: height and width of each.
    """

    flat: NDArray[np.uint8]
    offset_P: NDArray[np.int64]
    shape_P2: NDArray[np.int32]

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 RGB of one picture."""
        h, w = (int(v) for v in self.shape_P2[index])
        start = int(self.offset_P[index])
        return self.flat[start : start + h * w * 3].reshape(h, w, 3)


class PixelsWriter:
    """Pictures, one behind the other, into a file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._bytes = 0
        self._offsets: list[int] = []
        self._shapes: list[tuple[int, ...]] = []

    def add(self, picture: NDArray[np.uint8]) -> None:
        """Append one (h, w, 3) picture."""
        self._file.write(picture.tobytes())
        self._offsets.append(self._bytes)
        self._shapes.append(picture.shape[:2])
        self._bytes += picture.nbytes

    def facts(self, path: Path) -> dict[str, Any]:
        """What the index keeps of the finished file at `path`, for `open_pixels` and `whole_index`."""
        return {
            "offset": np.array(self._offsets, np.int64),
            "shape_hw": np.array(self._shapes, np.int32).reshape(-1, 2),
            "pixel_bytes": np.array(self._bytes),
            "sha256": np.array(sha256_of(path)),
        }


def open_or_build(path: Path, index_path: Path, build: Callable[[], None]) -> tuple[Pixels, dict[str, NDArray[Any]]]:
    """The pictures at `path` and the index beside them; `build` writes both where they are not whole.

    Raises:
        BadFileError: what was built cannot be read.
    """
    index = whole_index(path, index_path)
    if index is None:
        build()
        index = read_arrays(index_path)
    if index is None:
        raise BadFileError(f"Cannot read {index_path}, which was just written: is the disk sound?")
    return open_pixels(path, index), index


def open_pixels(path: Path, index: Mapping[str, NDArray[np.generic]]) -> Pixels:
    """The pictures of a file, by the index that `PixelsWriter.facts` went into."""
    offset, shape = index["offset"].astype(np.int64), index["shape_hw"].astype(np.int32)
    return Pixels(np.memmap(path, np.uint8, "r"), offset, shape)


def whole_index(path: Path, index_path: Path) -> dict[str, NDArray[Any]] | None:
    """The index, if both files are there and the pixels are those that it was written for."""
    index = read_arrays(index_path)
    if index is None:
        return None
    try:
        whole = int(index["pixel_bytes"]) == path.stat().st_size and str(index["sha256"]) == sha256_of(path)
    except (OSError, KeyError, BadFileError):
        return None
    return index if whole else None
