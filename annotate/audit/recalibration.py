"""Confidences of an extended file, refitted from its audit's answers, and thresholds that move with them.

    logit p' = shift + shift of the keypoint (left and right alike) + slope x logit p

fitted on the drawn points with a decision by penalised maximum likelihood: the shifts are drawn to 0 and the slope to
1, so that few answers change little. p' is the mean over all functions that the answers leave possible (a Gaussian
around the most probable one; MacKay, 1992), so that error probabilities that few answers cannot rule out count. Which
points are drawn depends on keypoint and confidence alone, both of which the model has, so that no weights are needed.

Thresholds only rise: only accepted points were inspected. The result is a new file with fewer accepted points and no
certificate. It needs a draw of its own, whose randomness does not depend on the answers that were used here: so
its certificate is valid for any answers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.audit.certificate import gross_errors
from poseunion.annotate.audit.sample import Audit, checked_order, population
from poseunion.annotate.audit.tolerance import Tolerance
from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.added_fields import has_added_fields
from poseunion.annotate.formats.extension import CONFIDENCE_DIGITS, REASON_NAMES, Reason
from poseunion.annotate.formats.review_entries import NONE, PROPOSED, last_entries
from poseunion.models.calibration.odds import log_odds, logistic
from poseunion.models.errors import BadArgumentError
from poseunion.models.skeleton import sideless

# Standard deviations of the penalties. A file's confidences may be off by a factor of e in the odds without much
# evidence; one keypoint's by half of that more than the others'.
SHIFT_SD, KEYPOINT_SD, SLOPE_SD = 1.0, 0.5, 0.3
STEPS = 50
LEAST = 10.0**-CONFIDENCE_DIGITS  # of a confidence and of its distance from 1, in log odds
OTHER = "other"


@dataclass(frozen=True)
class Recalibration:
    """The refitted function; keypoints that are not in `keypoints` have a shift of 0.

    Attributes:
        variance: keypoint, `other` for any that is not in `keypoints` -> variance of its whole shift, covariance with
            the slope, and variance of the slope.
    """

    shift: float
    slope: float
    keypoints: dict[str, float]
    variance: dict[str, tuple[float, float, float]]

    def __call__(self, keypoint: str, confidence: NDArray[np.float64]) -> NDArray[np.float64]:
        """Refitted confidences of one keypoint's proposals."""
        kind, logit = sideless(keypoint), log_odds(confidence, LEAST)
        mean = self.shift + self.keypoints.get(kind, 0.0) + self.slope * logit
        shift, both, slope = self.variance.get(kind, self.variance[OTHER])
        return logistic(mean / np.sqrt(1 + np.pi / 8 * (shift + 2 * both * logit + slope * logit**2)))


