"""CVAT's skeletons as json: its export "Datumaro 1.0" (`annotations/default.json` in the zip it makes).

Of CVAT's exports this is the one json that keeps a skeleton's own names, occlusion and attributes beside everything
else in the task: "CVAT for images" is XML, "COCO Keypoints 1.0" is a COCO file (read as `coco`) without other shapes.
To import, zip the written file as `annotations/default.json` and upload it as Datumaro 1.0. A CVAT whose Datumaro
reader ignores `visibility` (some releases' does) shows every point as visible: there, import the COCO-style file as
COCO Keypoints 1.0.

    {"info": {},
     "categories": {"label": {"labels": [{"name", "parent", "attributes"}]},
                    "points": {"items": [{"label_id", "labels": [names], "joints": [[1, 2], …]}]}},
     "items": [{"id", "image": {"path", "size": [height, width]}, "annotations": [
         {"id", "type": "skeleton", "attributes", "group", "label_id", "elements": [
             {"type": "points", "label_id", "points": [x, y], "visibility": [v], …}]}]}]}

v is 0 outside, 1 occluded, 2 visible. A bounding box in the skeleton's group is its box; else the crop is made around
the labelled points (`boxes.boxes_of_joints`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats.boxes import fill_boxes
from poseunion.annotate.formats.coco.coco_json import are_numbers, is_number
from poseunion.annotate.formats.skeleton_match import skeleton_of_file
from poseunion.annotate.formats.types import (
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
from poseunion.annotate.formats.visibility import COCO
from poseunion.models.errors import BadFileError, SkeletonError
from poseunion.models.skeleton import Skeleton

NAME = "datumaro"


def detect(source: Source) -> bool:
    """Whether this is an object with `items` and `categories`."""
    return isinstance(source.json, dict) and isinstance(source.json.get("items"), list) and "categories" in source.json


def read(source: Source, skeleton: Skeleton | None = None, report: Report | None = None) -> AnnotationSet:
    """Read a Datumaro json; arguments and errors as in `coco_json.read`. One record is one skeleton."""
    report = report or refuse(source.path)
    document = source.document
    if not isinstance(document, dict) or not isinstance(document.get("items"), list):
        raise BadFileError(f"{source.path} is not a Datumaro json: an object with categories and items is expected.")
    label, names = person_label(document, source)
    found = _resolve(names, skeleton, document, source)
    element_of = element_labels(document, label, names)
    images: list[ImageRef] = []
    people: list[tuple[int, int, dict[str, Any], Any]] = []
    for position, item in enumerate(document["items"]):
        images.append(_image(item, position, report))
        shapes = item.get("annotations") if isinstance(item, dict) else None
        shapes = shapes if isinstance(shapes, list) else []
        for j, shape in enumerate(shapes):
            if isinstance(shape, dict) and shape.get("type") == "skeleton" and shape.get("label_id") == label:
                people.append((position, j, shape, _box(shape, shapes)))
    rows = empty_rows(len(people), len(found))
    xy_NK2, visibility_NK, box_N4, image_N = rows
    records: list[dict[str, Any]] = []
    skip: dict[int, str] = {}
    for row, (position, j, shape, box) in enumerate(people):
        image_N[row] = position
        kept = {k: shape[k] for k in ("attributes", "group") if shape.get(k)}
        records.append({"item": position, "annotation": j, **kept})
        problem = _read_elements(shape, element_of, xy_NK2[row], visibility_NK[row])
        if problem is not None:
            report(Problem(f"items[{position}] ({images[position].id}), annotations[{j}]", problem))
            skip[row] = MALFORMED
            continue
        if box is not None:
            box_N4[row] = box
        if not (visibility_NK[row] > 0).any():
            skip[row] = NO_HUMAN_KEYPOINT
    fill_boxes(box_N4, xy_NK2, visibility_NK, found)
    return AnnotationSet(
        NAME, found, source, records, images, image_N, xy_NK2, visibility_NK, box_N4, None, skip, label
    )


def labels_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The labels; their position is their label_id."""
    categories = document.get("categories")
    label = categories.get("label") if isinstance(categories, dict) else None
    labels = label.get("labels") if isinstance(label, dict) else None
    return [entry if isinstance(entry, dict) else {} for entry in labels] if isinstance(labels, list) else []


def points_of(document: dict[str, Any]) -> list[Any]:
    """The skeletons' points; [] where the file has none of this category."""
    categories = document.get("categories")
    points = categories.get("points") if isinstance(categories, dict) else None
    items = points.get("items") if isinstance(points, dict) else None
    return items if isinstance(items, list) else []


