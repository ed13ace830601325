"""COCO keypoints json, with any skeleton's names in its category (COCO, LSP, MPII, CrowdPose, Halpe-26, union21 …).

Reading checks everything that is used later and keeps the document itself: unknown fields, ids and order survive
because writing starts from the document (see `coco_write`).
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import msgspec
import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats.boxes import fill_boxes
from poseunion.annotate.formats.coco.categories import is_animal, is_chosen, reason_of, unknown_choice
from poseunion.annotate.formats.ids import find, is_id
from poseunion.annotate.formats.json_records import partly
from poseunion.annotate.formats.skeleton_match import skeleton_of_file
from poseunion.annotate.formats.types import (
    CROWD,
    MALFORMED,
    NO_HUMAN_KEYPOINT,
    AnnotationSet,
    ImageRef,
    Problem,
    Report,
    Source,
    empty_rows,
    refuse,
)
from poseunion.annotate.formats.visibility import COCO, StateTable, placed
from poseunion.models.errors import BadFileError, SkeletonError
from poseunion.models.progress import long_range
from poseunion.models.skeleton import Skeleton, Visibility, load_skeleton, shipped_skeletons

NAME = "coco"
BLOCK = 512  # records whose keypoints are checked at once


class _Head(TypedDict, total=False):
    """The fields of a record that are read."""

    id: Any
    image_id: Any
    category_id: Any
    iscrowd: Any
    keypoints: Any
    bbox: Any


class _Image(TypedDict, total=False):
    """The fields of a picture that are read."""

    id: Any
    file_name: Any
    width: Any
    height: Any


_HEAD, _IMAGE = msgspec.json.Decoder(_Head), msgspec.json.Decoder(_Image)


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
    """Whether this is COCO style: an object with `images` and `annotations`."""
    return isinstance(source.json, dict) and {"annotations", "images"} <= source.json.keys()


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
    people, reasons, found = _person_categories(document, skeleton, source, dialect.length)
    rows = empty_rows(len(records), len(found))
    skip, class_of = _read_records(records, rows, position_of, people, reasons, found, report, dialect)
    xy, states, box, image = rows
    fill_boxes(box, xy, states, found)
    names = {c["id"]: str(c.get("name", c["id"])) for c in document["categories"]}
    first = next(iter(people), None)
    return AnnotationSet(
        dialect.name, found, source, records, images, image, xy, states, box, None, skip, first, people, names, class_of
    )


def _read_images(entries: list[Any], report: Report) -> tuple[list[ImageRef], dict[Any, int]]:
    images: list[ImageRef] = []
    position_of: dict[Any, int] = {}
    for index, entry in enumerate(partly(entries, _IMAGE)):
        ref = ImageRef(None, "")
        if not isinstance(entry, dict) or not isinstance(entry.get("file_name"), str) or not is_id(entry.get("id")):
            report(Problem(f"images[{index}]", "an image needs an id (number or text) and a file_name"))
        elif (first := position_of.setdefault(number := entry["id"], index)) != index:
            report(Problem(f"images[{index}]", f"image id {number} stands twice, first in images[{first}]"))
        else:
            width: Any = entry.get("width")
            height: Any = entry.get("height")
            if _is_size(width) and _is_size(height):
                ref = ImageRef(number, entry["file_name"], int(width), int(height))
            else:
                ref = ImageRef(number, entry["file_name"])
                if (width, height) != (None, None):
                    text = f"width {width!r} and height {height!r} are not a picture's size"
                    report(Problem(f"images[{index}] (id {number})", text))
        images.append(ref)
    return images, position_of


def _person_categories(
    document: dict[str, Any], expected: Skeleton | None, source: Source, length: int | None = None
) -> tuple[dict[Any, str], dict[Any, str], Skeleton]:
    """Categories of people (id -> name), why the others are passed through (id -> reason), and the people's skeleton.

    The skeleton is in the file's order. Of `length` names the first are the skeleton's, see `Dialect`.
    """
    categories = document.get("categories")
    if not isinstance(categories, list) or not all(isinstance(c, dict) and is_id(c.get("id")) for c in categories):
        raise BadFileError(f"{source.path} is not COCO style: it needs a list 'categories' whose entries have an id.")
    names = {c["id"]: str(c.get("name", c["id"])) for c in categories}
    wanted = source.categories
    if fault := unknown_choice(wanted, names):
        raise BadFileError(f"{source.path}, categories: {fault}.")
    animals = {c["id"]: is_animal(names[c["id"]], str(c.get("supercategory", ""))) for c in categories}
    chosen = [c for c in categories if is_chosen(wanted, c["id"], names[c["id"]])] if wanted else categories
    named = sorted(
        (c for c in chosen if c.get("keypoints")), key=lambda c: (animals[c["id"]], c.get("name") != "person")
    )
    if not named and expected is not None:  # Halpe's file, for one, leaves the names out
        bare = [c for c in chosen if c.get("name") == "person"] or chosen
        if len(bare) == 1 or wanted:
            fitting = {c["id"]: expected for c in bare}
            return _split(names, fitting, animals, wanted, expected)
    if not named:
        raise BadFileError(
            f"{source.path}, categories: no category names its keypoints, so the skeleton is unknown: "
            f"{_skeleton_advice(document)}."
        )
    fitting, faults = {}, []
    for category in named:
        try:
            keypoints = category["keypoints"]
            if not isinstance(keypoints, list) or not all(isinstance(k, str) for k in keypoints):
                raise SkeletonError("the keypoints are not a list of names")
            if len(keypoints) == length and expected is not None:
                keypoints = keypoints[: len(expected)]
            fitting[category["id"]] = skeleton_of_file(keypoints, expected, document)
        except SkeletonError as error:
            faults.append(f"category {category['id']}: {str(error).rstrip('.')}")
    if not fitting:
        raise BadFileError(f"{source.path}, {'; '.join(faults)}.")
    return _split(names, fitting, animals, wanted, next(iter(fitting.values())))


def _split(
    names: dict[Any, str],
    fitting: dict[Any, Skeleton],
    animals: dict[Any, bool],
    wanted: Sequence[str],
    found: Skeleton,
) -> tuple[dict[Any, str], dict[Any, str], Skeleton]:
    """The categories that have the skeleton `found` and are people, and why the others are passed through."""
    same = [number for number, skeleton in fitting.items() if skeleton.keypoints == found.keypoints]
    people = {number: names[number] for number in same if wanted or not animals[number]}
    reasons = {
        number: reason_of(number, name, animal=number in same and animals[number])
        for number, name in names.items()
        if number not in people
    }
    return people, reasons, found


def _skeleton_advice(document: dict[str, Any]) -> str:
    """Which shipped skeletons have as many keypoints as the records."""
    lists = (r.get("keypoints") for r in document["annotations"] if isinstance(r, dict))
    count = next((len(found) // 3 for found in lists if isinstance(found, list) and found), 0)
    fitting = [name for name in shipped_skeletons() if len(load_skeleton(name)) == count]
    one = f"--skeleton {fitting[0]}" if fitting else "--skeleton NAME or SKELETON.toml"
    many = f" ({count} keypoints: {', '.join(fitting)})" if fitting else f" ({count} keypoints)" if count else ""
    return f'give it with {one}{many}, or with a line skeleton = "NAME" in a dataset .toml'


def _read_records(
    records: list[dict[str, Any]],
    rows: tuple[NDArray[np.float64], NDArray[np.int8], NDArray[np.float64], NDArray[np.int32]],
    position_of: dict[Any, int],
    people: dict[Any, str],
    reasons: dict[Any, str],
    skeleton: Skeleton,
    report: Report,
    dialect: Dialect,
) -> tuple[dict[int, str], list[Any]]:
    """Fill `rows`; returns why records are to be skipped, and each record's category."""
    xy_NK2, visibility_NK, box_N4, image_N = rows
    skip: dict[int, str] = {}
    class_of: list[Any] = [None] * len(records)
    seen: dict[Any, int] = {}
    nameless: list[int] = []
    known = {**people, **reasons}
    only = next(iter(people), None)
    waiting = partly(records, _HEAD)
    for start in long_range(0, len(records), BLOCK, "people read"):
        block = list(itertools.islice(waiting, BLOCK))
        xy, states, boxes, good = _block(block, len(skeleton), dialect)
        labelled = np.asarray((states > 0).any(1)).tolist()
        read: list[int] = []
        for row, record in enumerate(block):
            index = start + row
            if not isinstance(record, dict) or not is_id(record.get("id", 0)):
                report(Problem(f"annotations[{index}]", "an annotation needs an id (number or text)"))
                skip[index] = MALFORMED
                continue
            if "id" not in record:
                nameless.append(index)
            elif (first := seen.setdefault(record["id"], index)) != index:
                report(Problem(_place(record, index), f"the id stands twice, first in annotations[{first}]"))
            image = find(position_of, record.get("image_id"))
            if image is None:
                text = f"image_id {record.get('image_id')!r} is not among the images"
                report(Problem(_place(record, index), text))
                skip[index] = MALFORMED
                continue
            image_N[index] = position_of[image]
            stated = record.get("category_id", only)
            category = class_of[index] = find(known, stated)
            if category is None and "category_id" in record:
                text = f"category_id {stated!r} is not among the categories"
                report(Problem(_place(record, index), text, fatal=False))
            if category not in people:
                skip[index] = reasons.get(category) or reason_of(stated, None)
                continue
            read.append(row)
            if not good[row]:
                for text in _faults(record, skeleton, dialect):
                    report(Problem(_place(record, index), text))
                skip[index] = MALFORMED
            elif record.get("iscrowd"):
                skip[index] = CROWD
            elif not labelled[row]:
                skip[index] = NO_HUMAN_KEYPOINT
        index_R = start + np.array(read, np.intp)
        xy_NK2[index_R], visibility_NK[index_R], box_N4[index_R] = xy[read], states[read], boxes[read]
    if nameless and len(nameless) == len(records):
        report(Problem("annotations", "none has an id: they are numbered from 1 in the file's order", fatal=False))
    else:
        for index in nameless:
            report(Problem(f"annotations[{index}]", "an annotation needs an id (number or text), as the others have"))
            skip[index] = MALFORMED
    return skip, class_of


