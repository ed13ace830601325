"""Implausible boxes: of another convention, outside the picture, or far from their person's keypoints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.check import json_patch
from poseunion.annotate.check.rules import place_of, pointer_of, readable
from poseunion.annotate.formats import AnnotationSet, Problem
from poseunion.annotate.formats.coco.coco_json import holds_something, is_number
from poseunion.annotate.formats.extension_view import human_view

# A box may reach over the edge by what rounding does.
EDGE_PX = 1.0
# Boxes are corners when, read as corners, this share of them holds its people's points, and read as sizes this share
# reaches over the picture's edge: no reading of correct boxes does both.
HOLD_AS_CORNERS, OVER_AS_SIZES = 0.95, 0.1
# Of the longer side of a box. Points lie a little outside of boxes that were drawn around a segmentation.
SLACK, FAR = 0.1, 0.5


def boxes(annotations: AnnotationSet) -> Iterator[Problem]:
    """Boxes that are corners, missing, over the picture's edge, or far from the person's points.

    A box grown from joints may reach over the edge (MPII's); a box that `bbox` does not hold has no fix.
    """
    annotations = human_view(annotations)  # proposals far from a box are no fault of the file
    if (corners := _corners(annotations)) is not None:
        yield corners
        return
    for index, record in readable(annotations):
        person = annotations.person(index)
        place = place_of(annotations, index)
        if person.skip is None and not (person.box_xywh[2:] > 0).all():
            yield Problem(place, "it has no bbox with an area, so it cannot be cropped", False)
        if "bbox" in record and not holds_something(record["bbox"]):  # the box was grown from the joints
            if record["bbox"] and _size(annotations, index) is not None:
                yield Problem(place, f"bbox {record['bbox']} holds nothing: the crop is made around the joints", False)
            continue
        over = _over_the_edge(annotations, index, record)
        if over is not None:
            yield over
        if "bbox" in record and (over is None or over.fix) and (text := _far_points(annotations, index)):
            yield Problem(place, text, False)
        if is_number(record.get("area")) and record["area"] <= 0:
            yield Problem(place, f"area is {record['area']:g} beside a bbox: its OKS cannot be measured", False)


def _size(annotations: AnnotationSet, index: int) -> tuple[int, int] | None:
    image = annotations.person(index).image
    return None if image is None or image.width is None or image.height is None else (image.width, image.height)


def _over_the_edge(annotations: AnnotationSet, index: int, record: dict[str, Any]) -> Problem | None:
    """Problem of a box outside the picture, or over its edge, which the fix cuts off."""
    size = _size(annotations, index)
    if size is None:
        return None
    (width, height), (x, y, w, h) = size, annotations.box_xywh[index].tolist()
    place = place_of(annotations, index)
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        return Problem(place, f"bbox outside the picture of {width}x{height}", False)
    if max(-x, -y, x + w - width, y + h - height) <= EDGE_PX or "bbox" not in record or "center" in record:
        return None
    left, top = max(x, 0), max(y, 0)
    inside = [left, top, min(x + w, width) - left, min(y + h, height) - top]
    where = pointer_of(annotations, index)
    fix = json_patch.replace(json_patch.pointer(*where, "bbox"), record["bbox"], inside) if where else ()
    return Problem(place, f"bbox reaches over the edge of the picture of {width}x{height}", False, fix)


def _outside_px(annotations: AnnotationSet, index: int, box_xywh: NDArray[np.float64]) -> NDArray[np.float64]:
    """(L,) how far each labelled keypoint lies outside a box; 0 inside."""
    xy = annotations.xy[index][annotations.visibility[index] > 0]
    return np.maximum(np.maximum(box_xywh[:2] - xy, xy - box_xywh[:2] - box_xywh[2:]).max(-1), 0.0)


def _far_points(annotations: AnnotationSet, index: int) -> str | None:
    """What does not fit between a box and its person's keypoints."""
    box = annotations.box_xywh[index]
    outside_px, labelled = _outside_px(annotations, index, box), np.flatnonzero(annotations.visibility[index] > 0)
    if len(labelled) and (outside_px > SLACK * box[2:].max()).all():
        return "bbox holds none of its keypoints: another person's?"
    far = labelled[outside_px > FAR * box[2:].max()]
    if (size := _size(annotations, index)) is not None:  # those outside the picture are listed as such
        xy = annotations.xy[index, far]
        far = far[((xy >= 0) & (xy <= size)).all(-1)]
    names = ", ".join(annotations.skeleton.keypoints[k] for k in far)
    return f"wrong position? {names} far outside the bbox" if names else None


def _corners(annotations: AnnotationSet) -> Problem | None:
    """Problem of a file whose boxes are x1, y1, x2, y2 instead of x, y, width, height; the fix converts them all."""
    people = held = over = 0
    for index, record in readable(annotations):
        size = _size(annotations, index)
        box: Any = record.get("bbox")
        if (
            size is None
            or "center" in record
            or box is None
            or not holds_something(box)
            or not (annotations.visibility[index] > 0).any()
        ):
            continue
        people += 1
        x, y, right, bottom = (float(v) for v in box)
        if x < right and y < bottom and right <= size[0] + EDGE_PX and bottom <= size[1] + EDGE_PX:
            as_corners = np.array([x, y, right - x, bottom - y])
            held += bool((_outside_px(annotations, index, as_corners) <= SLACK * as_corners[2:].max()).all())
        over += x + right > size[0] + EDGE_PX or y + bottom > size[1] + EDGE_PX
    if not people or held < HOLD_AS_CORNERS * people or over < OVER_AS_SIZES * people:
        return None
    fix: list[json_patch.Operation] = []
    for index, record in enumerate(annotations.records):  # all categories: one tool wrote them
        box = record.get("bbox") if isinstance(record, dict) else None
        where = pointer_of(annotations, index)
        if where and box is not None and holds_something(box) and box[0] < box[2] and box[1] < box[3]:
            new = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            fix += json_patch.replace(json_patch.pointer(*where, "bbox"), box, new)
    text = (
        f"boxes are corners x1, y1, x2, y2 where x, y, width, height is meant: so read, {held} of {people} hold their "
        f"keypoints, and as they stand {over} reach over the picture's edge"
    )
    return Problem("annotations", text, False, tuple(fix))
