"""Writing CVAT's Datumaro json: from such a file with everything in it kept, or from any other annotations.

Added points carry the attributes `keypoint_source` and `confidence`, which a CVAT project takes over where its labels
have attributes of these names. Points that were not accepted are left out: CVAT would show them as labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import numpy as np

from poseunion.annotate.formats.added_fields import blocks, own_positions
from poseunion.annotate.formats.coco import results
from poseunion.annotate.formats.coco.coco_json_write import links_of
from poseunion.annotate.formats.coco.from_any import picture_size
from poseunion.annotate.formats.datumaro.datumaro_json import NAME, element_labels, labels_of, points_of
from poseunion.annotate.formats.extension import ORIGIN_NAMES, Completion, Extension, Origin
from poseunion.annotate.formats.json_stream import write_object
from poseunion.annotate.formats.types import MALFORMED, NO_PICTURE, NOTHING, AnnotationSet, is_another_class
from poseunion.annotate.formats.visibility import COCO
from poseunion.models.skeleton import Skeleton, Visibility


def write(file: BinaryIO, annotations: AnnotationSet, extension: Extension) -> dict[str, int] | None:
    """Write any annotations as a Datumaro json; see the module. Returns why people were left out -> how many.

    A person without points is a bounding box.
    """
    if annotations.format == NAME:
        _write_back(file, annotations, extension)
        return None
    left_out: Counter[str] = Counter()
    names = list(extension.skeleton.keypoints)
    label_of = {name: 1 + k for k, name in enumerate(names)}  # 0 is the person
    by_image: dict[int, list[dict[str, Any]]] = {}
    own = own_positions(annotations, extension.skeleton)
    for index, completion in blocks(len(annotations), extension):
        image = int(annotations.image_index[index])
        reason = annotations.skip.get(index)
        if image < 0 or reason == MALFORMED or is_another_class(reason):
            left_out[reason or NO_PICTURE] += 1
            continue
        elements: list[dict[str, Any]] = []
        for k, position in enumerate(own):
            state = Visibility(int(annotations.visibility[index, k]))
            if state > Visibility.ABSENT:
                xy = annotations.xy[index, k].tolist()
                attributes = _of_prediction(annotations, index, k)
                elements.append(
                    _element(len(elements), label_of[names[position]], xy, COCO.from_state[state], attributes)
                )
        elements += _added(completion, index - completion.start, label_of, names, len(elements))
        shapes = by_image.setdefault(image, [])
        box = annotations.box_xywh[index]
        if elements:
            shapes.append(_skeleton(len(shapes), elements))
        elif not np.isnan(box).any():
            shapes.append(_box(len(shapes), box.tolist()))
        else:
            left_out[NOTHING] += 1

    def items() -> Iterator[dict[str, Any]]:
        for position, image in enumerate(annotations.images):
            size = picture_size(annotations, extension, position)
            media: dict[str, Any] = {"path": image.file_name}
            if size is not None:
                media["size"] = [size[1], size[0]]
            name = PurePosixPath(image.file_name).with_suffix("").as_posix() if image.file_name else str(position)
            yield {"id": name, "annotations": by_image.get(position, []), "attr": {"frame": position}, "image": media}

    labels = [_label("person", ""), *(_label(name, "person") for name in names)]
    points = {"label_id": 0, "labels": names, "joints": links_of(extension.skeleton)}
    categories = {"label": {"labels": labels, "attributes": ["occluded"]}, "points": {"items": [points]}}
    members = [("info", {}), ("categories", categories), ("items", items()), ("poseunion", extension.block)]
    write_object(file, iter(members))
    return dict(left_out) or None


def _of_prediction(annotations: AnnotationSet, index: int, k: int) -> dict[str, Any]:
    """Attributes of a point that was read: none, but for predictions, which are no human's."""
    if annotations.format not in results.PREDICTIONS:
        return {}
    score = annotations.records[index]["keypoints"][3 * k + 2]
    return {"keypoint_source": ORIGIN_NAMES[Origin.PROPOSED], "confidence": score}


def _label(name: str, parent: str) -> dict[str, Any]:
    return {"name": name, "parent": parent, "attributes": []}


