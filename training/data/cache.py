"""Files of the training cache: kind, size, last use, deletion.

Deleted files are made anew by the next run that needs them. A changed data set or teacher has another name in the
cache, so that the files of the old one stay until they are deleted.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from poseunion.models.errors import BadFileError

# As `store`, `detector.store` and `teachers` name their files, and what an interrupted pass or `atomic_writer` leaves.
_NAMES = (
    (r"pictures-(?P<of>.+)-[0-9a-f]{16}\.(npz|pixels)", "pictures"),
    (r"(?P<of>.+)-[0-9a-f]{16}-[0-9a-f]{12}(-flip)?\.modes\.npz", "a teacher's answers"),
    (r"(?P<of>.+)-[0-9a-f]{16}-[0-9a-f]{12}(-flip)?\.modes\.\d+\.npz", "unfinished"),
    (r"(?P<of>.+)-[0-9a-f]{16}\.(npz|pixels)", "people"),
    (r"\.(?P<of>.+)-[0-9a-f]{16}.*\.(npz|pixels)\..+\.part", "unfinished"),
)
DAY_S = 24 * 3600
# A file that was written to since is not unfinished: a run may be writing it.
UNFINISHED_AFTER_S = 3600


@dataclass(frozen=True)
class Kept:
    """Files that are used together.

    Attributes:
        dataset: name in the data file.
        kind: `people` or `pictures` with their labels, `a teacher's answers`, or `unfinished`.
        used_s: time of the last use, seconds since 1970.
    """

    dataset: str
    kind: str
    files: tuple[Path, ...]
    size_bytes: int
    used_s: float


def kept_files(folder: Path) -> list[Kept]:
    """All files of the cache, the latest first; other files of the folder are ignored.

    Raises:
        BadFileError: the folder cannot be read.
    """
    found: dict[tuple[str, str, str], list[tuple[Path, int, float]]] = {}
    try:
        for path in folder.iterdir() if folder.exists() else ():
            for pattern, kind in _NAMES:
                if match := re.fullmatch(pattern, path.name):
                    state = path.stat()
                    if kind == "unfinished" and time.time() - state.st_mtime < UNFINISHED_AFTER_S:
                        break
                    key = match["of"], kind, path.name if kind == "unfinished" else path.stem
                    found.setdefault(key, []).append((path, state.st_size, state.st_mtime))
                    break
    except OSError as error:
        raise BadFileError(f"Cannot read the cache {folder}: {error.strerror or error}.") from error
    result = [
        Kept(
            dataset, kind, tuple(sorted(p for p, _, _ in files)), sum(s for _, s, _ in files), max(t for *_, t in files)
        )
        for (dataset, kind, _), files in found.items()
    ]
    return sorted(result, key=lambda one: -one.used_s)


def unused(kept: Sequence[Kept], days: float, now_s: float | None = None) -> list[Kept]:
    """Files that were not used for so many days."""
    now = time.time() if now_s is None else now_s
    return [one for one in kept if now - one.used_s >= days * DAY_S]


def delete(kept: Sequence[Kept]) -> int:
    """Delete; returns the bytes that are free now. An index goes first: pixels without one are made anew.

    Raises:
        BadFileError: a file cannot be deleted; those before it are gone.
    """
    freed = 0
    for one in kept:
        for path in sorted(one.files, key=lambda p: p.suffix != ".npz"):
            try:
                size = path.stat().st_size
                path.unlink()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise BadFileError(f"Cannot delete {path}: {error.strerror or error}.") from error
            freed += size
    return freed
