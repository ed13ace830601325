"""Slice of a review: people with the highest expected correction gain, and a random sample of accepted points."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.review.priority import AlternativePrediction, Candidate, Person, audit_sample, queue
from poseunion.models.errors import BadArgumentError


@dataclass(frozen=True)
class Slice:
    """People to review, worst first.

    Attributes:
        people: the first `top` of the queue, then the others of the audit sample.
        audited: (row, keypoint) of the audit sample.
        left: people with open proposals that are not in the slice.
        queue: all people that it was chosen from.
    """

    people: tuple[Person, ...]
    audited: frozenset[tuple[int, str]]
    left: int
    queue: Sequence[Person]

    @property
    def candidates(self) -> Sequence[Candidate]:
        """All proposals in it."""
        return [c for person in self.people for c in person.candidates]


def choose(
    annotations: AnnotationSet,
    *,
    top: int,
    audit: int,
    decided: bool = False,
    alternatives: Sequence[AlternativePrediction] = (),
    drawn: Sequence[tuple[int, str]] = (),
) -> Slice:
    """The slice of a file.

    Args:
        top: people.
        audit: accepted proposals; the same ones for the same file of annotations, whatever else is requested.
        decided: also proposals with a decision.
        alternatives: other extensions of the file, see `priority.alternative_of`.
        drawn: (row, keypoint) of an audit's sample: it takes the place of the `audit` accepted proposals.

    Raises:
        BadArgumentError: a number is below its least, or there is nothing to review.
    """
    if top < 1:
        raise BadArgumentError(f"--top {top} leaves no person to review: give at least 1.")
    if audit < 0:
        raise BadArgumentError(f"--audit {audit} is no number of proposals: give 0 or more.")
    people = queue(annotations, decided=decided, alternatives=alternatives)
    if not people:
        raise BadArgumentError(
            f"{annotations.source.path} has no proposal that is still to be decided"
            + ("." if decided else ": look at all of them again with --again.")
        )
    name = "\n".join(f"{image.id} {image.file_name}" for image in annotations.images)
    seed = int(hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:8], 16)
    # Drawn from all, then without what was decided: the sample stays one sample over several sittings.
    sample = set(drawn) or audit_sample(people if decided else queue(annotations, decided=True), audit, seed)
    audited = frozenset(sample & {(c.row, c.keypoint) for person in people for c in person.candidates})
    rows = {row for row, _ in audited}
    chosen = [*people[:top], *(person for person in people[top:] if person.row in rows)]
    return Slice(tuple(chosen), audited, len(people) - len(chosen), people)
