"""Any file as an extended COCO-style file: pixels 0-based, ids given, sizes as stated or as read from the pictures.

A person's record holds the other fields of its format (`AnnotationSet.records`) beside the keypoints, under the
format's names. `bbox` is the unpadded box that the crop was made from; it may reach over the picture's edge. `area` is
.53 of it, the usual stand-in for a segmentation's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from poseunion.annotate.formats.added_fields import blocks, own_positions
from poseunion.annotate.formats.coco import results
from poseunion.annotate.formats.coco.coco_json_write import extended_record, links_of
from poseunion.annotate.formats.extension import Extension
from poseunion.annotate.formats.json_stream import write_object
from poseunion.annotate.formats.types import AnnotationSet
from poseunion.annotate.formats.visibility import COCO
from poseunion.models.metrics import area_from_box
from poseunion.models.skeleton import Skeleton, Visibility

# Fields of MPII's json that hold the keypoints themselves, and stand in `keypoints` here.
_KEYPOINT_FIELDS = ("joints", "joints_vis")
PERSON = 1  # the first category's id


def write(file: BinaryIO, annotations: AnnotationSet, extension: Extension) -> None:
    """Write `annotations` with what was added; see the module."""
    write_object(
        file,
        iter(
            [
                ("images", _images(annotations, extension)),
                ("annotations", _records(annotations, extension)),
                ("categories", _categories(annotations, extension.skeleton)),
                ("poseunion", extension.block),
            ]
        ),
    )


def _images(annotations: AnnotationSet, extension: Extension) -> Iterator[dict[str, Any]]:
    for index, image in enumerate(annotations.images):
        size = picture_size(annotations, extension, index)
        entry: dict[str, Any] = {"id": index + 1, "file_name": image.file_name}
        yield entry if size is None else {**entry, "width": size[0], "height": size[1]}


def _records(annotations: AnnotationSet, extension: Extension) -> Iterator[dict[str, Any]]:
    own = own_positions(annotations, extension.skeleton)
    category_of = category_ids(annotations)
    for index, completion in blocks(len(annotations), extension):
        image = int(annotations.image_index[index])
        triples = coco_triples(annotations, index)
        base: dict[str, Any] = {
            "id": index + 1,
            "image_id": image + 1 if image >= 0 else None,
            "category_id": category_of[annotations.class_of[index]] if annotations.class_of else PERSON,
            "iscrowd": 0,
        }
        box = annotations.box_xywh[index]
        if not np.isnan(box).any():
            base |= {"bbox": box.tolist(), "area": float(area_from_box(box[None])[0])}
        base["num_keypoints"] = sum(v > 0 for v in triples[2::3])
        record = annotations.records[index]
        kept = {k: v for k, v in record.items() if k not in _KEYPOINT_FIELDS and k not in base and k != "keypoints"}
        written = extended_record(
            {**base, **kept}, triples, own, completion, index - completion.start, extension.skeleton
        )
        yield results.told_apart(annotations, index, own, written)


def coco_triples(annotations: AnnotationSet, index: int) -> list[Any]:
    """A person's own keypoints as COCO's x, y, v; what is not labelled is 0, 0, 0."""
    triples: list[Any] = []
    rows = zip(annotations.xy[index].tolist(), annotations.visibility[index].tolist(), strict=True)
    for (x, y), state in rows:
        labelled = state > Visibility.ABSENT
        triples += [x, y, COCO.from_state[Visibility(state)]] if labelled else [0, 0, 0]
    return triples


def picture_size(annotations: AnnotationSet, extension: Extension, index: int) -> tuple[int, int] | None:
    """(width, height) of picture `index` as the file states it, else as the picture has it."""
    image = annotations.images[index]
    if image.width is not None and image.height is not None:
        return image.width, image.height
    return extension.size_of(index)


def category_ids(annotations: AnnotationSet) -> dict[Any, int]:
    """The file's class numbers -> category ids, from 1 in the order of the names; what has no name is the last."""
    numbers = [*annotations.names, *dict.fromkeys(c for c in annotations.class_of if c not in annotations.names)]
    return {number: position for position, number in enumerate(numbers, PERSON)}


def _categories(annotations: AnnotationSet, output: Skeleton) -> list[dict[str, Any]]:
    described = {"supercategory": "person", "keypoints": list(output.keypoints), "skeleton": links_of(output)}
    if not annotations.class_of:
        return [{"id": PERSON, "name": "person", **described}]
    return [
        # All classes of a YOLO-pose file have the keypoints; a class that is no person is not called one.
        {
            "id": number,
            "name": annotations.names.get(of, f"class {of}"),
            **(described if of in annotations.people else {**described, "supercategory": "other"}),
        }
        for of, number in category_ids(annotations).items()
    ]
