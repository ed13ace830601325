"""Batch of predicted poses: keypoints, confidences and boxes of N people, and optional outputs of a predictor."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.models.errors import MissingExtraError, SkeletonError
from poseunion.models.skeleton import Skeleton

# Optional outputs of a predictor, (N, K) each.
_OPTIONAL = ("raw_score", "sd_px", "disagreement")


@dataclass(frozen=True)
class PoseBatch:
    """Predicted keypoints of N people.

    Attributes:
        skeleton: the K keypoints' names and order.
        xy: (N, K, 2) float32 image pixels; pixel centres are integers.
        score: (N, K) float32 in [0, 1]: of a calibrated model the probability that the keypoint is in the picture and
            within its OKS-.5 radius (see `calibration`), else the raw score.
        box_xywh: (N, 4) float32 the boxes that were predicted, image pixels.
        raw_score: (N, K) float32 in [0, 1] the network's own score, where `score` differs from it.
        sd_px: (N, K) float32 standard deviation an axis, image pixels, where labelled keypoints conditioned it.
        disagreement: (N, K) float32 distance between predictions in OKS-.5 radii: of picture and prior, ditto; of a
            joint model's networks from their mean; of both the larger one.
        model: (N,) name of the model that predicted each person, where it is one of several.
    """

    skeleton: Skeleton
    xy: NDArray[np.float32]
    score: NDArray[np.float32]
    box_xywh: NDArray[np.float32]
    raw_score: NDArray[np.float32] | None = None
    sd_px: NDArray[np.float32] | None = None
    disagreement: NDArray[np.float32] | None = None
    model: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        n, k = self.xy.shape[0], len(self.skeleton)
        if self.xy.shape != (n, k, 2) or self.score.shape != (n, k) or self.box_xywh.shape != (n, 4):
            raise SkeletonError(
                f"A PoseBatch of {self.skeleton.name} needs xy (N,{k},2), score (N,{k}) and box_xywh (N,4); "
                f"got {self.xy.shape}, {self.score.shape}, {self.box_xywh.shape}."
            )
        for name in _OPTIONAL:
            value = getattr(self, name)
            if value is not None and value.shape != (n, k):
                raise SkeletonError(f"A PoseBatch needs {name} (N,{k}), or none; got {value.shape}.")
        if self.model is not None and len(self.model) != n:
            raise SkeletonError(f"A PoseBatch of {n} people names {len(self.model)} models: give one each, or none.")

    def __len__(self) -> int:
        return int(self.xy.shape[0])

    def rows(self, index: slice | NDArray[np.intp]) -> PoseBatch:
        """Selected people, in the order of `index`."""
        optional = {name: None if (v := getattr(self, name)) is None else v[index] for name in _OPTIONAL}
        model = None if self.model is None else tuple(np.array(self.model, object)[index])
        return PoseBatch(
            self.skeleton, self.xy[index], self.score[index], self.box_xywh[index], **optional, model=model
        )

    def keypoint(self, name: str) -> NDArray[np.float32]:
        """(N, 2) coordinates of one keypoint, by name."""
        return self.xy[:, self.skeleton.index(name)]

    def to_supervision(self) -> Any:
        """Conversion to `supervision.KeyPoints`, for its annotators and sinks; boxes go into `data["box_xywh"]`.

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
        """Conversion from `supervision.KeyPoints`; missing confidences count as 1, missing boxes are the points' own.

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
        """Batch of no people."""
        k = len(skeleton)
        return cls(
            skeleton, np.zeros((0, k, 2), np.float32), np.zeros((0, k), np.float32), np.zeros((0, 4), np.float32)
        )

    @classmethod
    def concatenate(cls, batches: list[PoseBatch]) -> PoseBatch:
        """Concatenate batches of one skeleton."""
        if not batches:
            raise SkeletonError("Nothing to concatenate: give at least one PoseBatch.")

        def of_all(name: str) -> NDArray[np.float32] | None:
            values = [value for b in batches if (value := getattr(b, name)) is not None]
            return np.concatenate(values) if len(values) == len(batches) else None

        models = [b.model for b in batches if b.model is not None]
        return cls(
            batches[0].skeleton,
            np.concatenate([b.xy for b in batches]),
            np.concatenate([b.score for b in batches]),
            np.concatenate([b.box_xywh for b in batches]),
            **{name: of_all(name) for name in _OPTIONAL},
            model=tuple(itertools.chain(*models)) if len(models) == len(batches) else None,
        )
