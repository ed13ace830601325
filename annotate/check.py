"""`check`: everything that is wrong with an annotation file, and where."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from poseunion.annotate import against, faults
from poseunion.annotate.completion import ORIGIN_NAMES
from poseunion.annotate.formats import AnnotationSet, Problem, read_annotations
from poseunion.models.errors import BadFileError
from poseunion.models.skeleton import Skeleton

# Worth a look, but usable.
SUSPICIOUS = (faults.counts, faults.boxes, faults.points, faults.duplicates, faults.exchanged_sides)


def check(
    path: Path,
    *,
    images: Path | None = None,
    format_name: str | None = None,
    skeleton: Skeleton | None = None,
    reference: Path | None = None,
) -> tuple[AnnotationSet | None, list[Problem]]:
    """Read a file and list its problems, in the order of the file.

    Args:
        images: also look at every picture: is it there, has it the stated size, is it turned by its EXIF.
        reference: MPII's .mat, to compare an MPII json with.

    Returns:
        The annotations (None where nothing of the file can be read) and the problems; a fatal one makes it unusable.
    """
    problems: list[Problem] = []
    try:
        annotations = read_annotations(path, format_name, skeleton, problems.append)
    except BadFileError as error:
        return None, [Problem(str(path), str(error).rstrip("."))]
    problems += _extended_problems(annotations)
    for search in SUSPICIOUS:
        problems += search(annotations)
    if images is not None:
        problems += faults.pictures(annotations, images)
    if reference is not None:
        problems += against.compare(annotations, read_annotations(reference))
    return annotations, problems


def _extended_problems(annotations: AnnotationSet) -> Iterator[Problem]:
    """The fields that `extend` adds."""
    k = len(annotations.skeleton)
    for index, record in faults.readable(annotations):
        sources, confidence = record.get("keypoint_source"), record.get("keypoint_confidence")
        if sources is None or "joints_union" in record:  # MPII's own json: its skeleton is not the union
            continue
        place = faults.place_of(annotations, index)
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
