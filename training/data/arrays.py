"""What is kept to be read again, and built anew where that fails."""

from __future__ import annotations

import contextlib
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def cache_folder() -> Path:
    """Where stores and teacher outputs are kept: $POSEUNION_CACHE, else ~/.cache/poseunion."""
    return Path(os.environ.get("POSEUNION_CACHE") or Path.home() / ".cache" / "poseunion")


def read_arrays(path: Path) -> dict[str, NDArray[Any]] | None:
    """All arrays of an `.npz`; None where it is absent, cut off, or damaged (zip keeps a CRC-32 of each).

    The file's time becomes that of its last use, see `cache_files`.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            result = dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    with contextlib.suppress(OSError):  # a cache that others own is read all the same
        os.utime(path)
    return result


def picture_state(path: Path) -> str:
    """The length of the picture's file in bytes, which changes when a picture is exchanged.

    Not the time: a copied data set would be prepared anew on every machine.
    """
    try:
        return str(path.stat().st_size)
    except OSError:
        return "absent"
