"""COCO keypoints json, with any skeleton's names in its category (COCO, LSP, MPII, CrowdPose, Halpe-26, union21 …).

Reading checks everything that is used later and keeps the document itself: unknown fields, ids and order survive
because writing starts from the document (see `coco_write`).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats.names import skeleton_of_file
from poseunion.annotate.formats.types import (
    CROWD,
    MALFORMED,
    NO_HUMAN_KEYPOINT,
    OTHER_CATEGORY,
    AnnotationSet,
    ImageRef,
    Problem,
    Report,
    Source,
    empty_rows,
    refuse,
)
from poseunion.annotate.formats.visibility import COCO, StateTable
from poseunion.models.errors import BadFileError, SkeletonError
from poseunion.models.skeleton import Skeleton

NAME = "coco"


@dataclass(frozen=True)
class Dialect:
    """What sets one dataset's file apart from COCO's own.

    Attributes:
        name: of the format.
        table: what its visibility numbers mean.
        length: keypoints of a record's list, of which the skeleton's are the first; None: only the skeleton's.
    """

    name: str = NAME
    table: StateTable = COCO
    length: int | None = None


PLAIN = Dialect()


def detect(source: Source) -> bool:
    """Is this COCO style: an object with `images` and `annotations`?"""
    if source.path.suffix.lower() != ".json":
        return False
    document = source.document
    return isinstance(document, dict) and "annotations" in document and "images" in document


def read(
    source: Source, skeleton: Skeleton | None = None, report: Report | None = None, dialect: Dialect = PLAIN
) -> AnnotationSet:
    """Read a COCO-style file.

    Args:
        skeleton: the one the file must have; None: recognised by the category's keypoint names.
        report: gets every problem found (for `check`); without it the first fatal one is raised.

    Raises:
        BadFileError: the file as a whole cannot be used (with `report`: only if nothing of it can be read).
    """
    report = report or refuse(source.path)
    document = source.document
    if not isinstance(document, dict):
        raise BadFileError(
            f"{source.path} is not COCO style: an object with images, annotations and categories is expected."
        )
    for key in ("images", "annotations"):
        if not isinstance(document.get(key), list):
            raise BadFileError(f"{source.path} is not COCO style: it has no list {key!r}.")
    records: list[dict[str, Any]] = document["annotations"]
    images, position_of = _read_images(document["images"], report)
    category, found = _person_category(document, skeleton, source)
    rows = empty_rows(len(records), len(found))
    skip = _read_records(records, rows, position_of, category, found, report, dialect)
    xy, visibility, box, image = rows
    return AnnotationSet(dialect.name, found, source, records, images, image, xy, visibility, box, None, skip, category)


def _read_images(entries: list[Any], report: Report) -> tuple[list[ImageRef], dict[Any, int]]:
    images: list[ImageRef] = []
    position_of: dict[Any, int] = {}
    for index, entry in enumerate(entries):
        place = f"images[{index}]"
        ref = ImageRef(None, "")
        if not isinstance(entry, dict) or not isinstance(entry.get("file_name"), str) or not _is_id(entry.get("id")):
            report(Problem(place, "an image needs an id (number or text) and a file_name"))
        elif entry["id"] in position_of:
            report(Problem(place, f"image id {entry['id']} stands twice, first in images[{position_of[entry['id']]}]"))
        else:
            width, height = entry.get("width"), entry.get("height")
            if (width, height) != (None, None) and not (_is_size(width) and _is_size(height)):
                report(
                    Problem(
                        f"{place} (id {entry['id']})", f"width {width!r} and height {height!r} are not a picture's size"
                    )
                )
                width = height = None
            ref = ImageRef(entry["id"], entry["file_name"], *(None if v is None else int(v) for v in (width, height)))
            position_of[ref.id] = index
        images.append(ref)
    return images, position_of


def _person_category(document: dict[str, Any], expected: Skeleton | None, source: Source) -> tuple[Any, Skeleton]:
    """Id of the category that holds people, and their skeleton in the file's order."""
    categories = document.get("categories")
    if not isinstance(categories, list) or not all(isinstance(c, dict) and _is_id(c.get("id")) for c in categories):
        raise BadFileError(f"{source.path} is not COCO style: it needs a list 'categories' whose entries have an id.")
    named = [c for c in categories if c.get("keypoints")]
    people = [c for c in named if c.get("name") == "person"] or named
    if not people and expected is not None:  # Halpe's file, for one, leaves the names out
        bare = [c for c in categories if c.get("name") == "person"] or categories
        if len(bare) == 1:
            return bare[0]["id"], expected
    if not people:
        raise BadFileError(f"{source.path}, categories: no category names its keypoints, so the skeleton is unknown.")
    chosen = people[0]
    try:
        if not isinstance(chosen["keypoints"], list) or not all(isinstance(k, str) for k in chosen["keypoints"]):
            raise SkeletonError("the keypoints are not a list of names")
        return chosen["id"], skeleton_of_file(chosen["keypoints"], expected, document)
    except SkeletonError as error:
        raise BadFileError(f"{source.path}, category {chosen['id']}: {str(error).rstrip('.')}.") from error


