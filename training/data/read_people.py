"""Labelled and boxed people of a dataset, in the target skeleton's order and definitions."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel, FiniteFloat, TypeAdapter, ValidationError

from poseunion.annotate.formats import read_annotations
from poseunion.annotate.formats.types import NO_HUMAN_KEYPOINT
from poseunion.models.errors import BadFileError
from poseunion.models.files import first_fault, read_json
from poseunion.models.keypoint_offsets import OFFSETS, apply_offsets, to_model_keypoints
from poseunion.models.picture_paths import picture_path
from poseunion.models.skeleton import Skeleton, Visibility, load_skeleton
from poseunion.training.data.data_file import DatasetEntry
from poseunion.training.data.extended_labels import labels_of
from poseunion.training.data.labels import TrainingPerson, weight_in_union

LABELLED = "labelled keypoints, which kind: keypoints trains on"


class ListedBoxes(BaseModel):
    """One picture of a file of boxes; other fields are ignored."""

    file_name: str
    boxes: list[tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]] | None = None


def is_box_list(path: Path) -> bool:
    """Whether a file of kind boxes is a JSON list of pictures; else it is an annotation file."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(100).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")


def read_listed_boxes(path: Path) -> list[ListedBoxes]:
    """Pictures and boxes of a JSON list of `{file_name, boxes: [[x, y, w, h], …] or null}`.

    Raises:
        BadFileError: the file is something else.
    """
    try:
        return TypeAdapter(list[ListedBoxes]).validate_python(read_json(path))
    except ValidationError as error:
        raise BadFileError(
            f"{path}, {first_fault(error, 'file')}; kind boxes is a list of objects with file_name and "
            "boxes [[x, y, width, height], …], or an annotation file."
        ) from error


def read_people(
    entry: DatasetEntry, target: Skeleton, *, definition_offsets: bool = True, left_out: Counter[str] | None = None
) -> list[TrainingPerson]:
    """The people of a dataset, in the target skeleton's order and, unless turned off, in its definitions.

    Of kind boxes: those of a list of boxes, or those of an annotation file with a box and no labelled keypoint.

    Args:
        left_out: filled with reason -> number of others of the file that are not trained on.
    """
    unlabelled = np.zeros((len(target), 2)), np.full(len(target), Visibility.UNDEFINED, np.int8)
    people: list[TrainingPerson] = []
    if entry.kind == "boxes" and is_box_list(entry.annotations):
        for picture in read_listed_boxes(entry.annotations):
            for box in picture.boxes or ():
                people.append(TrainingPerson(entry.images / picture.file_name, len(people), box, *unlabelled))
        return people
    left_out = Counter() if left_out is None else left_out
    annotations = read_annotations(
        entry.annotations, skeleton=load_skeleton(entry.skeleton) if entry.skeleton else None
    )
    source, labels = annotations.skeleton, labels_of(annotations)
    offsets = OFFSETS.get(entry.definitions or source.name, ()) if definition_offsets else ()
    moved, seen = apply_offsets(labels.xy, labels.visibility, source, offsets)
    xy, visibility = to_model_keypoints(
        np.where(labels.human[..., None], moved, labels.xy),
        np.where(labels.human, seen, labels.visibility),
        source,
        target,
    )
    weight = weight_in_union(labels.weight, visibility, source, target)
    is_plain = bool((weight == (visibility > 0)).all())
    left_out.update(annotations.unread)
    used = None if entry.kind == "keypoints" else NO_HUMAN_KEYPOINT
    for record in annotations.persons():
        has_box = bool(np.isfinite(record.box_xywh).all())
        if record.skip != used:
            left_out[record.skip or LABELLED] += 1
            continue
        if record.image is None or not has_box:
            left_out["no picture" if record.image is None else "no box"] += 1
            continue
        ref = record.image
        person = TrainingPerson(
            image=picture_path(entry.images, ref.file_name),
            person_id=record.index,
            box_xywh=tuple(float(v) for v in record.box_xywh),  # type: ignore[arg-type]
            xy=xy[record.index],
            visibility=visibility[record.index],
            image_wh=(ref.width, ref.height) if ref.width and ref.height else None,
            weight=None if is_plain else weight[record.index],
        )
        if entry.kind == "boxes":
            # Not defined rather than absent, so that a teacher's keypoints may be pseudo-labels.
            person = replace(person, xy=unlabelled[0], visibility=unlabelled[1], weight=None)
        people.append(person)
    return people
