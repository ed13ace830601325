from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from poseunion.annotate.formats import read_annotations
from poseunion.models.skeleton import load_skeleton, project
from poseunion.training.evaluate import Predictions, coco_scores, pck_scores, predict_people
from poseunion.training.people import LSP_OFFSETS, apply_offsets


def predictions_of(path: Path, shift: float = 0.0) -> Predictions:
    annotations = read_annotations(path)
    n, k = annotations.visibility.shape
    return Predictions(np.arange(n), annotations.xy + shift, np.full((n, k), 0.9), np.ones(k, bool), ())


def test_the_truth_scores_everything(drawn_dataset: Path) -> None:
    path = drawn_dataset / "coco17.json"
    scores = coco_scores(read_annotations(path), predictions_of(path))
    assert scores["AP"] == pytest.approx(100)
    assert scores["mean_OKS"] == pytest.approx(100)
    assert pck_scores(read_annotations(path), predictions_of(path))["PCK12"] == pytest.approx(100)


def test_being_far_off_scores_nothing(drawn_dataset: Path) -> None:
    path = drawn_dataset / "coco17.json"
    scores = coco_scores(read_annotations(path), predictions_of(path, 500.0))
    assert scores["AP"] == pytest.approx(0)
    assert scores["mean_OKS"] < 1
    assert pck_scores(read_annotations(path), predictions_of(path, 500.0))["PCK12"] == pytest.approx(0)


def test_lsp_is_scored_in_its_own_definition(drawn_dataset: Path) -> None:
    """A union model that is right in the union's definitions is right in LSP's."""
    annotations = read_annotations(drawn_dataset / "lsp14.json")
    union = load_skeleton("union21")
    truth, seen = apply_offsets(annotations.xy, annotations.visibility, annotations.skeleton, LSP_OFFSETS)
    truth, _ = project(truth, seen, annotations.skeleton, union)

    class Oracle:
        name, skeleton = "oracle", union

        def __init__(self) -> None:
            self.next = iter(range(len(truth)))

        def __call__(self, image: np.ndarray, boxes: np.ndarray) -> object:
            rows = [next(self.next) for _ in boxes]

            class Poses:
                xy = truth[rows].astype(np.float32)
                score = np.ones((len(rows), 21), np.float32)

            return Poses()

    predictions = predict_people(Oracle(), annotations, drawn_dataset)  # type: ignore[arg-type]
    assert pck_scores(annotations, predictions, threshold=0.01)["head_top"] == pytest.approx(100)
