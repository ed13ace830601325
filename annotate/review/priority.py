"""Orders proposals by expected correction gain.

    gain = uncertainty x weight(disagreement)

`uncertainty` is the probability that what stands now is wrong: 1 - p of an accepted proposal, p of one that was not
accepted, where p is the confidence, times the probability that an annotator would label the point where the file states
it (a face seen from behind is no error to leave out). `disagreement` is, in OKS-.5 radii, how far apart the
predictions of the point lie (picture and prior, as the file records; and other extensions of the same file: by a
teacher, or with mirrored crops).

Legend of shape suffixes: K keypoints of the file's skeleton.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.added_fields import field_problems, has_added_fields
from poseunion.annotate.formats.review_entries import NEEDS_FIX, last_entries
from poseunion.annotate.left_right_geometry import exchanged
from poseunion.annotate.review.decisions import read_extended
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.metrics import area_from_box, oks_radius_px
from poseunion.models.skeleton import Skeleton, mirrored

# Left and right proposals of a limb so close, in OKS-.5 radii, are one joint found twice.
TWICE = 0.25
LIMBS = ("elbow", "wrist", "knee", "ankle")

# What another extension of the file proposes: annotation id -> keypoint -> x, y in image px.
AlternativePrediction = Mapping[Any, Mapping[str, tuple[float, float]]]


@dataclass(frozen=True)
class Candidate:
    """A proposal to be reviewed.

    Attributes:
        row: the record's position in the file.
        xy: image px, as in the file.
        confidence, accepted: as in the file.
        uncertainty: probability that accepting it, or not accepting it, was wrong.
        disagreement: OKS-.5 radii; None where the file does not state it.
        swap: left and right may be exchanged here, or one joint have been found twice.
    """

    row: int
    keypoint: str
    xy: tuple[float, float]
    confidence: float
    accepted: bool
    uncertainty: float
    disagreement: float | None
    swap: bool

    @property
    def gain(self) -> float:
        """What a look at it is expected to change."""
        return self.uncertainty * weight(self.disagreement)


@dataclass(frozen=True)
class Person:
    """A person to be looked at.

    Attributes:
        candidates: in the skeleton's order.
        gain: of all candidates together: a look at a person is a look at all of them.
    """

    row: int
    candidates: tuple[Candidate, ...]

    @property
    def gain(self) -> float:
        """Expected number of changes, weighted by disagreement."""
        return sum(c.gain for c in self.candidates)


def weight(disagreement: float | None) -> float:
    """From 0.5 (all predictions agree) to 1.5; 1 for predictions one OKS-.5 radius apart, and without a value.

    >>> weight(0), weight(1), weight(None), weight(9)
    (0.5, 1.0, 1.0, 1.4)
    """
    return 1.0 if disagreement is None else 0.5 + disagreement / (1 + disagreement)


def alternative_of(other: AnnotationSet, annotations: AnnotationSet) -> AlternativePrediction:
    """Another extension of the file that `annotations` extends, as alternative predictions.

    Raises:
        BadArgumentError: it extends another file.
    """
    originals = [one.source.document["poseunion"].get("original_sha256") for one in (other, annotations)]
    if originals[0] != originals[1]:
        raise BadArgumentError(
            f"{other.source.path} extends another file than {annotations.source.path}: extend the same one again."
        )
    return {
        record["id"]: {p["name"]: (float(p["x"]), float(p["y"])) for p in record["proposals"]}
        for record in other.records
        if isinstance(record, dict) and has_added_fields(record) and record.get("proposals")
    }


def read_alternatives(files: Iterable[Path], annotations: AnnotationSet) -> list[AlternativePrediction]:
    """`alternative_of` each file; BadFileError where one is no extended file."""
    return [alternative_of(read_extended(file), annotations) for file in files]


def queue(
    annotations: AnnotationSet, *, decided: bool = False, alternatives: Sequence[AlternativePrediction] = ()
) -> list[Person]:
    """People with proposals without a decision, those first where a look changes most.

    Proposals outside the picture are left out: they never stand.

    Args:
        annotations: an extended COCO-style file.
        decided: also proposals with a decision.
        alternatives: see `alternative_of`; the one farthest from a proposal sets the disagreement.

    Raises:
        BadFileError: a record's proposals or decisions are damaged.
    """
    people = []
    for row, record in enumerate(annotations.records):
        if not isinstance(record, dict) or not has_added_fields(record) or not record.get("proposals"):
            continue
        try:
            if problem := next(field_problems(record, annotations.skeleton), None):
                raise ValueError(problem)
            done = set() if decided else set(last_entries(record))
        except ValueError as error:
            raise BadFileError(f"{annotations.source.path}, annotations[{row}]: {error}.") from error
        if candidates := tuple(c for c in _candidates(annotations, row, alternatives) if c.keypoint not in done):
            people.append(Person(row, candidates))
    return sorted(people, key=lambda person: -person.gain)  # stable: the file's order among equals


def audit_sample(people: Sequence[Person], size: int, seed: int = 0) -> set[tuple[int, str]]:
    """(row, keypoint) of `size` accepted proposals drawn with equal chances: their errors are those of all of them."""
    accepted = sorted((c.row, c.keypoint) for person in people for c in person.candidates if c.accepted)
    chosen = np.random.default_rng(seed).permutation(len(accepted))[:size]
    return {accepted[i] for i in chosen}


def waiting(annotations: AnnotationSet) -> list[tuple[int, str]]:
    """(row, keypoint) of points marked needs-fix and not corrected yet."""
    return [
        (row, keypoint)
        for row, record in enumerate(annotations.records)
        if isinstance(record, dict) and record.get("review")
        for keypoint, entry in last_entries(record).items()
        if entry["decision"] == NEEDS_FIX
    ]


def _candidates(annotations: AnnotationSet, row: int, alternatives: Sequence[AlternativePrediction]) -> list[Candidate]:
    record, skeleton = annotations.records[row], annotations.skeleton
    image = annotations.images[int(annotations.image_index[row])] if annotations.image_index[row] >= 0 else None
    inside = [p for p in record["proposals"] if image is None or _inside(p, image.width, image.height)]
    radius_K = radius_px(annotations, row)
    points = {p["name"]: (float(p["x"]), float(p["y"])) for p in inside}
    suspects = swap_suspects(skeleton, annotations.xy[row], annotations.visibility[row], points, radius_K)
    others = [alternative.get(record["id"], {}) for alternative in alternatives]
    found = []
    for proposal in sorted(inside, key=lambda p: skeleton.index(p["name"])):
        name, radius = proposal["name"], float(radius_K[skeleton.index(proposal["name"])])
        confidence = min(1.0, max(0.0, float(proposal["confidence"])))
        found.append(
            Candidate(
                row=row,
                keypoint=name,
                xy=points[name],
                confidence=confidence,
                accepted=proposal["accepted"],
                uncertainty=_uncertainty(confidence, proposal, radius),
                disagreement=_disagreement(proposal, [other[name] for other in others if name in other], radius),
                swap=name in suspects,
            )
        )
    return found


def _inside(proposal: dict[str, Any], width: int | None, height: int | None) -> bool:
    x, y = proposal["x"], proposal["y"]
    return x >= 0 and y >= 0 and (width is None or x <= width - 1) and (height is None or y <= height - 1)


def radius_px(annotations: AnnotationSet, row: int) -> NDArray[np.float64]:
    """(K,) OKS-.5 radii of one person; NaN where the record has neither area nor box."""
    return oks_radius_px(np.array([area_of(annotations, row)]), annotations.skeleton.sigma_array)[0]


def area_of(annotations: AnnotationSet, row: int) -> float:
    """A person's area, square px: the record's, else that of its box; NaN without either."""
    record = annotations.records[row]
    area = record.get("area") if isinstance(record, dict) else None
    if not isinstance(area, int | float) or isinstance(area, bool) or area <= 0:
        return float(area_from_box(annotations.box_xywh[row : row + 1])[0])
    return float(area)


def _uncertainty(confidence: float, proposal: dict[str, Any], radius_px: float) -> float:
    labelled = _number(proposal, "labelled")
    confidence *= 1.0 if labelled is None else min(1.0, labelled)
    if not proposal["accepted"]:
        return confidence
    sd_px = _number(proposal, "sd_px")
    # Of a round Gaussian exp(-r^2 / (2 sd^2)) lies beyond r.
    beyond = float(np.exp(-((radius_px / sd_px) ** 2) / 2)) if sd_px and radius_px > 0 else 0.0
    return max(1 - confidence, beyond)


def _disagreement(proposal: dict[str, Any], others_xy: Sequence[tuple[float, float]], radius_px: float) -> float | None:
    """The largest distance between two predictions, in OKS-.5 radii."""
    own = _number(proposal, "disagreement")
    apart = [math.dist((proposal["x"], proposal["y"]), xy) / radius_px for xy in others_xy if radius_px > 0]
    return max([*apart] if own is None else [own, *apart], default=None)


def _number(proposal: dict[str, Any], key: str) -> float | None:
    value = proposal.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        return None
    return float(value)


def swap_suspects(
    skeleton: Skeleton,
    xy_K2: NDArray[np.float64],
    visibility_K: NDArray[np.int8],
    proposals: dict[str, tuple[float, float]],
    radius_K: NDArray[np.float64],
) -> set[str]:
    """Proposed keypoints that may lie on the wrong side: the two rules below, over what stands and what is proposed.

    1. A pair lies the other way round than all the person's other pairs (see `sides`).
    2. A limb's joint lies on its counterpart: one joint found twice.
    """
    xy, known = xy_K2.copy(), visibility_K.copy()
    for name, point in proposals.items():
        k = skeleton.index(name)
        xy[k], known[k] = point, max(known[k], 1)  # not visible: that both eyes are visible, only a label states
    suspects = exchanged(skeleton, xy, known) & set(proposals)
    for name in proposals:
        k, other = skeleton.index(name), skeleton.index(mirrored(name))
        if name.endswith(LIMBS) and known[other] > 0:
            distance = float(np.linalg.norm(xy[k] - xy[other]))
            if distance <= TWICE * radius_K[k]:
                suspects.add(name)
    return suspects
