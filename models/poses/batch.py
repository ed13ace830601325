"""Batch of predicted poses: keypoints, confidences and boxes of N people, and optional outputs of a predictor.

    >>> import numpy as np
    >>> from poseunion.models import PoseBatch, load_skeleton
    >>> skeleton = load_skeleton("mpii16")
    >>> people = PoseBatch(skeleton, np.ones((2, 16, 2)), np.full((2, 16), 0.9), np.array([[0, 0, 50, 90]] * 2))
    >>> people
    PoseBatch(2 people, mpii16: 16 keypoints, mean confidence 0.90)
    >>> people[0]["head_top"]
    Keypoint(x=1.0, y=1.0, confidence=0.9)

Shapes: N people, K keypoints.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from poseunion.models.errors import BadArgumentError, SkeletonError
from poseunion.models.poses.person_score import person_score
from poseunion.models.skeleton import Skeleton, load_skeleton

if TYPE_CHECKING:
    from PIL.Image import Image

Rows = slice | Sequence[int] | NDArray[np.integer] | NDArray[np.bool_]

# From it on keypoints are drawn and count as visible: what the demo and `poseunion predict` start with.
MINIMUM_CONFIDENCE = 0.3

# Optional outputs of a predictor, (N, K) each.
_OPTIONAL = ("raw_score", "sd_px", "disagreement", "in_picture")


class Keypoint(NamedTuple):
    """Image pixels to a hundredth, and the probability of being right; of an uncalibrated model, its score."""

    x: float
    y: float
    confidence: float


@dataclass(frozen=True)
class Pose:
    """Predicted keypoints of one person: `pose["nose"].x`, `dict(pose)`.

    Attributes: as `PoseBatch`, without the axis of people.
    """

    skeleton: Skeleton
    xy: NDArray[np.float32]
    score: NDArray[np.float32]
    box_xywh: NDArray[np.float32]
    model: str | None = None

    def __repr__(self) -> str:
        x, y, w, h = (f"{v:.0f}" for v in self.box_xywh)
        return (
            f"Pose({self.skeleton.name}: {len(self.skeleton)} keypoints, mean confidence {_mean(self.score)}, "
            f"box {w}x{h} at {x}, {y})"
        )

    def __getitem__(self, keypoint: str) -> Keypoint:
        k = self.skeleton.index(keypoint)
        x, y = self.xy[k].round(2).astype(float).round(2).tolist()
        return Keypoint(x, y, round(float(self.score[k]), 4))

    def keys(self) -> tuple[str, ...]:
        """Names of the keypoints, in the skeleton's order."""
        return self.skeleton.keypoints


