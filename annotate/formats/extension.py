"""Provenance of keypoints and the completed records that writers of annotation formats take.

Legend of shape suffixes: N records; K keypoints of the output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poseunion.models.skeleton import Skeleton

# Written precision: a hundredth of a pixel and of a per mille is far below a model's errors.
XY_DIGITS = 2
CONFIDENCE_DIGITS = 4


class Origin(IntEnum):
    """Where a keypoint of an extended file comes from; `keypoint_source` holds the lower-case name."""

    NONE = 0
    HUMAN = 1
    DERIVED = 2
    PROPOSED = 3


ORIGIN_NAMES = tuple(origin.name.lower() for origin in sorted(Origin))


class Reason(IntEnum):
    """Why a proposal was not accepted; an extended file holds the lower-case name."""

    NONE = 0
    OUTSIDE = 1  # it lies outside the picture
    CONFIDENCE = 2  # below the threshold
    GAP = 3  # the guarantee does not cover what annotators left out
    UNLABELLED = 4  # an annotator would probably have left it out: a face seen from behind
    SIDES = 5  # its left and right contradict the person's other pairs


REASON_NAMES = tuple(reason.name.lower() for reason in sorted(Reason))


class Rows(NamedTuple):
    """Facts of a completion that determine how its records are written, an entry each; most records gain nothing.

    Attributes:
        source: `keypoint_source`.
        asked: whether the model proposed anything.
        new: record -> keypoints that were derived or accepted.
        derived: whether one was derived.
        standing: how many keypoints have a point.
    """

    source: list[list[str]]
    asked: list[bool]
    new: dict[int, list[int]]
    derived: list[bool]
    standing: list[int]


@dataclass(frozen=True)
class Completion:
    """Completed records `start … start + N` of a file, in its order.

    Attributes:
        origin: (N, K) int8 `Origin` of the point that stands.
        xy: (N, K, 2) float64 image pixels, 0-based: the derived point, or the proposal whether accepted or not (human
            points are copied from the file itself, so that not a digit changes).
        visibility: (N, K) int8 to be written: of derived points the lower of their parents', of accepted proposals 1
            where the joint is probably hidden, else 2.
        confidence: (N, K) float64 probability that the proposal is correct (see `PoseBatch.score`); NaN without one.
        sd_px, disagreement: (N, K) float64 standard deviation of the proposal, image pixels an axis, and the distance
            between picture and prior in OKS-.5 radii; NaN where the labelled joints were not used, None if nowhere.
        in_picture: (N, K) float64 probability that the keypoint is in the picture at all; ditto.
        model: (N,) name of the predicting model, where a route chose among several; None: the one that the block names.
        reason: (N, K) int8 `Reason` why a proposal was not accepted; None: not known.
        labelled: (N, K) float64 probability that an annotator would label it, NaN where that was not fitted; None if
            nowhere.
        gap: (N, K) what annotators left out and nothing was proposed for; None: not known.
    """

    start: int
    origin: NDArray[np.int8]
    xy: NDArray[np.float64]
    visibility: NDArray[np.int8]
    confidence: NDArray[np.float64]
    sd_px: NDArray[np.float64] | None = None
    disagreement: NDArray[np.float64] | None = None
    in_picture: NDArray[np.float64] | None = None
    model: tuple[str, ...] | None = None
    reason: NDArray[np.int8] | None = None
    labelled: NDArray[np.float64] | None = None
    gap: NDArray[np.bool_] | None = None

    def new(self, row: int) -> Sequence[int]:
        """Keypoints of a record that were derived or accepted."""
        return self.rows.new.get(row, ())

    @cached_property
    def rows(self) -> Rows:
        """Facts that determine how the records are written; computed for all at once.

        Raises:
            ValueError: a number to be written is not finite, which JSON cannot hold.
        """
        asked = ~np.isnan(self.confidence)
        new = np.isin(self.origin, (Origin.DERIVED, Origin.PROPOSED))
        given = [a for a in (self.sd_px, self.disagreement, self.in_picture, self.labelled) if a is not None]
        if np.isinf([self.confidence, *given]).any() or not np.isfinite(self.xy[new | asked]).all():
            raise ValueError(f"a proposal for the records {self.start} to {self.start + len(new) - 1} is not finite")
        new_of: dict[int, list[int]] = {}
        for row, keypoint in np.argwhere(new).tolist():
            new_of.setdefault(row, []).append(keypoint)
        derived, standing = (self.origin == Origin.DERIVED).any(1), (self.origin != Origin.NONE).sum(1)
        source = np.array(ORIGIN_NAMES, object)[self.origin]
        any_asked = np.asarray(asked.any(1))
        return Rows(source.tolist(), any_asked.tolist(), new_of, derived.tolist(), standing.tolist())


@dataclass(frozen=True)
class Extension:
    """All a writer needs besides the annotations.

    Attributes:
        skeleton: of the output: the model's keypoints, then what only the dataset has.
        block: the top-level `poseunion` block.
        size_of: picture index -> (width, height) of the stored pixels, None where it cannot be read.
        rows: gives the completion of records [start, stop).
    """

    skeleton: Skeleton
    block: dict[str, Any]
    size_of: Callable[[int], tuple[int, int] | None]
    rows: Callable[[int, int], Completion]
