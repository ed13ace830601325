"""Labelled and boxed people of a dataset, in the target skeleton's order and definitions."""

from __future__ import annotations

from collections import Counter

import numpy as np

from poseunion.annotate.formats import read_annotations
from poseunion.models.keypoint_offsets import OFFSETS, apply_offsets, to_model_keypoints
from poseunion.models.picture_paths import picture_path
from poseunion.models.skeleton import Skeleton, load_skeleton
from poseunion.training.data.box_list import people_in_boxes
from poseunion.training.data.data_file import DatasetEntry
from poseunion.training.data.extended_labels import labels_of
from poseunion.training.data.labels import TrainingPerson, weight_in_union


def read_people(
    entry: DatasetEntry, target: Skeleton, *, definition_offsets: bool = True, left_out: Counter[str] | None = None
) -> list[TrainingPerson]:
    """The people of a dataset, in the target skeleton's order and, unless turned off, in its definitions.

    Args:
        left_out: gets the reasons why others of the file are not trained on, and how many there are of each.
    """
    left_out = Counter() if left_out is None else left_out
    if entry.kind == "boxes":
        return people_in_boxes(entry.annotations, entry.images, target)
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
    people = []
    for record in annotations.persons():
        has_box = bool(np.isfinite(record.box_xywh).all())
        if record.skip is not None or record.image is None or not has_box:
            left_out[record.skip or ("no picture" if record.image is None else "no box")] += 1
            continue
        ref = record.image
        people.append(
            TrainingPerson(
                image=picture_path(entry.images, ref.file_name),
                person_id=record.index,
                box_xywh=tuple(float(v) for v in record.box_xywh),  # type: ignore[arg-type]
                xy=xy[record.index],
                visibility=visibility[record.index],
                image_wh=(ref.width, ref.height) if ref.width and ref.height else None,
                weight=None if is_plain else weight[record.index],
            )
        )
    return people
