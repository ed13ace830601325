"""`check`: everything that is wrong with an annotation file, and where."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from poseunion.annotate.completion import ORIGIN_NAMES
from poseunion.annotate.formats import AnnotationSet, Problem, read_annotations
from poseunion.annotate.formats.types import MALFORMED
from poseunion.models.errors import BadFileError, ItemError
from poseunion.models.images import image_size
from poseunion.models.skeleton import Skeleton


def check(
    path: Path, *, images: Path | None = None, format_name: str | None = None, skeleton: Skeleton | None = None
) -> tuple[AnnotationSet | None, list[Problem]]:
    """Read a file and list its problems, in the order of the file.

    Args:
        images: also look at every picture: is it there, has it the stated size.

    Returns:
        The annotations (None where nothing of the file can be read) and the problems; a fatal one makes it unusable.
    """
    problems: list[Problem] = []
    try:
        annotations = read_annotations(path, format_name, skeleton, problems.append)
    except BadFileError as error:
        return None, [Problem(str(path), str(error).rstrip("."))]
    problems += _extended_problems(annotations)
    problems += _suspicious(annotations)
    if images is not None:
        problems += _picture_problems(annotations, images)
    return annotations, problems


def _place(annotations: AnnotationSet, index: int) -> str:
    record = annotations.records[index]
    return f"annotations[{index}] (id {record['id']})" if "id" in record else f"record {index}"


def _readable(annotations: AnnotationSet) -> Iterator[tuple[int, dict[str, Any]]]:
    for index, record in enumerate(annotations.records):
        if annotations.skip.get(index) != MALFORMED:
            yield index, record


def _extended_problems(annotations: AnnotationSet) -> Iterator[Problem]:
    """The fields that `extend` adds."""
    k = len(annotations.skeleton)
    for index, record in _readable(annotations):
        sources, confidence = record.get("keypoint_source"), record.get("keypoint_confidence")
        if sources is None or "joints_union" in record:  # MPII's own json: its skeleton is not the union
            continue
        place = _place(annotations, index)
        if not isinstance(sources, list) or len(sources) != k:
            yield Problem(place, f"keypoint_source does not have {k} entries")
            continue
        if unknown := sorted({str(s) for s in sources} - set(ORIGIN_NAMES)):
            yield Problem(place, f"keypoint_source says {unknown[0]!r}, where {', '.join(ORIGIN_NAMES)} are known")
        if not isinstance(confidence, list) or len(confidence) != k:
            yield Problem(place, f"keypoint_confidence does not have {k} entries")
        labelled = annotations.visibility[index] > 0
        for keypoint, source, there in zip(annotations.skeleton.keypoints, sources, labelled, strict=True):
            if (source != "none") != bool(there):
                yield Problem(place, f"{keypoint} has source {source!r} but {'a' if there else 'no'} point")
        for proposal in record.get("proposals") or []:
            if not isinstance(proposal, dict) or proposal.get("name") not in annotations.skeleton.keypoints:
                yield Problem(place, f"a proposal names no keypoint of {annotations.skeleton.name}")


def _suspicious(annotations: AnnotationSet) -> Iterator[Problem]:
    """Worth a look, but usable."""
    names = annotations.skeleton.keypoints
    for index, record in _readable(annotations):
        place = _place(annotations, index)
        person = annotations.person(index)
        labelled = person.visibility > 0
        stated = record.get("num_keypoints")
        if stated is not None and labelled.any() and stated != int(labelled.sum()):
            yield Problem(place, f"num_keypoints is {stated}, {int(labelled.sum())} are labelled", fatal=False)
        if person.skip is None and not (person.box_xywh[2:] > 0).all():
            yield Problem(place, "it has no bbox with an area, so it cannot be cropped", fatal=False)
        if person.image is None or person.image.width is None or person.image.height is None:
            continue
        width, height = person.image.width, person.image.height
        outside = labelled & ((person.xy < 0) | (person.xy > [width, height])).any(-1)
        if outside.any():
            where = ", ".join(names[k] for k in np.flatnonzero(outside))
            yield Problem(place, f"{where} outside the picture of {width}x{height}", fatal=False)
        x, y, w, h = person.box_xywh.tolist()
        if x >= width or y >= height or x + w <= 0 or y + h <= 0:
            yield Problem(place, f"bbox outside the picture of {width}x{height}", fatal=False)


def _picture_problems(annotations: AnnotationSet, folder: Path) -> Iterator[Problem]:
    for image in annotations.images:
        if not image.file_name:
            continue
        try:
            stored, upright = (image_size(folder / image.file_name, exif=exif) for exif in (False, True))
        except ItemError as error:
            yield Problem(f"image {image.id}", str(error))
            continue
        stated = (image.width, image.height)
        if None not in stated and stated not in (stored, upright):
            yield Problem(
                f"image {image.id}", f"{image.file_name} is {stored[0]}x{stored[1]}, stated is {stated[0]}x{stated[1]}"
            )
