"""COCO results json: predictions, `[{"image_id", "category_id", "keypoints": [x, y, score] * K, "score"}]`.

Read, every predicted point is a label that is VISIBLE (a score of 0 or less: ABSENT); the scores stay in the records.
Written in another format, it is no human's but `proposed`, with its score as confidence.
The format names neither keypoints nor pictures: 17 keypoints are COCO's unless a skeleton is given, and a number as
image_id is the picture that COCO 2017 calls so, `000000000139.jpg`; text is the picture's name itself. `bbox` is used
where it is there (Detectron2 writes it), else the crop is made around the points (`boxes.boxes_of_joints`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np

from poseunion.annotate.formats.added_fields import blocks, own_positions
from poseunion.annotate.formats.boxes import fill_boxes
from poseunion.annotate.formats.coco.coco_json import are_numbers
from poseunion.annotate.formats.extension import ORIGIN_NAMES, Completion, Extension, Origin
from poseunion.annotate.formats.json_stream import write_list
from poseunion.annotate.formats.types import (
    MALFORMED,
    NO_HUMAN_KEYPOINT,
    NO_PICTURE,
    AnnotationSet,
    ImageRef,
    Problem,
    Report,
    Source,
    empty_rows,
    refuse,
)
from poseunion.models.errors import BadFileError
from poseunion.models.skeleton import Skeleton, Visibility, load_skeleton

NAME = "coco-results"
# Formats whose points are a model's: their records hold `keypoints` as x, y, score.
PREDICTIONS = frozenset({NAME, "openpose"})
# What a format without a confidence of its own gets: a human's or a derived point is as sure as can be.
SURE = 1.0


def detect(source: Source) -> bool:
    """Whether this is a list of objects with `image_id`, `keypoints` and `score`."""
    return {"image_id", "keypoints", "score"} <= source.first.keys()


def read(source: Source, skeleton: Skeleton | None = None, report: Report | None = None) -> AnnotationSet:
    """Read a results file; arguments and errors as in `coco_json.read`."""
    report = report or refuse(source.path)
    records = source.document
    if not isinstance(records, list):
        raise BadFileError(f"{source.path} is not COCO results: a list of predicted people is expected.")
    found = skeleton or _skeleton(records, source)
    rows = empty_rows(len(records), len(found))
    xy_NK2, visibility_NK, box_N4, image_N = rows
    images: list[ImageRef] = []
    position_of: dict[Any, int] = {}
    skip: dict[int, str] = {}
    for index, record in enumerate(records):
        problem = _problem(record, len(found))
        if problem is not None:
            report(Problem(f"record {index}", problem))
            skip[index] = MALFORMED
            continue
        image_id = record["image_id"]
        if image_id not in position_of:
            position_of[image_id] = len(images)
            images.append(ImageRef(image_id, image_id if isinstance(image_id, str) else f"{image_id:012d}.jpg"))
        image_N[index] = position_of[image_id]
        points_K3 = np.array(record["keypoints"], np.float64).reshape(-1, 3)
        states = np.where(points_K3[:, 2] > 0, Visibility.VISIBLE, Visibility.ABSENT).astype(np.int8)
        visibility_NK[index] = states
        xy_NK2[index] = np.where(states[:, None] > 0, points_K3[:, :2], 0.0)
        if record.get("bbox"):
            box_N4[index] = record["bbox"]
        if not (states > 0).any():
            skip[index] = NO_HUMAN_KEYPOINT
    fill_boxes(box_N4, xy_NK2, visibility_NK, found)
    return AnnotationSet(NAME, found, source, records, images, image_N, xy_NK2, visibility_NK, box_N4, None, skip, 1)


def _skeleton(records: list[Any], source: Source) -> Skeleton:
    lists = (r.get("keypoints") for r in records if isinstance(r, dict))
    count = next((len(found) // 3 for found in lists if isinstance(found, list) and found), 17)
    if count != 17:
        raise BadFileError(
            f"{source.path} holds {count} keypoints a person and does not name them: describe them in a "
            "dataset .toml with a skeleton (`check` and `show` also take --skeleton)."
        )
    return load_skeleton("coco17")


def _problem(record: Any, k: int) -> str | None:
    if not isinstance(record, dict):
        return "a prediction is an object"
    if not isinstance(record.get("image_id"), (int, str)) or isinstance(record.get("image_id"), bool):
        return "a prediction needs an image_id (number or text)"
    points = record.get("keypoints")
    if not are_numbers(points, 3 * k):
        return f"its keypoints are not {3 * k} finite numbers"
    box = record.get("bbox")
    if box is not None and not are_numbers(box, 4):
        return f"bbox {box!r} is not four finite numbers"
    return None


def write(file: BinaryIO, annotations: AnnotationSet, extension: Extension) -> dict[str, int] | None:
    """Any annotations as predictions: x, y and a confidence (human and derived points 1), `score` their mean.

    Proposals are written whether accepted or not, as results hold what a model predicts. People
    without any point are left out, and counted. Results that are written back keep their numbers, fields and people.
    """
    left_out: Counter[str] = Counter()
    own = own_positions(annotations, extension.skeleton)
    mine = annotations.format == NAME
    document = annotations.source.document
    has_ids = (
        isinstance(document, dict) and "images" in document
    )  # other formats refer to pictures by their names alone

    def records() -> Iterator[dict[str, Any]]:
        for index, completion in blocks(len(annotations), extension):
            row = index - completion.start
            image = int(annotations.image_index[index])
            if image < 0:
                left_out[annotations.skip.get(index) or NO_PICTURE] += 1
                continue
            points = _points(completion, row)
            record = annotations.records[index]
            for k, position in enumerate(own):
                if annotations.format in PREDICTIONS:
                    if annotations.visibility[index, k] > 0:
                        points[position] = record["keypoints"][3 * k : 3 * k + 3]
                elif annotations.visibility[index, k] > 0:
                    points[position] = [*annotations.xy[index, k].tolist(), SURE]
            flat = [value for point in points for value in point]
            if mine:
                yield {**record, "keypoints": flat}
                continue
            scores = [s for s in flat[2::3] if s > 0]
            if scores:
                category = record.get("category_id", annotations.category) if has_ids else 1
                score = round(sum(scores) / len(scores), 6)
                picture = annotations.images[image]
                image_id = picture.id if has_ids else picture.file_name
                yield {"image_id": image_id, "category_id": category, "keypoints": flat, "score": score}
            else:
                left_out[annotations.skip.get(index) or "no point"] += 1

    write_list(file, records())
    file.write(b"\n")
    return dict(left_out) or None


def told_apart(annotations: AnnotationSet, index: int, own: Sequence[int], added: dict[str, Any]) -> dict[str, Any]:
    """`extended.added_fields` of a record, where what was read is a prediction and no human's label.

    Args:
        own: where each of the file's keypoints stands in the output.
    """
    if annotations.format not in PREDICTIONS:
        return added
    source, confidence = list(added["keypoint_source"]), list(added["keypoint_confidence"])
    for k, position in enumerate(own):
        if annotations.visibility[index, k] > 0:
            source[position] = ORIGIN_NAMES[Origin.PROPOSED]
            confidence[position] = annotations.records[index]["keypoints"][3 * k + 2]
    return {**added, "keypoint_source": source, "keypoint_confidence": confidence}


def _points(completion: Completion, row: int) -> list[list[Any]]:
    """What was added, proposals that were not accepted included."""
    points: list[list[Any]] = []
    rows = zip(
        completion.xy[row].tolist(), completion.confidence[row].tolist(), completion.origin[row].tolist(), strict=True
    )
    for (x, y), confidence, origin in rows:
        if origin == Origin.DERIVED:
            points.append([x, y, SURE])
        else:
            points.append([x, y, confidence] if confidence == confidence else [0, 0, 0])
    return points