def _place(record: dict[str, Any], index: int) -> str:
    return f"annotations[{index}] (id {record['id']})" if "id" in record else f"annotations[{index}]"


def _block(
    block: list[Any], k: int, dialect: Dialect
) -> tuple[NDArray[np.float64], NDArray[np.int8], NDArray[np.float64], list[bool]]:
    """(B, K, 2) places, (B, K) states and (B, 4) boxes of B records, and which records have no fault in them.

    A dozen numpy calls a person would take half of the time of reading.
    """
    dicts = [record if isinstance(record, dict) else {} for record in block]
    triples = _matrix([_numbers(_keypoints(record, k, dialect), 3 * k) for record in dicts]).reshape(-1, k, 3)
    boxes = _matrix([_numbers(record.get("bbox"), 4) for record in dicts])
    known = np.isin(triples[..., 2], list(dialect.table.to_state))
    good = np.asarray(known.all(-1) & np.isfinite(triples).all((1, 2)))
    states = dialect.table.read(np.where(good[:, None], triples[..., 2], 0.0))
    assert states is not None  # 0 stands in every table
    states = placed(states, triples[..., :2])
    xy = np.where(states[..., None] > 0, triples[..., :2], 0.0)
    states[~good] = Visibility.UNDEFINED
    bounded = np.isfinite(boxes).all(1)
    boxes[~bounded | (boxes[:, 2:] <= 0).any(1)] = np.nan  # it will be grown from the joints, as an absent one
    return xy, states, boxes, np.logical_and(good, bounded).tolist()


