"""Writing Label Studio's tasks: from such a file with everything in it kept, or from any other annotations.

Added keypoints are regions whose `meta` holds `keypoint_source` and `confidence`; occluded ones have a choice of their
own. Points that were not accepted are left out: Label Studio would show them as labels. `labelling_config` is the
interface that the tasks fit.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np

from poseunion.annotate.formats.added_fields import blocks, own_positions
from poseunion.annotate.formats.coco import results
from poseunion.annotate.formats.coco.from_any import picture_size
from poseunion.annotate.formats.extension import ORIGIN_NAMES, Completion, Extension, Origin
from poseunion.annotate.formats.json_stream import write_list
from poseunion.annotate.formats.tools.label_studio import DECISION, NAME, OCCLUDED, keypoint_items, results_of
from poseunion.annotate.formats.types import CROWD, MALFORMED, NOTHING, AnnotationSet, is_another_class
from poseunion.models.skeleton import Skeleton, Visibility

IMAGE, BOX, KEYPOINT, VISIBILITY = "image", "box", "keypoint", "visibility"
POINT_WIDTH = 0.5  # percent of the picture's width, a dot that can be seen


def labelling_config(
    skeleton: Skeleton, classes: tuple[str, ...] = ("person",), decisions: tuple[str, ...] = ()
) -> str:
    """The labelling interface (XML) that takes the written tasks, and offers `decisions` on each point."""
    labels = "".join(f"<Label value={quoteattr(name)}/>" for name in classes)
    # Label Studio's own COCO and YOLO exports take the keypoints' order from model_index.
    points = "".join(f'<Label value={quoteattr(n)} model_index="{k}"/>' for k, n in enumerate(skeleton.keypoints))
    offered = "".join(f"<Choice value={quoteattr(name)}/>" for name in decisions)
    choices = f'<Choices name="{DECISION}" toName="{IMAGE}" perRegion="true" choice="single">{offered}</Choices>'
    return (
        f'<View><Image name="{IMAGE}" value="$image"/>'
        f'<RectangleLabels name="{BOX}" toName="{IMAGE}">{labels}</RectangleLabels>'
        f'<KeyPointLabels name="{KEYPOINT}" toName="{IMAGE}">{points}</KeyPointLabels>'
        f'<Choices name="{VISIBILITY}" toName="{IMAGE}" perRegion="true" choice="single">'
        f'<Choice value="{OCCLUDED}"/></Choices>{choices if decisions else ""}</View>'
    )


def write(
    file: BinaryIO, annotations: AnnotationSet, extension: Extension, *, folder: str = ""
) -> dict[str, int] | None:
    """Write any annotations as tasks; returns why people were left out -> how many.

    Args:
        folder: of the pictures, below the root of Label Studio's local files.
    """
    if annotations.format == NAME:
        _write_back(file, annotations, extension)
        return None
    names = extension.skeleton.keypoints
    own = own_positions(annotations, extension.skeleton)
    left_out: Counter[str] = Counter()
    by_image: dict[int, list[dict[str, Any]]] = {}
    for index, completion in blocks(len(annotations), extension):
        image = int(annotations.image_index[index])
        reason = annotations.skip.get(index)
        size = picture_size(annotations, extension, image) if image >= 0 else None
        if reason in (CROWD, MALFORMED) or is_another_class(reason) or size is None:
            left_out[reason if size is not None and reason else "a picture whose size is not known"] += 1
            continue
        items = by_image.setdefault(image, [])
        before = len(items)
        parent = f"p{index + 1}"
        shared = {"original_width": size[0], "original_height": size[1], "image_rotation": 0, "to_name": IMAGE}
        box = annotations.box_xywh[index]
        if not np.isnan(box).any():
            label = annotations.names.get(annotations.class_of[index], "person") if annotations.class_of else "person"
            share = [v / side * 100 for v, side in zip(box.tolist(), (*size, *size), strict=True)]
            value = {**dict(zip(("x", "y", "width", "height"), share, strict=True)), "rotation": 0}
            labelled = {"value": {**value, "rectanglelabels": [label]}}
            items.append({"id": parent, "type": "rectanglelabels", "from_name": BOX, **shared, **labelled})
        for k, position in enumerate(own):
            state = int(annotations.visibility[index, k])
            if state > 0:
                meta = {}
                if annotations.format in results.PREDICTIONS:
                    score = annotations.records[index]["keypoints"][3 * k + 2]
                    meta = {"keypoint_source": ORIGIN_NAMES[Origin.PROPOSED], "confidence": score}
                xy = annotations.xy[index, k].tolist()
                items += _point(f"{parent}-{names[position]}", names[position], xy, state, size, parent, shared, meta)
        for k, xy, state, meta in _added(completion, index - completion.start):
            items += _point(f"{parent}-{names[k]}", names[k], xy, state, size, parent, shared, meta)
        left_out[NOTHING] += len(items) == before

    def tasks() -> Iterator[dict[str, Any]]:
        for position, image in enumerate(annotations.images):
            data = {IMAGE: f"/data/local-files/?d={quote(posixpath.join(folder, image.file_name))}"}
            items = sorted(by_image.get(position, ()), key=_is_rectangle)
            yield {"id": position + 1, "data": data, "annotations": [{"result": items}] if items else []}

    write_list(file, tasks())
    file.write(b"\n")
    return {reason: count for reason, count in left_out.items() if count} or None


def _is_rectangle(item: dict[str, Any]) -> bool:
    """Sorts rectangles behind points: Label Studio's editor gives a click to the first region at the place."""
    return bool(item["type"] == "rectanglelabels")


