"""`check`: everything that is wrong with an annotation file, and where."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from poseunion.annotate.check import box_rules, mpii_json_vs_mat, rules, ultralytics
from poseunion.annotate.check.left_right_model import exchanged_by_model
from poseunion.annotate.datasets import picture_folder
from poseunion.annotate.formats import AnnotationSet, Problem, read_annotations
from poseunion.annotate.formats.added_fields import field_problems, has_added_fields
from poseunion.annotate.formats.review_entries import review_problems
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.inference.interface import PosePredictor
from poseunion.models.skeleton import Skeleton

# Suspicious, but usable.
SUSPICIOUS = (
    rules.animals,
    rules.counts,
    rules.places,
    rules.visibility,
    box_rules.boxes,
    rules.points,
    rules.listed_twice,
    rules.duplicates,
    rules.exchanged_sides,
)
CONSUMERS = {"ultralytics": ultralytics.dropped}


def check(
    path: Path,
    *,
    images: Path | None = None,
    format_name: str | None = None,
    skeleton: Skeleton | None = None,
    categories: Sequence[str] = (),
    reference: Path | None = None,
    model: PosePredictor | None = None,
    consumer: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[AnnotationSet | None, list[Problem]]:
    """Read a file and list its problems, in the order of the file.

    Args:
        images: also check every picture, see `rules.pictures`.
        reference: MPII's .mat, to compare an MPII json with.
        model: compares left and right, see `left_right_model`; needs `images`.
        consumer: `ultralytics`: also what it would drop of a YOLO-pose dataset, see `ultralytics`.
        progress: called with people done and people in all.

    Returns:
        The annotations (None where nothing of the file can be read) and the problems; a fatal one makes it unusable.

    Raises:
        BadArgumentError: `images` is no folder, or lacks with `model`, or `reference` is of another kind; no such
            consumer, or one of another format.
    """
    if model is not None and images is None:
        raise BadArgumentError("A model needs the pictures: give their folder with --images.")
    if images is not None:
        picture_folder(images)
    if consumer not in (None, *CONSUMERS):
        raise BadArgumentError(f"No consumer {consumer!r}: choose {', '.join(CONSUMERS)}.")
    problems: list[Problem] = []
    try:
        annotations = read_annotations(path, format_name, skeleton, problems.append, categories=categories)
    except BadFileError as error:
        return None, [Problem(str(path), str(error).rstrip("."))]
    problems += _extended_problems(annotations)
    for search in SUSPICIOUS:
        problems += search(annotations)
    if images is not None:
        problems += rules.pictures(annotations, images)
    if images is not None and model is not None:
        problems += exchanged_by_model(annotations, images, model, progress)
    if consumer is not None:
        problems += CONSUMERS[consumer](annotations)
    if reference is not None:
        problems += mpii_json_vs_mat.compare(annotations, read_annotations(reference))
    return annotations, problems


def _extended_problems(annotations: AnnotationSet) -> Iterator[Problem]:
    """The fields that `extend` adds."""
    for index, record in rules.readable(annotations):
        if not has_added_fields(record):
            continue
        place = rules.place_of(annotations, index)
        problems = list(field_problems(record, annotations.skeleton))
        yield from (Problem(place, text) for text in problems)
        if problems:
            continue
        yield from (Problem(place, text) for text in review_problems(record, annotations.skeleton))
        labelled = annotations.visibility[index] > 0
        for keypoint, source, there in zip(
            annotations.skeleton.keypoints, record["keypoint_source"], labelled, strict=True
        ):
            if (source != "none") != bool(there):
                yield Problem(place, f"{keypoint} has source {source!r} but {'a' if there else 'no'} point")