def _keypoints(record: dict[str, Any], k: int, dialect: Dialect) -> Any:
    """A record's keypoint numbers; of a dialect with more than the skeleton's, the skeleton's."""
    values = record.get("keypoints")
    if dialect.length is not None and isinstance(values, list) and len(values) == 3 * dialect.length:
        return values[: 3 * k]
    return values


def _numbers(values: Any, count: int) -> list[float]:
    """A list of `count` numbers; zeros where it is absent, null or [], NaN where it is anything else."""
    if type(values) is list and len(values) == count and set(map(type, values)) <= {int, float}:
        return values
    return [math.nan if values else 0.0] * count


def _matrix(rows: list[list[float]]) -> NDArray[np.float64]:
    """The rows as an array; a row with an integer beyond float64 is NaN."""
    try:
        return np.array(rows, np.float64)
    except OverflowError:
        return np.array([row if are_numbers(row, len(row)) else [math.nan] * len(row) for row in rows])


def _faults(record: dict[str, Any], skeleton: Skeleton, dialect: Dialect) -> Iterator[str]:
    """What is wrong with a record's box and keypoints."""
    box, k = record.get("bbox"), len(skeleton)
    if box and not are_numbers(box, 4):
        yield f"bbox {box!r} is not four finite numbers"
    values = _keypoints(record, k, dialect)
    if values and not isinstance(values, list):
        yield "keypoints is not a list"
    elif values and len(values) != 3 * k:
        yield f"{len(values)} keypoint numbers, where {skeleton.name} has {k} keypoints and needs {3 * k}"
    elif values and not set(map(type, values)) <= {int, float}:
        odd = next(v for v in values if type(v) not in (int, float))
        yield f"keypoints holds {odd!r}, which is not a number"
    elif values:
        wrong = next((i for i, v in enumerate(values) if not is_number(v)), None)
        if wrong is not None and isinstance(values[wrong], int):
            yield "keypoints holds a number too large to be a coordinate"
        elif wrong is not None:
            yield f"keypoint {skeleton.keypoints[wrong // 3]} is not finite"
        else:
            for name, v in zip(skeleton.keypoints, values[2::3], strict=True):
                if v not in dialect.table.to_state:
                    yield f"keypoint {name} has visibility {v:g}, where 0, 1 or 2 is expected"
                    return


def holds_something(box: Any) -> bool:
    """Whether a record's `bbox` is four numbers with an area."""
    return are_numbers(box, 4) and box[2] > 0 and box[3] > 0


def is_number(value: Any) -> bool:
    """An int or float that a float64 can hold; not a bool, not infinite."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def are_numbers(value: Any, count: int) -> bool:
    """A list of `count` numbers, see `is_number`."""
    return isinstance(value, list) and len(value) == count and all(is_number(v) for v in value)


def _is_size(value: Any) -> bool:
    return is_number(value) and value >= 1 and value == int(value)
