"""Annotation formats: one module each, found through this registry.

A new format is a module with `NAME`, `detect`, `read`, and one writer per format it can be written as.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from poseunion.annotate.completion import Extension
from poseunion.annotate.formats import coco, coco_write, mpii, mpii_write
from poseunion.annotate.formats.types import AnnotationSet, ImageRef, PersonRecord, Problem, Report, Source
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.skeleton import Skeleton

__all__ = [
    "FORMATS",
    "AnnotationSet",
    "Format",
    "ImageRef",
    "PersonRecord",
    "Problem",
    "Source",
    "read_annotations",
    "writer_for",
]

Writer = Callable[[BinaryIO, AnnotationSet, Extension], None]


@dataclass(frozen=True)
class Format:
    """How one kind of file is recognised, read and written.

    Attributes:
        detect: looks at a file; must not raise for a file of another kind.
        read: (source, skeleton or None, report or None) -> AnnotationSet.
        writers: output format -> writer; the first one is the default.
    """

    name: str
    title: str
    detect: Callable[[Source], bool]
    read: Callable[[Source, Skeleton | None, Report | None], AnnotationSet]
    writers: dict[str, Writer]


FORMATS: dict[str, Format] = {
    coco.NAME: Format(coco.NAME, "COCO keypoints json", coco.detect, coco.read, {coco.NAME: coco_write.write}),
    mpii.NAME: Format(
        mpii.NAME,
        "MPII json (image, center, scale, joints, joints_vis)",
        mpii.detect,
        mpii.read,
        {coco.NAME: coco_write.write_from_mpii, mpii.NAME: mpii_write.write},
    ),
}


def read_annotations(
    path: str | Path,
    format_name: str | None = None,
    skeleton: Skeleton | None = None,
    report: Report | None = None,
    *,
    lean: bool = False,
) -> AnnotationSet:
    """Read an annotation file.

    Args:
        format_name: None: recognised by its content.
        skeleton: the one it must have; None: recognised by its keypoint names.
        report: gets every problem instead of the first being raised.
        lean: hold a large file's records as text, a fifth of their size in memory; they must not be changed then.

    Raises:
        BadFileError: unreadable, no known format, wrong skeleton, not-finite numbers, ids twice, ids that lead nowhere.
    """
    source = Source(Path(path), lean)
    if format_name is None:
        found = [f for f in FORMATS.values() if f.detect(source)]
        if not found:
            raise BadFileError(f"{path} is none of the known annotation formats: {_titles()}.")
        return found[0].read(source, skeleton, report)
    if format_name not in FORMATS:
        raise BadArgumentError(f"No annotation format {format_name!r}: choose one of {', '.join(FORMATS)}.")
    return FORMATS[format_name].read(source, skeleton, report)


def writer_for(annotations: AnnotationSet, output_format: str | None) -> tuple[str, Writer]:
    """Name and writer of the output; None takes the input format's default.

    Raises:
        BadArgumentError: the input cannot be written in that format.
    """
    writers = FORMATS[annotations.format].writers
    name = output_format or next(iter(writers))
    if name not in writers:
        raise BadArgumentError(
            f"A file in format {annotations.format} cannot be written as {name!r}: choose {', '.join(writers)}."
        )
    return name, writers[name]


def _titles() -> str:
    return "; ".join(f.title for f in FORMATS.values())
