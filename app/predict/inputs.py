"""What `predict` is given: files and folders, sorted into pictures, videos, and what can be neither.

A picture is one by its content. A video is one by its ending or, named by the user, by its content.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from poseunion.models.errors import BadArgumentError, BadFileError, ItemError
from poseunion.models.images import image_size

# As cameras, browsers and recorders write them.
VIDEO_ENDINGS = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg"),
    *(".wmv", ".flv", ".ogv", ".3gp", ".mts", ".m2ts"),
)
# A file in a folder with such an ending was meant to be a picture: one that is none is reported, not passed by.
PICTURE_ENDINGS = (
    *(".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif", ".heic", ".heif"),
)


@dataclass(frozen=True)
class InputFile:
    """One picture or video.

    Attributes:
        name: relative to `Inputs.root`, with forward slashes.
        pixels: of a picture, from its header; 0 of a video.
    """

    path: Path
    name: str
    pixels: int = 0


@dataclass
class Inputs:
    """All that was given.

    Attributes:
        root: the folder that names are relative to.
        bad: (name, why it cannot be used).
        others: files in folders that are neither pictures nor videos.
    """

    root: Path
    pictures: list[InputFile] = field(default_factory=list)
    videos: list[InputFile] = field(default_factory=list)
    bad: list[tuple[str, str]] = field(default_factory=list)
    others: int = 0


def collect(arguments: Sequence[Path], out: Path) -> Inputs:
    """Search files and, recursively, folders; files in `out` are skipped.

    Raises:
        BadArgumentError: an argument does not exist, or there is nothing at all. BadFileError: nothing can be used.
    """
    for argument in arguments:
        if not argument.exists():
            raise BadArgumentError(f"{argument} does not exist: give pictures, videos, or folders of them.")
    folders = [a if a.is_dir() else a.parent for a in arguments]
    found = Inputs(Path(os.path.commonpath([f.resolve() for f in folders])))
    seen: set[Path] = set()
    for path, named in _files(arguments, out.resolve()):
        if path not in seen:
            seen.add(path)
            _sort(path, path.relative_to(found.root).as_posix(), named, found)
    if not (found.pictures or found.videos or found.bad):
        raise BadArgumentError(
            f"There are no pictures or videos in {', '.join(map(str, arguments))}: give some, or folders of them."
        )
    if not (found.pictures or found.videos):
        raise BadFileError(nothing_usable(found.bad))
    return found


def nothing_usable(bad: Sequence[tuple[str, str]]) -> str:
    """Sentence about inputs of which none can be used, each with its reason."""
    name, reason = bad[0]
    more = f", and {len(bad) - 1} more cannot be used either" if len(bad) > 1 else ""
    return f"{name} {reason}{more}: give pictures (JPEG, PNG, WebP …) or videos."


def _files(arguments: Sequence[Path], out: Path) -> Iterator[tuple[Path, bool]]:
    """Every file, and whether it was named itself; folders in the order of their names."""
    for argument in arguments:
        if not argument.is_dir():
            yield argument.parent.resolve() / argument.name, True
            continue
        for folder, below, names in os.walk(argument.resolve()):
            below[:] = sorted(b for b in below if Path(folder, b) != out and not b.startswith("."))
            yield from ((Path(folder, name), False) for name in sorted(names) if not name.startswith("."))


def _sort(path: Path, name: str, named: bool, found: Inputs) -> None:
    ending = path.suffix.lower()
    if ending in VIDEO_ENDINGS:
        found.videos.append(InputFile(path, name))
        return
    try:
        width, height = image_size(path)
        found.pictures.append(InputFile(path, name, width * height))
    except ItemError as error:
        if ending in PICTURE_ENDINGS or (named and path.stat().st_size == 0):
            found.bad.append((name, str(error).removeprefix(f"{path} ")))
        elif named and _is_text(path):
            found.bad.append((name, "is neither a picture nor a video, but text"))
        elif named:
            found.videos.append(InputFile(path, name))
        else:
            found.others += 1


def _is_text(path: Path) -> bool:
    """Whether a file begins as text: FFmpeg would make a video of its letters."""
    with path.open("rb") as file:
        head = file.read(4096)
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # the last letter may be cut
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter.isspace() for letter in text)
