"""Path resolution of pictures in an annotation file: Windows paths, other folders, letter cases or endings.

Annotation files are moved between machines. Pictures are searched below the folder of pictures only, and used where
exactly one file fits.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from poseunion.models.errors import BadArgumentError

# Label Studio puts eight hexadecimal digits before the name of an uploaded file.
_UPLOAD = re.compile(r"(?<![^/])[0-9a-f]{8}-(?=[^/]+$)")
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
FIRST = 64  # pictures that are looked for before any work: with as many missing, the folder is wrong


def refuse_wrong_folder(folder: Path, file_names: Iterable[str], file: object) -> None:
    """Raise BadArgumentError where none of the first pictures of an annotation file is in the folder."""
    first = list(itertools.islice(dict.fromkeys(file_names), FIRST))
    if first and not any(_is_file(picture_path(folder, name)) for name in first):
        raise BadArgumentError(
            f"0 of the first {len(first)} pictures of {file} are in {folder} (first: {first[0]}): is --images right?"
        )


def picture_path(folder: Path, file_name: str) -> Path:
    """Path of a picture of an annotation file; `folder / file_name` where that exists, or nothing else fits."""
    stated = folder / file_name
    if _is_file(stated):
        return stated
    found = {path for name in _spellings(file_name) for path in _below(folder, name)}
    if not found:
        found = {path for name in _spellings(file_name) for path in _alike(folder, name)}
    return found.pop() if len(found) == 1 else stated


def _spellings(file_name: str) -> list[PurePosixPath]:
    """Spellings of a name with forward slashes: as it is, without percent escapes, without an upload's prefix."""
    plain = file_name.replace("\\", "/")
    names = dict.fromkeys((plain, unquote(plain), _UPLOAD.sub("", plain)))
    return [PurePosixPath(*_parts(name)) for name in names if _parts(name)]


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".", "..") and "\0" not in part and part[1:2] != ":"]


def _tails(name: PurePosixPath) -> list[PurePosixPath]:
    """Suffixes of a path: all of it, then with ever more of its first folders removed."""
    return [PurePosixPath(*name.parts[first:]) for first in range(len(name.parts))]


def _below(folder: Path, name: PurePosixPath) -> list[Path]:
    return [folder / tail for tail in _tails(name) if _is_file(folder / tail)]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or holds a zero byte
        return False


def _alike(folder: Path, name: PurePosixPath) -> list[Path]:
    """Files whose name differs in letter case only, or in the ending only."""
    found: list[Path] = []
    for tail in _tails(name):
        with contextlib.suppress(OSError, ValueError):
            parent = _descended(folder, tail.parent.parts)
            if parent is not None:
                names = _names(parent, parent.stat().st_mtime_ns)
                found += [parent / n for n in names.get(tail.stem.lower(), ())]
    return found


def _descended(folder: Path, parts: tuple[str, ...]) -> Path | None:
    """Subfolder of `folder`, ignoring the letter case of the parts; None where none or several fit."""
    for part in parts:
        if not (folder / part).is_dir():
            fitting = [p.name for p in folder.iterdir() if p.name.lower() == part.lower() and p.is_dir()]
            if len(fitting) != 1:
                return None
            part = fitting[0]
        folder /= part
    return folder


@lru_cache(maxsize=64)
def _names(folder: Path, changed_ns: int) -> dict[str, list[str]]:
    """Pictures of a folder by their lower-case names without ending, cached by modification time."""
    by_stem: dict[str, list[str]] = {}
    for path in folder.iterdir():
        if path.suffix.lower() in ENDINGS:
            by_stem.setdefault(path.stem.lower(), []).append(path.name)
    return by_stem
