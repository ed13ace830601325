"""A detector's boxes, COCO results json: `[{"image_id", "category_id", "bbox": [x, y, w, h], "score"}]`.

Detectors write this for COCO, and papers share it as `COCO_val2017_detections_AP_H_56_person.json`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.coco.coco_json import is_number
from poseunion.models.errors import BadFileError
from poseunion.models.files import read_json


@dataclass(frozen=True)
class Boxes:
    """People that a detector found, in the order of its file.

    Attributes:
        path: the file.
        image: (D,) index of each one's picture in the annotations.
        xywh: (D, 4) image px.
        score: (D,) of the detector.
        elsewhere: how many of the file's boxes lie on pictures that the annotations do not have.
    """

    path: Path
    image: NDArray[np.intp]
    xywh: NDArray[np.float64]
    score: NDArray[np.float64]
    elsewhere: int


def read_boxes(path: Path, annotations: AnnotationSet) -> Boxes:
    """The people among a file of detections; boxes of another category, or without area, are left out.

    Raises:
        BadFileError: not such a file, or none of its pictures is among the annotations'.
    """
    document = read_json(path)
    if not isinstance(document, list):
        raise BadFileError(f"{path} is not a list of detections with image_id, category_id, bbox and score.")
    position_of = {ref.id: i for i, ref in enumerate(annotations.images)}
    image: list[int] = []
    xywh: list[list[float]] = []
    score: list[float] = []
    elsewhere = 0
    for index, detection in enumerate(document):
        if problem := _problem(detection):
            raise BadFileError(f"{path}, record {index}: {problem}.")
        people = annotations.people or {annotations.category: ""}
        if detection.get("category_id", annotations.category) not in people:
            continue
        if detection["image_id"] not in position_of:
            elsewhere += 1
        elif min(detection["bbox"][2:]) > 0:
            image.append(position_of[detection["image_id"]])
            xywh.append(detection["bbox"])
            score.append(detection["score"])
    if not image:
        raise BadFileError(
            f"{path} has no person in the pictures of {annotations.source.path}: do image_id and category_id belong "
            "to that file?"
        )
    return Boxes(path, np.array(image, np.intp), np.array(xywh, np.float64), np.array(score, np.float64), elsewhere)


def _problem(detection: Any) -> str | None:
    if not isinstance(detection, dict) or not isinstance(detection.get("image_id"), (int, str)):
        return "a detection needs an image_id (number or text)"
    box = detection.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(is_number(v) for v in box):
        return f"bbox {box!r} is not four finite numbers"
    if not is_number(detection.get("score")):
        return f"score {detection.get('score')!r} is not a finite number"
    return None
