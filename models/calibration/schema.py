"""Calibration of confidences: logistic functions of a network's scores, and their risk-coverage tables.

The confidence of a proposal is the probability that the keypoint is in the picture *and* the proposal lies within the
radius at which its OKS is .5. It is a logistic function of a few features, with weights of its own for every keypoint,
fitted by `poseunion calibrate` on people that the network never saw:

    confidence = sigmoid(w0 + w1 log s + w2 log(1 - s) + w3 log u)

u is the size, clipped. s, clipped, is of a heatmap network its raw score; of a SimCC network the OKS that it expects
itself (`simcc.decode_expected`), which ranks proposals better: how high a peak is says little of how wide it is, or
whether there is another. Where a person's labelled joints were used as evidence, there are more terms of the same
kind. All of it are a few tables and the operators log, mul, add and sigmoid, so that it fits into an ONNX graph.

A calibration also carries what happened on people that neither network nor fit saw, at descending thresholds: from
that `annotate.extend.acceptance` picks thresholds with a guarantee.

Shapes: N people, K keypoints, F features.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from poseunion.models.calibration.annotator_model import AnnotatorModel
from poseunion.models.calibration.conditioning_parameters import ConditioningParameters
from poseunion.models.errors import ModelError

# Beyond these a raw score says no more: the logarithms stay finite.
MIN_SCORE, MAX_SCORE = 1e-3, 1 - 1e-3
PICTURE_FEATURES = ("one", "log_score", "log_rest", "log_size")
# The same of a network's expected OKS instead of its raw score.
EXPECTED_FEATURES = ("one", "log_expected", "log_rest", "log_size")
# See `evidence_features`. Chosen among all that `conditioned` says by what each adds to the likelihood of held-out
# people; the others repeat these.
EVIDENCE_FEATURES = (
    *PICTURE_FEATURES,
    "near",
    "prior_inside",
    "border",
    "outside",
    "near_error",
    "prior_sd",
    "known",
)


def logistic(logit: NDArray[np.floating]) -> NDArray[np.float64]:
    """Of any shape -> the probability, in (0, 1): never quite sure."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logit, -30, 30))))


class RiskCoverage(BaseModel):
    """One keypoint's fate at descending thresholds, on people set apart for the guarantee: one look at each.

    The rungs are placed by the confidences alone, never by what was right.

    Attributes:
        people: how many had this keypoint labelled, in the picture or cut off.
        absent: of them, cut off.
        threshold: confidences, descending.
        accepted, wrong: people whose confidence reaches each threshold, and of them those with a gross error.
        expected: the errors that the confidences themselves predict.
        test_people, test_accepted, test_wrong: the same on test people, for orientation; empty if never measured.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    people: int = Field(ge=0)
    absent: int = Field(ge=0)
    threshold: tuple[float, ...]
    accepted: tuple[int, ...]
    wrong: tuple[int, ...]
    expected: tuple[float, ...]
    test_people: int = Field(default=0, ge=0)
    test_accepted: tuple[int, ...] = ()
    test_wrong: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _even(self) -> RiskCoverage:
        rungs = len(self.threshold)
        if {len(self.accepted), len(self.wrong), len(self.expected)} - {rungs}:
            raise ValueError("threshold, accepted, wrong and expected differ in length")
        if {len(self.test_accepted), len(self.test_wrong)} - {rungs if self.test_people else 0}:
            raise ValueError("test_accepted and test_wrong differ in length from threshold")
        return self


class KeypointLogistic(BaseModel):
    """A logistic function a keypoint, and what is known of it.

    Attributes:
        features: names, in the order of the weights.
        weights: (K, F).
        ladders: one a keypoint.
        labelling: whether an annotator would label a keypoint, and as occluded; None: never fitted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    features: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]
    ladders: tuple[RiskCoverage, ...]
    labelling: AnnotatorModel | None = None

    @model_validator(mode="after")
    def _even(self) -> KeypointLogistic:
        if {len(row) for row in self.weights} != {len(self.features)}:
            raise ValueError(f"every keypoint needs {len(self.features)} weights")
        if len(self.ladders) != len(self.weights):
            raise ValueError("every keypoint needs a ladder")
        return self

    def probability(self, feature_NKF: NDArray[np.floating]) -> NDArray[np.float64]:
        """(N, K) in [0, 1]."""
        logit = np.einsum("nkf,kf->nk", feature_NKF, np.asarray(self.weights))
        return logistic(logit)


