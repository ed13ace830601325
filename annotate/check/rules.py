"""The known faults of annotation files, found in what was read; each with a fix where there is only one.

Nothing here is fatal: a file with these faults can be used. A fault that a person has to decide about has no fix.
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from poseunion.annotate import left_right_geometry
from poseunion.annotate.check import json_patch
from poseunion.annotate.formats import AnnotationSet, Problem
from poseunion.annotate.formats.coco.coco_json import is_number
from poseunion.annotate.formats.extension_view import human_view
from poseunion.annotate.formats.types import ANIMAL, MALFORMED, is_another_class
from poseunion.models.errors import ItemError
from poseunion.models.files import sha256_of
from poseunion.models.images import image_size, read_image
from poseunion.models.picture_paths import picture_path

# Two people of one picture are one labelled twice when their shared points are this close, in sides of their box.
SAME_PERSON = 0.02
SHARED_POINTS = 5
# Keypoints from which on a file without any v 2 is odd: fewer may all be occluded.
FEWEST_STATES = 30

# CrowdPose counts its 12 limb keypoints alone (crowdpose-api); head and neck stand last.
UNCOUNTED = {"crowdpose": ("head_top", "head", "neck", "upper_neck")}

# Fields by which formats without ids locate a person.
_WHERE = ("image", "human", "annolist", "annorect", "label_file", "line", "item", "annotation", "image_id")


def place_of(annotations: AnnotationSet, index: int) -> str:
    """Place of record `index`, as text that can be searched for."""
    record = annotations.records[index]
    if "id" in record:
        return f"annotations[{index}] (id {record['id']})"
    found = ", ".join(f"{key} {record[key]}" for key in _WHERE if key in record)
    return f"record {index} ({found})" if found else f"record {index}"


def readable(annotations: AnnotationSet) -> Iterator[tuple[int, dict[str, Any]]]:
    """The people whose records could be read."""
    for index, record in enumerate(annotations.records):
        reason = annotations.skip.get(index)
        if reason != MALFORMED and not is_another_class(reason):
            yield index, record


def pointer_of(annotations: AnnotationSet, index: int) -> tuple[str | int, ...] | None:
    """Where record `index` stands in the JSON document; None for formats whose records are not its items."""
    document = annotations.source.document
    if isinstance(document, list) and document and document[0] is annotations.records[0]:
        return (index,)
    if isinstance(document, dict) and document.get("annotations") is annotations.records:
        return ("annotations", index)
    return None


def counts(annotations: AnnotationSet) -> Iterator[Problem]:
    """`num_keypoints` that is not the number of labelled keypoints (Halpe's is wrong throughout)."""
    uncounted = UNCOUNTED.get(annotations.format, ())
    counted = [name not in uncounted for name in annotations.skeleton.keypoints]
    for index, record in readable(annotations):
        stated, values = record.get("num_keypoints"), record.get("keypoints")
        if stated is None or not isinstance(values, list):
            continue
        states = [is_number(v) and v > 0 for v in values[2::3]]
        labelled = sum(states)
        if uncounted and len(states) == len(counted) and stated == sum(np.logical_and(states, counted)):
            continue
        if labelled and stated != labelled:
            where = pointer_of(annotations, index)
            fix = json_patch.replace(json_patch.pointer(*where, "num_keypoints"), stated, labelled) if where else ()
            text = f"num_keypoints is {stated}, {labelled} are labelled"
            yield Problem(place_of(annotations, index), text, False, fix)


def places(annotations: AnnotationSet) -> Iterator[Problem]:
    """Keypoints at (0, 0) that are called labelled, and keypoints with a place that are called unlabelled."""
    hidden = people = 0
    for index, record in readable(annotations):
        values = record.get("keypoints")
        if (
            not isinstance(values, list)
            or len(values) != 3 * len(annotations.skeleton)
            or not all(map(is_number, values))
        ):
            continue
        xyv = np.array(values, float).reshape(-1, 3)
        at_zero, states = ~xyv[:, :2].any(-1), xyv[:, 2]
        if (at_zero & (states > 0)).any():
            names = ", ".join(annotations.skeleton.keypoints[k] for k in np.flatnonzero(at_zero & (states > 0)))
            text = f"{names} at (0, 0) with v > 0: treated as unlabelled"
            yield Problem(place_of(annotations, index), text, False)
        hidden += (held := int((~at_zero & (states == 0)).sum()))
        people += bool(held)
    if hidden and "poseunion" not in (
        annotations.source.document if isinstance(annotations.source.document, dict) else ()
    ):
        text = (
            f"{hidden} keypoints of {people} people have a place but v 0: treated as unlabelled, and kept in the record"
        )
        yield Problem("annotations", text, False)


def animals(annotations: AnnotationSet) -> Iterator[Problem]:
    """Categories of animals with people's keypoints, which are completed only with --category."""
    animals_of = Counter(reason for reason in annotations.skip.values() if reason.startswith(ANIMAL))
    for reason, count in animals_of.items():
        name = reason.removeprefix(f"{ANIMAL}: ")
        text = f"{name} is an animal by its name, and the model predicts people only: {count} left as they are"
        yield Problem("categories", f"{text}; --category {name} completes them", False)


def visibility(annotations: AnnotationSet) -> Iterator[Problem]:
    """A file whose labelled keypoints all have v 1: labelled but occluded, in COCO's convention."""
    values = [r["keypoints"][2::3] for _, r in readable(annotations) if isinstance(r.get("keypoints"), list)]
    labelled = [v for states in values for v in states if is_number(v) and v > 0]
    if len(labelled) >= FEWEST_STATES and set(labelled) == {1}:
        text = f"visibility: all {len(labelled)} labelled keypoints have v 1 (occluded): does 1 stand for visible here?"
        yield Problem("annotations", text, False)


def listed_twice(annotations: AnnotationSet) -> Iterator[Problem]:
    """Pictures of which several entries have the file name."""
    first: dict[str, Any] = {}
    for image in annotations.images:
        if image.file_name and image.file_name in first:
            yield Problem(f"image {image.id}", f"{image.file_name} is also image {first[image.file_name]}", False)
        first.setdefault(image.file_name, image.id)


def points(annotations: AnnotationSet) -> Iterator[Problem]:
    """Labelled points outside the picture."""
    for index, _ in readable(annotations):
        person = annotations.person(index)
        if person.image is None or person.image.width is None or person.image.height is None:
            continue
        size = (person.image.width, person.image.height)
        outside = (person.visibility > 0) & ((person.xy < 0) | (person.xy > size)).any(-1)
        if outside.any():
            names = ", ".join(annotations.skeleton.keypoints[k] for k in np.flatnonzero(outside))
            yield Problem(place_of(annotations, index), f"{names} outside the picture of {size[0]}x{size[1]}", False)


def duplicates(annotations: AnnotationSet) -> Iterator[Problem]:
    """One person labelled twice: with the same points (the later record is removed), or with nearly the same.

    Of an extended file the human points alone: what follows from them, or from the same picture, proves nothing more.
    """
    annotations = human_view(annotations)
    by_image: dict[int, list[int]] = defaultdict(list)
    for index, _ in readable(annotations):
        if (annotations.visibility[index] > 0).sum() >= 2:
            by_image[int(annotations.image_index[index])].append(index)
    for people in by_image.values():
        gone: set[int] = set()
        for a, b in combinations(people, 2):
            if a in gone or b in gone:
                continue
            shared = (annotations.visibility[a] > 0) & (annotations.visibility[b] > 0)
            distance = np.linalg.norm(annotations.xy[a, shared] - annotations.xy[b, shared], axis=-1)
            first = place_of(annotations, a)
            if np.array_equal(annotations.visibility[a], annotations.visibility[b]) and not distance.any():
                gone.add(b)
                where = pointer_of(annotations, b)
                same_box = np.array_equal(annotations.box_xywh[a], annotations.box_xywh[b], equal_nan=True)
                fix = (
                    json_patch.remove(json_patch.pointer(*where), annotations.records[b]) if where and same_box else ()
                )
                yield Problem(place_of(annotations, b), f"has the same points as {first}", False, fix)
            elif shared.sum() >= SHARED_POINTS and distance.mean() < SAME_PERSON * _extent(annotations, a):
                yield Problem(place_of(annotations, b), f"may be the person of {first}: nearly the same points", False)


def _extent(annotations: AnnotationSet, index: int) -> float:
    """The longer side of what is labelled, pixels."""
    labelled = annotations.xy[index, annotations.visibility[index] > 0]
    return float(np.ptp(labelled, axis=0).max())


def exchanged_sides(annotations: AnnotationSet) -> Iterator[Problem]:
    """Left and right that may have been exchanged; see `left_right_geometry`.

    Human points are compared with each other; added points with all points of the person.
    """
    human = human_view(annotations)
    added = (annotations.visibility > 0) & (human.visibility <= 0)
    odd = left_right_geometry.contradicting(annotations.skeleton, annotations.xy, annotations.visibility, added)
    for index, _ in readable(annotations):
        text = left_right_geometry.suspicion(annotations.skeleton, human.xy[index], human.visibility[index])
        if text is None and odd[index].any():
            names = ", ".join(annotations.skeleton.keypoints[k] for k in np.flatnonzero(odd[index]))
            text = f"{names}, which no human labelled, may be on the wrong side: other pairs lie the other way round"
        if text is not None:
            yield Problem(place_of(annotations, index), text, False)


def pictures(annotations: AnnotationSet, folder: Path) -> Iterator[Problem]:
    """Pictures that are absent, truncated, of another size, turned by their EXIF, or copies of one another."""
    people: dict[int, list[int]] = defaultdict(list)
    for index, _ in readable(annotations):
        people[int(annotations.image_index[index])].append(index)
    digest = functools.cache(sha256_of)
    seen: dict[int, list[tuple[str, Path]]] = defaultdict(list)  # by the file's size: few of the same need a checksum
    for position, image in enumerate(annotations.images):
        if not image.file_name:
            continue
        place = f"image {image.id}"
        path = picture_path(folder, image.file_name)
        if path != folder / image.file_name:
            yield Problem(place, f"{image.file_name} is taken to be {path.relative_to(folder).as_posix()}", False)
        try:
            stored, upright = (image_size(path, exif=exif) for exif in (False, True))
            read_image(path, exif=False)  # a truncated picture has a whole header
        except ItemError as error:
            yield Problem(place, str(error))
            continue
        same_size = seen[path.stat().st_size]
        first = next((name for name, other in same_size if digest(other) == digest(path)), None)
        if first is None:
            same_size.append((image.file_name, path))
        elif first != image.file_name:
            yield Problem(place, f"{image.file_name} is the same picture as {first}", False)
        stated = None if image.width is None or image.height is None else (image.width, image.height)
        if stated is not None and stated not in (stored, upright):
            text = f"{image.file_name} is {stored[0]}x{stored[1]}, stated is {stated[0]}x{stated[1]}"
            yield Problem(place, text)
        elif stored != upright:
            yield _turned(annotations, position, people[position], stated, stored, upright)


def _turned(
    annotations: AnnotationSet,
    position: int,
    people: list[int],
    stated: tuple[int, int] | None,
    stored: tuple[int, int],
    upright: tuple[int, int],
) -> Problem:
    """Problem of a picture whose EXIF orientation turns it."""
    image = annotations.images[position]
    text = f"{image.file_name} is turned by its EXIF: stored {stored[0]}x{stored[1]}, upright {upright[0]}x{upright[1]}"
    if stated is None:
        return Problem(f"image {image.id}", f"{text}; no size is stated, so the stored pixels are taken", False)
    other = upright if stated == stored else stored
    labelled = [annotations.xy[i][annotations.visibility[i] > 0] for i in people]
    xy = np.concatenate([np.zeros((0, 2)), *labelled])
    if (xy > stated).any() and not (xy > other).any():
        return Problem(
            f"image {image.id}",
            f"{text}; its people lie outside the stated {stated[0]}x{stated[1]}, but inside the other frame",
            False,
            _other_frame(annotations, position, stated, other),
        )
    frame = "the stored" if stated == stored else "the upright"
    return Problem(
        f"image {image.id}", f"{text}; its people are taken to be in {frame} frame, whose size is stated", False
    )


def _other_frame(
    annotations: AnnotationSet, position: int, stated: tuple[int, int], other: tuple[int, int]
) -> tuple[json_patch.Operation, ...]:
    document = annotations.source.document
    if not isinstance(document, dict) or not isinstance(document.get("images"), list):
        return ()
    width, height = (json_patch.pointer("images", position, side) for side in ("width", "height"))
    return (*json_patch.replace(width, stated[0], other[0]), *json_patch.replace(height, stated[1], other[1]))
