"""Settings of `predict` that pictures and videos share."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from poseunion.annotate.extend.acceptance import thresholds_for
from poseunion.app import pose_records
from poseunion.app.predict.boxes import Boxes
from poseunion.app.predict.document import Document, document
from poseunion.app.predict.openpose import BODY_25, OpenPoseFiles, openpose_files
from poseunion.app.predict.people import BoxFinder
from poseunion.models.errors import BadArgumentError
from poseunion.models.inference.interface import PosePredictor
from poseunion.models.poses.batch import PoseBatch
from poseunion.models.skeleton import Skeleton, load_skeleton, project_indices

COCO, OPENPOSE = "coco", "openpose"
FORMATS = {COCO: None, OPENPOSE: BODY_25}  # format -> its skeleton, where `--skeleton` names none
UNION = "union"  # short name of union21 for `--skeleton`
KNOWN = "coco17"  # its keypoints are drawn white, others red


@dataclass(frozen=True)
class PredictSettings:
    """Models and how their answers are shown.

    Attributes:
        boxes: given ones; else `finder` finds them.
        skeleton: of overlays and files.
        threshold: confidence from which a keypoint is drawn and stands in `keypoints`.
        workers: pictures, or parts of videos, that are worked on at once.
        overlays: draw pictures and videos.
        every: of a video, read each so many-th frame.
        smooth: a video's keypoints along their tracks.
        format: of the files, one of `FORMATS`.
    """

    predictor: PosePredictor
    finder: BoxFinder | None
    skeleton: Skeleton
    threshold: float
    workers: int
    boxes: Boxes | None = None
    overlays: bool = True
    every: int = 1
    smooth: bool = True
    format: str = COCO

    @cached_property
    def known(self) -> Skeleton:
        """The dataset beside which keypoints are new."""
        return load_skeleton(KNOWN)

    def view(self, poses: PoseBatch) -> pose_records.DisplayedPoses:
        """People in the requested skeleton."""
        return pose_records.displayed(poses, self.skeleton, self.known)

    def output(self, folder: Path) -> AbstractContextManager[Document | OpenPoseFiles]:
        """Collector of people for one output; `folder` is where that will lie."""
        return document(self.header()) if self.format == COCO else openpose_files(folder)

    @property
    def absent(self) -> tuple[str, ...]:
        """Keypoints that are shown and that the model lacks."""
        return tuple(k for k in self.skeleton.keypoints if k not in self.predictor.skeleton.keypoints)

    def header(self) -> dict[str, Any]:
        """Head of the file, see `pose_records.header`."""
        model: dict[str, Any] = {"name": self.predictor.name, "sha256": self.predictor.sha256}
        if self.predictor.route:
            model["route"] = list(self.predictor.route)
        described = f"People found by poseunion, model {self.predictor.name}"
        head = pose_records.header(
            self.skeleton, self.threshold, described, {**model, "licence": self.predictor.metadata.licence}
        )
        head["poseunion"]["boxes"] = "given" if self.finder is None else self.finder.name
        return head


def skeleton_of(name: str | None, model: Skeleton, format: str = COCO) -> Skeleton:
    """The skeleton that `--skeleton` names; None: the format's, else the model's own.

    Raises:
        SkeletonError: there is none of that name. BadArgumentError: the model has no keypoint of it, or no such format.
    """
    if format not in FORMATS:
        raise BadArgumentError(f"--format {format} is not written: choose one of {', '.join(FORMATS)}.")
    name = name or FORMATS[format]
    if name is None:
        return model
    skeleton = load_skeleton("union21" if name == UNION else name)
    if (project_indices(model, skeleton) < 0).all():
        raise BadArgumentError(f"--skeleton {name} has no keypoint of the model: choose another one.")
    return skeleton


def threshold_of(given: float | None, predictor: PosePredictor) -> float:
    """The threshold that was given, else the model's own; raises BadArgumentError where it is none."""
    return float(thresholds_for(predictor.metadata, given)[0])
