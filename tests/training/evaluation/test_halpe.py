from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from poseunion.annotate.formats import read_annotations
from poseunion.models.errors import BadArgumentError
from poseunion.models.skeleton import load_skeleton
from poseunion.training.evaluation.evaluate import read_task, scores_of
from poseunion.training.evaluation.halpe import halpe21, halpe_sigmas
from poseunion.training.evaluation.predictions import Predictions

UNION = load_skeleton("union21")


@pytest.fixture
def halpe_file(tmp_path: Path) -> Path:
    """Three people with Halpe's 136 keypoints; the second has but one shoulder, the third no hip (our pelvis)."""
    rng = np.random.default_rng(2)
    people = []
    for i in range(3):
        points = np.column_stack([rng.uniform(10, 150, (136, 2)).round(1), np.full(136, 2)])
        points[{1: 5, 2: 19}.get(i, 135)] = 0
        box = {"bbox": [10, 10, 140, 140], "area": 9000.0, "iscrowd": 0, "num_keypoints": 3}
        people.append({"id": i, "image_id": i, "category_id": 1, "keypoints": points.ravel().tolist()} | box)
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 160, "height": 200} for i in range(3)]
    path = tmp_path / "halpe.json"
    categories = [{"id": 1, "name": "person"}]
    path.write_text(json.dumps({"images": images, "annotations": people, "categories": categories}))
    return path


def test_26_become_21(halpe_file: Path) -> None:
    before, after = read_annotations(halpe_file), halpe21(read_annotations(halpe_file))
    assert after.skeleton == UNION
    halpe = before.skeleton
    for ours, theirs in (("head_top", "head"), ("upper_neck", "neck"), ("pelvis", "hip"), ("left_knee", "left_knee")):
        np.testing.assert_array_equal(after.xy[:, UNION.index(ours)], before.xy[:, halpe.index(theirs)])
    shoulders = [halpe.index("left_shoulder"), halpe.index("right_shoulder")]
    thorax = UNION.index("thorax")
    np.testing.assert_allclose(after.xy[0, thorax], before.xy[0, shoulders].mean(0))
    assert list(after.visibility[:, thorax] > 0) == [True, False, True], "both shoulders, or no thorax"
    assert after.visibility[2, UNION.index("pelvis")] <= 0, "Halpe's hip is a label: it is not derived"


def test_both_sets_of_sigmas(halpe_file: Path) -> None:
    task = read_task(halpe_file, halpe_file.parent, dataset="halpe")
    predictions = Predictions(np.arange(3), task.annotations.xy + 3, np.ones((3, 21)), np.ones(21, bool), ())
    scores = scores_of(task, "m", predictions)
    assert scores["table5"]["mean_OKS"] < scores["coco"]["mean_OKS"] < 100
    assert set(scores["sigmas"]) == {"coco", "table5"}
    stricter = halpe_sigmas() < UNION.sigma_array
    assert {name for name, less in zip(UNION.keypoints, stricter, strict=True) if less} == {
        "head_top",
        "upper_neck",
        "pelvis",
    }


def test_other_keypoints_are_refused(drawn_dataset: Path) -> None:
    with pytest.raises(BadArgumentError, match="has the keypoints of coco17"):
        halpe21(read_annotations(drawn_dataset / "coco17.json"))
