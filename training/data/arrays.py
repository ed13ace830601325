"""Array files of the cache, and dataclasses of arrays that share their rows."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from poseunion.models.files import atomic_writer

Rows = TypeVar("Rows")


def cache_folder() -> Path:
    """Folder of stores and teacher outputs: $POSEUNION_CACHE, else ~/.cache/poseunion."""
    return Path(os.environ.get("POSEUNION_CACHE") or Path.home() / ".cache" / "poseunion")


def read_arrays(path: Path) -> dict[str, NDArray[Any]] | None:
    """All arrays of an `.npz`; None where it is absent, cut off, or damaged (zip keeps a CRC-32 of each).

    The file's time becomes that of its last use, see `cache`.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            result = dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    with contextlib.suppress(OSError):  # a cache that others own is read all the same
        os.utime(path)
    return result


def save_arrays(path: Path, **arrays: NDArray[Any]) -> None:
    """Write an `.npz`, whole or not at all."""
    with atomic_writer(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


def _arrays_of(rows: Any) -> dict[str, NDArray[Any]]:
    values = {field.name: getattr(rows, field.name) for field in dataclasses.fields(rows)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


def take(rows: Rows, index: slice | NDArray[Any]) -> Rows:
    """Some rows of a dataclass whose arrays have one row each; other fields stay."""
    taken = {name: value[index] for name, value in _arrays_of(rows).items()}
    return dataclasses.replace(rows, **taken)  # type: ignore[type-var]


def concatenate(parts: Sequence[Rows]) -> Rows:
    """Rows of several such dataclasses, one behind the other; other fields are those of the first."""
    arrays = [_arrays_of(part) for part in parts]
    joined = {name: np.concatenate([one[name] for one in arrays]) for name in arrays[0]}
    return dataclasses.replace(parts[0], **joined)  # type: ignore[type-var]


def picture_state(path: Path) -> str:
    """Length of the picture's file in bytes, part of a store's key.

    Not the time: a copied dataset would be prepared anew on every machine.
    """
    try:
        return str(path.stat().st_size)
    except OSError:
        return "absent"
