"""COCO keypoints json, with any skeleton's names in its category (COCO, LSP, MPII, CrowdPose, Halpe-26, union21 …).

Reading checks everything that is used later and keeps the document itself: unknown fields, ids and order survive
because writing starts from the document (see `coco_write`).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats.boxes import fill_boxes
from poseunion.annotate.formats.coco.categories import is_animal, is_chosen, reason_of, unknown_choice
from poseunion.annotate.formats.ids import find, is_id
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
from poseunion.models.skeleton import Skeleton, load_skeleton, shipped_skeletons

NAME = "coco"
BLOCK = 512  # records whose keypoints are checked at once


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
    people, reasons, found = _person_categories(document, skeleton, source, dialect.length)
    rows = empty_rows(len(records), len(found))
    skip, class_of = _read_records(records, rows, position_of, people, reasons, found, report, dialect)
    xy, visibility, box, image = rows
    fill_boxes(box, xy, visibility, found)
    names = {c["id"]: str(c.get("name", c["id"])) for c in document["categories"]}
    return AnnotationSet(
        dialect.name,
        found,
        source,
        records,
        images,
        image,
        xy,
        visibility,
        box,
        None,
        skip,
        next(iter(people), None),
        people,
        names,
        class_of,
    )


def _read_images(entries: list[Any], report: Report) -> tuple[list[ImageRef], dict[Any, int]]:
    images: list[ImageRef] = []
    position_of: dict[Any, int] = {}
    for index, entry in enumerate(entries):
        place = f"images[{index}]"
        ref = ImageRef(None, "")
        if not isinstance(entry, dict) or not isinstance(entry.get("file_name"), str) or not is_id(entry.get("id")):
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
    class_of: list[Any] = []
    seen: dict[Any, int] = {}
    nameless: list[int] = []
    known = {**people, **reasons}
    for index, (record, ready) in enumerate(_with_keypoints(records, skeleton, dialect)):
        place = f"annotations[{index}]"
        class_of.append(None)
        if not isinstance(record, dict) or not is_id(record.get("id", 0)):
            report(Problem(place, "an annotation needs an id (number or text)"))
            skip[index] = MALFORMED
            continue
        if "id" in record:
            place += f" (id {record['id']})"
            if record["id"] in seen:
                report(Problem(place, f"the id stands twice, first in annotations[{seen[record['id']]}]"))
            seen.setdefault(record["id"], index)
        else:
            nameless.append(index)
        image = find(position_of, record.get("image_id"))
        if image is None:
            report(Problem(place, f"image_id {record.get('image_id')!r} is not among the images"))
            skip[index] = MALFORMED
            continue
        image_N[index] = position_of[image]
        stated = record.get("category_id", next(iter(people), None))
        category = class_of[index] = find(known, stated)
        if category is None and "category_id" in record:
            report(Problem(place, f"category_id {stated!r} is not among the categories", fatal=False))
        if category not in people:
            skip[index] = reasons.get(category) or reason_of(stated, None)
            continue
        problems = _read_box(record, box_N4[index])
        if ready is not None:
            xy_NK2[index], visibility_NK[index] = ready
        else:
            problems += _read_keypoints(record, xy_NK2[index], visibility_NK[index], skeleton, dialect)
        for text in problems:
            report(Problem(place, text))
        if problems:
            skip[index] = MALFORMED
        elif record.get("iscrowd"):
            skip[index] = CROWD
        elif not (visibility_NK[index] > 0).any():
            skip[index] = NO_HUMAN_KEYPOINT
    if nameless and len(nameless) == len(records):
        report(Problem("annotations", "none has an id: they are numbered from 1 in the file's order", fatal=False))
    else:
        for index in nameless:
            report(Problem(f"annotations[{index}]", "an annotation needs an id (number or text), as the others have"))
            skip[index] = MALFORMED
    return skip, class_of


def _with_keypoints(
    records: list[dict[str, Any]], skeleton: Skeleton, dialect: Dialect
) -> Iterator[tuple[Any, tuple[NDArray[np.float64], NDArray[np.int8]] | None]]:
    """Every record with its places and states where nothing is wrong with them; else None, to be read by itself.

    Blocks of records are checked at once: a dozen numpy calls a person took half of the time that reading took.
    """
    k = len(skeleton)
    for start in range(0, len(records), BLOCK):
        block = records[start : start + BLOCK]
        usable = [(i, values) for i, record in enumerate(block) if (values := _numbers(record, k, dialect)) is not None]
        ready: list[tuple[NDArray[np.float64], NDArray[np.int8]] | None] = [None] * len(block)
        with contextlib.suppress(OverflowError):  # said of the record that holds the number
            triples = np.array([values for _, values in usable], np.float64).reshape(-1, k, 3)
            known = np.isin(triples[..., 2], list(dialect.table.to_state))
            good = np.asarray(known.all(-1) & np.isfinite(triples).all((1, 2)))
            states = dialect.table.read(np.where(good[:, None], triples[..., 2], 0.0))
            assert states is not None  # 0 stands in every table
            states = placed(states, triples[..., :2])
            xy = np.where(states[..., None] > 0, triples[..., :2], 0.0)
            for n, (i, _) in enumerate(usable):
                if good[n]:
                    ready[i] = xy[n], states[n]
        yield from zip(block, ready, strict=True)


def _numbers(record: Any, k: int, dialect: Dialect) -> list[float] | None:
    """A record's keypoint numbers, as many as it needs; None where they are anything else."""
    values = record.get("keypoints") if isinstance(record, dict) else None
    if not isinstance(values, list):
        return None
    if dialect.length is not None and len(values) == 3 * dialect.length:
        values = values[: 3 * k]
    return values if len(values) == 3 * k and set(map(type, values)) <= {int, float} else None


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
    visibility_K[:] = placed(states, array[:, :2])
    xy_K2[:] = np.where(visibility_K[:, None] > 0, array[:, :2], 0.0)
    return []


def _read_box(record: dict[str, Any], box_4: NDArray[np.float64]) -> list[str]:
    box = record.get("bbox")
    if not box:
        return []
    if not are_numbers(box, 4):
        return [f"bbox {box!r} is not four finite numbers"]
    if box[2] > 0 and box[3] > 0:  # else it holds nothing and is grown from the joints, as where there is none
        box_4[:] = box
    return []


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
