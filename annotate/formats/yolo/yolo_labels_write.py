"""Writing YOLO-pose: one zip of `data.yaml` and `labels/`, to be unpacked beside the pictures' folder `images`.

A zip because it is one file, whole or absent. Numbers have 8 decimals: less than 1e-4 px in pictures up to 20,000 px.
From a YOLO-pose dataset, the human numbers and the classes that were not read are copied as they stood. Proposals that
were not accepted have no place in this format, nor has the origin of a point: `keypoint_source.json` in the zip holds
both.
"""

from __future__ import annotations

import zipfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats.added_fields import added_fields, blocks, own_positions
from poseunion.annotate.formats.coco import results
from poseunion.annotate.formats.coco.from_any import picture_size
from poseunion.annotate.formats.extension import Completion, Extension
from poseunion.annotate.formats.json_stream import add_to_zip, dump
from poseunion.annotate.formats.types import CROWD, MALFORMED, NO_PICTURE, AnnotationSet, is_another_class
from poseunion.annotate.formats.visibility import COCO
from poseunion.annotate.formats.yolo.yaml_file import dump_yaml
from poseunion.annotate.formats.yolo.yolo_labels import NAME, label_name
from poseunion.models.errors import BadFileError
from poseunion.models.skeleton import Visibility

DECIMALS = 8
OUTSIDE = "points outside the picture"
TWICE = "people with the same box and points as another"


def write(file: BinaryIO, annotations: AnnotationSet, extension: Extension) -> dict[str, int]:
    """Write any annotations as YOLO-pose; see the module. Returns why records and points were left out -> how many.

    Raises:
        BadFileError: two pictures would share one label file.
    """
    lines: dict[str, list[str]] = defaultdict(list)
    sources: dict[str, list[dict[str, Any]]] = defaultdict(list)
    left_out: Counter[str] = Counter()
    copied: set[tuple[str, int | None]] = set()
    own = own_positions(annotations, extension.skeleton)
    names = extension.skeleton.keypoints
    numbers = _class_numbers(annotations)
    _refuse_shared_labels(annotations)
    for index, completion in blocks(len(annotations), extension):
        image = int(annotations.image_index[index])
        reason = _no_line(annotations, extension, index)
        if reason is not None:
            left_out[reason] += 1
            continue
        picture = annotations.images[image].file_name
        label = annotations.records[index].get("label_file") if annotations.format == NAME else None
        label = label or label_name(picture)
        tokens, outside = _tokens(annotations, extension, index, completion, own, numbers)
        left_out[OUTSIDE] += outside
        line = " ".join(tokens)
        number = annotations.records[index].get("line") if annotations.format == NAME else None
        if number is not None and (label, number) in copied:  # two pictures share the label file
            continue
        copied.add((label, number))
        if number is None and line in lines[label]:  # Ultralytics would remove it
            left_out[TWICE] += 1
            continue
        lines[label].append(line)
        added = added_fields(completion, index - completion.start, names)
        sources[label].append(results.told_apart(annotations, index, own, added))
    with zipfile.ZipFile(file, "w") as archive:
        add_to_zip(archive, "data.yaml", dump_yaml(_data(annotations, extension, numbers)).encode())
        for label, content in lines.items():
            add_to_zip(archive, label, ("\n".join(content) + "\n").encode())
        add_to_zip(archive, "keypoint_source.json", dump({"poseunion": extension.block, "labels": dict(sources)}))
    return {reason: count for reason, count in left_out.items() if count}


def _refuse_shared_labels(annotations: AnnotationSet) -> None:
    """A picture without people takes the labels of one that differs in its ending alone, too: every picture counts."""
    used = set(annotations.image_index.tolist())
    picture_of: dict[str, tuple[int, str]] = {}
    for position, image in enumerate(annotations.images):
        label = label_name(image.file_name) if image.file_name else ""
        first, name = picture_of.setdefault(label, (position, image.file_name))
        if label and name != image.file_name and annotations.format != NAME and {first, position} & used:
            raise BadFileError(
                f"{name} and {image.file_name} would share the label file {label}: rename one of the pictures."
            )


