"""Confidences of an extended file, refitted from its audit's answers, and the accepted points that they leave.

    logit p' = exposure of the keypoint x shift + shift of the keypoint (left and right alike) + slope x logit p

fitted on the drawn points with a decision by penalised maximum likelihood: the shifts are drawn to 0 and the slope to
1, so that few answers change little. The exposure is (median tolerance / the keypoint's tolerance)^2: what moves points
or labels a little makes errors where the tolerance is small. p' is the mean over all functions that the answers leave
possible (a Gaussian around the most probable one; MacKay, 1992), so that error probabilities that few answers cannot
rule out count. Which points are drawn depends on keypoint and confidence alone, both of which the model has, so that no
weights are needed. Which points stay: `safest_points.largest_safe_set`.

Points are only removed: only accepted ones were inspected. The result is a new file with fewer accepted points and no
certificate. It needs a draw of its own, whose randomness does not depend on the answers that were used here: so
its certificate is valid for any answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.audit.certificate import gross_errors
from poseunion.annotate.audit.safest_points import largest_safe_set
from poseunion.annotate.audit.sample import Audit, checked_order, population
from poseunion.annotate.audit.tolerance import Tolerance
from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.added_fields import has_added_fields
from poseunion.annotate.formats.extension import CONFIDENCE_DIGITS, REASON_NAMES, Reason
from poseunion.annotate.formats.review_entries import NONE, PROPOSED
from poseunion.models.calibration.odds import log_odds, logistic
from poseunion.models.errors import BadArgumentError
from poseunion.models.skeleton import sideless

# Standard deviations of the penalties. A file's confidences may be off by a factor of e in the odds without much
# evidence; one keypoint's by half of that more than the others'.
SHIFT_SD, KEYPOINT_SD, SLOPE_SD = 1.0, 0.5, 0.3
STEPS = 50
LEAST = 10.0**-CONFIDENCE_DIGITS  # of a confidence and of its distance from 1, in log odds


@dataclass(frozen=True)
class Recalibration:
    """The refitted function of the keypoints in `exposure`, sides left out.

    Attributes:
        keypoints: shift of each, in the order of `exposure`.
        covariance: of shift, slope and the keypoints' shifts.
    """

    shift: float
    slope: float
    keypoints: dict[str, float]
    exposure: dict[str, float]
    covariance: tuple[tuple[float, ...], ...]

    @property
    def weights(self) -> NDArray[np.float64]:
        """(F,) shift, slope and the keypoints' shifts."""
        return np.array([self.shift, self.slope, *self.keypoints.values()])

    def features(self, keypoints: Sequence[str], confidence_N: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, F) of points: log odds of the refitted confidences are their product with `weights`."""
        return _features(keypoints, confidence_N, self.exposure)

    def __call__(self, keypoints: Sequence[str], confidence_N: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) refitted confidences."""
        feature_NF = self.features(keypoints, confidence_N)
        variance_N = np.einsum("nf,fg,ng->n", feature_NF, np.array(self.covariance), feature_NF)
        return logistic(feature_NF @ self.weights / np.sqrt(1 + np.pi / 8 * variance_N))


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


def exposures(tolerance: dict[str, float], accepted_N: NDArray[np.float64]) -> dict[str, float]:
    """Keypoint without its side -> exposure to the shared shift.

    Args:
        tolerance: keypoint -> tolerance, any unit.
        accepted_N: tolerances of all accepted points.
    """
    median = float(np.median(accepted_N))
    return {sideless(name): round((median / own) ** 2, 6) for name, own in sorted(tolerance.items())}


def fit(
    keypoints: Sequence[str],
    confidence_N: NDArray[np.float64],
    wrong_N: NDArray[np.bool_],
    exposure: dict[str, float],
) -> Recalibration:
    """Penalised logistic regression by Newton's method.

    Args:
        keypoints, confidence_N, wrong_N: of the answered points.
        exposure: see `exposures`.
    """
    feature_NF = _features(keypoints, confidence_N, exposure)
    prior = np.zeros(feature_NF.shape[1])
    prior[1] = 1.0
    precision = 1 / np.array([SHIFT_SD, SLOPE_SD, *[KEYPOINT_SD] * len(exposure)]) ** 2
    weight = prior.copy()
    for _ in range(STEPS):
        p = logistic(feature_NF @ weight)
        gradient = feature_NF.T @ (~wrong_N - p) - precision * (weight - prior)
        hessian = (feature_NF * (p * (1 - p))[:, None]).T @ feature_NF + np.diag(precision)
        step = np.linalg.solve(hessian, gradient)
        weight = weight + step / max(1.0, float(np.abs(step).max()))  # at most 1 a step: no overshooting
    shift, slope, *shifts = weight.round(6).tolist()
    covariance = np.linalg.inv(hessian).round(8).tolist()
    keypoint_shifts = dict(zip(exposure, shifts, strict=True))
    return Recalibration(shift, slope, keypoint_shifts, exposure, tuple(map(tuple, covariance)))


