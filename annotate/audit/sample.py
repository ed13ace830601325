"""Random sample of an extended file's accepted proposals, to be inspected as a queue of the review tools.

The population is every accepted proposal of the file. Its points have draw weights by stratum (keypoint and band of
confidence); the whole population is put into one random order, in which each next point is drawn from those that are
left with a probability proportional to its weight. A budget is a prefix of that order, so a larger budget only goes on.
The points of one keypoint stand in an order of the same kind: one draw serves the pooled bound and each keypoint's.

Point i is placed by -log(u_i) / w_i, ascending (Efraimidis and Spirakis, 2006), with u_i from the SHA-256 of seed,
population and point: anyone can draw the sample again, in any language.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from poseunion.annotate.audit.confidence_sequence import probabilities
from poseunion.annotate.audit.tolerance import Tolerance
from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.added_fields import has_added_fields
from poseunion.annotate.formats.review_entries import last_entries_at
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.files import first_fault, read_json

# Confidence below which a point is in the band, and its weight. Measured on simulated files: at an error rate near the
# target 26 % fewer inspections than with equal weights, far below it 13 % more; weights of 4 and 2 need more in both.
BANDS = (("below 0.9", 0.9, 2.0), ("0.9 to 0.97", 0.97, 1.4), ("0.97 and more", np.inf, 1.0))
# A rare keypoint is drawn at least half as often as if all keypoints were equally frequent.
RARE = 0.5


@dataclass(frozen=True)
class Population:
    """Accepted proposals of a file, in its order, a person's in the skeleton's.

    Attributes:
        rows: (N,) positions of their records.
        ids: their `id`s.
        keypoints: their names.
        xy: image px, as in the file.
        confidence, weight: (N,).
        strata: (keypoint, band) of each.
    """

    rows: NDArray[np.int64]
    ids: tuple[Any, ...]
    keypoints: tuple[str, ...]
    xy: tuple[tuple[float, float], ...]
    confidence: NDArray[np.float64]
    strata: tuple[tuple[str, str], ...]
    weight: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ids)

    @functools.cached_property
    def sha256(self) -> str:
        """Of the points and their weights: two files have the same where they propose the same."""
        digest = hashlib.sha256()
        for name, keypoint, xy, weight in zip(self.ids, self.keypoints, self.xy, self.weight.tolist(), strict=True):
            digest.update(json.dumps([name, keypoint, *xy, weight]).encode() + b"\n")
        return digest.hexdigest()

    def order(self, seed: int) -> NDArray[np.int64]:
        """(N,) indices of all points, first drawn first."""
        start = f"{seed} {self.sha256} "
        places = [f"{start}{json.dumps(i)} {keypoint}" for i, keypoint in zip(self.ids, self.keypoints, strict=True)]
        ticket = [hashlib.sha256(place.encode()).digest() for place in places]
        uniform = (np.array([int.from_bytes(t[:8], "big") for t in ticket], np.float64) + 0.5) / 2.0**64
        return np.argsort(-np.log(uniform) / self.weight, kind="stable")

    def strata_to_json(self) -> list[dict[str, Any]]:
        """Points and weight of every stratum."""
        weights = dict(zip(self.strata, self.weight.tolist(), strict=True))
        counts = Counter(self.strata)
        return [
            {"keypoint": k, "confidence": band, "points": counts[k, band], "weight": weights[k, band]}
            for k, band in sorted(counts)
        ]


class Audit(BaseModel):
    """A drawn sample, as `FILE.audit.json` holds it.

    Attributes:
        population: SHA-256 of the points that it was drawn from.
        points: how many they are.
        strata: their numbers and weights.
        drawn: the points to be inspected, in their order.
        tolerance: how far off an accepted point may be.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    audit: Literal[1] = 1
    seed: int
    population: str
    points: int
    strata: list[dict[str, Any]]
    drawn: list[dict[str, Any]]
    tolerance: str = str(Tolerance())


def population(annotations: AnnotationSet) -> Population:
    """Accepted proposals of an extended file; raises BadFileError where it has none."""
    found = [
        (row, record["id"], p["name"], (float(p["x"]), float(p["y"])), float(p["confidence"]))
        for row, record in enumerate(annotations.records)
        if has_added_fields(record)
        for p in sorted(record.get("proposals") or [], key=lambda p: annotations.skeleton.index(p["name"]))
        if p["accepted"]
    ]
    if not found:
        raise BadFileError(f"{annotations.source.path} has no accepted proposal: there is nothing to audit.")
    rows, ids, keypoints, xy, confidence = zip(*found, strict=True)
    if len(set(zip(ids, keypoints, strict=True))) < len(found):
        raise BadFileError(f"{annotations.source.path} has two annotations with the same id: give each its own.")
    strata, weight = draw_weights(keypoints, confidence)
    return Population(np.array(rows), ids, keypoints, xy, np.array(confidence), strata, weight)


def draw_weights(
    keypoints: Sequence[str], confidence: Sequence[float]
) -> tuple[tuple[tuple[str, str], ...], NDArray[np.float64]]:
    """Stratum (keypoint, band of confidence) and draw weight of each point of a population."""
    bands = [next(band for band in BANDS if c < band[1]) for c in confidence]
    counts = Counter(keypoints)
    fair = len(keypoints) / len(counts)
    weight = [band[2] * max(1.0, RARE * fair / counts[k]) for band, k in zip(bands, keypoints, strict=True)]
    return tuple((k, band[0]) for band, k in zip(bands, keypoints, strict=True)), np.array(weight)


