"""Certificate of an extended file: a bound of the gross errors among its added points, from an inspected sample.

A drawn point is a gross error if it was rejected, needs a fix, or was moved beyond the tolerance. Only the longest
inspected prefix of the drawn order counts: a point that was left out in between ends it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.audit import confidence_sequence as cs
from poseunion.annotate.audit.sample import Audit, Population, checked_order, population
from poseunion.annotate.audit.tolerance import Tolerance
from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.review_entries import last_entries_at, outcome
from poseunion.annotate.review.decisions import one_writer, read_extended, write_document
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.files import write_json

CONFIDENCE = 0.95
# A forecast reaches so many inspections ahead.
AHEAD = 20_000


@dataclass(frozen=True)
class Bound:
    """What is certified of some points.

    Attributes:
        points: how many there are.
        inspected, errors: those of the sample's prefix, and the gross errors among them.
        at_most, at_least: bounds of the share of gross errors, each at the certificate's confidence, rounded outwards.
        estimate: unbiased estimate of that share; None before an inspection.
        more: inspections until `at_most` reaches the target if errors continue at this rate; None: not in reach. Of one
            keypoint: those of this keypoint.
        more_at_best: the same if no further error is found.
    """

    points: int
    inspected: int
    errors: int
    at_most: float
    at_least: float
    estimate: float | None
    more: int | None
    more_at_best: int | None


@dataclass(frozen=True)
class Certificate:
    """Certificate of a file.

    Attributes:
        pooled: of all added points.
        keypoints: of each keypoint's, every one at its own confidence.
        inspected_in_all: points with a decision, in the sample or not; errors_in_all: gross errors among them.
        rest_at_most: bound of the share of gross errors among the points without a decision.
        tolerance: distance beyond which a moved point is a gross error.
        drawn_for: tolerance of the sample, by which its reviewers accepted.
        without_size: added points of people without the tolerance's size; every move of theirs is a gross error.
        drawn, waiting: points of the sample, and those that wait for a decision.
        answers: prefix of the sample: annotation, keypoint, whether it is wrong, with which probability it was drawn
            and the least one among what was left: all that the pooled bound is computed from.
    """

    confidence: float
    target: float
    pooled: Bound
    keypoints: dict[str, Bound]
    inspected_in_all: int
    errors_in_all: int
    rest_at_most: float
    drawn: int
    waiting: int
    seed: int
    population: str
    answers: tuple[tuple[Any, str, bool, float, float], ...]
    tolerance: Tolerance
    drawn_for: Tolerance
    without_size: int

    @property
    def statement(self) -> str:
        """The certificate in a sentence."""
        b = self.pooled
        if not b.inspected:
            why = "none of the sample is inspected"
            if self.waiting < self.drawn:
                why = "decisions count in its order, and the first is missing"
            return f"Nothing is certified of the {b.points:,} added points: {why}."
        return (
            f"Of the {b.points:,} added points at most {percent(b.at_most)} are gross errors (beyond "
            f"{self.tolerance.distance}), with {100 * self.confidence:g} % confidence, after {b.inspected} inspections "
            f"({b.errors} gross errors)."
        )

    @property
    def rest(self) -> str:
        """What holds of the points that were not inspected; empty as long as nothing is certified."""
        if not self.pooled.inspected:
            return ""
        left = self.pooled.points - self.inspected_in_all
        if not left:
            return "Every added point is inspected."
        return (
            f"Of the {left:,} of them without a reviewer's decision at most {percent(self.rest_at_most)} are, with the "
            "same confidence."
        )

    @property
    def notes(self) -> list[str]:
        """What the tolerance leaves open; empty for that of the sample, if every person has the size."""
        notes = []
        if self.tolerance != self.drawn_for:
            notes.append(
                f"The sample was drawn for a tolerance of {self.drawn_for}: a point that was accepted counts as within "
                f"{self.tolerance.distance}, too."
            )
        if self.without_size:
            notes.append(
                f"{self.without_size:,} added points are of people without the size that {self.tolerance} needs: of "
                "these every moved point is a gross error."
            )
        return notes

    @property
    def outlook(self) -> str:
        """How many inspections would reach the target."""
        b = self.pooled
        if b.at_most <= self.target:
            return f"The target of {percent(self.target)} is reached."
        if b.at_least > self.target:
            return (
                f"The target of {percent(self.target)} cannot be reached: at least {percent(b.at_least)} are gross "
                "errors. Raise the thresholds with annotate recalibrate, or correct more points."
            )
        target = f"the target of {percent(self.target)}"
        if not b.inspected:
            best = f"More than {AHEAD:,}" if b.more_at_best is None else f"{b.more_at_best:,}"
            return f"{best} inspections without a gross error would reach {target}."
        best_case = "" if b.more_at_best is None else f"; {b.more_at_best} without a further error would"
        if b.more is None:
            return f"At this rate of errors more inspections would not reach {target}{best_case}."
        return f"About {b.more} more inspections at this rate of errors would reach {target}{best_case}."

    @property
    def sentences(self) -> list[str]:
        """What a command or a panel prints: statement, rest, notes, outlook, and what waits for a decision."""
        waiting = f"{self.waiting} of {self.drawn} drawn points wait for a decision." if self.waiting else ""
        return [line for line in (self.statement, self.rest, *self.notes, self.outlook, waiting) if line]

    def summary(self) -> dict[str, Any]:
        """For the `poseunion` block: all but the answers, which the records' `review` has."""
        values = {k: v for k, v in asdict(self).items() if k != "answers"}
        values |= {"tolerance": str(self.tolerance), "drawn_for": str(self.drawn_for)}
        return {"statement": self.statement, "rest": self.rest, "notes": self.notes, **values}

    def to_json(self) -> dict[str, Any]:
        """Everything, the answers included."""
        return {**self.summary(), "outlook": self.outlook, "answers": [list(a) for a in self.answers]}


