"""Annotation formats: one module each, found through this registry.

A new format is a module with `NAME`, `detect`, `read`, and a writer of its own; the README's table is made from
`FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from poseunion.annotate.completion import Extension
from poseunion.annotate.formats import (
    aic,
    coco,
    coco_write,
    converted,
    datumaro,
    datumaro_write,
    dialects,
    lsp,
    mpii,
    mpii_mat,
    mpii_mat_write,
    mpii_write,
    results,
    unread,
    yolo,
    yolo_write,
)
from poseunion.annotate.formats.types import AnnotationSet, ImageRef, PersonRecord, Problem, Report, Source
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.skeleton import Skeleton, Visibility

__all__ = [
    "FORMATS",
    "AnnotationSet",
    "Format",
    "ImageRef",
    "PersonRecord",
    "Problem",
    "Source",
    "Writer",
    "read_annotations",
    "writer_for",
]

# Returns what the format could not hold: reason -> how many; None: everything was written.
Writer = Callable[[BinaryIO, AnnotationSet, Extension], dict[str, int] | None]
Reader = Callable[[Source, Skeleton | None, Report | None], AnnotationSet]

# Written from whatever was read: formats of tools rather than of datasets.
_TOOLS: dict[str, Writer] = {
    yolo.NAME: yolo_write.write,
    datumaro.NAME: datumaro_write.write,
    results.NAME: results.write,
}
_V, _O, _A, _U = Visibility.VISIBLE, Visibility.OCCLUDED, Visibility.ABSENT, Visibility.UNDEFINED
EXACT = "exact"


@dataclass(frozen=True)
class Format:
    """How one kind of file is recognised, read and written.

    Attributes:
        detect: looks at a file; must not raise for a file of another kind.
        read: (source, skeleton or None, report or None) -> AnnotationSet.
        writers: output format -> writer; the first one is the default.
        states: that survive being written in this format and read again.
        precision: of coordinates written in this format and read again: `exact`, or in words.
        own: what writing it back means, in words for the README's table.
        ending: of a file written in this format.
    """

    name: str
    title: str
    detect: Callable[[Source], bool]
    read: Reader
    writers: dict[str, Writer] = field(hash=False)
    states: tuple[Visibility, ...] = (_V, _O, _A)
    precision: str = EXACT
    own: str = ""
    ending: str = ".json"


def _coco_style(name: str, title: str, own: str, states: tuple[Visibility, ...] = (_V, _O, _A)) -> Format:
    """A dataset whose files are COCO style: the extended file keeps its document, its own shape can be had, too."""
    writers = {coco.NAME: coco_write.write, name: dialects.write, **_TOOLS}
    return Format(name, title, dialects.detect(name), dialects.read(name), writers, states, EXACT, own)


_SAME_KEYPOINTS = "same keypoints, the missing ones filled in with `--fill-gaps`"
FORMATS: dict[str, Format] = {
    f.name: f
    for f in (
        # The more particular ones first: the first that recognises a file reads it.
        _coco_style("halpe", "Halpe json (136 keypoints, the first 26)", _SAME_KEYPOINTS),
        _coco_style("crowdpose", "CrowdPose json", _SAME_KEYPOINTS),
        _coco_style("posetrack18", "PoseTrack18 json", _SAME_KEYPOINTS, (_V, _A)),
        _coco_style("jhmdb", "sub-JHMDB json (COCO style, as mmpose's)", _SAME_KEYPOINTS),
        Format(
            coco.NAME,
            "COCO keypoints json, with any known skeleton's names",
            coco.detect,
            coco.read,
            {coco.NAME: coco_write.write, **_TOOLS},
            own="the extended file",
        ),
        Format(
            mpii.NAME,
            "MPII json (image, center, scale, joints, joints_vis)",
            mpii.detect,
            mpii.read,
            {coco.NAME: converted.write, mpii.NAME: mpii_write.write, **_TOOLS},
            own="`joints_union` beside `joints`",
        ),
        Format(
            mpii_mat.NAME,
            "MPII .mat (RELEASE.annolist)",
            mpii_mat.detect,
            mpii_mat.read,
            {coco.NAME: converted.write, mpii_mat.NAME: mpii_mat_write.write, **_TOOLS},
            (_V, _O, _A, _U),
            own="`joints_union` beside `annopoints`",
            ending=".mat",
        ),
        Format(
            lsp.NAME,
            "LSP joints.mat, (3,14,N) and LSP extended's (14,3,N)",
            lsp.detect,
            lsp.read,
            {coco.NAME: converted.write, lsp.NAME: lsp.write, **_TOOLS},
            own="`joints_union` beside `joints`",
            ending=".mat",
        ),
        Format(
            aic.NAME,
            "AI Challenger json",
            aic.detect,
            aic.read,
            {coco.NAME: converted.write, aic.NAME: aic.write, **_TOOLS},
            own="`keypoint_union` beside `keypoint_annotations`",
        ),
        Format(
            yolo.NAME,
            "YOLO-pose: data.yaml with label files",
            yolo.detect,
            yolo.read,
            {coco.NAME: converted.write, **_TOOLS},
            precision="1e-8 of the picture's side",
            own="a zip of data.yaml and labels",
            ending=".zip",
        ),
        Format(
            datumaro.NAME,
            "CVAT skeletons: Datumaro 1.0 json",
            datumaro.detect,
            datumaro.read,
            {coco.NAME: converted.write, **_TOOLS},
            own="skeletons with more points",
        ),
        Format(
            results.NAME,
            "COCO results json (predictions)",
            results.detect,
            results.read,
            {results.NAME: results.write, coco.NAME: converted.write, **_TOOLS},
            (_V, _A),
            own="predictions with more keypoints",
        ),
    )
}


def read_annotations(
    path: str | Path,
    format_name: str | None = None,
    skeleton: Skeleton | None = None,
    report: Report | None = None,
    *,
    lean: bool = False,
    categories: Sequence[str] = (),
) -> AnnotationSet:
    """Read an annotation file.

    Args:
        format_name: None: recognised by its content.
        skeleton: the one it must have; None: recognised by its keypoint names.
        report: gets every problem instead of the first being raised.
        lean: hold a large file's records as text, a fifth of their size in memory; they must not be changed then.
        categories: names or ids of the categories or classes that are people; empty: see `classes`.

    Raises:
        BadFileError: unreadable, no known format, wrong skeleton, not-finite numbers, ids twice, ids that lead nowhere.
    """
    source = Source(Path(path), lean, tuple(categories))
    unread.refuse_if_unread(source.path)
    if format_name is None:
        found = [f for f in FORMATS.values() if f.detect(source)]
        if not found:
            if kind := unread.kind_by_content(source.path):
                raise BadFileError(f"{path} is {kind}.")
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