def person_label(document: dict[str, Any], source: Source) -> tuple[int, list[str]]:
    """label_id of the people's skeleton (named person, else the first one), and its points' names in order."""
    labels = labels_of(document)
    candidates: list[tuple[int, list[str]]] = []
    for item in points_of(document):
        if not isinstance(item, dict):
            raise BadFileError(f"{source.path}, categories: {item!r} describes no skeleton's points.")
        number, names = item.get("label_id"), item.get("labels")
        if isinstance(number, int) and 0 <= number < len(labels) and isinstance(names, list) and names:
            candidates.append((number, [str(n) for n in names]))
    for number, entry in enumerate(labels):  # a file without points categories: the labels that name it their parent
        children = [str(e.get("name")) for e in labels if entry.get("name") and e.get("parent") == entry.get("name")]
        if children and number not in [n for n, _ in candidates]:
            candidates.append((number, children))
    if not candidates:
        raise BadFileError(f"{source.path} holds no skeleton: none of its labels has points.")
    people = [c for c in candidates if str(labels[c[0]].get("name")).lower() == "person"]
    return (people or candidates)[0]


def element_labels(document: dict[str, Any], label: int, names: list[str]) -> dict[int, int]:
    """label_id of a skeleton's point -> its position in the skeleton."""
    labels = labels_of(document)
    parent = labels[label].get("name")
    return {
        number: names.index(str(entry.get("name")))
        for number, entry in enumerate(labels)
        if entry.get("parent") == parent and entry.get("name") in names
    }


def _resolve(names: list[str], expected: Skeleton | None, document: dict[str, Any], source: Source) -> Skeleton:
    try:
        return skeleton_of_file(names, expected, document)
    except SkeletonError as error:
        raise BadFileError(f"{source.path}, categories: {str(error).rstrip('.')}.") from error


def _image(item: Any, position: int, report: Report) -> ImageRef:
    if not isinstance(item, dict) or not isinstance(item.get("id"), str):
        report(Problem(f"items[{position}]", "an item needs an id"))
        return ImageRef(position, "")
    stated = item.get("image")
    image: dict[str, Any] = stated if isinstance(stated, dict) else {}
    name = image.get("path") or f"{item['id']}.jpg"
    size = image.get("size")
    if size is None:
        return ImageRef(item["id"], str(name))
    if not isinstance(size, list) or len(size) < 2 or not all(is_number(v) and v >= 1 for v in size[:2]):
        report(Problem(f"items[{position}] ({item['id']})", f"size {size!r} is not [height, width]"))
        return ImageRef(item["id"], str(name))
    return ImageRef(item["id"], str(name), int(size[1]), int(size[0]))


def _box(shape: dict[str, Any], shapes: list[Any]) -> list[float] | None:
    """The bounding box in a skeleton's group (0 means no group)."""
    for other in shapes:
        if isinstance(other, dict) and other.get("type") == "bbox" and shape.get("group"):
            box = other.get("bbox")
            if other.get("group") == shape["group"] and isinstance(box, list) and len(box) == 4:
                return [float(v) for v in box] if are_numbers(box, 4) else None
    return None


def _read_elements(
    shape: dict[str, Any], element_of: dict[int, int], xy_K2: NDArray[np.float64], visibility_K: NDArray[np.int8]
) -> str | None:
    """Fill in one skeleton; a point without an element is ABSENT. Returns what is wrong."""
    visibility_K[:] = 0
    elements = shape.get("elements")
    if not isinstance(elements, list):
        return "a skeleton needs elements"
    seen: set[int] = set()
    for element in elements:
        label = element.get("label_id") if isinstance(element, dict) else None
        k = element_of.get(label) if isinstance(label, int) else None
        if k is None or k in seen:
            return "an element has no label of this skeleton, or its label stands twice"
        seen.add(k)
        points, visibility = element.get("points"), element.get("visibility", [2])
        if not are_numbers(points, 2):
            return f"element {k} is not one point"
        v = visibility[0] if isinstance(visibility, list) and len(visibility) == 1 else None
        if not is_number(v) or v not in COCO.to_state:
            return f"element {k} has visibility {visibility!r}, where [0], [1] or [2] is expected"
        visibility_K[k] = COCO.to_state[v]
        if visibility_K[k] > 0:
            xy_K2[k] = points
    return None
