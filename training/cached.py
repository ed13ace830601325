"""What is kept to be read again, and built anew where that fails."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_arrays(path: Path) -> dict[str, NDArray[Any]] | None:
    """All arrays of an `.npz`; None where it is absent, cut off, or damaged (zip keeps a CRC-32 of each)."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def picture_state(path: Path) -> str:
    """The length of the picture's file in bytes, which changes when a picture is exchanged.

    Not the time: a copied data set would be prepared anew on every machine.
    """
    try:
        return str(path.stat().st_size)
    except OSError:
        return "absent"