def _skeleton(number: int, elements: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": number, "type": "skeleton", "attributes": {}, "group": 0, "label_id": 0, "elements": elements}


def _box(number: int, box: list[float]) -> dict[str, Any]:
    return {"id": number, "type": "bbox", "attributes": {}, "group": 0, "label_id": 0, "bbox": box}


def _element(number: int, label: int, xy: list[float], v: int, attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": number,
        "type": "points",
        "attributes": attributes,
        "group": 0,
        "label_id": label,
        "points": xy,
        "z_order": 0,
        "visibility": [v],
    }


def _added(
    completion: Completion, row: int, label_of: dict[str, int], names: list[str], start: int
) -> list[dict[str, Any]]:
    """Elements of the derived points and the accepted proposals."""
    elements: list[dict[str, Any]] = []
    for k in completion.new(row):
        origin = completion.origin[row, k]
        attributes: dict[str, Any] = {"keypoint_source": ORIGIN_NAMES[origin]}
        if origin == Origin.PROPOSED:
            attributes["confidence"] = float(completion.confidence[row, k])
        v = COCO.from_state[Visibility(int(completion.visibility[row, k]))]
        xy = completion.xy[row, k].tolist()
        elements.append(_element(start + len(elements), label_of[names[k]], xy, v, attributes))
    return elements


def _write_back(file: BinaryIO, annotations: AnnotationSet, extension: Extension) -> None:
    document: dict[str, Any] = annotations.source.document
    label = annotations.category
    labels = labels_of(document)
    parent = str(labels[label]["name"])
    own_names = _own_names(document, annotations.skeleton, label)
    spelled = dict(zip(annotations.skeleton.keypoints, own_names, strict=True))
    names = [spelled.get(name, name) for name in extension.skeleton.keypoints]
    new = [name for name in names if name not in own_names]
    element_of = element_labels(document, label, own_names)
    label_of = {own_names[k]: number for number, k in element_of.items()}
    label_of |= {name: len(labels) + n for n, name in enumerate(new)}

    rows: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for index, completion in blocks(len(annotations), extension):
        record = annotations.records[index]
        place = (record["item"], record["annotation"])
        rows[place] = _added(completion, index - completion.start, label_of, names, len(names))

    def items() -> Iterator[dict[str, Any]]:
        for position, item in enumerate(document["items"]):
            shapes = item.get("annotations")
            if isinstance(shapes, list):
                shapes = [_widened(shape, rows.get((position, j), [])) for j, shape in enumerate(shapes)]
                item = {**item, "annotations": shapes}
            yield item

    def members() -> Iterator[tuple[str, Any]]:
        for key, value in document.items():
            if key == "items":
                yield key, items()
            elif key == "categories":
                widened = _points(points_of(document), label, own_names, new, extension.skeleton)
                labelled = {**value["label"], "labels": [*value["label"]["labels"], *(_label(n, parent) for n in new)]}
                points = value["points"] if isinstance(value.get("points"), dict) else {}
                yield key, {**value, "label": labelled, "points": {**points, "items": widened}}
            elif key != "poseunion":
                yield key, value
        yield "poseunion", extension.block

    write_object(file, members())


def _own_names(document: dict[str, Any], skeleton: Skeleton, label: int) -> list[str]:
    """The file's spelling of its skeleton's points, in the skeleton's order."""
    for item in points_of(document):
        names = item.get("labels")
        if item.get("label_id") == label and isinstance(names, list) and names:
            return [str(name) for name in names]
    labels = labels_of(document)
    return [str(e["name"]) for e in labels if e.get("parent") == labels[label].get("name")][: len(skeleton)]


def _widened(shape: dict[str, Any], added: list[dict[str, Any]]) -> dict[str, Any]:
    """A skeleton with added elements, which replace those that were there but outside."""
    if not added:
        return shape
    labels = {element["label_id"] for element in added}
    kept = [element for element in shape["elements"] if element["label_id"] not in labels]
    return {**shape, "elements": [*kept, *added]}


def _points(items: list[Any], label: int, own: list[str], new: list[str], output: Skeleton) -> list[Any]:
    """The points of all skeletons, with the new ones at the end of the people's."""
    before: dict[str, Any] = next((item for item in items if item.get("label_id") == label), {})
    order = [*own, *new]
    added = [pair for pair in output.links if set(pair) <= set(order) and set(pair) & set(new)]
    old = before.get("joints")
    joints = [*(old if isinstance(old, list) else []), *([order.index(n) + 1 for n in pair] for pair in added)]
    mine = {"label_id": label, **before, "labels": order, "joints": joints}
    return [mine if item is before else item for item in items] if before else [*items, mine]
