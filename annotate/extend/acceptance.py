"""Acceptance of proposals as keypoints: by a threshold, or by a guaranteed risk (`guarantee`).

A guarantee covers keypoints that a dataset does not define. What its annotators could have labelled and left out is not
accepted under a guarantee: they left out what is hidden or tiny, and no calibration joint is of that kind.

Shapes: N records, K keypoints of the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.extend.risk_control import CONFIDENCE, Guarantee, guarantee
from poseunion.models.calibration.annotator_model import AnnotatorModel
from poseunion.models.calibration.schema import Calibration, KeypointLogistic
from poseunion.models.errors import BadArgumentError
from poseunion.models.inference.interface import PosePredictor
from poseunion.models.runtime.description import ModelDescription
from poseunion.models.skeleton import Skeleton


@dataclass(frozen=True)
class AcceptanceRule:
    """Which proposals are accepted.

    Attributes:
        keypoints: the model's.
        threshold_K: confidence that each one's proposal has to reach; infinite: none is accepted.
        risk: the guaranteed share of gross errors; None: the thresholds guarantee nothing.
        guarantees: keypoint -> its guarantee; empty without a risk.
        calibration, part: of the model, and the part of it that the confidences come from; None: not calibrated.
    """

    keypoints: tuple[str, ...]
    threshold_K: NDArray[np.float64]
    risk: float | None = None
    guarantees: dict[str, Guarantee] = field(default_factory=dict)
    calibration: Calibration | None = None
    part: KeypointLogistic | None = None

    def to_json(self) -> dict[str, Any]:
        """For the `poseunion` block: `thresholds` (null accepts nothing), `guarantee` and `labelled_threshold`."""
        values = [None if math.isinf(t) else t for t in self.threshold_K.tolist()]
        values_of: dict[str, Any] = {"thresholds": dict(zip(self.keypoints, values, strict=True))}
        if self.risk is not None:
            values_of["guarantee"] = self.guarantee_block()
        if self.labelling is not None:
            values_of["labelled_threshold"] = self.labelling.threshold
        return values_of

    @property
    def labelling(self) -> AnnotatorModel | None:
        """Whether annotators would label a proposed keypoint; None where that was never fitted."""
        return None if self.part is None else self.part.labelling

    def guarantee_block(self) -> dict[str, Any] | None:
        """Guarantee, its calibration people, and the same thresholds' result on test people; None without a risk."""
        if self.risk is None or self.calibration is None:
            return None
        return {
            "risk": self.risk,
            "confidence": CONFIDENCE,
            "people": self.calibration.guarantee_people,
            "test_people": self.calibration.test_people,
            "keypoints": {name: g.to_json() for name, g in self.guarantees.items()},
        }

    def expected(self, k: int) -> tuple[float, float] | None:
        """Of keypoint k: the share of such proposals that is accepted, and the share of gross errors among them.

        As counted on the guarantee's people; None where the model is not calibrated, or none of them has it.
        """
        if self.part is None or not self.part.ladders[k].people:
            return None
        ladder = self.part.ladders[k]
        reached = [i for i, t in enumerate(ladder.threshold) if t >= self.threshold_K[k]]
        if not reached:
            return 0.0, 0.0
        accepted, wrong = ladder.accepted[reached[-1]], ladder.wrong[reached[-1]]
        return accepted / ladder.people, wrong / accepted


def acceptance_rule(
    predictor: PosePredictor, threshold: float | None = None, risk: float | None = None
) -> AcceptanceRule:
    """Acceptance rule of a predictor's proposals: the given threshold or risk, else the model's own threshold.

    Raises:
        BadArgumentError: `threshold` or `risk` is no share, or the model has no calibration for a guarantee.
    """
    skeleton: Skeleton = predictor.skeleton
    calibration, part = predictor.metadata.calibration, predictor.calibration_part
    if risk is None:
        chosen = thresholds_for(predictor.metadata, threshold)
        return AcceptanceRule(skeleton.keypoints, chosen, calibration=calibration, part=part)
    if not 0 < risk < 1:
        raise BadArgumentError(f"--risk {risk} is not a share of errors: give a number between 0 and 1, such as 0.05.")
    if predictor.route:
        raise BadArgumentError("--risk is guaranteed for one model, --route auto uses several: give one of them.")
    if part is None:
        raise BadArgumentError("--risk needs a calibrated model: run poseunion calibrate first, or use --threshold.")
    guarantees = {n: guarantee(ladder, risk) for n, ladder in zip(skeleton.keypoints, part.ladders, strict=True)}
    thresholds = np.array([g.threshold for g in guarantees.values()])
    return AcceptanceRule(skeleton.keypoints, thresholds, risk, guarantees, calibration, part)


def thresholds_for(metadata: ModelDescription, threshold: float | None = None) -> NDArray[np.float64]:
    """(K,) confidence that each keypoint's proposal has to reach.

    The given one comes first, then the model's own `ModelDescription.confidence_threshold`.

    Raises:
        BadArgumentError: `threshold` is not in [0, 1].
    """
    keypoints = len(metadata.resolved_skeleton)
    if threshold is not None:
        if not 0 <= threshold <= 1:
            raise BadArgumentError(f"--threshold {threshold} is not a confidence: give a number from 0 to 1.")
        return np.full(keypoints, threshold)
    return np.full(keypoints, metadata.confidence_threshold)


def accepted(
    xy_NK2: NDArray[np.floating],
    confidence_NK: NDArray[np.floating],
    threshold_K: NDArray[np.floating],
    size_wh_N2: NDArray[np.floating],
) -> NDArray[np.bool_]:
    """(N, K): confident enough, and inside the picture (pixel centres 0 … width-1); NaN is never accepted.

    Args:
        xy_NK2: image pixels, 0-based.
        size_wh_N2: picture sizes, pixels.
    """
    return np.asarray(inside(xy_NK2, size_wh_N2) & (confidence_NK >= threshold_K))


def inside(xy_NK2: NDArray[np.floating], size_wh_N2: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(N, K) in the picture; arguments as above."""
    return np.asarray(((xy_NK2 >= 0) & (xy_NK2 <= size_wh_N2[:, None, :] - 1)).all(-1))
