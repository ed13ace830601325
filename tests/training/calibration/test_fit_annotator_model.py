"""The fit of what annotators label finds the rule by which labels were made, and says nothing where too few were."""

from __future__ import annotations

import numpy as np

from poseunion.models.calibration.annotator_model import GEOMETRY
from poseunion.models.skeleton import load_skeleton
from poseunion.training.calibration.fit_annotator_model import (
    LabelSamples,
    best_threshold,
    fit_labelling,
    with_enough_labels,
)

UNION = load_skeleton("union21")
LIMBS = ("left_shoulder", "right_shoulder", "left_hip", "right_hip", "left_knee", "left_wrist")


def people(n: int, seed: int = 0) -> tuple[LabelSamples, np.ndarray]:
    """Noses are labelled from the front, wrists are hidden where most joints are."""
    rng = np.random.default_rng(seed)
    names = ("nose", *LIMBS)
    view = np.repeat(np.arange(n), len(names))
    keypoint = np.tile([UNION.index(name) for name in names], n)
    geometry = np.zeros((len(view), len(GEOMETRY)))
    facing, hidden = rng.uniform(-1, 1, n), rng.uniform(0, 1, n)
    geometry[:, 0] = facing[view]
    geometry[:, 4] = hidden[view]
    visibility = np.full(len(view), 2, np.int8)
    visibility[(keypoint == 0) & (facing[view] + 0.2 * rng.normal(size=len(view)) < 0)] = 0
    wrist = keypoint == UNION.index("left_wrist")
    visibility[wrist & (hidden[view] + 0.1 * rng.normal(size=len(view)) > 0.6)] = 1
    feature, has_occluded = np.zeros((len(view), 1)), np.ones(len(view), bool)
    return LabelSamples(view, keypoint, visibility, feature, geometry, has_occluded), np.full(len(view), 0.8)


def test_it_finds_the_back_of_a_head_and_a_hidden_wrist() -> None:
    samples, confidence = people(400)
    found = fit_labelling(samples, confidence, UNION, "400 people")
    assert found is not None
    assert set(found.labelled) == {"nose"}
    assert set(found.occluded) == {"wrist"}
    fresh, confidence = people(400, seed=1)
    names = [UNION.keypoints[k] for k in fresh.keypoint]
    kept = found.labelled_probability(names, confidence, fresh.geometry) >= found.threshold
    nose = fresh.keypoint == 0
    assert (kept == (fresh.visibility > 0))[nose].mean() > 0.85
    hidden = found.occluded_probability(names, confidence, fresh.geometry) >= 0.5
    wrist = fresh.keypoint == UNION.index("left_wrist")
    assert (hidden == (fresh.visibility == 1))[wrist].mean() > 0.85


def test_too_few_people_fit_nothing() -> None:
    samples, confidence = people(10)
    assert fit_labelling(samples, confidence, UNION, "10 people") is None


def test_files_without_occluded_labels_say_nothing_of_occlusion() -> None:
    samples, confidence = people(400)
    silent = LabelSamples(
        samples.view,
        samples.keypoint,
        samples.visibility,
        samples.feature,
        samples.geometry,
        np.zeros(len(confidence), bool),
    )
    found = fit_labelling(silent, confidence, UNION, "400 people")
    assert found is not None
    assert not found.occluded


def test_a_face_of_somebody_hardly_labelled_was_not_left_out_on_purpose() -> None:
    samples, _ = people(3)
    limbs = np.flatnonzero((samples.view == 1) & (samples.keypoint != 0))
    samples.visibility[limbs[:3]] = 0
    assert with_enough_labels(samples, UNION).tolist() == [True] * 7 + [False] * 7 + [True] * 7


def test_the_threshold_parts_the_two_kinds() -> None:
    probability = np.array([0.1, 0.35, 0.45, 0.58, 0.62, 0.9])
    assert 0.45 < best_threshold(probability, probability > 0.5) <= 0.58
    assert best_threshold(probability, np.ones(6, bool)) == 0.5