def audit_path(file: Path) -> Path:
    """Where the sample of an extended file lies."""
    return file.with_name(file.name + ".audit.json")


def draw(
    annotations: AnnotationSet,
    budget: int,
    seed: int = 0,
    earlier: Audit | None = None,
    tolerance: Tolerance | None = None,
) -> Audit:
    """The shortest sample in which `budget` points wait for a decision, or all points; never shorter than `earlier`.

    Args:
        tolerance: None: that of `earlier`, else the OKS-.5 radius.

    Raises:
        BadArgumentError: no budget. BadFileError: nothing is accepted, no person has the size that the tolerance needs,
            or `earlier` was drawn from other points, with another seed or for another tolerance.
    """
    if budget < 1:
        raise BadArgumentError(f"--budget {budget} leaves no point to inspect: give at least 1.")
    points = population(annotations)
    if earlier is not None:
        checked_order(earlier, points, annotations.source.path)
        if earlier.seed != seed:
            raise BadFileError(
                f"The sample of {annotations.source.path} was drawn with seed {earlier.seed}: leave out --seed "
                f"{seed}, or draw anew with --overwrite."
            )
        drawn_for = Tolerance.parse(earlier.tolerance)
        if tolerance not in (None, drawn_for):
            raise BadFileError(
                f"The sample of {annotations.source.path} was drawn for a tolerance of {drawn_for}, by which "
                f"points were accepted: leave out --tolerance {tolerance}, or draw anew with --overwrite."
            )
        tolerance = drawn_for
    tolerance = tolerance or Tolerance()
    tolerance.without_size(annotations, points.rows)
    order = points.order(seed)
    reviewed = _reviewed(annotations)
    waits = np.cumsum([(int(points.rows[i]), points.keypoints[i]) not in reviewed for i in order.tolist()])
    size = min(int(np.searchsorted(waits, budget)) + 1, len(points))
    size = max(size, 0 if earlier is None else len(earlier.drawn))
    return _audit(points, order[:size], seed, tolerance)


def _audit(points: Population, order: NDArray[np.int64], seed: int, tolerance: Tolerance) -> Audit:
    weight = points.weight[order]
    probability = probabilities(points.weight, order)
    drawn = [
        {
            "annotation": points.ids[i],
            "keypoint": points.keypoints[i],
            "x": points.xy[i][0],
            "y": points.xy[i][1],
            "confidence": float(points.confidence[i]),
            "weight": w,
            "probability": p,
        }
        for i, w, p in zip(order.tolist(), weight.tolist(), probability.tolist(), strict=True)
    ]
    return Audit(
        seed=seed,
        population=points.sha256,
        points=len(points),
        strata=points.strata_to_json(),
        drawn=drawn,
        tolerance=str(tolerance),
    )


def read_audit(path: Path) -> Audit:
    """Read a sample that `annotate audit` wrote; raises BadFileError."""
    try:
        audit = Audit.model_validate(read_json(path))
        Tolerance.parse(audit.tolerance)
    except ValidationError as error:
        raise BadFileError(f"{path} is no sample of annotate audit: {first_fault(error, 'file')}.") from error
    except BadArgumentError as error:
        raise BadFileError(f"{path} is no sample of annotate audit: its tolerance is {audit.tolerance!r}.") from error
    return audit


def checked_order(audit: Audit, points: Population, file: Path) -> NDArray[np.int64]:
    """The order of all points that a sample begins; raises BadFileError where it was not drawn from them by design."""
    if audit.population != points.sha256:
        raise BadFileError(
            f"The sample was drawn from other points than {file} has now (it was extended again?): draw anew with "
            "annotate audit --overwrite."
        )
    order = points.order(audit.seed)
    if [(d.get("annotation"), d.get("keypoint")) for d in audit.drawn] != [
        (points.ids[i], points.keypoints[i]) for i in order[: len(audit.drawn)].tolist()
    ]:
        raise BadFileError(f"The sample of {file} was changed by hand: draw anew with annotate audit --overwrite.")
    return order


def _reviewed(annotations: AnnotationSet) -> set[tuple[int, str]]:
    """(row, keypoint) of all decisions; raises BadFileError where one is damaged."""
    found = set()
    for row, record in enumerate(annotations.records):
        if isinstance(record, dict) and record.get("review"):
            found |= {(row, keypoint) for keypoint in last_entries_at(annotations, row)}
    return found


def to_inspect(annotations: AnnotationSet, audit: Audit) -> list[tuple[int, str]]:
    """(row, keypoint) of the drawn points that wait for a decision, in their order."""
    row_of = {r["id"]: row for row, r in enumerate(annotations.records) if has_added_fields(r)}
    reviewed = _reviewed(annotations)
    places = [(row_of[d["annotation"]], str(d["keypoint"])) for d in audit.drawn if d["annotation"] in row_of]
    return [place for place in places if place not in reviewed]


def audit_queue(annotations: AnnotationSet) -> list[tuple[int, str]]:
    """`to_inspect` of the sample beside the file; empty where there is none, or it is of other points.

    Raises:
        BadFileError: the sample is damaged.
    """
    path = audit_path(annotations.source.path)
    if not path.is_file():
        return []
    audit = read_audit(path)
    try:
        checked_order(audit, population(annotations), annotations.source.path)
    except BadFileError:
        return []
    return to_inspect(annotations, audit)