@dataclass(frozen=True)
class Recalibrated:
    """Outcome of `recalibrate`.

    Attributes:
        document: the new file's content.
        inspected, errors: answers that were used.
        removed: keypoint -> accepted points that no longer are; kept: those that still are.
    """

    document: dict[str, Any]
    function: Recalibration
    inspected: int
    errors: int
    removed: dict[str, int]
    kept: int

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the document."""
        return {k: v for k, v in asdict(self).items() if k != "document"}


def fit(keypoints: list[str], confidence: NDArray[np.float64], wrong: NDArray[np.bool_]) -> Recalibration:
    """Penalised logistic regression by Newton's method.

    Args:
        keypoints, confidence, wrong: (N) of the answered points.
    """
    kinds = sorted({sideless(name) for name in keypoints})
    one_hot = np.array([[sideless(name) == kind for kind in kinds] for name in keypoints], np.float64)
    one_hot = one_hot.reshape(len(wrong), len(kinds))
    feature_NF = np.concatenate([np.ones((len(wrong), 1)), log_odds(confidence, LEAST)[:, None], one_hot], 1)
    prior = np.zeros(feature_NF.shape[1])
    prior[1] = 1.0
    precision = 1 / np.array([SHIFT_SD, SLOPE_SD, *[KEYPOINT_SD] * len(kinds)]) ** 2
    weight = prior.copy()
    for _ in range(STEPS):
        p = logistic(feature_NF @ weight)
        gradient = feature_NF.T @ (~wrong - p) - precision * (weight - prior)
        hessian = (feature_NF * (p * (1 - p))[:, None]).T @ feature_NF + np.diag(precision)
        step = np.linalg.solve(hessian, gradient)
        weight = weight + step / max(1.0, float(np.abs(step).max()))  # at most 1 a step: no overshooting
    covariance = np.linalg.inv(hessian)
    shared, slope = covariance[0], covariance[1, 1]
    variance = {OTHER: (shared[0] + KEYPOINT_SD**2, shared[1], slope)}
    for number, kind in enumerate(kinds, 2):
        own = covariance[number]
        variance[kind] = (shared[0] + 2 * shared[number] + own[number], shared[1] + own[1], slope)
    return Recalibration(
        round(float(weight[0]), 6),
        round(float(weight[1]), 6),
        dict(zip(kinds, weight[2:].round(6).tolist(), strict=True)),
        {kind: (round(float(a), 6), round(float(b), 6), round(float(c), 6)) for kind, (a, b, c) in variance.items()},
    )


def recalibrate(
    annotations: AnnotationSet, audit: Audit, risk: float, tolerance: Tolerance | None = None
) -> Recalibrated:
    """Refit a file's confidences and accept only what keeps each keypoint's expected gross errors below a share.

    Points with a decision stay as they are, and so does what was not accepted.

    Args:
        tolerance: of a gross error; None: the sample's.

    Raises:
        BadArgumentError: the risk is no share, or nothing is inspected. BadFileError: the sample is of another file.
    """
    if not 0 < risk < 1:
        raise BadArgumentError(f"--risk {risk:g} is no share: give a number between 0 and 1.")
    points = population(annotations)
    order = checked_order(audit, points, annotations.source.path)
    tolerance = tolerance or Tolerance.parse(audit.tolerance)
    tolerance.without_size(annotations, points.rows)
    wrong_of = gross_errors(annotations, points, tolerance)
    used = [i for i in order[: len(audit.drawn)].tolist() if i in wrong_of]
    if not used:
        raise BadArgumentError(
            f"No drawn point of {annotations.source.path} is inspected: recalibration needs answers."
        )
    wrong = np.array([wrong_of[i] for i in used])
    function = fit([points.keypoints[i] for i in used], points.confidence[used], wrong)
    keypoint_N = np.array(points.keypoints)
    thresholds = {
        name: lowest_threshold(function(name, points.confidence[keypoint_N == name]), risk)
        for name in sorted(set(keypoint_N))
    }
    removed, kept = Counter[str](), 0
    records = list(annotations.records)
    names = annotations.skeleton.keypoints
    for row, record in enumerate(records):
        if has_added_fields(record) and record.get("proposals"):
            records[row], lost = _record(record, function, thresholds, names)
            removed.update(lost)
            kept += sum(p["accepted"] for p in records[row]["proposals"])
    block = {k: v for k, v in annotations.source.document["poseunion"].items() if k not in ("guarantee", "certificate")}
    block["thresholds"] = {**block.get("thresholds", {}), **thresholds}
    answers = {"inspected": len(used), "errors": int(wrong.sum()), "tolerance": str(tolerance)}
    block["recalibration"] = {"risk": risk, "population": points.sha256, **answers, **asdict(function)}
    document = {**annotations.source.document, "annotations": records, "poseunion": block}
    return Recalibrated(document, function, len(used), int(wrong.sum()), dict(removed), kept)


def lowest_threshold(confidence: NDArray[np.float64], risk: float) -> float | None:
    """The lowest one from which the mean error probability is at most `risk`; None: there is none."""
    falling = np.sort(confidence.round(CONFIDENCE_DIGITS))[::-1]
    mean = np.cumsum(1 - falling) / np.arange(1, len(falling) + 1)
    good = np.flatnonzero(mean <= risk)
    return float(falling[good[-1]]) if len(good) else None


def _record(
    record: dict[str, Any], function: Recalibration, thresholds: dict[str, float | None], names: tuple[str, ...]
) -> tuple[dict[str, Any], list[str]]:
    """A record with refitted confidences, and the keypoints whose proposals are no longer accepted."""
    decided = last_entries(record)
    keypoints, sources = list(record["keypoints"]), list(record["keypoint_source"])
    confidences, proposals, lost = list(record["keypoint_confidence"]), [], []
    for proposal in record["proposals"]:
        name = proposal["name"]
        k, c = names.index(name), np.array(float(proposal["confidence"]))
        confidence = round(float(function(name, c)), CONFIDENCE_DIGITS)
        new = {**proposal, "confidence": confidence}
        confidences[k] = confidence
        threshold = thresholds.get(name)
        # Equal confidences around the threshold stay together: rounded, as the threshold is.
        if proposal["accepted"] and name not in decided and (threshold is None or confidence < threshold):
            new |= {"accepted": False, "reason": REASON_NAMES[Reason.CONFIDENCE]}
            lost.append(name)
            if sources[k] == PROPOSED:
                keypoints[3 * k : 3 * k + 3], sources[k] = [0, 0, 0], NONE
        proposals.append(new)
    counted = {"num_keypoints": sum(v > 0 for v in keypoints[2::3])} if "num_keypoints" in record and lost else {}
    fields = {"keypoint_source": sources, "keypoint_confidence": confidences, "proposals": proposals}
    return {**record, "keypoints": keypoints, **fields, **counted}, lost
