"""PCKh at its edges; that it equals mmpose's is tested in tests/behaviour/parity."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from poseunion.annotate.formats import AnnotationSet, read_annotations
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.training.evaluation.mpii import head_sizes_of, pckh_scores
from poseunion.training.evaluation.predictions import Predictions

HEAD_BOX = [10.0, 10.0, 40.0, 50.0]  # diagonal 50, head size 30


def _annotations(tmp_path: Path, persons: int = 3) -> AnnotationSet:
    joints = [[100.0 + 10 * k, 200.0 + 7 * k] for k in range(16)]
    person = {"image": "a.jpg", "center": [150, 250], "scale": 2.0, "joints": joints, "joints_vis": [1] * 16}
    (tmp_path / "mpii.json").write_text(json.dumps([{**person, "head_box": HEAD_BOX}] * persons))
    return read_annotations(tmp_path / "mpii.json")


def _off_by(annotations: AnnotationSet, px: float, known: np.ndarray | None = None) -> Predictions:
    n, k = annotations.visibility.shape
    xy = annotations.xy + np.array([px, 0.0])
    return Predictions(np.arange(n), xy, np.ones((n, k)), np.ones(k, bool) if known is None else known, ())


def test_thresholds_are_in_head_sizes(tmp_path: Path) -> None:
    annotations = _annotations(tmp_path)
    head = head_sizes_of(annotations)
    np.testing.assert_allclose(head, 30.0)
    for px, half, tenth in [(0.0, 100, 100), (2.9, 100, 100), (3.1, 100, 0), (14.9, 100, 0), (15.1, 0, 0)]:
        scores = pckh_scores(annotations, _off_by(annotations, px), head)
        assert scores["PCKh@.5"] == pytest.approx(half)
        assert scores["PCKh@.1"] == pytest.approx(tenth)


def test_pelvis_thorax_and_what_the_model_does_not_know_do_not_count(tmp_path: Path) -> None:
    annotations = _annotations(tmp_path)
    predictions = _off_by(annotations, 0.0)
    predictions.xy[:, [6, 7]] += 1000
    assert pckh_scores(annotations, predictions, head_sizes_of(annotations))["PCKh@.5"] == pytest.approx(100)
    known = np.ones(16, bool)
    known[9] = False
    predictions = _off_by(annotations, 0.0, known)
    predictions.xy[:, 9] += 1000
    scores = pckh_scores(annotations, predictions, head_sizes_of(annotations))
    assert scores["PCKh@.5"] == pytest.approx(100)
    assert "Head" not in scores


def test_people_without_a_head_box_do_not_count(tmp_path: Path) -> None:
    annotations = _annotations(tmp_path, persons=2)
    predictions = _off_by(annotations, 0.0)
    predictions.xy[1] += 1000
    assert pckh_scores(annotations, predictions, np.array([30.0, np.nan]))["PCKh@.5"] == pytest.approx(100)
    assert pckh_scores(annotations, predictions, np.array([30.0, 30.0]))["PCKh@.5"] == pytest.approx(50)


def test_files_that_do_not_fit(tmp_path: Path, drawn_dataset: Path) -> None:
    annotations = _annotations(tmp_path)
    savemat(tmp_path / "heads.mat", {"headboxes_src": np.ones((2, 2, 5))})
    with pytest.raises(BadArgumentError, match="5 head boxes for the 3 people"):
        head_sizes_of(annotations, tmp_path / "heads.mat")
    savemat(tmp_path / "other.mat", {"boxes": np.ones(4)})
    with pytest.raises(BadFileError, match="holds no head boxes"):
        head_sizes_of(annotations, tmp_path / "other.mat")
    coco = read_annotations(drawn_dataset / "coco17.json")
    with pytest.raises(BadArgumentError, match="coco17 has no head_top"):
        pckh_scores(coco, _off_by(coco, 0.0), np.ones(len(coco)))
