"""Progress of a review: how many proposals of a file are decided, withdrawn and undecided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.added_fields import has_added_fields
from poseunion.annotate.formats.point_states import (
    BY_REVIEWER,
    DECIDED,
    MOVED,
    PROPOSED,
    REJECTED,
    TO_BE_MOVED,
    UNDECIDED,
    WITHDRAWN,
    states_at,
)
from poseunion.annotate.formats.review_entries import review_of
from poseunion.annotate.review.priority import Person, queue

NOT_SHOWN = "not for review"  # outside the picture, so that it never stands
STATES = (BY_REVIEWER, MOVED, REJECTED, TO_BE_MOVED, WITHDRAWN, UNDECIDED, NOT_SHOWN)


def review_progress(annotations: AnnotationSet, waiting: Sequence[Person] | None = None) -> Counter[str]:
    """State -> proposals; each proposal is in one of `STATES`.

    Args:
        waiting: of `queue`, where it is known already.

    Raises:
        BadFileError: a record's proposals or decisions are damaged.
    """
    people = queue(annotations) if waiting is None else waiting
    open_points = {(c.row, c.keypoint) for person in people for c in person.candidates}
    counts = Counter[str]()
    for row, record in enumerate(annotations.records):
        if not (isinstance(record, dict) and has_added_fields(record)):
            continue
        states = dict(states_at(annotations, row))
        reviewed = {entry["keypoint"] for entry in review_of(record)}
        for name in (proposal["name"] for proposal in record["proposals"]):
            if states[name] in DECIDED.values():
                counts[states[name]] += 1
            elif (row, name) not in open_points:
                counts[NOT_SHOWN] += 1
            else:
                counts[WITHDRAWN if name in reviewed else UNDECIDED] += 1
    return counts


def progress_sentence(counts: Counter[str]) -> str:
    """The counts as a sum.

    >>> progress_sentence(Counter({"undecided": 12, "accepted by a reviewer": 3}))
    '15 proposed: 3 accepted by a reviewer, 12 undecided'
    """
    parts = [f"{counts[state]} {state}" for state in STATES if counts[state]]
    return f"{counts.total()} {PROPOSED}" + (f": {', '.join(parts)}" if parts else "")
