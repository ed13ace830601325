"""Fit of the annotator model: whether annotators would label a proposed keypoint, and whether as occluded.

Both are fitted on whole held-out people, of the rounds in which their joints are masked and predicted back
(`training.calibration.masking`): occluded on labelled joints (v = 1 against v = 2), labelled on the face (v > 0 against
v = 0), of people with so many other labels that the face was left out on purpose. A keypoint with too few
samples of either kind is not fitted: it counts as labelled and visible.

Shapes: N views, K keypoints, S samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poseunion.models.calibration.annotator_model import (
    LABELLED_FEATURES,
    OCCLUDED_FEATURES,
    AnnotatorModel,
    labelling_features,
)
from poseunion.models.conditioning.hiding import FACE
from poseunion.models.skeleton import Skeleton, Visibility, sideless
from poseunion.training.calibration.logistic import fit_logistic
from poseunion.training.calibration.masking import Hidden
from poseunion.training.calibration.samples import OWN, ViewPredictions
from poseunion.training.data.arrays import take

# With so many labelled keypoints beside the face, a face without labels was left out on purpose.
ENOUGH_LABELLED = 5
# Samples of the rarer kind below which nothing is fitted of a keypoint (both sides together).
FEWEST = 8
# Inverse variance of the weights' prior around zero: .1 to 3 are alike in likelihood on held-out people.
PULL = 0.3
# Candidates for the threshold.
THRESHOLDS = np.round(np.arange(0.3, 0.81, 0.05), 2)
# Proposals below even odds are not accepted anyway: the threshold is chosen on the others.
ACCEPTED = 0.5


@dataclass(frozen=True)
class LabelSamples:
    """Proposals with the annotator's own visibility.

    Attributes:
        view, keypoint: (S,) indices.
        visibility: (S,) the annotator's, 0, 1 or 2.
        feature: (S, F) of the confidence.
        geometry: (S, G) see `annotator_model.labelling_geometry`.
        has_occluded: (S,) whether its file has occluded labels at all (LSP Extended has none).
    """

    view: NDArray[np.intp]
    keypoint: NDArray[np.intp]
    visibility: NDArray[np.int8]
    feature: NDArray[np.float64]
    geometry: NDArray[np.float64]
    has_occluded: NDArray[np.bool_]


def left_out(predicted: ViewPredictions, skeleton: Skeleton) -> NDArray[np.bool_]:
    """(N, K) unlabelled face keypoints of a whole, otherwise labelled person."""
    face = np.isin(skeleton.keypoints, FACE)
    visibility = np.stack([v.person.visibility for v in predicted.views])
    whole = _whole(predicted)
    annotated = whole & ((visibility > 0)[:, ~face].sum(1) >= ENOUGH_LABELLED)
    return np.asarray(annotated[:, None] & face & (visibility == Visibility.ABSENT))


def _whole(predicted: ViewPredictions) -> NDArray[np.bool_]:
    """(N,) views of a whole person in its own file's form: one a person."""
    return np.array([v.window_xyxy is None and v.form == OWN for v in predicted.views])


def label_samples(predicted: ViewPredictions, hidden: Hidden) -> LabelSamples:
    """Masked or unlabelled keypoints of whole people, with their predictions."""
    whole = _whole(predicted)[hidden.view]
    visibility = np.stack([v.person.visibility for v in predicted.views])[hidden.view, hidden.keypoint]
    dataset = np.array([v.dataset for v in predicted.views])[hidden.view]
    has_occluded = np.isin(dataset, np.unique(dataset[visibility == Visibility.OCCLUDED]))
    samples = LabelSamples(hidden.view, hidden.keypoint, visibility, hidden.feature, hidden.geometry, has_occluded)
    return take(samples, whole)


def fit_labelling(
    samples: LabelSamples, confidence_S: NDArray[np.float64], skeleton: Skeleton, people: str
) -> AnnotatorModel | None:
    """Both fits and the threshold; None where the people show neither faces left out nor occluded joints.

    Args:
        people: description of the people.
    """
    names = np.array(skeleton.keypoints)[samples.keypoint]
    kind = np.array([sideless(name) for name in names])
    labelled, occluded = samples.visibility > 0, samples.visibility == Visibility.OCCLUDED
    on_face = np.isin(names, FACE)
    enough = with_enough_labels(samples, skeleton)

    def fit(
        features: tuple[str, ...], outcome: NDArray[np.bool_], among: NDArray[np.bool_]
    ) -> dict[str, tuple[float, ...]]:
        feature = labelling_features(features, confidence_S, samples.geometry)
        table = {}
        for one in sorted(set(kind[among].tolist())):
            mine = among & (kind == one)
            if min(outcome[mine].sum(), (~outcome[mine]).sum()) >= FEWEST:
                weights = fit_logistic(feature[mine], outcome[mine], np.zeros(len(features)), PULL)
                table[one] = tuple(weights.round(4).tolist())
        return table

    found = AnnotatorModel(
        people=people,
        threshold=0.5,
        labelled=fit(LABELLED_FEATURES, labelled, enough & on_face),
        occluded=fit(OCCLUDED_FEATURES, occluded, labelled & samples.has_occluded),
    )
    if not found.labelled and not found.occluded:
        return None
    deciding = enough & on_face & (confidence_S >= ACCEPTED) & np.isin(kind, list(found.labelled))
    probability = found.labelled_probability(names.tolist(), confidence_S, samples.geometry)
    return found.model_copy(update={"threshold": best_threshold(probability[deciding], labelled[deciding])})


def with_enough_labels(samples: LabelSamples, skeleton: Skeleton) -> NDArray[np.bool_]:
    """(S,) of people with `ENOUGH_LABELLED` labels beside the face; every label of a person is a sample."""
    face = np.isin(np.array(skeleton.keypoints)[samples.keypoint], FACE)
    return np.asarray((np.bincount(samples.view, (samples.visibility > 0) & ~face) >= ENOUGH_LABELLED)[samples.view])


def best_threshold(probability_S: NDArray[np.float64], labelled_S: NDArray[np.bool_]) -> float:
    """Threshold that classifies most samples correctly as labelled or not; even odds where all are of one kind.

    Youden's J, which weighs both kinds alike, gave .65 and dropped a third of the labelled ears.
    """
    if labelled_S.all() or not labelled_S.any():
        return 0.5
    right = ((probability_S[None] >= THRESHOLDS[:, None]) == labelled_S).mean(1)
    best = np.flatnonzero(right == right.max())
    return float(THRESHOLDS[best[np.argmin(abs(THRESHOLDS[best] - 0.5))]])