def percent(share: float) -> str:
    """A share rounded upwards to a tenth of a percent.

    >>> percent(0.03), percent(0.03001)
    ('3 %', '3.1 %')
    """
    return f"{math.ceil(round(1000 * share, 6)) / 10:g} %"


def gross_errors(annotations: AnnotationSet, points: Population, tolerance: Tolerance = Tolerance()) -> dict[int, bool]:
    """Index of each point with a decision -> whether it is a gross error.

    An accepted point has no distance: its reviewer took it as within the tolerance.

    Raises:
        BadFileError: a review is damaged.
    """
    rows = {row: last for row in set(points.rows.tolist()) if (last := last_entries_at(annotations, row))}
    names = annotations.skeleton.keypoints
    found = {}
    for i, row in enumerate(points.rows.tolist()):
        entry = rows.get(row, {}).get(points.keypoints[i])
        if entry is None:
            continue
        try:
            x, y, v = outcome(entry, annotations.records[row], names)
        except ValueError as error:
            raise BadFileError(f"{annotations.source.path}, annotations[{row}]: {error}.") from error
        moved_px = math.dist((x, y), points.xy[i])
        limit_px = float(tolerance.radius_px(annotations, row)[names.index(points.keypoints[i])])
        # Without the person's size there is no radius: every move counts.
        found[i] = v == 0 or (moved_px > 0 and not moved_px <= limit_px)
    return found


