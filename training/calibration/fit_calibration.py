"""Fit of a calibration on held-out labelled people: probabilities, and risk–coverage tables.

The held-out people are split by picture (`is_for_guarantee`). On one part the logistic functions of
`models.calibration.schema` are fitted: each person whole and cut at a border, those with a face also in MPII's form
(`mpii_form`). On the other part nothing is fitted: it fills the risk-coverage tables from which `annotate extend
--risk` picks its thresholds. There every person counts once, because two views of one person are not independent: whole
or cut, and in the form of the files that lack the keypoint, MPII's for the face and the people's own for the rest.

Shapes: N views, K keypoints, S samples, F features.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.models.calibration.conditioning_parameters import ConditioningParameters, parameters_beside
from poseunion.models.calibration.odds import logistic
from poseunion.models.calibration.schema import (
    EVIDENCE_FEATURES,
    EXPECTED_FEATURES,
    PICTURE_FEATURES,
    Calibration,
    KeypointLogistic,
    RiskCoverage,
    picture_features,
)
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.conditioning.hiding import FACE
from poseunion.models.conditioning.prior import PRIOR_PATH, load_prior
from poseunion.models.errors import BadFileError
from poseunion.models.files import sha256_of
from poseunion.models.inference.predictor import Predictor
from poseunion.models.skeleton import Skeleton
from poseunion.training.calibration.fit_annotator_model import LabelSamples, fit_labelling, label_samples, left_out
from poseunion.training.calibration.fit_in_picture import fit_in_picture, presence_without_labels
from poseunion.training.calibration.logistic import fit_weights
from poseunion.training.calibration.masking import Hidden, predict_masked
from poseunion.training.calibration.mpii_form import predict_in_forms
from poseunion.training.calibration.samples import (
    MPII,
    OWN,
    View,
    ViewPredictions,
    counts_for_guarantee,
    cut_at_border,
    predict_views,
    read_views,
)
from poseunion.training.data.arrays import take
from poseunion.training.data.splits import is_for_guarantee, is_held_out

# Rows of a risk-coverage table: the first accepts so many people, each next one this factor more.
FIRST_ROW, ROW_FACTOR = 8, 1.12
CONFIDENCE_DIGITS = 4  # as extended files hold them


@dataclass(frozen=True)
class Source:
    """A labelled file."""

    annotations: Path
    images: Path

    @property
    def name(self) -> str:
        """Name in outputs, `coco/train` for example."""
        return f"{self.annotations.parent.name}/{self.annotations.stem}".lstrip("/")


@dataclass(frozen=True)
class Samples:
    """Proposals and whether they are right.

    Attributes:
        view, keypoint: (S,) indices.
        feature: (S, F).
        right: (S,) the keypoint is in the picture, the proposal within its OKS-.5 radius.
        absent: (S,) the keypoint is cut off.
        placed: (S,) the proposal lies in the picture (and, see `acceptable`, may stand): others are never accepted.
        geometry: (S, G) of `models.calibration.annotator_model`; None from the picture alone.
        presence: (S, F') features of `models.calibration.in_picture`; None of heatmaps.
    """

    view: NDArray[np.intp]
    keypoint: NDArray[np.intp]
    feature: NDArray[np.float64]
    right: NDArray[np.bool_]
    absent: NDArray[np.bool_]
    placed: NDArray[np.bool_]
    geometry: NDArray[np.float64] | None = None
    presence: NDArray[np.float64] | None = None


def views_of(sources: Sequence[Source], skeleton: Skeleton, *, everyone: bool = False) -> list[View]:
    """Labelled people of the held-out pictures (or of all), whole and cut, those of one picture together.

    Raises:
        BadFileError: no picture of a file is held out.
    """
    views: list[View] = []
    for source in sources:
        wanted = (lambda _: True) if everyone else is_held_out
        whole = read_views(source.name, source.annotations, source.images, skeleton, wanted)
        if not whole:
            raise BadFileError(
                f"No labelled person of {source.annotations} is on a held-out picture: "
                "give the file the model was trained on, or --all if it was never trained on this one."
            )
        views += whole + [cut for view in whole if (cut := cut_at_border(view)) is not None]
    return sorted(views, key=lambda v: (str(v.person.image), v.person.person_id, v.window_xyxy is not None))


def picture_samples(
    predicted: ViewPredictions,
    skeleton: Skeleton,
    size_bounds: tuple[float, float],
    features: tuple[str, ...],
    grid: SimccGrid | None = None,
) -> Samples:
    """Every labelled keypoint of every view, from the picture alone.

    Args:
        features: `PICTURE_FEATURES`, or `EXPECTED_FEATURES` of a SimCC model.
        grid: of a SimCC model, whose predictions hold logits.
    """
    raw = predicted.expected_oks if features == EXPECTED_FEATURES else predicted.raw_score
    assert raw is not None
    feature = picture_features(raw, predicted.size, size_bounds)
    view, keypoint = np.nonzero(predicted.labelled)
    samples = _samples(predicted, skeleton, view, keypoint, feature[view, keypoint], predicted.xy[view, keypoint])
    if grid is None:
        return samples
    presence = presence_without_labels(predicted, feature, grid)
    return dataclasses.replace(samples, presence=presence[view, keypoint])


def evidence_samples(predicted: ViewPredictions, skeleton: Skeleton, hidden: Hidden) -> Samples:
    """Every labelled joint that was masked and predicted back."""
    known = predicted.labelled[hidden.view, hidden.keypoint]
    view, keypoint, geometry = hidden.view[known], hidden.keypoint[known], hidden.geometry[known]
    samples = _samples(predicted, skeleton, view, keypoint, hidden.feature[known], hidden.xy[known])
    return dataclasses.replace(samples, geometry=geometry, presence=hidden.presence[known])


def _samples(
    predicted: ViewPredictions,
    skeleton: Skeleton,
    view: NDArray[np.intp],
    keypoint: NDArray[np.intp],
    feature: NDArray[np.float64],
    xy_S2: NDArray[np.float64],
) -> Samples:
    xy = np.full(predicted.xy.shape, np.nan)
    xy[view, keypoint] = xy_S2
    right = predicted.right(xy, skeleton)[view, keypoint]
    placed = np.asarray(((xy_S2 >= 0) & (xy_S2 <= predicted.wh[view] - 1)).all(-1))
    return Samples(view, keypoint, feature, right, ~predicted.inside[view, keypoint], placed)


def fit_part(
    features: tuple[str, ...],
    samples: Samples,
    views: Sequence[View],
    skeleton: Skeleton,
    test: Samples | None,
    labels: LabelSamples | None = None,
) -> KeypointLogistic:
    """One part: weights from the people to fit on, risk-coverage tables from the others (and from `test`).

    Args:
        test: in the form of the files that lack each keypoint, see `as_lacking`.
        labels: annotators' own labels, for `models.calibration.annotator_model`; None: not fitted.
    """
    apart = np.array([is_for_guarantee(v.person.image.name) for v in views])
    counts = np.array([counts_for_guarantee(v) for v in views])
    fitted = take(samples, ~apart[samples.view])
    weights = fit_weights(fitted.feature, fitted.right, fitted.keypoint, skeleton)
    guaranteed = as_lacking(take(samples, (apart & counts)[samples.view]), views, skeleton)
    part = KeypointLogistic(
        features=features,
        weights=tuple(map(tuple, weights.tolist())),
        ladders=_no_ladders(len(skeleton)),
        in_picture=fit_in_picture(fitted.presence, ~fitted.absent, fitted.keypoint, skeleton),
    )
    if labels is not None:
        mine = take(labels, ~apart[labels.view])
        whole = [v for v, kept in zip(views, apart, strict=True) if v.form == OWN and not kept]
        labelling = fit_labelling(mine, confidence_of(part, mine), skeleton, _named(whole, "each whole"))
        part = part.model_copy(update={"labelling": labelling})
    guaranteed, test = acceptable(part, guaranteed, skeleton), test and acceptable(part, test, skeleton)
    ladders = [ladder_of(part, guaranteed, test, k) for k in range(len(skeleton))]
    return part.model_copy(update={"ladders": tuple(ladders)})


def as_lacking(samples: Samples, views: Sequence[View], skeleton: Skeleton) -> Samples:
    """Each keypoint in the form of the files that lack it: the face in MPII's, the rest in the people's own.

    Without people in MPII's form the face counts in their own, too.
    """
    mpii = np.array([v.form == MPII for v in views])
    face = np.isin(skeleton.keypoints, FACE) & bool(mpii.any())
    return take(samples, mpii[samples.view] == face[samples.keypoint])


def _no_ladders(k: int) -> tuple[RiskCoverage, ...]:
    return (RiskCoverage(people=0, absent=0, threshold=(), accepted=(), wrong=(), expected=()),) * k


def confidence_of(part: KeypointLogistic, samples: Samples | LabelSamples) -> NDArray[np.float64]:
    """(S,) as extended files hold them; see `KeypointLogistic.probability` and `models.calibration.in_picture`."""
    weights = np.asarray(part.weights)[samples.keypoint]
    confidence = logistic((samples.feature * weights).sum(-1))
    if part.in_picture is not None and part.features != EVIDENCE_FEATURES and isinstance(samples, Samples):
        assert samples.presence is not None
        confidence = np.minimum(confidence, part.in_picture.probability(samples.presence, samples.keypoint))
    return confidence.round(CONFIDENCE_DIGITS)


def acceptable(part: KeypointLogistic, samples: Samples, skeleton: Skeleton) -> Samples:
    """The same samples; those that an annotator would probably leave unlabelled are not `placed`."""
    if part.labelling is None or samples.geometry is None:
        return samples
    names = [skeleton.keypoints[k] for k in samples.keypoint]
    probability = part.labelling.labelled_probability(names, confidence_of(part, samples), samples.geometry)
    probability = probability.round(CONFIDENCE_DIGITS)
    return dataclasses.replace(samples, placed=samples.placed & (probability >= part.labelling.threshold))


def ladder_of(part: KeypointLogistic, samples: Samples, test: Samples | None, k: int) -> RiskCoverage:
    """Risk-coverage table of one keypoint; a proposal that is not `placed` is never accepted."""
    mine = take(samples, samples.keypoint == k)
    confidence = np.where(mine.placed, confidence_of(part, mine), -1.0)
    ordered = np.sort(confidence[confidence >= 0])[::-1]
    thresholds: list[float] = []
    count = FIRST_ROW
    while count <= len(ordered):
        if not thresholds or ordered[count - 1] < thresholds[-1]:
            thresholds.append(float(ordered[count - 1]))
        count = max(count + 1, int(count * ROW_FACTOR))
    reached = confidence >= np.array(thresholds)[:, None]
    ladder = RiskCoverage(
        people=len(mine.view),
        absent=int(mine.absent.sum()),
        threshold=tuple(thresholds),
        accepted=tuple(reached.sum(1).tolist()),
        wrong=tuple((reached & ~mine.right).sum(1).tolist()),
        expected=tuple((reached * (1 - confidence)).sum(1).round(3).tolist()),
    )
    if test is None or not (test.keypoint == k).any():
        return ladder
    theirs = take(test, test.keypoint == k)
    reached = np.where(theirs.placed, confidence_of(part, theirs), -1.0) >= np.array(thresholds)[:, None]
    measured = {
        "test_people": len(theirs.view),
        "test_accepted": tuple(reached.sum(1).tolist()),
        "test_wrong": tuple((reached & ~theirs.right).sum(1).tolist()),
    }
    return ladder.model_copy(update=measured)


@dataclass(frozen=True)
class Tried:
    """Predictions of a model for labelled people: the input of a fit or of a measurement.

    Attributes:
        features: of `picture`.
    """

    predicted: ViewPredictions
    features: tuple[str, ...]
    picture: Samples
    evidence: Samples | None
    labels: LabelSamples | None = None


def try_out(
    predictor: Predictor,
    views: Sequence[View],
    tempering: ConditioningParameters,
    size_bounds: tuple[float, float] | None = None,
    features: tuple[str, ...] | None = None,
) -> tuple[Tried, tuple[float, float]]:
    """Predict views, with and (SimCC only) without their joints, and those with a face in MPII's form.

    Args:
        size_bounds: of the calibration; None: those of 98 % of these views.
        features: of the calibration's picture; None: the best that the model has.
    """
    simcc = predictor.metadata.head.kind == "simcc"
    predicted = predict_in_forms(predictor, views, tempering) if simcc else predict_views(predictor, views)
    if size_bounds is None:
        low, high = np.quantile(predicted.size, [0.01, 0.99]).round(4).tolist()
        size_bounds = (low, high)
    skeleton = predictor.skeleton
    evidence = labels = None
    if simcc:
        requested = predicted.labelled | left_out(predicted, skeleton)
        hidden = predict_masked(
            predicted, predictor.metadata.grid, skeleton, load_prior(), tempering, size_bounds, requested
        )
        evidence, labels = evidence_samples(predicted, skeleton, hidden), label_samples(predicted, hidden)
    if features is None:
        features = PICTURE_FEATURES if predicted.expected_oks is None else EXPECTED_FEATURES
    grid = predictor.metadata.grid if simcc else None
    picture = picture_samples(predicted, skeleton, size_bounds, features, grid)
    return Tried(predicted, features, picture, evidence, labels), size_bounds


def calibrate(
    predictor: Predictor, sources: Sequence[Source], tests: Sequence[Source] = (), *, everyone: bool = False
) -> Calibration:
    """A calibration of a model.

    Args:
        sources: files the model was trained on; only their held-out pictures are used.
        tests: files that nothing was fitted on, measured for orientation; all their pictures.
        everyone: the model was never trained on `sources`: use all their pictures.

    Raises:
        BadFileError: no usable people.
    """
    skeleton = predictor.skeleton
    tempering = parameters_beside(predictor.model.path)
    tried, size_bounds = try_out(predictor, views_of(sources, skeleton, everyone=everyone), tempering)
    seen = tried.predicted.views
    if all(is_for_guarantee(v.person.image.name) for v in seen):
        raise BadFileError("All of these people are kept for the guarantee, and none is left to fit on: give more.")
    tested = None
    if tests:
        tested, _ = try_out(predictor, views_of(tests, skeleton, everyone=True), tempering, size_bounds)
    counted = None if tested is None else as_lacking(tested.picture, tested.predicted.views, skeleton)
    picture = fit_part(tried.features, tried.picture, seen, skeleton, counted)
    evidence = None
    if tried.evidence is not None:
        if tested is not None and tested.evidence is not None:
            counted = as_lacking(tested.evidence, tested.predicted.views, skeleton)
        evidence = fit_part(EVIDENCE_FEATURES, tried.evidence, seen, skeleton, counted, tried.labels)
    return Calibration(
        keypoints=skeleton.keypoints,
        size_bounds=size_bounds,
        people=_named([v for v in seen if not is_for_guarantee(v.person.image.name)], "each also cut at a border"),
        guarantee_people=_named(
            [v for v in seen if is_for_guarantee(v.person.image.name)], "half of them cut at a border"
        ),
        test_people=_named(tested.predicted.views, "each whole and cut at a border") if tested else "",
        tempering=tempering,
        prior=sha256_of(PRIOR_PATH) if evidence else "",
        picture=picture,
        evidence=evidence,
    )


def _named(views: Sequence[View], how: str) -> str:
    """`236 people of coco/train (220 also in MPII's form), 217 of lspet/train, half of them cut at a border`."""
    whole = [v for v in views if v.window_xyxy is None]
    counts = Counter(v.dataset for v in whole if v.form != MPII)
    also = Counter(v.dataset for v in whole if v.form == MPII)
    parts = [
        f"{n} people of {name}" + (f" ({also[name]} also in MPII's form)" if also[name] else "")
        for name, n in counts.items()
    ]
    return ", ".join([*parts, how])
