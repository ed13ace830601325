"""Label Studio's json: tasks with rectangles, and keypoints that name theirs in `parentID`; places in percent.

    [{"id": 1, "data": {"image": "/data/local-files/?d=a.jpg"}, "annotations": [{"id": 2, "result": [
        {"id": "b", "type": "rectanglelabels", "original_width": 320, "original_height": 240,
         "value": {"x": 31.2, "y": 12.5, "width": 37.5, "height": 86.7, "rectanglelabels": ["person"]}},
        {"id": "n", "type": "keypointlabels", "parentID": "b", "value": {"x": 50, "y": 20, "keypointlabels": ["nose"]}},
        {"id": "n", "type": "choices", "from_name": "visibility", "value": {"choices": ["occluded"]}}]}]}]

A keypoint without `parentID` belongs to the only rectangle, or to the only one around it. Occlusion is no field of the
format: a choice of its region is read, and written, as above. Of several annotators' annotations of one task the first
that was not cancelled is read (a ground truth first), the others are counted. `predictions` are no labels.
A record holds its rectangle's `region` and `meta`, and the choices of a control `decision` of its points.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from poseunion.annotate.formats.coco.coco_json import is_number
from poseunion.annotate.formats.tools.gathered import PERSON, Found, annotation_set, owner_of
from poseunion.annotate.formats.types import AnnotationSet, ImageRef, Problem, Report, Source, refuse
from poseunion.models.errors import BadFileError
from poseunion.models.skeleton import Skeleton, Visibility

NAME = "label-studio"
OCCLUDED, DECISION = "occluded", "decision"
_OCCLUDED = frozenset({OCCLUDED, "hidden", "invisible", "not visible"})
OTHER_ANNOTATOR = "another annotator's work on a picture that is read already"
NO_OWNER = "the points of a picture that belong to no rectangle"


def detect(source: Source) -> bool:
    """Whether this is a list of tasks, each with `data` and `annotations`."""
    return isinstance(source.first.get("data"), dict) and isinstance(results_of(source.first), list)


def results_of(task: dict[str, Any]) -> Any:
    """The annotations of a task; `completions` in exports of Label Studio before 1.0."""
    return task.get("annotations", task.get("completions"))


def read(source: Source, skeleton: Skeleton | None = None, report: Report | None = None) -> AnnotationSet:
    """Read Label Studio's tasks; arguments and errors as in `coco_json.read`. One record is one rectangle's person."""
    report = report or refuse(source.path)
    if not isinstance(source.document, list):
        raise BadFileError(f"{source.path} is not Label Studio's json: a list of tasks is expected.")
    images: list[ImageRef] = []
    found: list[Found] = []
    unread: Counter[str] = Counter()
    for position, task in enumerate(source.document):
        place = f"task {position}"
        annotations = results_of(task) if isinstance(task, dict) else None
        if not isinstance(annotations, list) or not isinstance(task.get("data"), dict):
            report(Problem(place, "a task needs data and annotations"))
            images.append(ImageRef(position, ""))
            continue
        place += f" (id {task['id']})" if isinstance(task.get("id"), (int, str)) else ""
        chosen = chosen_annotation(annotations)
        for other, annotation in enumerate(annotations):
            if other != chosen and isinstance(annotation, dict):
                unread[OTHER_ANNOTATOR] += sum(_kind(r) == "rectanglelabels" for r in _items(annotation))
        items = [] if chosen is None else _items(annotations[chosen])
        name = picture_name(task["data"])
        images.append(ImageRef(task.get("id", position), name, *_size(items, place, report)))
        gathered, lost = _people(items, position, place, images[-1])
        for person in gathered:
            person.record = {"image": name, "task": position, "annotation": chosen, **person.record}
        found += gathered
        unread[NO_OWNER] += bool(lost)
        for problem in lost:
            report(Problem(place, problem, False))
    return annotation_set(NAME, source, images, found, skeleton, report, unread=unread)


def chosen_annotation(annotations: list[Any]) -> int | None:
    """Position of the annotation that is read; None where there is none."""
    usable = [i for i, a in enumerate(annotations) if isinstance(a, dict) and not a.get("was_cancelled")]
    truth = [i for i in usable if annotations[i].get("ground_truth")]
    return next(iter([*truth, *usable]), None)


def _items(annotation: dict[str, Any]) -> list[dict[str, Any]]:
    result = annotation.get("result")
    return [r for r in result if isinstance(r, dict)] if isinstance(result, list) else []


def _kind(item: dict[str, Any]) -> str:
    """Its type; an item with labels of a kind is of that kind, whatever its control is called."""
    value = item.get("value")
    if isinstance(value, dict):
        for kind in ("rectanglelabels", "keypointlabels"):
            if isinstance(value.get(kind), list):
                return kind
    return str(item.get("type"))


def picture_name(data: dict[str, Any]) -> str:
    """The picture that a task names: of local storage below its root, of an address its path.

    >>> picture_name({"image": "/data/local-files/?d=set/a%20b.jpg"}), picture_name({"img": "https://x.org/c/d.png?v=1"})
    ('set/a b.jpg', 'c/d.png')
    """
    texts = [value for value in (data.get("image"), *data.values()) if isinstance(value, str) and value]
    if not texts:
        return ""
    try:
        parts = urlsplit(texts[0])
        stated = parse_qs(parts.query).get("d", [""])[0]
    except ValueError:  # no address after all
        return texts[0]
    if stated:
        return stated.lstrip("/")
    is_address = len(parts.scheme) > 1  # a single letter is a drive
    return unquote(parts.path).lstrip("/") if is_address or "/data/upload/" in parts.path else texts[0]


def _size(items: list[dict[str, Any]], place: str, report: Report) -> tuple[int | None, int | None]:
    for item in items:
        size: list[Any] = [item.get("original_width"), item.get("original_height")]
        if all(is_number(v) and v >= 1 for v in size):
            return int(size[0]), int(size[1])
    if any(_kind(item) in ("rectanglelabels", "keypointlabels") for item in items):
        report(Problem(place, "its regions have no original_width and original_height, so percent mean nothing"))
    return None, None


def _people(items: list[dict[str, Any]], position: int, place: str, image: ImageRef) -> tuple[list[Found], list[str]]:
    """The people of one task, and the problems of keypoints without a person."""
    hidden = {item.get("id") for item in items if _is_occluded(item) and isinstance(item.get("id"), str)}
    decided = {item["id"]: choice for item in items if isinstance(item.get("id"), str) and (choice := _decision(item))}
    people: dict[Any, Found] = {}
    for item in items:
        if _kind(item) != "rectanglelabels":
            continue
        value = _value(item)
        person = Found(position, f"{place}, region {item.get('id')}", _label(value.get("rectanglelabels")))
        person.record = {"region": item.get("id")} if isinstance(item.get("id"), (int, str)) else {}
        if isinstance(item.get("meta"), dict):
            person.record["meta"] = item["meta"]
        numbers = [value.get(key) for key in ("x", "y", "width", "height")]
        if image.width is None or image.height is None:
            person.problem = "the size of its picture is not stated"
        elif not all(is_number(v) for v in numbers):
            person.problem = "its rectangle is not x, y, width and height in percent"
        else:
            x, y, w, h = (float(v) / 100 for v in numbers)  # type: ignore[arg-type]
            person.box_xywh = (x * image.width, y * image.height, w * image.width, h * image.height)
        key = item.get("id") if isinstance(item.get("id"), (int, str)) else f"at {len(people)}"
        people[key] = person
    boxes = list(people.values())
    lost: list[str] = []
    for item in items:
        if _kind(item) != "keypointlabels":
            continue
        value = _value(item)
        name, share = _label(value.get("keypointlabels")), (value.get("x"), value.get("y"))
        if not all(map(is_number, share)) or image.width is None or image.height is None:
            lost.append(f"keypoint {name} has no place")
            continue
        x, y = (float(v) / 100 * side for v, side in zip(share, (image.width, image.height), strict=True))  # type: ignore[arg-type]
        parent = item.get("parentID")
        owner = people.get(parent) if isinstance(parent, (int, str)) else owner_of((x, y), boxes)
        if owner is None and not boxes:  # points alone: of one person, as nothing distinguishes two
            owner = people.setdefault(None, Found(position, place))
        if owner is None:
            lost.append(f"keypoint {name} belongs to no rectangle: give it a parent")
            continue
        occluded = item.get("id") in hidden if isinstance(item.get("id"), str) else False
        owner.add(name, x, y, Visibility.OCCLUDED if occluded else Visibility.VISIBLE)
        if isinstance(item.get("id"), str) and item["id"] in decided:
            owner.record.setdefault(DECISION, {})[name] = decided[item["id"]]
    return list(people.values()), lost


def _is_occluded(item: dict[str, Any]) -> bool:
    value = item.get("value")
    choices = value.get("choices") if item.get("type") == "choices" and isinstance(value, dict) else None
    return isinstance(choices, list) and any(str(choice).lower() in _OCCLUDED for choice in choices)


def _decision(item: dict[str, Any]) -> str | None:
    """What a reviewer chose for a point, see `annotate.review.label_studio`."""
    choices = _value(item).get("choices") if item.get("from_name") == DECISION else None
    return str(choices[0]) if isinstance(choices, list) and choices else None


def _value(item: dict[str, Any]) -> dict[str, Any]:
    value = item.get("value")
    return value if isinstance(value, dict) else {}


def _label(labels: Any) -> str:
    return str(labels[0]) if isinstance(labels, list) and labels else PERSON


def keypoint_items(annotation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The keypoint regions of an annotation."""
    return (item for item in _items(annotation) if _kind(item) == "keypointlabels")
