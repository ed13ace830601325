"""MPII's conventions, PCKh and OKS equal mmpose's and xtcocotools'."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from poseunion.annotate.formats import read_annotations
from poseunion.models.metrics import area_from_box, head_sizes, oks
from poseunion.models.skeleton import load_skeleton
from poseunion.training.evaluation.mpii import head_sizes_of, pckh_scores
from poseunion.training.evaluation.predictions import Predictions


def test_mpii_persons(recipe: ModuleType, mmpose: dict[str, Any], tmp_path: Path) -> None:
    records = recipe.mpii_records(40)
    (tmp_path / "mpii.json").write_text(json.dumps(records))
    annotations = read_annotations(tmp_path / "mpii.json")
    assert annotations.protocol is not None
    x, y, w, h = annotations.protocol.xywh.T
    np.testing.assert_allclose(np.stack([x + w / 2, y + h / 2], -1), mmpose["mpii"]["center"], atol=1e-3)
    np.testing.assert_allclose(np.stack([w, h], -1), mmpose["mpii"]["scale"], rtol=1e-6)
    # mmpose leaves joints 1-based, and its metric adds 1 to predictions; here labelled joints are 0-based.
    theirs, labelled = np.array(mmpose["mpii"]["first_joints"]), annotations.visibility[0] > 0
    np.testing.assert_allclose(annotations.xy[0][labelled] + 1, theirs[labelled], atol=1e-4)
    assert (theirs[~labelled] == -1).all()


def test_head_sizes(recipe: ModuleType, mmpose: dict[str, Any]) -> None:
    np.testing.assert_allclose(head_sizes(recipe.head_boxes(40)), mmpose["mpii"]["head_size"], rtol=1e-6)


@pytest.mark.parametrize(("name", "k", "skeleton"), [("coco", 17, "coco17"), ("crowdpose", 14, "crowdpose14")])
def test_oks(name: str, k: int, skeleton: str, recipe: ModuleType, mmpose: dict[str, Any]) -> None:
    answers = mmpose["oks"]
    sigmas = np.array(answers[f"{name}-sigmas"])
    np.testing.assert_allclose(load_skeleton(skeleton).sigma_array, sigmas)
    truth, predicted, visibility = recipe.people(30, k)
    span = np.ptp(truth, axis=1)
    area = span.prod(-1) / 2
    box = np.concatenate([truth.min(1), span], -1)
    np.testing.assert_allclose(oks(predicted, truth, visibility, area, sigmas), answers[f"{name}-area"], atol=1e-9)
    by_box = oks(predicted, truth, visibility, area_from_box(box), sigmas)
    np.testing.assert_allclose(by_box, answers[f"{name}-box"], atol=1e-9)
    everyone = oks(predicted, truth, np.full_like(visibility, 2), area, sigmas)  # `oks_iou` ignores visibility
    np.testing.assert_allclose(everyone, answers[f"{name}-oks_iou"], atol=1e-6)


def test_pckh(recipe: ModuleType, mmpose: dict[str, Any], tmp_path: Path) -> None:
    n = 40
    (tmp_path / "mpii.json").write_text(json.dumps(recipe.mpii_records(n)))
    boxes = recipe.head_boxes(n)
    savemat(tmp_path / "heads.mat", {"headboxes_src": boxes.reshape(n, 2, 2).transpose(1, 2, 0)})
    annotations = read_annotations(tmp_path / "mpii.json")
    _, predicted, _ = recipe.people(n, 16)
    predictions = Predictions(np.arange(n), predicted, np.ones((n, 16)), np.ones(16, bool), ())
    scores = pckh_scores(annotations, predictions, head_sizes_of(annotations, tmp_path / "heads.mat"))
    theirs = {name.removesuffix(" PCK"): value for name, value in mmpose["mpii"]["scores"].items()}
    theirs["PCKh@.5"], theirs["PCKh@.1"] = theirs.pop("PCK"), theirs.pop("PCK@0.1")
    assert scores == pytest.approx(theirs, abs=1e-5)  # its PCKh@.1 is float32
