"""Counts of a released file's points and decisions, by keypoint."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.added_fields import has_added_fields
from poseunion.annotate.formats.point_states import (
    BY_REVIEWER,
    BY_THRESHOLD,
    DERIVED,
    LABELLED,
    MOVED,
    NO_POINT,
    NOT_ACCEPTED,
    REJECTED,
    TO_BE_MOVED,
    states_at,
)
from poseunion.annotate.formats.review_entries import (
    ACCEPT,
    FIX,
    HIDE,
    HUMAN,
    NONE,
    Entry,
    last_entries,
)


@dataclass
class KeypointCount:
    """One keypoint over all extended people.

    Attributes:
        human: points a human of the original placed, those corrected by a reviewer included.
        derived, proposed: points of these sources without a decision.
        accepted, hidden, fixed: points that stand by a reviewer's decision.
        rejected: points that do not stand by a reviewer's decision, those that still need a fix included.
        none: no point, and no decision.
        reviewed: the model's proposals with a decision, `right` those that were accepted as they are.
        moved_px: median distance between a proposal and where a reviewer put it; None where none was moved.
    """

    human: int = 0
    derived: int = 0
    proposed: int = 0
    accepted: int = 0
    hidden: int = 0
    fixed: int = 0
    rejected: int = 0
    none: int = 0
    reviewed: int = 0
    right: int = 0
    moved_px: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the interval of `right / reviewed`."""
        return {**asdict(self), "right_95": wilson(self.right, self.reviewed)}


# Column -> its word in cards and plots; `none` has the proposals that were not accepted, too.
WORDS = {
    "human": LABELLED,
    "derived": DERIVED,
    "proposed": BY_THRESHOLD,
    "accepted": BY_REVIEWER,
    "hidden": f"{BY_REVIEWER}, hidden",
    "fixed": MOVED,
    "rejected": REJECTED,
    "none": NO_POINT,
}
# State -> column; hidden points that a reviewer accepted have a column of their own.
_COLUMN = {
    LABELLED: "human",
    DERIVED: "derived",
    BY_THRESHOLD: "proposed",
    BY_REVIEWER: "accepted",
    MOVED: "fixed",
    REJECTED: "rejected",
    TO_BE_MOVED: "rejected",
    NOT_ACCEPTED: "none",
    NO_POINT: "none",
}


def count(annotations: AnnotationSet) -> dict[str, KeypointCount]:
    """Keypoint -> counts; decisions must have been applied."""
    names = annotations.skeleton.keypoints
    counts = {name: KeypointCount() for name in names}
    moved: dict[str, list[float]] = {name: [] for name in names}
    for row, record in enumerate(annotations.records):
        if not (isinstance(record, dict) and has_added_fields(record)):
            continue
        decided = last_entries(record)
        proposals = {p["name"]: p for p in record["proposals"]}
        for name, state in states_at(annotations, row):
            entry = decided.get(name)
            hidden = state == BY_REVIEWER and entry is not None and entry["decision"] == HIDE
            counts[name].__dict__["hidden" if hidden else _COLUMN[state]] += 1
            if entry is not None and name in proposals and entry.get("source") not in (HUMAN, NONE):
                _judge(counts[name], moved[name], entry, proposals[name])
    for name, distances in moved.items():
        if distances:
            counts[name].moved_px = round(sorted(distances)[len(distances) // 2], 2)
    return counts


def _judge(counts: KeypointCount, moved: list[float], entry: Entry, proposal: dict[str, Any]) -> None:
    counts.reviewed += 1
    to = entry.get("to")
    if entry["decision"] == FIX and to is not None:
        moved.append(math.dist(to[:2], (proposal["x"], proposal["y"])))
    elif entry["decision"] in (ACCEPT, HIDE):
        counts.right += 1


def wilson(right: int, of: int) -> tuple[float, float] | None:
    """95 % interval of a share (Wilson's); None of nothing.

    >>> [round(v, 2) for v in wilson(9, 10)]
    [0.6, 0.98]
    """
    if of == 0:
        return None
    z, share = 1.96, right / of
    middle, half = share + z * z / (2 * of), z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return (round((middle - half) / (1 + z * z / of), 4), round((middle + half) / (1 + z * z / of), 4))