@dataclass(frozen=True, repr=False)
class PoseBatch:
    """Predicted keypoints of N people: `people[0]` is one, `people[people.box_xywh[:, 3] > 100]` are some.

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
        in_picture: (N, K) float32 probability that the keypoint is in the picture at all, where the model's calibration
            has it; `score / in_picture` is the probability that the place is right if it is.
        model: (N,) name of the model that predicted each person, where it is one of several.
        image: (H, W, 3) uint8 RGB the picture, where a predictor was called on one: for `plot`.
    """

    skeleton: Skeleton
    xy: NDArray[np.float32]
    score: NDArray[np.float32]
    box_xywh: NDArray[np.float32]
    raw_score: NDArray[np.float32] | None = None
    sd_px: NDArray[np.float32] | None = None
    disagreement: NDArray[np.float32] | None = None
    in_picture: NDArray[np.float32] | None = None
    model: tuple[str, ...] | None = None
    image: NDArray[np.uint8] | None = None

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

    def __repr__(self) -> str:
        people = "1 person" if len(self) == 1 else f"{len(self)} people"
        mean = f", mean confidence {_mean(self.score)}" if len(self) else ""
        return f"PoseBatch({people}, {self.skeleton.name}: {len(self.skeleton)} keypoints{mean})"

    @overload
    def __getitem__(self, index: int) -> Pose: ...

    @overload
    def __getitem__(self, index: Rows) -> PoseBatch: ...

    def __getitem__(self, index: int | Rows) -> Pose | PoseBatch:
        if not isinstance(index, (int, np.integer)):
            return self.rows(index if isinstance(index, slice) else np.asarray(index))
        if not -len(self) <= index < len(self):
            raise IndexError(f"person {index} of {len(self)}")
        model = None if self.model is None else self.model[index]
        return Pose(self.skeleton, self.xy[index], self.score[index], self.box_xywh[index], model)

    def __iter__(self) -> Iterator[Pose]:
        return (self[n] for n in range(len(self)))

    def rows(self, index: slice | NDArray[np.integer] | NDArray[np.bool_]) -> PoseBatch:
        """Selected people, in the order of `index`."""
        optional: dict[str, Any] = {
            name: None if (v := getattr(self, name)) is None else v[index] for name in _OPTIONAL
        }
        model = None if self.model is None else tuple(np.array(self.model, object)[index])
        people = self.xy[index], self.score[index], self.box_xywh[index]
        return PoseBatch(self.skeleton, *people, **optional, model=model, image=self.image)

    @property
    def person_score(self) -> NDArray[np.float64]:
        """(N,) score of each person: mean confidence over the keypoints in the picture, see `person_score`."""
        return person_score(self.score, self.in_picture)

    def keypoint(self, name: str) -> NDArray[np.float32]:
        """(N, 2) coordinates of one keypoint, by name."""
        return self.xy[:, self.skeleton.index(name)]

    def plot(self, minimum_confidence: float = MINIMUM_CONFIDENCE) -> Image:
        """Picture with the keypoints drawn on it, as a PIL image.

        Raises:
            BadArgumentError: the batch has no `image`: it does not come from a call on one picture.
        """
        from poseunion.models.poses.conversions import plot

        if self.image is None:
            raise BadArgumentError("These poses have no picture: call a predictor on one, or use draw_people.")
        return plot(self.image, self.skeleton, self.xy, self.score >= minimum_confidence)

    def _repr_png_(self) -> bytes | None:
        """Picture that a notebook shows, at most 1024 px wide or high."""
        from poseunion.models.poses.conversions import thumbnail

        return None if self.image is None else thumbnail(self.plot())

    def to_coco(self, image_id: int | str = 0, skeleton: Skeleton | str | None = None) -> list[dict[str, Any]]:
        """Records of a COCO results file: x, y, confidence of each keypoint, and the person's `score`.

        Args:
            skeleton: whose keypoints, in whose order (`"coco17"`); default: the batch's own.

        Raises:
            SkeletonError: the batch lacks a keypoint of `skeleton`.
        """
        from poseunion.models.poses.conversions import coco_results

        target = load_skeleton(skeleton) if isinstance(skeleton, str) else skeleton or self.skeleton
        return coco_results(self.skeleton, self.xy, self.score, self.in_picture, self.box_xywh, image_id, target)

    def to_dataframe(self) -> Any:
        """`pandas.DataFrame` with a row a keypoint: person, keypoint, x, y, confidence, and what else is known.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from poseunion.models.poses.conversions import dataframe

        values = {"x": self.xy[..., 0], "y": self.xy[..., 1], "confidence": self.score}
        return dataframe(self.skeleton, {**values, **{n: getattr(self, n) for n in _OPTIONAL}}, self.model)

    def to_transformers(self, minimum_confidence: float | None = None) -> list[dict[str, Any]]:
        """List of dicts as transformers' VitPose gives it for one picture: keypoints, scores, labels, bbox.

        Torch tensors: `keypoints` (K, 2) image pixels, `scores` (K,), `labels` (K,) indices in the skeleton, `bbox`
        (4,) x0, y0, x1, y1. `post_process_pose_estimation` returns a list of these, one a picture.

        Args:
            minimum_confidence: leave out keypoints that do not exceed it, as its `threshold`; None: keep all.

        Raises:
            MissingExtraError: torch is not installed.
        """
        from poseunion.models.poses.conversions import transformers_results

        return transformers_results(self.xy, self.score, self.box_xywh, minimum_confidence)

    def to_supervision(self, minimum_confidence: float = MINIMUM_CONFIDENCE) -> Any:
        """`supervision.KeyPoints`, for its annotators and sinks: confidences, `visible`, boxes, covariances.

        `visible` are the keypoints from `minimum_confidence` on, `detection_confidence` is the person's score,
        `data["box_xywh"]` the boxes, and where labelled keypoints conditioned the prediction, `data["covariance"]`
        (N, K, 2, 2) in square image pixels, which supervision's ellipse annotators draw.

        Raises:
            MissingExtraError: supervision is not installed.
        """
        from poseunion.models.poses.conversions import supervision_keypoints

        visible = self.score >= minimum_confidence
        return supervision_keypoints(self.xy, self.score, self.person_score, visible, self.box_xywh, self.sd_px)

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
            of_all("raw_score"),
            of_all("sd_px"),
            of_all("disagreement"),
            of_all("in_picture"),
            tuple(itertools.chain(*models)) if len(models) == len(batches) else None,
        )


def _mean(score: NDArray[np.float32]) -> str:
    return f"{float(score.mean()):.2f}"
