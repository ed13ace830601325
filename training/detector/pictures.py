"""Training pictures of the detector: boxes of people, and regions with unlabelled people.

COCO's keypoint files have no box here of people without keypoints, LSP Extended labels one person of many. Another
detector adds boxes of such people; its doubtful boxes are regions without a loss.

Shapes: N boxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats import read_annotations
from poseunion.models.inference.detector import Detections
from poseunion.models.skeleton import load_skeleton
from poseunion.training.data.data_file import DatasetEntry
from poseunion.training.data.read_people import is_box_list, read_listed_boxes

# Of RTMDet-nano's boxes on held-out pictures of COCO's training set a labelled person has 93 % above .45, 61 % from .4
# to .45, 34 % from .3 to .4 and 9 % from .2 to .3; the rest are people without a label, and mistakes.
SURE, DOUBTFUL = 0.45, 0.3
# A box that overlaps a labelled one as much is the same person; in the Pascal challenges half, here a little less since
# COCO's boxes are partly estimated from keypoints.
SAME_PERSON_IOU = 0.4
# A doubtful box of which this share lies inside a person is a part of the person, which a detector must not report.
PART_SHARE = 0.7


@dataclass(frozen=True)
class BoxedPicture:
    """A picture and its people.

    Attributes:
        wh: the frame that the boxes refer to, where the file states it.
        box_N4: x, y, width, height in image px.
        ignored_N4: regions that may or may not hold people.
    """

    path: Path
    wh: tuple[int, int] | None
    box_N4: NDArray[np.float64]
    ignored_N4: NDArray[np.float64]


def read_pictures(entry: DatasetEntry) -> list[BoxedPicture]:
    """All pictures of a dataset, those without people included; crowds are regions to ignore.

    Raises:
        BadFileError: not such a file.
    """
    if entry.kind == "boxes" and is_box_list(entry.annotations):
        return _listed(entry)
    annotations = read_annotations(
        entry.annotations, skeleton=load_skeleton(entry.skeleton) if entry.skeleton else None
    )
    boxes: list[list[NDArray[np.float64]]] = [[] for _ in annotations.images]
    crowds: list[list[NDArray[np.float64]]] = [[] for _ in annotations.images]
    for index, record in enumerate(annotations.records):
        box, image = annotations.box_xywh[index], int(annotations.image_index[index])
        if image >= 0 and np.isfinite(box).all() and (box[2:] > 0).all():
            (crowds if record.get("iscrowd") else boxes)[image].append(box)
    return [
        BoxedPicture(
            entry.images / ref.file_name,
            (ref.width, ref.height) if ref.width and ref.height else None,
            _stacked(boxes[i]),
            _stacked(crowds[i]),
        )
        for i, ref in enumerate(annotations.images)
    ]


def _listed(entry: DatasetEntry) -> list[BoxedPicture]:
    return [
        BoxedPicture(entry.images / p.file_name, None, _stacked([np.array(b) for b in p.boxes or ()]), _stacked([]))
        for p in read_listed_boxes(entry.annotations)
    ]


def completed(picture: BoxedPicture, found: Detections) -> BoxedPicture:
    """The picture with the people that another detector finds and no box has; its doubtful boxes are ignored regions.

    Args:
        found: boxes (N, 4) and scores (N,), from `DOUBTFUL` upwards.
    """
    box_M4, score_M = found[0].astype(np.float64), found[1]
    labelled = np.concatenate([picture.box_N4, picture.ignored_N4])
    is_new = overlaps(box_M4, labelled).max(1, initial=0.0) < SAME_PERSON_IOU
    people = np.concatenate([picture.box_N4, box_M4[is_new & (score_M >= SURE)]])
    share = common_area(box_M4, people) / np.maximum(box_M4[:, 2:].prod(1), 1e-9)[:, None]
    doubtful = is_new & (score_M >= DOUBTFUL) & (score_M < SURE) & (share.max(1, initial=0.0) < PART_SHARE)
    ignored = np.concatenate([picture.ignored_N4, box_M4[doubtful]])
    return BoxedPicture(picture.path, picture.wh, people, ignored)


def common_area(a_N4: NDArray[np.float64], b_M4: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, M) of x, y, width, height boxes."""
    low = np.maximum(a_N4[:, None, :2], b_M4[None, :, :2])
    high = np.minimum((a_N4[:, :2] + a_N4[:, 2:])[:, None], (b_M4[:, :2] + b_M4[:, 2:])[None])
    return np.asarray(np.clip(high - low, 0, None).prod(-1))


def overlaps(a_N4: NDArray[np.float64], b_M4: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, M) intersection over union of x, y, width, height boxes."""
    common = common_area(a_N4, b_M4)
    either = a_N4[:, 2:].prod(-1)[:, None] + b_M4[:, 2:].prod(-1)[None] - common
    return np.asarray(common / np.maximum(either, 1e-9))


def _stacked(boxes: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.array(boxes, np.float64).reshape(-1, 4)
