"""States of an extended file's points, a word each: those of every table, plot, card and page."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping

from poseunion.annotate.formats.added_fields import has_added_fields
from poseunion.annotate.formats.review_entries import (
    ACCEPT,
    FIX,
    HIDE,
    HUMAN,
    NEEDS_FIX,
    REJECT,
    last_entries_at,
)
from poseunion.annotate.formats.types import AnnotationSet

# Every point of every person is in one of these.
LABELLED, DERIVED, NO_POINT = "human", "derived", "none"
BY_THRESHOLD, NOT_ACCEPTED = "accepted by threshold", "not accepted"
BY_REVIEWER, MOVED, REJECTED, TO_BE_MOVED = "accepted by a reviewer", "moved by a reviewer", "rejected", "needs a fix"
STATES = (LABELLED, DERIVED, BY_THRESHOLD, BY_REVIEWER, MOVED, REJECTED, TO_BE_MOVED, NOT_ACCEPTED, NO_POINT)
DECIDED = {ACCEPT: BY_REVIEWER, HIDE: BY_REVIEWER, FIX: MOVED, REJECT: REJECTED, NEEDS_FIX: TO_BE_MOVED}
# Of proposals: all of them; without a decision; with one that was withdrawn, so undecided again.
PROPOSED, UNDECIDED, WITHDRAWN = "proposed", "undecided", "withdrawn"


def states_at(annotations: AnnotationSet, row: int) -> Iterator[tuple[str, str]]:
    """(keypoint, state) of each point of an extended person; of a decision, as it is once it is applied.

    Raises:
        BadFileError: the record's review is damaged.
    """
    record = annotations.records[row]
    decided = last_entries_at(annotations, row)
    proposals = {proposal["name"]: proposal for proposal in record["proposals"]}
    for name, source in zip(annotations.skeleton.keypoints, record["keypoint_source"], strict=True):
        entry = decided.get(name)
        if entry is not None and entry.get("source") != HUMAN:
            yield name, DECIDED[entry["decision"]]
        elif name in proposals:
            yield name, BY_THRESHOLD if proposals[name]["accepted"] else NOT_ACCEPTED
        else:
            yield name, {HUMAN: LABELLED, DERIVED: DERIVED}.get(source, NO_POINT)


def count_states(annotations: AnnotationSet) -> dict[str, Counter[str]]:
    """Keypoint -> state -> extended people; the states of each keypoint add up to these people."""
    counts = {name: Counter[str]() for name in annotations.skeleton.keypoints}
    for row, record in enumerate(annotations.records):
        if isinstance(record, dict) and has_added_fields(record):
            for name, state in states_at(annotations, row):
                counts[name][state] += 1
    return counts


def states_table(counts: Mapping[str, Mapping[str, int]]) -> str:
    """Table of the states that are counted: a row a keypoint, the sum of each row and column at its end."""
    from poseunion.models.tables import table

    used = [state for state in STATES if any(state in row for row in counts.values())]
    numbers = {name: [row.get(state, 0) for state in used] for name, row in counts.items()}
    summed = [sum(column) for column in zip(*numbers.values(), strict=True)]
    heads = ["\n".join(textwrap.wrap(state, 10)) for state in used]
    return table(
        ("keypoint", *heads, "sum"),
        [(name, *(str(n) if n else "·" for n in row), str(sum(row))) for name, row in numbers.items()],
        ("sum", *map(str, summed), str(sum(summed))),
    )
