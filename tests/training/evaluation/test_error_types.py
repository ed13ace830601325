"""Every kind of error is distinguished from the others, and what they cost is what is missing from OKS."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from poseunion.annotate.formats import AnnotationSet, read_annotations
from poseunion.training.evaluation.coco import coco_scores
from poseunion.training.evaluation.error_types import (
    GOOD,
    INVERSION,
    JITTER,
    KINDS,
    MISS,
    SWAP,
    error_kinds,
    error_scores,
)
from poseunion.training.evaluation.predictions import Predictions

AREA = 9000.0


@pytest.fixture(scope="module")
def pair(drawn_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> AnnotationSet:
    """Two people in one picture and one in another, keypoints far apart from each other."""
    document = json.loads((drawn_dataset / "coco17.json").read_text())
    people = []
    for i, (image, left) in enumerate([(0, 0), (0, 5000), (1, 0)]):
        xy = np.column_stack([10 + left + 200.0 * np.arange(17), 10 + 300.0 * (np.arange(17) % 3)])
        people.append(
            {"id": i, "image_id": image, "category_id": 1, "bbox": [5.0, 5.0, 150.0, 190.0], "area": AREA, "iscrowd": 0}
            | {"keypoints": np.column_stack([xy, np.full(17, 2)]).ravel().tolist(), "num_keypoints": 17}
        )
    path = tmp_path_factory.mktemp("pair") / "pair.json"
    path.write_text(json.dumps({**document, "annotations": people}))
    return read_annotations(path)


def answers(annotations: AnnotationSet) -> Predictions:
    n, k = annotations.visibility.shape
    return Predictions(np.arange(n), annotations.xy.copy(), np.ones((n, k)), np.ones(k, bool), ())


def test_each_kind(pair: AnnotationSet) -> None:
    truth, names = pair.xy, pair.skeleton.keypoints
    knee, other_knee, nose, elbow, ankle, hip = (
        names.index(k) for k in ("left_knee", "right_knee", "nose", "left_elbow", "left_ankle", "right_hip")
    )
    found = answers(pair)
    reach = 2 * pair.skeleton.sigma_array * np.sqrt(AREA)
    found.xy[0, nose, 0] += reach[nose] * np.sqrt(-2 * np.log(0.7))
    found.xy[0, knee] = truth[0, other_knee]
    found.xy[0, elbow] = truth[1, elbow]
    found.xy[0, ankle] = truth[1, names.index("right_ankle")]
    found.xy[0, hip] += 1000
    expected = np.full((3, 17), GOOD)
    expected[0, nose], expected[0, knee], expected[0, hip] = JITTER, INVERSION, MISS
    expected[0, [elbow, ankle]] = SWAP
    kind, part, counted = error_kinds(pair, found)
    np.testing.assert_array_equal(kind, expected)
    assert counted.all()
    assert part[0, nose] == pytest.approx(0.7)
    assert part[1].min() == pytest.approx(1)


def test_somebody_of_another_picture_is_no_swap(pair: AnnotationSet) -> None:
    found = answers(pair)
    found.xy[2] = pair.xy[1]
    assert (error_kinds(pair, found)[0][2] == MISS).all()


@pytest.mark.parametrize("seed", range(5))
def test_what_the_kinds_cost_is_what_oks_misses(pair: AnnotationSet, seed: int) -> None:
    rng = np.random.default_rng(seed)
    visibility = rng.integers(0, 3, pair.visibility.shape).astype(np.int8)
    labelled = dataclasses.replace(pair, visibility=visibility)
    found = answers(labelled)
    found.xy[:] += rng.normal(0, rng.choice([1, 5, 30, 200], (3, 17, 1)), found.xy.shape)
    scores = error_scores(labelled, found)
    assert sum(scores[kind] for kind in KINDS) == pytest.approx(100)
    lost = sum(scores[f"OKS lost, {kind}"] for kind in KINDS)
    assert lost == pytest.approx(100 - coco_scores(labelled, found)["mean_OKS"])


def test_unknown_and_unlabelled_keypoints_do_not_count(pair: AnnotationSet) -> None:
    found = dataclasses.replace(answers(pair), known=np.arange(17) < 5)
    found.xy[:, 5:] = 0
    assert error_scores(pair, found)["good"] == 100
    blank = dataclasses.replace(pair, visibility=np.zeros_like(pair.visibility))
    assert error_scores(blank, found) == {}


def test_who_was_not_found_is_missed(pair: AnnotationSet) -> None:
    found = answers(pair)
    found.xy[0] = np.nan
    kind, part, _ = error_kinds(pair, found)
    assert (kind[0] == MISS).all()
    assert (part[0] == 0).all()
