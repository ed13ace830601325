"""Order and chunks of the people to be predicted.

People are ordered by the first mention of their picture, so that each picture is decoded once, and cut into chunks of
`CHUNK` by that order alone: batches do not depend on where a run stopped, nor on the executor (see `executor`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats.types import NO_HUMAN_KEYPOINT, UNUSABLE, AnnotationSet

CHUNK = 64
BEYOND_LIMIT = "beyond --limit"


@dataclass(frozen=True)
class Plan:
    """Which records are predicted, in which order.

    Attributes:
        order: record indices, people of one picture together.
        passed: reason -> how many people are not predicted: records, and people of the raw file without a record.
    """

    order: NDArray[np.int64]
    passed: dict[str, int]

    @property
    def unusable(self) -> int:
        """Number of people with a fault in the file, before prediction."""
        return sum(count for reason, count in self.passed.items() if reason in UNUSABLE)

    @property
    def people(self) -> int:
        """People of the raw file, of all categories and classes."""
        return len(self.order) + sum(self.passed.values())

    def reasons(self) -> str:
        """Why people are left out, in one line."""
        return "; ".join(f"{count}: {reason}" for reason, count in sorted(self.passed.items()))

    def file_names(self, annotations: AnnotationSet) -> Iterator[str]:
        """Pictures of the people, in the order of prediction."""
        return (annotations.images[int(annotations.image_index[i])].file_name for i in self.order)

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-len(self.order) // CHUNK)

    def chunk(self, index: int) -> NDArray[np.int64]:
        """Record indices of one chunk."""
        return self.order[index * CHUNK : (index + 1) * CHUNK]


def plan(annotations: AnnotationSet, *, limit: int | None = None, unlabelled: bool = False) -> Plan:
    """Choose and order the people to be predicted.

    Args:
        limit: only the first so many, in the file's order.
        unlabelled: also people without any human keypoint.
    """
    passed: Counter[str] = Counter(annotations.unread)
    chosen: list[int] = []
    for index in range(len(annotations)):
        reason = annotations.skip.get(index)
        if reason == NO_HUMAN_KEYPOINT and unlabelled:
            reason = None
        if reason is None and limit is not None and len(chosen) >= limit:
            reason = BEYOND_LIMIT
        if reason is None:
            chosen.append(index)
        else:
            passed[reason] += 1
    first: dict[int, int] = {}
    for index in chosen:
        first.setdefault(int(annotations.image_index[index]), len(first))
    chosen.sort(key=lambda i: first[int(annotations.image_index[i])])  # stable: file order within a picture
    return Plan(np.array(chosen, np.int64), dict(passed))