def _read_records(
    records: list[dict[str, Any]],
    rows: tuple[NDArray[np.float64], NDArray[np.int8], NDArray[np.float64], NDArray[np.int32]],
    position_of: dict[Any, int],
    category: Any,
    skeleton: Skeleton,
    report: Report,
    dialect: Dialect,
) -> dict[int, str]:
    """Fill `rows`; returns why records are to be skipped."""
    xy_NK2, visibility_NK, box_N4, image_N = rows
    skip: dict[int, str] = {}
    seen: dict[Any, int] = {}
    for index, record in enumerate(records):
        place = f"annotations[{index}]"
        if not isinstance(record, dict) or not _is_id(record.get("id")):
            report(Problem(place, "an annotation needs an id (number or text)"))
            skip[index] = MALFORMED
            continue
        place += f" (id {record['id']})"
        if record["id"] in seen:
            report(Problem(place, f"the id stands twice, first in annotations[{seen[record['id']]}]"))
        seen.setdefault(record["id"], index)
        image_id = record.get("image_id")
        if not _is_id(image_id) or image_id not in position_of:
            report(Problem(place, f"image_id {image_id!r} is not among the images"))
            skip[index] = MALFORMED
            continue
        image_N[index] = position_of[image_id]
        if record.get("category_id", category) != category:
            skip[index] = OTHER_CATEGORY
            continue
        problems = [
            *_read_box(record, box_N4[index]),
            *_read_keypoints(record, xy_NK2[index], visibility_NK[index], skeleton, dialect),
        ]
        for text in problems:
            report(Problem(place, text))
        if problems:
            skip[index] = MALFORMED
        elif record.get("iscrowd"):
            skip[index] = CROWD
        elif not (visibility_NK[index] > 0).any():
            skip[index] = NO_HUMAN_KEYPOINT
    return skip


def _read_keypoints(
    record: dict[str, Any],
    xy_K2: NDArray[np.float64],
    visibility_K: NDArray[np.int8],
    skeleton: Skeleton,
    dialect: Dialect,
) -> list[str]:
    k = len(skeleton)
    values = record.get("keypoints")
    if not values:  # absent, null or []: nobody labelled this person
        visibility_K[:] = 0
        return []
    if not isinstance(values, list):
        return ["keypoints is not a list"]
    if dialect.length is not None and len(values) == 3 * dialect.length:
        values = values[: 3 * k]
    if len(values) != 3 * k:
        return [f"{len(values)} keypoint numbers, where {skeleton.name} has {k} keypoints and needs {3 * k}"]
    if not set(map(type, values)) <= {int, float}:
        odd = next(v for v in values if type(v) not in (int, float))
        return [f"keypoints holds {odd!r}, which is not a number"]
    try:
        array = np.array(values, np.float64).reshape(k, 3)
    except OverflowError:
        return ["keypoints holds a number too large to be a coordinate"]
    if not np.isfinite(array).all():
        return [f"keypoint {skeleton.keypoints[int((~np.isfinite(array)).any(1).argmax())]} is not finite"]
    state = array[:, 2]
    states = dialect.table.read(state)
    if states is None:
        first = int((~np.isin(state, list(dialect.table.to_state))).argmax())
        return [f"keypoint {skeleton.keypoints[first]} has visibility {state[first]:g}, where 0, 1 or 2 is expected"]
    visibility_K[:] = states
    xy_K2[:] = np.where(visibility_K[:, None] > 0, array[:, :2], 0.0)
    return []


def _read_box(record: dict[str, Any], box_4: NDArray[np.float64]) -> list[str]:
    box = record.get("bbox")
    if not box:
        return []
    if not are_numbers(box, 4):
        return [f"bbox {box!r} is not four finite numbers"]
    box_4[:] = box
    return []


def is_number(value: Any) -> bool:
    """An int or float that a float64 can hold; not a bool, not infinite."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def are_numbers(value: Any, count: int) -> bool:
    """A list of `count` numbers, see `is_number`."""
    return isinstance(value, list) and len(value) == count and all(is_number(v) for v in value)


def _is_size(value: Any) -> bool:
    return is_number(value) and value >= 1 and value == int(value)


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)
