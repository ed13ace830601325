"""Confidence calibration: logistic functions from raw scores or expected OKS to probabilities of a correct keypoint.

The confidence of a proposal is the probability that the keypoint is in the picture *and* the proposal lies within the
radius at which its OKS is .5. It is a logistic function of a few features, with weights of its own for every keypoint,
fitted by `poseunion calibrate` on people outside the network's training set:

    confidence = sigmoid(w0 + w1 log s + w2 log(1 - s) + w3 log u)

u is the size, clipped. s, clipped, is the raw score of a heatmap network, and the expected OKS of a SimCC network
(`simcc.decode_expected`), which ranks proposals better: the height of a peak depends little on its width, or on
whether there is another. Where labelled joints conditioned the prediction, there are more terms of the same kind.
All are a few tables and the operators log, mul, add and sigmoid, so that they fit into an ONNX graph.

A calibration also carries risk-coverage tables, measured on people used neither in training nor in the fit:
`annotate.extend.acceptance` picks thresholds with a guarantee from them.

Shapes: N people, K keypoints, F features.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from poseunion.models.calibration.annotator_model import AnnotatorModel
from poseunion.models.calibration.conditioning_parameters import ConditioningParameters
from poseunion.models.calibration.in_picture import WITH_LABELS, WITHOUT_LABELS, InPicture
from poseunion.models.calibration.odds import logistic
from poseunion.models.errors import ModelError

# Raw scores are clipped to these bounds, so that the logarithms stay finite.
MIN_SCORE, MAX_SCORE = 1e-3, 1 - 1e-3
PICTURE_FEATURES = ("one", "log_score", "log_rest", "log_size")
# The same of a network's expected OKS instead of its raw score.
EXPECTED_FEATURES = ("one", "log_expected", "log_rest", "log_size")
# See `evidence_features`. Chosen among all outputs of `fusion.fuse` by what each adds to the likelihood of held-out
# people; the others are redundant.
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


class RiskCoverage(BaseModel):
    """Risk-coverage table of one keypoint: accepted and wrong counts per descending threshold, on held-out people.

    Each person was used once, for this table. Thresholds are placed by the confidences alone, never by the errors.

    Attributes:
        people: how many had this keypoint labelled, in the picture or cut off.
        absent: of these, cut off.
        threshold: confidences, descending.
        accepted, wrong: people whose confidence reaches each threshold, and those among them with a gross error.
        expected: number of errors that the confidences predict.
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
        rows = len(self.threshold)
        if {len(self.accepted), len(self.wrong), len(self.expected)} - {rows}:
            raise ValueError("threshold, accepted, wrong and expected differ in length")
        if {len(self.test_accepted), len(self.test_wrong)} - {rows if self.test_people else 0}:
            raise ValueError("test_accepted and test_wrong differ in length from threshold")
        return self


class KeypointLogistic(BaseModel):
    """Logistic functions of all keypoints, with their risk-coverage tables.

    Attributes:
        features: names, in the order of the weights.
        weights: (K, F).
        ladders: risk-coverage tables, one a keypoint.
        labelling: whether an annotator would label a keypoint, and as occluded; None: never fitted.
        in_picture: whether a keypoint is in the picture at all; None: never fitted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    features: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]
    ladders: tuple[RiskCoverage, ...]
    labelling: AnnotatorModel | None = None
    in_picture: InPicture | None = None

    @model_validator(mode="after")
    def _even(self) -> KeypointLogistic:
        if {len(row) for row in self.weights} != {len(self.features)}:
            raise ValueError(f"every keypoint needs {len(self.features)} weights")
        if len(self.ladders) != len(self.weights):
            raise ValueError("every keypoint needs a ladder")
        if self.in_picture is not None:
            more = WITH_LABELS if self.features == EVIDENCE_FEATURES else WITHOUT_LABELS
            width = len(self.features) + len(more)
            if [len(row) for row in self.in_picture.weights] != [width] * len(self.weights):
                raise ValueError(f"in_picture needs {width} weights for every keypoint")
        return self

    def probability(self, feature_NKF: NDArray[np.floating]) -> NDArray[np.float64]:
        """(N, K) confidences in [0, 1]."""
        logit = np.einsum("nkf,kf->nk", feature_NKF, np.asarray(self.weights))
        return logistic(logit)


class Calibration(BaseModel):
    """Calibration of a model: raw scores or expected OKS to confidences, without and with labelled keypoints.

    Attributes:
        keypoints: the model's, in its order.
        size_bounds: image px per crop px, range of sizes in the fit; sizes outside count as the nearer bound.
        people: description of the people it was fitted on, repeated in outputs.
        guarantee_people: description of the people that the guarantee holds for.
        tempering: conditioning parameters.
        prior: sha256 of the prior that the evidence part was fitted with; another one needs another fit.
        test_people: description of the people of the ladders' test columns.
        picture: from the picture alone.
        evidence: conditioned on labelled joints; None: the model was calibrated without.
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
        """(N, K) confidences from the picture alone.

        Args:
            raw_NK: raw scores.
            size_N: image px per crop px.
            oks_NK: expected OKS of a SimCC network's proposals.

        Raises:
            ModelError: the confidences rest on expected OKS, and there is none: the network has heatmaps.
        """
        score = oks_NK if self.by_expected_oks else raw_NK
        if score is None:
            raise ModelError("The calibration is of a SimCC network, the model has heatmaps: run poseunion calibrate.")
        return self.picture.probability(picture_features(score, size_N, self.size_bounds))


def picture_features(
    score_NK: NDArray[np.floating], size_N: NDArray[np.floating], size_bounds: tuple[float, float]
) -> NDArray[np.float64]:
    """(N, K, F) `PICTURE_FEATURES` of raw scores, or `EXPECTED_FEATURES` of expected OKS."""
    score = np.clip(np.asarray(score_NK, np.float64), MIN_SCORE, MAX_SCORE)
    size = np.clip(np.asarray(size_N, np.float64), *size_bounds)
    size_NK = np.broadcast_to(np.log(size)[:, None], score.shape)
    return np.stack([np.ones_like(score), np.log(score), np.log1p(-score), size_NK], -1)
