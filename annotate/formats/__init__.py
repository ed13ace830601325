"""Annotation formats, found through one registry.

A format is a module (a family of formats, or those of labelling `tools`, a folder) with `NAME`, `detect`, `read`, and a
writer of its own; it is imported when a file is read or written. The README's table is made from `FORMATS`.

`types`: what is read. `extension`: what was added, and `added_fields` its form in a record. Shared by the formats:
`boxes`, `ids`, `visibility`, `skeleton_match`, `keypoint_spelling`, `matlab`, `json_records`, `json_stream`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from poseunion.annotate.formats.extension import Extension
from poseunion.annotate.formats.types import AnnotationSet, ImageRef, PersonRecord, Problem, Report, Source, refuse
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


def _lazy(function: str, *arguments: str) -> Callable[..., Any]:
    """`module:function` below this package, imported at its first call; with `arguments`, what it makes of them."""
    module, name = function.split(":")

    def call(*args: Any) -> Any:
        found = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        return (found(*arguments) if arguments else found)(*args)

    return call


_COCO, _FROM_ANY = _lazy("coco.coco_json_write:write"), _lazy("coco.from_any:write")
# Written from whatever was read: formats of tools rather than of datasets.
_TOOLS: dict[str, Writer] = {
    "yolo-pose": _lazy("yolo.yolo_labels_write:write"),
    "datumaro": _lazy("datumaro.datumaro_json_write:write"),
    "coco-results": _lazy("coco.results:write"),
    "label-studio": _lazy("tools.label_studio_write:write"),
    "openpose": _lazy("tools.openpose:write"),
}
_V, _O, _A, _U = Visibility.VISIBLE, Visibility.OCCLUDED, Visibility.ABSENT, Visibility.UNDEFINED
EXACT = "exact"
FEWEST_SHARES = 6  # different ones; three keypoints have as many
SHARES = (
    "all boxes and points lie within one pixel: shares instead of pixels? Multiply x by the picture's width and y by "
    "its height"
)


@dataclass(frozen=True)
class Format:
    """How one kind of file is recognised, read and written.

    Attributes:
        detect: whether a file is of this format; must not raise for a file of another kind.
        read: (source, skeleton or None, report or None) -> AnnotationSet.
        writers: output format -> writer; the first one is the default.
        states: that survive being written in this format and read again.
        precision: of coordinates written in this format and read again: `exact`, or a description.
        own: description of writing it back, for the README's table.
        ending: of a file written in this format.
        verified: the programs that read what we write, in `make test-consumers`.
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
    verified: str = ""


def _coco_style(name: str, title: str, own: str, states: tuple[Visibility, ...] = (_V, _O, _A)) -> Format:
    """A dataset whose files are COCO style: the extended file keeps its document, its own shape can be had, too."""
    writers = {"coco": _COCO, name: _lazy("coco.dialects:write"), **_TOOLS}
    detect, read = (_lazy(f"coco.dialects:{function}", name) for function in ("detect", "read"))
    return Format(name, title, detect, read, writers, states, EXACT, own)


def _format(
    name: str,
    title: str,
    module: str,
    own: str = "",
    *,
    write: str = "",
    states: tuple[Visibility, ...] = (_V, _O, _A),
    precision: str = EXACT,
    ending: str = ".json",
    verified: str = "",
) -> Format:
    """A format with a module of its own; `write`: the module that writes its files back, where `_TOOLS` has it not."""
    detect, read = (_lazy(f"{module}:{function}") for function in ("detect", "read"))
    writers = {"coco": _FROM_ANY, **({name: _lazy(f"{write}:write")} if write else {}), **_TOOLS}
    if name == "coco":
        writers["coco"] = _COCO
    if name == "coco-results":  # results stay results where nothing else is chosen
        writers = {name: writers[name], **writers}
    return Format(name, title, detect, read, writers, states, precision, own, ending, verified)