def _added(completion: Completion, row: int) -> Iterator[tuple[int, list[float], int, dict[str, Any]]]:
    """Derived points and accepted proposals: position, place, state and `meta`."""
    for k in completion.new(row):
        origin = completion.origin[row, k]
        meta: dict[str, Any] = {"keypoint_source": ORIGIN_NAMES[origin]}
        if origin == Origin.PROPOSED:
            meta["confidence"] = float(completion.confidence[row, k])
        yield k, completion.xy[row, k].tolist(), int(completion.visibility[row, k]), meta


def _point(
    name: str,
    label: str,
    xy: list[float],
    state: int,
    size: tuple[int, int],
    parent: str | None,
    shared: dict[str, Any],
    meta: dict[str, Any],
    control: str = KEYPOINT,
) -> list[dict[str, Any]]:
    """A keypoint's region, and the choice of an occluded one."""
    value = {"x": xy[0] / size[0] * 100, "y": xy[1] / size[1] * 100, "width": POINT_WIDTH}
    head = {"id": name, "from_name": control, **shared}
    if parent is not None:
        head["parentID"] = parent
    if meta:
        head["meta"] = meta
    items = [{**head, "type": "keypointlabels", "value": {**value, "keypointlabels": [label]}}]
    if state == Visibility.OCCLUDED:
        items.append({**head, "from_name": VISIBILITY, "type": "choices", "value": {**value, "choices": [OCCLUDED]}})
    return items


def _write_back(file: BinaryIO, annotations: AnnotationSet, extension: Extension) -> None:
    names = extension.skeleton.keypoints
    added: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for index, completion in blocks(len(annotations), extension):
        record = annotations.records[index]
        new = list(_added(completion, index - completion.start))
        image = annotations.images[int(annotations.image_index[index])]
        if not new or image.width is None or image.height is None:
            continue
        place = (record["task"], record["annotation"])
        there = results_of(annotations.source.document[place[0]])[place[1]]
        template = next(keypoint_items(there), {})
        size = (image.width, image.height)
        shared = {"original_width": size[0], "original_height": size[1], "to_name": template.get("to_name", IMAGE)}
        for k, xy, state, meta in new:
            added.setdefault(place, []).extend(
                _point(
                    f"p{index + 1}-{names[k]}",
                    names[k],
                    xy,
                    state,
                    size,
                    record.get("region"),
                    shared,
                    meta,
                    template.get("from_name", KEYPOINT),
                )
            )

    widened = {task for task, _ in added}

    def tasks() -> Iterator[Any]:
        for position, task in enumerate(annotations.source.document):
            if position not in widened:
                yield task
                continue
            key = "annotations" if "annotations" in task else "completions"
            yield {**task, key: [_widened(a, added.get((position, i))) for i, a in enumerate(task[key])]}

    write_list(file, tasks())
    file.write(b"\n")


def _widened(annotation: Any, items: list[dict[str, Any]] | None) -> Any:
    return {**annotation, "result": [*items, *annotation["result"]]} if items else annotation