def certify(
    annotations: AnnotationSet,
    audit: Audit,
    target: float = 0.05,
    confidence: float = CONFIDENCE,
    tolerance: Tolerance | None = None,
) -> Certificate:
    """The certificate that a file's decisions give.

    Args:
        tolerance: of a gross error; None: the sample's.

    Raises:
        BadArgumentError: target or confidence is no share. BadFileError: the sample is not of this file, a decision is
            damaged, or no person has the size that the tolerance needs.
    """
    for option, value in (("--target", target), ("--confidence", confidence)):
        if not 0 < value < 1:
            raise BadArgumentError(f"{option} {value:g} is no share: give a number between 0 and 1.")
    points = population(annotations)
    order = checked_order(audit, points, annotations.source.path)
    drawn_for = Tolerance.parse(audit.tolerance)
    tolerance = tolerance or drawn_for
    without_size = tolerance.without_size(annotations, points.rows)
    wrong_of = gross_errors(annotations, points, tolerance)
    drawn = order[: len(audit.drawn)].tolist()
    inspected = next((t for t, i in enumerate(drawn) if i not in wrong_of), len(drawn))
    wrong = np.array([wrong_of[i] for i in drawn[:inspected]], bool)
    alpha = 1 - confidence
    keypoint_N = np.array(points.keypoints)
    bounds = {}
    for name in [k for k in annotations.skeleton.keypoints if k in set(points.keypoints)]:
        chosen = keypoint_N == name
        position = np.cumsum(chosen) - 1  # of a point among this keypoint's
        of_it = chosen[order]
        weight, own_order, own_wrong = points.weight[chosen], position[order[of_it]], wrong[of_it[:inspected]]
        own_draws = cs.draws_of(weight, own_order[: len(own_wrong)], own_wrong)
        bounds[name] = _bound(weight, own_order, own_draws, points.confidence[chosen], target, alpha)
    draws = cs.draws_of(points.weight, order[:inspected], wrong)
    pooled = _bound(points.weight, order, draws, points.confidence, target, alpha)
    most = cs.upper_bound(draws, alpha)
    errors_in_all, left = sum(wrong_of.values()), len(points) - len(wrong_of)
    return Certificate(
        confidence=confidence,
        target=target,
        pooled=pooled,
        keypoints=bounds,
        inspected_in_all=len(wrong_of),
        errors_in_all=errors_in_all,
        rest_at_most=min(1.0, max(0, most - errors_in_all) / left) if left else 0.0,
        drawn=len(drawn),
        waiting=sum(i not in wrong_of for i in drawn),
        seed=audit.seed,
        population=points.sha256,
        answers=tuple(
            (points.ids[i], points.keypoints[i], bool(w), float(p), float(least))
            for i, w, p, least in zip(drawn[:inspected], wrong, draws.probability, draws.least, strict=True)
        ),
        tolerance=tolerance,
        drawn_for=drawn_for,
        without_size=without_size,
    )


def _bound(
    weight: NDArray[np.float64],
    order: NDArray[np.int64],
    draws: cs.Draws,
    confidence: NDArray[np.float64],
    target: float,
    alpha: float,
) -> Bound:
    """Bounds of one population whose points stand in `order`, with answers for its prefix, the draws."""
    wrong, points = draws.wrong, len(weight)
    n = len(wrong)
    most, fewest, estimate = cs.upper_bound(draws, alpha), cs.lower_bound(draws, alpha), cs.estimate(draws)
    rate = (draws.errors + 0.5) / (n + 1) if n else float(1 - confidence[order[:AHEAD]].mean())
    reached = most <= target * points
    return Bound(
        points=points,
        inspected=n,
        errors=draws.errors,
        at_most=math.ceil(1e4 * most / points) / 1e4,
        at_least=math.floor(1e4 * fewest / points) / 1e4,
        estimate=None if estimate is None else round(estimate, 4),
        more=0 if reached else _more(weight, order, wrong, rate, target, alpha),
        more_at_best=0 if reached else _more(weight, order, wrong, 0.0, target, alpha),
    )


def _more(
    weight: NDArray[np.float64],
    order: NDArray[np.int64],
    wrong: NDArray[np.bool_],
    rate: float,
    target: float,
    alpha: float,
) -> int | None:
    """Inspections until the target is certified, if errors come evenly at this rate; None: not within `AHEAD`."""
    n, size = len(wrong), min(len(order), len(wrong) + AHEAD)
    coming = np.diff(np.floor(rate * np.arange(size - n + 1) + 0.5)) > 0
    draws = cs.draws_of(weight, order[:size], np.concatenate([wrong, coming]))
    excluded = math.floor(target * len(weight) + 1e-9) + 1  # the fewest errors that miss the target
    right = np.cumsum(~draws.wrong)
    reached = (cs.evidence(draws, excluded) >= -math.log(alpha)) | (len(weight) - right < excluded)
    reached &= np.cumsum(draws.wrong) < excluded
    return max(0, int(np.argmax(reached)) + 1 - n) if reached.any() else None


def certificate_path(file: Path) -> Path:
    """Where the certificate of an extended file lies."""
    return file.with_name(file.name + ".certificate.json")


def save(file: Path, certificate: Certificate) -> None:
    """Write the certificate beside the file, and its summary into the file's `poseunion` block."""
    write_json(certificate_path(file), certificate.to_json(), indent=1)
    with one_writer(file.parent):
        document = read_extended(file).source.document
        if document["poseunion"].get("certificate") != certificate.summary():
            block = {**document["poseunion"], "certificate": certificate.summary()}
            write_document(file, {**document, "poseunion": block})
