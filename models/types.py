"""The values that cross borders: a pose batch from a predictor, a person to be predicted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.models.errors import MissingExtraError, SkeletonError
from poseunion.models.skeleton import Skeleton


@dataclass(frozen=True)
class PoseBatch:
    """Predicted keypoints of N people.

    Attributes:
        skeleton: the K keypoints' names and order.
        xy: (N, K, 2) float32 image pixels; pixel centres are integers.
        score: (N, K) float32 in [0, 1]: of a calibrated model the probability that the keypoint is in the picture and
            within its OKS-.5 radius (see `calibration`), else what the network says of itself.
        box_xywh: (N, 4) float32 the boxes that were looked at, image pixels.
        raw_score: (N, K) float32 in [0, 1] what the network says of itself, where `score` is something else.
    """

    skeleton: Skeleton
    xy: NDArray[np.float32]
    score: NDArray[np.float32]
    box_xywh: NDArray[np.float32]
    raw_score: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        n, k = self.xy.shape[0], len(self.skeleton)
        if self.xy.shape != (n, k, 2) or self.score.shape != (n, k) or self.box_xywh.shape != (n, 4):
            raise SkeletonError(
                f"A PoseBatch of {self.skeleton.name} needs xy (N,{k},2), score (N,{k}) and box_xywh (N,4); "
                f"got {self.xy.shape}, {self.score.shape}, {self.box_xywh.shape}."
            )
        if self.raw_score is not None and self.raw_score.shape != (n, k):
            raise SkeletonError(f"A PoseBatch needs raw_score (N,{k}), or none; got {self.raw_score.shape}.")

    def __len__(self) -> int:
        return int(self.xy.shape[0])

    def keypoint(self, name: str) -> NDArray[np.float32]:
        """(N, 2) coordinates of one named keypoint."""
        return self.xy[:, self.skeleton.index(name)]

    def to_supervision(self) -> Any:
        """These people as `supervision.KeyPoints`, for its annotators and sinks; boxes go into `data["box_xywh"]`.

        Raises:
            MissingExtraError: supervision is not installed.
        """
        try:
            from supervision import KeyPoints
        except ModuleNotFoundError as error:
            raise MissingExtraError("supervision", "interop") from error
        return KeyPoints(xy=self.xy, keypoint_confidence=self.score, data={"box_xywh": self.box_xywh})

    @classmethod
    def from_supervision(cls, keypoints: Any, skeleton: Skeleton) -> PoseBatch:
        """The inverse of `to_supervision`; missing confidences count as 1, missing boxes become those of the points.

        Raises:
            SkeletonError: another number of keypoints than `skeleton` has.
        """
        if not len(keypoints.xy):
            return cls.empty(skeleton)
        xy = np.asarray(keypoints.xy, np.float32)
        score = keypoints.keypoint_confidence
        box = keypoints.data.get("box_xywh")
        return cls(
            skeleton,
            xy,
            np.ones(xy.shape[:2], np.float32) if score is None else np.asarray(score, np.float32),
            np.concatenate([xy.min(1), np.ptp(xy, 1)], 1) if box is None else np.asarray(box, np.float32),
        )

    @classmethod
    def empty(cls, skeleton: Skeleton) -> PoseBatch:
        """Nobody."""
        k = len(skeleton)
        return cls(
            skeleton, np.zeros((0, k, 2), np.float32), np.zeros((0, k), np.float32), np.zeros((0, 4), np.float32)
        )

    @classmethod
    def concatenate(cls, batches: list[PoseBatch]) -> PoseBatch:
        """Several batches of one skeleton as one."""
        if not batches:
            raise SkeletonError("Nothing to concatenate: give at least one PoseBatch.")
        raw = [b.raw_score for b in batches if b.raw_score is not None]
        return cls(
            batches[0].skeleton,
            np.concatenate([b.xy for b in batches]),
            np.concatenate([b.score for b in batches]),
            np.concatenate([b.box_xywh for b in batches]),
            np.concatenate(raw) if len(raw) == len(batches) else None,
        )
