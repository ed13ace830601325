"""Writing YOLO-pose: one zip of `data.yaml` and `labels/`, to be unpacked beside the pictures' folder `images`.

A zip because it is one file, whole or absent. Numbers have 8 decimals: less than 1e-4 px in pictures up to 20,000 px.
From a YOLO-pose dataset, the human numbers and the classes that were not read are copied as they stood. Proposals that
were not accepted have no place in this format, nor has the origin of a point: `keypoint_source.json` in the zip holds
both.
"""

from __future__ import annotations

import zipfile
from collections import defaultdict
from typing import Any, BinaryIO

import numpy as np

from poseunion.annotate.completion import Completion, Extension, Origin
from poseunion.annotate.formats import results
from poseunion.annotate.formats.converted import picture_size
from poseunion.annotate.formats.extended import added_fields, blocks, dump, own_positions
from poseunion.annotate.formats.types import AnnotationSet
from poseunion.annotate.formats.visibility import COCO
from poseunion.annotate.formats.yaml_file import dump_yaml
from poseunion.annotate.formats.yolo import NAME, label_name
from poseunion.models.errors import BadFileError
from poseunion.models.skeleton import Visibility

DECIMALS = 8
_EPOCH = (1980, 1, 1, 0, 0, 0)  # equal content gives equal bytes


def write(file: BinaryIO, annotations: AnnotationSet, extension: Extension) -> None:
    """Write any annotations as YOLO-pose; see the module.

    Raises:
        BadFileError: a person's picture has no known size, or he has no box.
    """
    lines: dict[str, list[str]] = defaultdict(list)
    sources: dict[str, list[dict[str, Any]]] = defaultdict(list)
    own = own_positions(annotations, extension.skeleton)
    names = extension.skeleton.keypoints
    for index, completion in blocks(len(annotations), extension):
        image = annotations.images[int(annotations.image_index[index])]
        label = annotations.records[index].get("label_file") if annotations.format == NAME else None
        label = label or label_name(image.file_name)
        tokens = _tokens(annotations, extension, index, completion, own)
        if tokens is not None:
            lines[label].append(" ".join(tokens))
            added = added_fields(completion, index - completion.start, names)
            sources[label].append(results.told_apart(annotations, index, own, added))
    with zipfile.ZipFile(file, "w") as archive:
        _add(archive, "data.yaml", dump_yaml(_data(annotations, extension)).encode())
        for label, content in lines.items():
            _add(archive, label, ("\n".join(content) + "\n").encode())
        _add(archive, "keypoint_source.json", dump({"poseunion": extension.block, "labels": dict(sources)}))


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)


def _data(annotations: AnnotationSet, extension: Extension) -> dict[str, Any]:
    """The data.yaml: the file's own fields where it was one, else one class and one split."""
    output = extension.skeleton
    own = annotations.source.document if annotations.format == NAME else None
    heading = own or {"path": ".", "train": "images", "val": "images", "names": {0: "person"}}
    return {
        **heading,
        "kpt_shape": [len(output), 3],
        "flip_idx": output.flip_indices.tolist(),
        "kpt_names": {int(annotations.category) if own else 0: list(output.keypoints)},
    }


def _tokens(
    annotations: AnnotationSet, extension: Extension, index: int, completion: Completion, own: list[int]
) -> list[str] | None:
    """A person's line; None for a record of another format that is no labelled person."""
    row, k = index - completion.start, len(extension.skeleton)
    image = int(annotations.image_index[index])
    origin = completion.origin[row]
    new = np.isin(origin, (Origin.DERIVED, Origin.PROPOSED))
    points: list[list[str]] = [["0", "0", "0"] for _ in range(k)]
    tokens: list[str] = annotations.records[index]["tokens"] if annotations.format == NAME else []
    if tokens:
        _copy_points(tokens, annotations.source.document["kpt_shape"][1], own, points)
        if not new.any():
            return [*tokens[:5], *(token for point in points for token in point)]
    elif image < 0 or not (origin > Origin.NONE).any():
        return None
    size = picture_size(annotations, extension, image)
    box = annotations.box_xywh[index]
    if size is None or np.isnan(box).any():
        missing = "no box" if size is not None else "a picture whose size is not known"
        raise BadFileError(
            f"Person {index} in {annotations.images[image].file_name} has {missing}: YOLO-pose cannot hold it; "
            "mend it or leave it out."
        )
    wh = np.array(size, np.float64)
    head = tokens[:5] or ["0", *map(_share, (box[:2] + box[2:] / 2) / wh), *map(_share, box[2:] / wh)]
    if not tokens:
        for position, xy, state in zip(own, annotations.xy[index], annotations.visibility[index].tolist(), strict=True):
            if state > 0:
                points[position] = [*map(_share, xy / wh), str(COCO.from_state[Visibility(state)])]
    for position in np.flatnonzero(new).tolist():
        v = COCO.from_state[Visibility(int(completion.visibility[row, position]))]
        points[position] = [*map(_share, completion.xy[row, position] / wh), str(v)]
    return [*head, *(token for point in points for token in point)]


def _copy_points(tokens: list[str], numbers: int, own: list[int], points: list[list[str]]) -> None:
    """A YOLO line's own keypoints, to the digit, with the visibility that a line without one implies."""
    for position, start in zip(own, range(5, len(tokens), numbers), strict=True):
        point = tokens[start : start + numbers]
        if numbers == 2:
            x, y = map(float, point)
            point = [*point, str(int(not (x < 0 or y < 0 or x == y == 0)) * 2)]
        points[position] = point


def _share(value: float) -> str:
    return f"{value:.{DECIMALS}f}"