def _no_line(annotations: AnnotationSet, extension: Extension, index: int) -> str | None:
    """Why a record has no line in YOLO-pose; None: it has one."""
    if annotations.format == NAME:
        return None  # its own line is copied
    image = int(annotations.image_index[index])
    reason = annotations.skip.get(index)
    if reason in (CROWD, MALFORMED) or is_another_class(reason) or image < 0:
        return reason or NO_PICTURE
    size = picture_size(annotations, extension, image)
    if size is None:
        return "a picture whose size is not known"
    box = _inside(annotations.box_xywh[index], size)
    return None if (box[2:] > 0).all() else "no box inside the picture"


def _inside(box_4: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """The part of a box that lies in the picture: Ultralytics drops a picture with anything outside 0 … 1."""
    low = np.clip(box_4[:2], 0, size)
    return np.concatenate([low, np.clip(box_4[:2] + box_4[2:], 0, size) - low])


def _class_numbers(annotations: AnnotationSet) -> dict[Any, int]:
    """The file's category ids -> class numbers from 0, people's alone."""
    return {number: position for position, number in enumerate(annotations.people)}


def _data(annotations: AnnotationSet, extension: Extension, numbers: dict[Any, int]) -> dict[str, Any]:
    """The data.yaml: the file's own fields where it was one, else its categories of people and one split."""
    output = extension.skeleton
    own = annotations.source.document if annotations.format == NAME else None
    classes = {position: annotations.people[number] for number, position in numbers.items()} or {0: "person"}
    # No `path`: Ultralytics takes a relative one to be below wherever it is started, and none to be the yaml's folder.
    # `./`: sleap-io finds labels by replacing `/images`.
    heading = own or {"train": "./images", "val": "./images", "names": classes}
    return {
        **heading,
        "kpt_shape": [len(output), 3],
        "flip_idx": output.flip_indices.tolist(),
        "kpt_names": {number: list(output.keypoints) for number in (annotations.names if own else classes)},
    }


def _tokens(
    annotations: AnnotationSet,
    extension: Extension,
    index: int,
    completion: Completion,
    own: Sequence[int],
    numbers: dict[Any, int],
) -> tuple[list[str], int]:
    """A record's line, and how many points were left out of it; a person without points has a box and zeros."""
    row, k = index - completion.start, len(extension.skeleton)
    image = int(annotations.image_index[index])
    new = completion.new(row)
    points: list[list[str]] = [["0", "0", "0"] for _ in range(k)]
    tokens: list[str] = annotations.records[index]["tokens"] if annotations.format == NAME else []
    if tokens:
        shape = annotations.source.document["kpt_shape"]
        if len(tokens) != 5 + shape[0] * shape[1]:
            return tokens, 0  # malformed, as it was
        _copy_points(tokens, shape[1], own, points)
        if not new:
            return [*tokens[:5], *(token for point in points for token in point)], 0
    size = picture_size(annotations, extension, image)
    if size is None:
        raise BadFileError(f"The size of {annotations.images[image].file_name} is not known: is the picture there?")
    wh = np.array(size, np.float64)
    box = _inside(annotations.box_xywh[index], size)
    number = numbers.get(annotations.class_of[index], 0) if annotations.class_of else 0
    head = tokens[:5] or [str(number), *map(_share, (box[:2] + box[2:] / 2) / wh), *map(_share, box[2:] / wh)]
    outside = 0
    if not tokens:
        for position, xy, state in zip(own, annotations.xy[index], annotations.visibility[index].tolist(), strict=True):
            if state > 0 and (xy < 0).any() | (xy > wh).any():
                outside += 1
            elif state > 0:
                points[position] = [*map(_share, xy / wh), str(COCO.from_state[Visibility(state)])]
    for position in new:
        xy = completion.xy[row, position]
        if (xy < 0).any() or (xy > wh).any():  # a midpoint of points outside
            outside += 1
            continue
        v = COCO.from_state[Visibility(int(completion.visibility[row, position]))]
        points[position] = [*map(_share, xy / wh), str(v)]
    return [*head, *(token for point in points for token in point)], outside


def _copy_points(tokens: list[str], numbers: int, own: Sequence[int], points: list[list[str]]) -> None:
    """A YOLO line's own keypoints, to the digit, with the visibility that a line without one implies."""
    for position, start in zip(own, range(5, len(tokens), numbers), strict=True):
        point = tokens[start : start + numbers]
        if numbers == 2:
            x, y = map(float, point)
            point = [*point, str(int(not (x < 0 or y < 0 or x == y == 0)) * 2)]
        points[position] = point


def _share(value: float) -> str:
    return f"{value:.{DECIMALS}f}"
