"""labelme's and X-AnyLabeling's json, one file a picture: a rectangle and points that share its `group_id`.

    {"version": "5.5.0", "imagePath": "a.jpg", "imageWidth": 320, "imageHeight": 240, "shapes": [
        {"label": "person", "shape_type": "rectangle", "group_id": 1, "points": [[100, 30], [220, 238]]},
        {"label": "nose", "shape_type": "point", "group_id": 1, "points": [[160, 50]]}]}

Give one file or the folder of them. A point without group belongs to the only rectangle, or to the only one around it.
X-AnyLabeling marks an occluded point as `difficult`. `imagePath` is relative to the json file; its last part is tried,
too.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from poseunion.annotate.formats.coco.coco_json import are_numbers
from poseunion.annotate.formats.tools.gathered import PERSON, Found, annotation_set, owner_of
from poseunion.annotate.formats.tools.label_studio import NO_OWNER
from poseunion.annotate.formats.tools.scattered import one_file_a_picture, pages_of
from poseunion.annotate.formats.types import AnnotationSet, ImageRef, Problem, Report, Source, refuse
from poseunion.models.skeleton import Skeleton, Visibility

NAME = "labelme"


def is_labelme(document: Any) -> bool:
    """Whether these are a picture's shapes as labelme writes them."""
    if not isinstance(document, dict) or not isinstance(document.get("shapes"), list):
        return False
    shapes = document["shapes"]
    typed = any(isinstance(shape, dict) and "shape_type" in shape for shape in shapes)
    return typed or (not shapes and "imagePath" in document)


def detect(source: Source) -> bool:
    """Whether this is such a file, or a folder that holds one."""
    return one_file_a_picture(source, is_labelme)


def read(source: Source, skeleton: Skeleton | None = None, report: Report | None = None) -> AnnotationSet:
    """Read labelme's json, one file or a folder; arguments and errors as in `coco_json.read`."""
    report = report or refuse(source.path)
    pages = pages_of(source, is_labelme, report)
    images: list[ImageRef] = []
    found: list[Found] = []
    unread: Counter[str] = Counter()
    for position, (file, page) in enumerate(zip(pages.files, pages.document, strict=True)):
        stated = page.get("imagePath")
        name = stated if isinstance(stated, str) and stated else f"{file.stem}.jpg"
        images.append(ImageRef(position, name.replace("\\", "/").removeprefix("../"), *_size(page)))
        people, lost = _people(page["shapes"], position, file.name, images[-1].file_name)
        found += people
        unread[NO_OWNER] += bool(lost)
        for place, text in lost:
            report(Problem(f"{file.name}, {place}", text, False))
    return annotation_set(NAME, pages, images, found, skeleton, report, unread=unread)


def _size(page: dict[str, Any]) -> tuple[int | None, int | None]:
    size = (page.get("imageWidth"), page.get("imageHeight"))
    return (size[0], size[1]) if all(type(v) is int and 0 < v < 1 << 20 for v in size) else (None, None)


def _people(shapes: list[Any], position: int, file: str, picture: str) -> tuple[list[Found], list[tuple[str, str]]]:
    """The people of one picture, and places of points without a person."""
    people: list[Found] = []
    grouped: dict[Any, Found] = {}
    lost: list[tuple[str, str]] = []

    def new(number: int, label: str, group: Any) -> Found:
        person = Found(position, f"{file}, shapes[{number}]", label, record={"image": picture, "shape": number})
        people.append(person)
        if group is not None:
            grouped.setdefault(group, person)
        return person

    for number, shape in enumerate(shapes):
        if not isinstance(shape, dict):
            lost.append((f"shapes[{number}]", "a shape is an object"))
        elif shape.get("shape_type") == "rectangle":
            person = new(number, str(shape.get("label") or PERSON), _group(shape))
            person.record["group_id"] = _group(shape)
            corners = shape.get("points")
            if isinstance(corners, list) and len(corners) in (2, 4) and all(are_numbers(c, 2) for c in corners):
                xs, ys = zip(*corners, strict=True)
                person.box_xywh = (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
            else:
                person.problem = "its rectangle is not two corners"
    boxes = list(people)
    alone: Found | None = None
    for number, shape in enumerate(shapes):
        if not isinstance(shape, dict) or shape.get("shape_type") != "point":
            continue
        points, label, group = shape.get("points"), str(shape.get("label")), _group(shape)
        if not isinstance(points, list) or len(points) != 1 or not are_numbers(points[0], 2):
            lost.append((f"shapes[{number}]", f"the point {label} has no place"))
            continue
        x, y = map(float, points[0])
        owner = grouped.get(group) if group is not None else owner_of((x, y), boxes)
        if owner is None and (group is not None or not boxes):  # points without a rectangle around them
            owner = new(number, PERSON, group) if group is not None or alone is None else alone
            alone = owner if group is None else alone
        if owner is None:
            lost.append((f"shapes[{number}]", f"the point {label} belongs to no rectangle: give it a group_id"))
            continue
        hidden = shape.get("difficult") is True
        owner.add(label, x, y, Visibility.OCCLUDED if hidden else Visibility.VISIBLE)
    return people, lost


def _group(shape: dict[str, Any]) -> int | str | None:
    group = shape.get("group_id")
    return group if isinstance(group, (int, str)) and not isinstance(group, bool) else None
