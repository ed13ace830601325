"""Rows of an evaluation table for an ensemble: every member, the joint of them, and an oracle of their predictions.

Shapes: N people, M members, K keypoints of the data set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from poseunion.annotate.formats import AnnotationSet
from poseunion.models.inference.predictor import Predictor
from poseunion.models.poses.batch import PoseBatch
from poseunion.training.densities.joint import JointTeacher
from poseunion.training.evaluation.evaluate import Evaluation, Task, measure, scores_of
from poseunion.training.evaluation.predictions import Predictions

ORACLE = "oracle: nearest member by the labels, no model"

# Key of a picture with its boxes, number of the member -> its predictions.
Recorded = dict[tuple[str, int], list[PoseBatch]]


class RecordingTeacher:
    """A joint teacher that records its members' predictions, so that their rows cost no network call.

    Args:
        joint: the teacher.
    """

    def __init__(self, joint: JointTeacher) -> None:
        self.joint, self.recorded = joint, Recorded()
        self.name, self.skeleton, self.padding = joint.name, joint.skeleton, joint.padding

    def __call__(self, image: NDArray[np.uint8], boxes_xywh: ArrayLike, /) -> PoseBatch:
        """As the joint teacher."""
        key = _key(image, boxes_xywh)
        parts: dict[int, list[PoseBatch]] = {}
        poses = self.joint(image, boxes_xywh, lambda member, batch: parts.setdefault(member, []).append(batch))
        self.recorded |= {(key, member): batches for member, batches in parts.items()}
        return poses


class Member:
    """A member of a joint teacher whose network calls are recorded and reused."""

    def __init__(self, network: Predictor, number: int, recorded: Recorded) -> None:
        self.network, self.number, self.recorded = network, number, recorded
        self.name, self.skeleton, self.padding = network.name, network.skeleton, network.padding

    def __call__(self, image: NDArray[np.uint8], boxes_xywh: ArrayLike, /) -> PoseBatch:
        """As the network."""
        batches = self.recorded.pop((_key(image, boxes_xywh), self.number), None)
        return self.network(image, boxes_xywh) if batches is None else PoseBatch.concatenate(batches)


def measure_joint(joint: JointTeacher, task: Task) -> list[Evaluation]:
    """The members of a joint teacher, the joint, and, on ground-truth boxes, the oracle; each is read once."""
    recording = RecordingTeacher(joint)
    whole = measure(recording, task)
    members = [measure(Member(m, i, recording.recorded), task) for i, m in enumerate(joint.members)]
    if task.boxes is not None:
        return [*members, whole]
    best = oracle(task.annotations, [one.predictions for one in members])
    return [*members, whole, Evaluation(scores_of(task, ORACLE, best), best)]


def oracle(annotations: AnnotationSet, members: Sequence[Predictions]) -> Predictions:
    """Of each labelled keypoint the member's prediction nearest to the label: an upper bound of choosing.

    A keypoint without a label has the prediction of the first member that has it.
    """
    rows = members[0].rows
    for one in members[1:]:
        rows = rows[np.isin(rows, one.rows)]
    places = [np.searchsorted(one.rows, rows, sorter=np.argsort(one.rows)) for one in members]
    places = [np.argsort(one.rows)[place] for one, place in zip(members, places, strict=True)]
    xy_MNK2 = np.stack([one.xy[place] for one, place in zip(members, places, strict=True)])
    score_MNK = np.stack([one.score[place] for one, place in zip(members, places, strict=True)])
    known_MK = np.stack([one.known for one in members])
    labelled = annotations.visibility[rows] > 0
    distance = np.linalg.norm(xy_MNK2 - annotations.xy[rows], axis=-1)
    distance = np.where(labelled & np.isfinite(distance), distance, 0.0)
    best = np.where(known_MK[:, None], distance, np.inf).argmin(0)[None]
    return Predictions(
        rows,
        np.take_along_axis(xy_MNK2, best[..., None], 0)[0],
        np.take_along_axis(score_MNK, best, 0)[0],
        np.asarray(known_MK.any(0)),
        members[0].skipped,
    )


def _key(image: NDArray[np.uint8], boxes_xywh: ArrayLike) -> str:
    boxes = np.asarray(boxes_xywh, np.float64)
    return hashlib.sha1(np.ascontiguousarray(image).tobytes() + boxes.tobytes(), usedforsecurity=False).hexdigest()