_FILLED = "same keypoints, the missing ones filled in with `--fill-gaps`"
# The more particular ones first: the first that recognises a file reads it.
_KNOWN = (
    _coco_style("halpe", "Halpe json (136 keypoints, the first 26)", _FILLED),
    _coco_style("crowdpose", "CrowdPose json", _FILLED),
    _coco_style("wholebody", "COCO-WholeBody json (the body's 17 of 133)", _FILLED),
    _coco_style("posetrack18", "PoseTrack18 json", _FILLED, (_V, _A)),
    _coco_style("jhmdb", "sub-JHMDB json (COCO style, as mmpose's)", _FILLED),
    _format(
        "coco",
        "COCO keypoints json, with any known skeleton's names",
        "coco.coco_json",
        "the extended file",
        verified="pycocotools, FiftyOne, sleap-io",
    ),
    _format(
        "mpii",
        "MPII json (image, center, scale, joints, joints_vis)",
        "mpii.mpii_json",
        "`joints_union` beside `joints`",
        write="mpii.mpii_json_write",
    ),
    _format(
        "mpii-mat",
        "MPII .mat (RELEASE.annolist)",
        "mpii.mpii_mat",
        "`joints_union` beside `annopoints`",
        write="mpii.mpii_mat_write",
        states=(_V, _O, _A, _U),
        ending=".mat",
    ),
    _format(
        "lsp-mat",
        "LSP joints.mat, (3,14,N) and LSP extended's (14,3,N)",
        "lsp",
        "`joints_union` beside `joints`",
        write="lsp",
        ending=".mat",
    ),
    _format("aic", "AI Challenger json", "aic", "`keypoint_union` beside `keypoint_annotations`", write="aic"),
    _format(
        "yolo-pose",
        "YOLO-pose: data.yaml with label files",
        "yolo.yolo_labels",
        "a zip of data.yaml and labels",
        precision="1e-8 of the picture's side",
        ending=".zip",
        verified="Ultralytics, sleap-io",
    ),
    _format(
        "datumaro",
        "CVAT skeletons: Datumaro 1.0 json",
        "datumaro.datumaro_json",
        "skeletons with more points",
        verified="cvat-sdk (its labels)",
    ),
    _format("cvat-xml", 'CVAT skeletons: XML 1.1 ("CVAT for images")', "tools.cvat_xml", ending=".xml"),
    _format(
        "label-studio",
        "Label Studio json (rectangles with keypoints)",
        "tools.label_studio",
        "regions with more keypoints",
        precision="1e-13 of the picture's side",
        verified="label-studio-sdk",
    ),
    _format("labelme", "labelme, X-AnyLabeling json (a file or a folder)", "tools.labelme"),
    _format(
        "openpose",
        "OpenPose json (predictions; a file or a folder)",
        "tools.openpose",
        "a zip of BODY_25",
        states=(_V, _A),
        ending=".zip",
    ),
    _format(
        "coco-results",
        "COCO results json (predictions)",
        "coco.results",
        "predictions with more keypoints",
        states=(_V, _A),
        verified="pycocotools",
    ),
)
FORMATS: dict[str, Format] = {known.name: known for known in _KNOWN}


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
        BadFileError: unreadable, no known format, wrong skeleton, not-finite numbers, ids twice, ids without an object,
            shares of the picture's sides in a format of pixels.
    """
    from poseunion.annotate.formats import unsupported

    source = Source(Path(path), lean, tuple(categories))
    if not source.path.is_dir():  # a folder may hold one file a picture
        unsupported.refuse_if_unread(source.path)
    if format_name is None:
        found = [f for f in FORMATS.values() if f.detect(source)]
        if not found:
            unsupported.refuse_if_unread(source.path)
            if kind := unsupported.kind_by_content(source.path):
                raise BadFileError(f"{path} is {kind}.")
            raise BadFileError(f"{path} is none of the known annotation formats: {_titles()}.")
        format_name = found[0].name
    if format_name not in FORMATS:
        raise BadArgumentError(f"No annotation format {format_name!r}: choose one of {', '.join(FORMATS)}.")
    annotations = FORMATS[format_name].read(source, skeleton, report)
    if _are_shares(annotations):
        (report or refuse(source.path))(Problem("annotations", SHARES))
    return annotations


def _are_shares(annotations: AnnotationSet) -> bool:
    """Whether all boxes and points lie within one pixel, in places that are not those of a few pixels' corners."""
    placed = annotations.xy[annotations.visibility > 0]
    if not len(placed) or placed.max() > 1 or (annotations.box_xywh[:, 2:] > 1.5).any():
        return False
    return len(np.unique(placed[placed % 1 != 0])) >= FEWEST_SHARES


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