class Calibration(BaseModel):
    """What turns raw scores into confidences.

    Attributes:
        keypoints: the model's, in its order.
        size_bounds: image px per crop px between which sizes were seen; others count as the nearer bound.
        people: whom it was fitted on, in words that outputs repeat.
        guarantee_people: whom the guarantee holds for, in words.
        tempering: how the network's word is taken beside the evidence.
        prior: sha256 of the prior that the evidence part was fitted with; another one needs another fit.
        test_people: whom the ladders' test columns speak of, in words.
        picture: from the picture alone.
        evidence: with the person's labelled joints; None: the model was calibrated without.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    keypoints: tuple[str, ...]
    size_bounds: tuple[float, float]
    people: str
    guarantee_people: str
    test_people: str = ""
    tempering: ConditioningParameters = ConditioningParameters()
    prior: str = ""
    picture: KeypointLogistic
    evidence: KeypointLogistic | None = None

    @model_validator(mode="after")
    def _even(self) -> Calibration:
        for part in (self.picture, self.evidence):
            if part is not None and len(part.weights) != len(self.keypoints):
                raise ValueError(f"{len(self.keypoints)} keypoints, but weights of {len(part.weights)}")
        if not 0 < self.size_bounds[0] <= self.size_bounds[1]:
            raise ValueError("size_bounds are two positive numbers, the smaller one first")
        if self.picture.features not in (PICTURE_FEATURES, EXPECTED_FEATURES):
            known = " or ".join(", ".join(names) for names in (PICTURE_FEATURES, EXPECTED_FEATURES))
            raise ValueError(f"the picture's features are {known}")
        if self.evidence is not None and self.evidence.features != EVIDENCE_FEATURES:
            raise ValueError(f"the evidence's features are {', '.join(EVIDENCE_FEATURES)}")
        return self

    @property
    def by_expected_oks(self) -> bool:
        """Whether the picture's confidences rest on the expected OKS instead of the raw score."""
        return self.picture.features == EXPECTED_FEATURES

    def from_picture(
        self,
        raw_NK: NDArray[np.floating],
        size_N: NDArray[np.floating],
        oks_NK: NDArray[np.floating] | None = None,
    ) -> NDArray[np.float64]:
        """(N, K) confidences.

        Args:
            raw_NK: raw scores.
            size_N: image px per crop px.
            oks_NK: expected OKS of a SimCC network's proposals.

        Raises:
            ModelError: the confidences rest on expected OKS, and there is none: the network has heatmaps.
        """
        said = oks_NK if self.by_expected_oks else raw_NK
        if said is None:
            raise ModelError("The calibration is of a SimCC network, the model has heatmaps: run poseunion calibrate.")
        return self.picture.probability(picture_features(said, size_N, self.size_bounds))


def picture_features(
    said_NK: NDArray[np.floating], size_N: NDArray[np.floating], size_bounds: tuple[float, float]
) -> NDArray[np.float64]:
    """(N, K, F) `PICTURE_FEATURES` of raw scores, or `EXPECTED_FEATURES` of expected OKS."""
    score = np.clip(np.asarray(said_NK, np.float64), MIN_SCORE, MAX_SCORE)
    size = np.clip(np.asarray(size_N, np.float64), *size_bounds)
    size_NK = np.broadcast_to(np.log(size)[:, None], score.shape)
    return np.stack([np.ones_like(score), np.log(score), np.log1p(-score), size_NK], -1)