def _features(
    keypoints: Sequence[str], confidence_N: NDArray[np.float64], exposure: dict[str, float]
) -> NDArray[np.float64]:
    kinds = np.array([sideless(name) for name in keypoints], str)
    one_hot = kinds[:, None] == np.array(list(exposure))
    exposure_N = one_hot @ np.array(list(exposure.values()))
    return np.concatenate([exposure_N[:, None], log_odds(confidence_N, LEAST)[:, None], one_hot], 1)


def recalibrate(
    annotations: AnnotationSet, audit: Audit, risk: float, tolerance: Tolerance | None = None
) -> Recalibrated:
    """Refit a file's confidences and accept the largest set that probably has at most a share of gross errors.

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
    wrong_N = np.array([wrong_of[i] for i in used])
    names = annotations.skeleton.keypoints
    # Other units are the same for all keypoints of a person.
    sigma_K = annotations.skeleton.sigma_array if tolerance.unit == "oks" else np.ones(len(names))
    tolerance_of = dict(zip(names, sigma_K.tolist(), strict=True))
    tolerance_N = np.array([tolerance_of[name] for name in points.keypoints])
    proposed = {p["name"] for r in annotations.records if has_added_fields(r) for p in r.get("proposals") or ()}
    exposure = exposures({name: tolerance_of[name] for name in proposed}, tolerance_N)
    function = fit([points.keypoints[i] for i in used], points.confidence[used], wrong_N, exposure)
    waiting = np.array([i for i in range(len(points)) if i not in wrong_of], np.int64)
    keypoints, confidence_N = [points.keypoints[i] for i in waiting], points.confidence[waiting]
    safe_N = largest_safe_set(function, keypoints, confidence_N, tolerance_N[waiting], risk)
    lost_of: dict[int, list[str]] = {}
    for i in waiting[~safe_N].tolist():
        lost_of.setdefault(int(points.rows[i]), []).append(points.keypoints[i])
    removed = Counter(name for lost in lost_of.values() for name in lost)
    records = list(annotations.records)
    for row, record in enumerate(records):
        if has_added_fields(record) and record.get("proposals"):
            records[row] = _record(record, function, lost_of.get(row, []), names)
    block = {k: v for k, v in annotations.source.document["poseunion"].items() if k not in ("guarantee", "certificate")}
    block["thresholds"] = {
        **block.get("thresholds", {}),
        **dict.fromkeys(points.keypoints),
        **_lowest(keypoints, function(keypoints, confidence_N), safe_N),
    }
    answers = {"inspected": len(used), "errors": int(wrong_N.sum()), "tolerance": str(tolerance)}
    block["recalibration"] = {"risk": risk, "population": points.sha256, **answers, **asdict(function)}
    document = {**annotations.source.document, "annotations": records, "poseunion": block}
    kept = len(points) - removed.total()
    return Recalibrated(document, function, len(used), int(wrong_N.sum()), dict(removed), kept)


def _lowest(
    keypoints: list[str], refitted_N: NDArray[np.float64], safe_N: NDArray[np.bool_]
) -> dict[str, float | None]:
    """Keypoint -> lowest refitted confidence that stays accepted."""
    of, value = np.array(keypoints, str)[safe_N], refitted_N.round(CONFIDENCE_DIGITS)[safe_N]
    return {name: float(value[of == name].min()) for name in np.unique(of).tolist()}


def _record(record: dict[str, Any], function: Recalibration, lost: list[str], names: tuple[str, ...]) -> dict[str, Any]:
    """A record with refitted confidences, some keypoints' proposals no longer accepted."""
    keypoints, sources = list(record["keypoints"]), list(record["keypoint_source"])
    confidences, proposals = list(record["keypoint_confidence"]), record["proposals"]
    given = np.array([proposal["confidence"] for proposal in proposals], np.float64)
    refitted = function([proposal["name"] for proposal in proposals], given).round(CONFIDENCE_DIGITS).tolist()
    proposals = [{**proposal, "confidence": value} for proposal, value in zip(proposals, refitted, strict=True)]
    for proposal in proposals:
        k = names.index(proposal["name"])
        confidences[k] = proposal["confidence"]
        if proposal["name"] in lost:
            proposal |= {"accepted": False, "reason": REASON_NAMES[Reason.CONFIDENCE]}
            if sources[k] == PROPOSED:
                keypoints[3 * k : 3 * k + 3], sources[k] = [0, 0, 0], NONE
    counted = {"num_keypoints": sum(v > 0 for v in keypoints[2::3])} if "num_keypoints" in record and lost else {}
    fields = {"keypoint_source": sources, "keypoint_confidence": confidences, "proposals": proposals}
    return {**record, "keypoints": keypoints, **fields, **counted}
