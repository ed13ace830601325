"""AP equals the referee's on the file itself, and every engine's."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from poseunion.annotate.formats import AnnotationSet, read_annotations
from poseunion.models.errors import BadArgumentError
from poseunion.training.evaluation.coco import ENGINES, STATS, coco_scores
from poseunion.training.evaluation.predictions import Detected, Predictions, as_detected

MODULES = {"hotcoco": "hotcoco", "faster-coco-eval": "faster_coco_eval"}


def predictions_of(path: Path, shift: float = 0.0) -> Predictions:
    annotations = read_annotations(path)
    n, k = annotations.visibility.shape
    return Predictions(np.arange(n), annotations.xy + shift, np.full((n, k), 0.9), np.ones(k, bool), ())


@pytest.fixture(scope="module")
def crowd(drawn_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[AnnotationSet, Predictions, Detected]:
    """40 people on four pictures, a crowd and an unlabelled one among them, predictions off by anything."""
    rng = np.random.default_rng(11)
    document = json.loads((drawn_dataset / "coco17.json").read_text())
    people = []
    for i in range(40):
        xy = rng.uniform(0, 200, (17, 2)).round(2)
        seen = rng.integers(0, 3, 17) if i != 5 else np.zeros(17, int)
        people.append(
            {"id": 100 + i, "image_id": i % 4, "category_id": 1, "bbox": [5.0, 5.0, 180.0, 190.0]}
            | {"area": float(rng.uniform(900, 20_000)), "iscrowd": int(i == 9), "num_keypoints": int((seen > 0).sum())}
            | {"keypoints": np.column_stack([xy, seen]).ravel().tolist()}
        )
    path = tmp_path_factory.mktemp("crowd") / "crowd.json"
    path.write_text(json.dumps({**document, "annotations": people}))
    annotations = read_annotations(path)
    rows = np.array([r.index for r in annotations.persons() if r.skip is None])
    offset = rng.normal(0, rng.choice([1, 4, 12, 30], (len(rows), 1, 1)), (len(rows), 17, 2))
    score = rng.uniform(0.3, 1, (len(rows), 17))
    predictions = Predictions(rows, annotations.xy[rows] + offset, score, np.ones(17, bool), ())
    return annotations, predictions, as_detected(annotations, predictions)


def test_the_truth_scores_everything(drawn_dataset: Path) -> None:
    path = drawn_dataset / "coco17.json"
    scores = coco_scores(read_annotations(path), predictions_of(path))
    assert scores["AP"] == pytest.approx(100)
    assert scores["mean_OKS"] == pytest.approx(100)
    assert "APL" not in scores, "nobody is that large"


def test_being_far_off_scores_nothing(drawn_dataset: Path) -> None:
    path = drawn_dataset / "coco17.json"
    scores = coco_scores(read_annotations(path), predictions_of(path, 500.0))
    assert scores["AP"] == pytest.approx(0)
    assert scores["mean_OKS"] < 1


def test_keypoints_out_of_the_picture_do_not_lower_a_person(
    crowd: tuple[AnnotationSet, Predictions, Detected],
) -> None:
    """Halves of people with their P(in the picture) rank as the whole people do."""
    annotations, predictions, _ = crowd
    same = replace(predictions, score=np.repeat(predictions.score[:, :1], 17, 1))
    half = np.where(np.arange(17) < 8, 1.0, np.zeros((len(same.rows), 1)))
    half[::2] = 1
    cut = replace(same, score=same.score * half, in_picture=half)
    whole = coco_scores(annotations, same)["AP"]
    assert coco_scores(annotations, cut)["AP"] == whole
    assert coco_scores(annotations, replace(cut, in_picture=None))["AP"] != whole


def test_ap_is_that_of_the_file_itself(crowd: tuple[AnnotationSet, Predictions, Detected]) -> None:
    """What we make of the labels is for pycocotools what the file is."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations, predictions, detected = crowd
    ours = coco_scores(annotations, predictions, detected)
    results = [
        {"image_id": annotations.images[image].id, "category_id": 1, "score": float(score.mean())}
        | {"keypoints": np.column_stack([xy, np.ones(17)]).ravel().tolist()}
        for image, xy, score in zip(detected.image, detected.xy, detected.score, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations.source.path))
        evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert 20 < ours["AP"] < 90
    assert [ours[name] / 100 for name in STATS] == pytest.approx(list(evaluation.stats), abs=1e-15)


@pytest.mark.parametrize("engine", MODULES)
def test_engines_agree_to_the_last_digit(engine: str, crowd: tuple[AnnotationSet, Predictions, Detected]) -> None:
    if importlib.util.find_spec(MODULES[engine]) is None:
        pytest.skip(f"{engine} is not installed")
    annotations, predictions, detected = crowd
    limbs = annotations.skeleton.keypoints[5:]
    for keypoints in (None, limbs):
        referee = coco_scores(annotations, predictions, detected, keypoints=keypoints)
        assert coco_scores(annotations, predictions, detected, keypoints=keypoints, engine=engine) == referee


def test_an_unknown_engine_is_named(crowd: tuple[AnnotationSet, Predictions, Detected]) -> None:
    with pytest.raises(BadArgumentError, match=ENGINES[1]):
        coco_scores(*crowd, engine="coco")
