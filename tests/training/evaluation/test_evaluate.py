"""Evaluation on drawn people: predictions that are right, far off, or of another skeleton."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from paper_a_table1 import table1

from poseunion.annotate.formats import read_annotations
from poseunion.models.errors import BadArgumentError, BadFileError, ItemError
from poseunion.models.keypoint_offsets import LSP_OFFSETS, apply_offsets
from poseunion.models.poses.batch import PoseBatch
from poseunion.models.skeleton import Skeleton, load_skeleton, project
from poseunion.training.evaluation.coco import coco_scores
from poseunion.training.evaluation.detections_file import read_boxes
from poseunion.training.evaluation.evaluate import DATASETS, measure, read_task, scores_of
from poseunion.training.evaluation.pck import pck_scores
from poseunion.training.evaluation.predictions import Predictions, as_detected, predict_people
from poseunion.training.evaluation.report_table import markdown_table, notes

UNION = load_skeleton("union21")


class Oracle:
    """A model that knows where everybody is: it answers with the labels of the person whose box it is shown."""

    name, padding = "oracle", 1.25

    def __init__(self, truth_NK2: np.ndarray, boxes_N4: np.ndarray, skeleton: Skeleton, score: float = 0.8) -> None:
        self.truth, self.boxes, self.skeleton, self.score = truth_NK2, boxes_N4, skeleton, score
        self.asked = 0

    def __call__(self, image: NDArray[np.uint8], boxes_xywh: ArrayLike) -> PoseBatch:
        boxes = np.asarray(boxes_xywh)
        if (boxes[:, 0] > image.shape[1]).any():
            raise ItemError("the box lies outside the picture")
        rows = [self.asked + int(np.abs(self.boxes[self.asked :] - box).sum(-1).argmin()) for box in boxes]
        self.asked += len(boxes)
        score = np.full((len(rows), len(self.skeleton)), self.score, np.float32)
        return PoseBatch(self.skeleton, self.truth[rows].astype(np.float32), score, boxes.astype(np.float32))


def oracle_of(path: Path, skeleton: Skeleton = UNION) -> Oracle:
    annotations = read_annotations(path)
    xy, seen = annotations.xy, annotations.visibility
    if annotations.skeleton.name == "lsp14":
        xy, seen = apply_offsets(xy, seen, annotations.skeleton, LSP_OFFSETS)
    xy, _ = project(xy, seen, annotations.skeleton, skeleton)
    return Oracle(xy, annotations.box_xywh, skeleton)


def test_lsp_is_scored_in_its_own_definition(drawn_dataset: Path) -> None:
    """A union model that is right in the union's definitions is right in LSP's."""
    annotations = read_annotations(drawn_dataset / "lsp14.json")
    predictions = predict_people(oracle_of(drawn_dataset / "lsp14.json"), annotations, drawn_dataset)
    assert pck_scores(annotations, predictions, threshold=0.01)["head_top"] == pytest.approx(100)


def test_every_dataset_has_a_skeleton() -> None:
    for name in DATASETS.values():
        load_skeleton(name)


def test_a_dataset_is_recognised_and_may_be_contradicted(drawn_dataset: Path) -> None:
    assert read_task(drawn_dataset / "lsp14.json", drawn_dataset).dataset == "lsp"
    with pytest.raises(BadFileError):
        read_task(drawn_dataset / "lsp14.json", drawn_dataset, dataset="coco")
    with pytest.raises(BadArgumentError, match="No dataset 'lspet'"):
        read_task(drawn_dataset / "lsp14.json", drawn_dataset, dataset="lspet")
    with pytest.raises(BadArgumentError, match="skeleton coco17, not lsp14"):
        read_task(drawn_dataset / "lsp14.json", drawn_dataset, dataset="coco", skeleton="lsp14")


def test_a_right_model_scores_everything(drawn_dataset: Path) -> None:
    path = drawn_dataset / "coco17.json"
    scores = measure(oracle_of(path), read_task(path, drawn_dataset)).scores
    assert scores["coco"]["AP"] == scores["shared12"]["AP"] == pytest.approx(100)
    assert scores["all"]["known"] == scores["all"]["keypoints"] == 17
    assert "AP" in json.loads(json.dumps(scores, allow_nan=False))["coco"]
    table = markdown_table([scores])
    assert "| AP | 100.0 |" in table
    assert "| shared 12: AP | 100.0 |" in table
    assert "all: AP" not in table, "it is the AP above"
    assert "pycocotools" in "\n".join(notes(scores))


def test_over_all_keypoints_what_a_model_does_not_know_is_missed(drawn_dataset: Path) -> None:
    path = drawn_dataset / "coco17.json"
    mpii = measure(oracle_of(path, load_skeleton("mpii16")), read_task(path, drawn_dataset)).scores
    assert (mpii["all"]["known"], mpii["shared12"]["known"]) == (12, 12)
    assert mpii["shared12"]["AP"] == mpii["shared12"]["PCK@.2"] == pytest.approx(100)
    assert mpii["all"]["PCK@.2"] == pytest.approx(100 * 12 / 17)
    assert mpii["all"]["AP"] == mpii["coco"]["AP"] < 60
    assert "all: PCK@.2" in markdown_table([mpii])


def test_table_1(drawn_dataset: Path, tmp_path: Path) -> None:
    joints = [[100.0 + 10 * k, 200.0 + 7 * k] for k in range(16)]
    person = {"image": "a.jpg", "center": [150, 250], "scale": 2.0, "joints": joints, "joints_vis": [1] * 16}
    (tmp_path / "mpii.json").write_text(json.dumps([{**person, "head_box": [10.0, 10.0, 40.0, 50.0]}]))
    mpii = read_task(tmp_path / "mpii.json", tmp_path)
    known = np.array([name in UNION.keypoints[:17] for name in mpii.annotations.skeleton.keypoints])
    predictions = Predictions(np.arange(1), mpii.annotations.xy, np.ones((1, 16)), known, ())
    of_mpii = scores_of(mpii, "coco model", predictions)
    path = drawn_dataset / "coco17.json"
    of_coco = measure(oracle_of(path), read_task(path, drawn_dataset)).scores
    assert "coco" not in of_mpii, "MPII's protocol has no AP"
    assert of_mpii["pckh@.1"]["Ankle"] == pytest.approx(100)
    both = table1([[of_mpii], [of_coco]]).splitlines()
    # 14 of MPII's keypoints count for PCKh; a COCO model knows neither upper_neck nor head_top.
    assert "| all: 16 and 17 | 85.71 | 85.71 | 100.00 |" in both[2]
    assert both[3].startswith("| coco model | shared 12 | 100.00 | 100.00 | 100.00 |")
    assert table1([[of_coco]]) == ""


def test_a_detectors_boxes(drawn_dataset: Path, tmp_path: Path) -> None:
    path = drawn_dataset / "coco17.json"
    box = {"category_id": 1, "bbox": [20, 20, 120, 160], "score": 0.9}
    found = [{"image_id": i, **box} for i in range(11)]  # nobody is found in the last picture
    stray = {"image_id": 3, "category_id": 1, "bbox": [900, 20, 120, 160], "score": 0.1}
    others = [{**stray, "category_id": 2}, {**stray, "image_id": 99}, {**stray, "bbox": [1, 1, 0, 4]}]
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps([*found, stray, *others]))
    task = read_task(path, drawn_dataset, boxes=str(file))
    assert task.boxes is not None
    assert (len(task.boxes.image), task.boxes.elsewhere) == (12, 1)
    measured = measure(oracle_of(path), task)
    assert measured.scores["coco"]["AR"] == pytest.approx(100 * 11 / 12)
    assert len(measured.scores["skipped"]) == 1, "the box outside its picture, and nobody else"
    assert measured.scores["pck"]["PCK12"] == pytest.approx(100 * 11 / 12), "who was not found is missed"
    assert np.isnan(measured.predictions.xy[-1]).all()


def test_a_person_scores_the_box_times_the_keypoints(drawn_dataset: Path) -> None:
    """A wrong pose with a sure box comes before the right ones; with a doubtful box, after them."""
    path = drawn_dataset / "coco17.json"
    task = read_task(path, drawn_dataset)
    n, k = task.annotations.visibility.shape
    predictions = Predictions(np.arange(n), task.annotations.xy, np.full((n, k), 0.5), np.ones(k, bool), ())
    right = as_detected(task.annotations, predictions)
    by_score = {}
    for score in (1.0, 0.2):
        wrong = dataclasses.replace(
            right,
            image=np.append(right.image, 0),
            xy=np.concatenate([right.xy, right.xy[:1] + 500]),
            score=np.concatenate([right.score, np.full((1, k), 0.9)]),
            box_score=np.append(right.box_score, score),
        )
        by_score[score] = coco_scores(task.annotations, predictions, wrong)["AP"]
    assert by_score[0.2] == pytest.approx(100)
    assert by_score[1.0] < 95


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({}, "not a list of detections"),
        ([{"image_id": 1, "bbox": [1, 2, 3], "score": 1}], "record 0: bbox"),
        ([{"image_id": 1, "bbox": [1, 2, 3, 4]}], "record 0: score None"),
        ([{"bbox": [1, 2, 3, 4], "score": 1}], "image_id"),
        ([{"image_id": 77, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}], "has no person in the pictures"),
    ],
)
def test_bad_boxes_are_one_sentence(drawn_dataset: Path, tmp_path: Path, content: object, says: str) -> None:
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    with pytest.raises(BadFileError, match=says) as caught:
        read_boxes(tmp_path / "boxes.json", read_annotations(drawn_dataset / "coco17.json"))
    assert "\n" not in str(caught.value)


def test_evaluating_imports_neither_torch_nor_matplotlib() -> None:
    code = """
import sys
import poseunion.training.cli.main, poseunion.training.evaluation.evaluate
import poseunion.training.evaluation.worst_cases, poseunion.training.evaluation.report_plots
print([name for name in ("torch", "matplotlib", "pycocotools") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_people_who_are_not_measured_are_counted_with_a_reason(drawn_dataset: Path, tmp_path: Path) -> None:
    document = json.loads((drawn_dataset / "lsp14.json").read_text())
    people = document["annotations"]
    people[0]["iscrowd"] = 1
    people[1]["keypoints"] = [0] * len(people[1]["keypoints"])
    path = tmp_path / "left.json"
    path.write_text(json.dumps(document))
    task = read_task(path, drawn_dataset)
    scores = measure(oracle_of(path), task).scores
    assert scores["left_out"] == {"iscrowd": 1, "no human keypoint": 1}
    assert scores["people"] == len(people) - 2
    assert any(f"{len(people) - 2} of {len(people)} people in the file are measured" in line for line in notes(scores))


def test_what_no_label_counts_for_is_no_nought() -> None:
    scores = {"model": "m", "people": 1, "pck": {}}
    assert "| PCK@.2 PCK12 | – |" in markdown_table([scores])
