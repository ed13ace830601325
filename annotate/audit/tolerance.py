"""Tolerance of a gross error: how far a reviewer may have moved a point, in OKS, head or torso sizes, or pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.review_entries import HUMAN
from poseunion.annotate.review.priority import area_of
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.metrics import head_sizes, oks_radius_px

# Unit -> how a statement names a distance, and what of a person gives the unit's length.
UNITS = {
    "oks": ("the OKS-{} radius", "area or box"),
    "head": ("{} head sizes", "head_box, and none with labelled head_top and upper_neck"),
    "torso": ("{} torso diagonals", "labelled left_shoulder and right_hip"),
    "px": ("{} px", ""),
}
# Both ends of a length, by the labels.
ENDS = {"head": ("head_top", "upper_neck"), "torso": ("left_shoulder", "right_hip")}


@dataclass(frozen=True)
class Tolerance:
    """Distance beyond which a moved point is a gross error.

    Attributes:
        unit: oks (of the person's area), head (PCKh's head size), torso (PCK's torso diagonal) or px.
        value: the OKS at that distance, or the number of units.
    """

    unit: str = "oks"
    value: float = 0.5

    @classmethod
    def parse(cls, text: str) -> Tolerance:
        """From `UNIT:NUMBER`; raises BadArgumentError."""
        unit, _, number = text.partition(":")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if unit not in UNITS or not 0 < value < (1 if unit == "oks" else math.inf):
            raise BadArgumentError(
                f"--tolerance {text} is no distance: give oks:0.5 (an OKS between 0 and 1), head:0.5 or torso:0.2 "
                "(shares of a person's size), or px:10."
            )
        return cls(unit, value)

    def __str__(self) -> str:
        return f"{self.unit}:{self.value:g}"

    @property
    def distance(self) -> str:
        """The distance in words, after "beyond"."""
        number = f"{self.value:g}".removeprefix("0" if self.unit == "oks" else "")
        return UNITS[self.unit][0].format(number)

    def radius_px(self, annotations: AnnotationSet, row: int) -> NDArray[np.float64]:
        """(K,) distances of one person, px; NaN where the person has no such size."""
        skeleton = annotations.skeleton
        if self.unit == "oks":
            return oks_radius_px(np.array([area_of(annotations, row)]), skeleton.sigma_array, self.value)[0]
        size = 1.0 if self.unit == "px" else _size_px(annotations.records[row], skeleton.keypoints, self.unit)
        return np.full(len(skeleton), self.value * size)

    def without_size(self, annotations: AnnotationSet, rows: NDArray[np.int64]) -> int:
        """How many of `rows`, a record each, are people without the size; raises BadFileError where all of them are."""
        people, count = np.unique(rows, return_counts=True)
        lacking = [not np.isfinite(self.radius_px(annotations, row)).any() for row in people.tolist()]
        if all(lacking):
            raise BadFileError(
                f"--tolerance {self} cannot be measured in {annotations.source.path}: no person has "
                f"{UNITS[self.unit][1]}; choose another unit, such as px:10."
            )
        return int(count[lacking].sum())


def _size_px(record: dict[str, Any], names: tuple[str, ...], unit: str) -> float:
    """Head size or torso diagonal by what humans labelled; a record's own head box comes first. NaN: neither."""
    box = record.get("head_box") if unit == "head" else None
    if isinstance(box, list) and len(box) == 4 and all(isinstance(v, int | float) for v in box):
        return _positive(float(head_sizes(np.array([box], np.float64))[0]))
    ends = []
    for name in ENDS[unit]:
        k = names.index(name) if name in names else -1
        if k < 0 or record["keypoint_source"][k] != HUMAN or not record["keypoints"][3 * k + 2] > 0:
            return math.nan
        ends.append(record["keypoints"][3 * k : 3 * k + 2])
    return _positive(math.dist(*ends))


def _positive(length: float) -> float:
    return length if 0 < length < math.inf else math.nan


def check_tolerance(text: str) -> None:
    """Check the `--tolerance` of `annotate extend`; raises BadArgumentError for any but the calibrations' own.

    A calibration counts the errors of its people at one distance and keeps no distances: its confidences and thresholds
    hold at that one alone.
    """
    if Tolerance.parse(text) != Tolerance():
        raise BadArgumentError(
            f"--tolerance {text} has no calibration: models are calibrated at {Tolerance()} alone. Leave it out, then "
            f"certify the file by annotate audit --tolerance {text}, which needs none."
        )
