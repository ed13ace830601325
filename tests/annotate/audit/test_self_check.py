"""The self-check: quiet where confidences are right, loud where they are too high."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from poseunion.annotate.audit.self_check import Masked, SelfCheck, compare, self_check
from poseunion.annotate.cli.main import app
from poseunion.annotate.extend.acceptance import acceptance_rule
from poseunion.annotate.formats import read_annotations
from poseunion.models.errors import BadArgumentError
from poseunion.models.inference.conditioned import ConditionedPredictor
from poseunion.models.inference.predictor import load_predictor


@pytest.fixture(scope="module")
def predictor() -> ConditionedPredictor:
    return ConditionedPredictor(load_predictor("unified", threads=1))


def checked(predictor: Any, seed: int, factor: float, people: int = 100) -> SelfCheck:
    """Hidden keypoints of people whose errors come together: each person is hard or easy."""
    rng = np.random.default_rng(seed)
    person, keypoint = np.repeat(np.arange(people), 12), np.tile(np.arange(5, 17), people)
    confidence = rng.beta(8, 1, len(person))
    hard = np.repeat(rng.choice([0.4, 1.6], people), 12)  # 1 in the mean
    wrong = rng.random(len(person)) < (1 - confidence) * hard * factor
    return compare(Masked(person, keypoint, confidence, wrong), acceptance_rule(predictor, risk=0.05), ("nose",))


def test_the_alarm_is_rare_if_the_calibration_holds_and_sure_if_errors_double(predictor: Any) -> None:
    assert np.mean([checked(predictor, seed, 1).alarm for seed in range(200)]) <= 0.03
    assert np.mean([checked(predictor, seed, 0.5).alarm for seed in range(50)]) == 0
    assert np.mean([checked(predictor, seed, 2).alarm for seed in range(100)]) >= 0.95


def test_confidences_that_are_too_low_elsewhere_cannot_hide_errors_among_the_accepted(predictor: Any) -> None:
    rule, rng = acceptance_rule(predictor, risk=0.05), np.random.default_rng(0)
    person, keypoint = np.repeat(np.arange(100), 12), np.tile(np.arange(5, 17), 100)
    high = rng.random(len(person)) < 0.5
    confidence = np.where(high, 0.999, 0.3)
    wrong = rng.random(len(person)) < np.where(high, 0.1, 0.4)
    found = compare(Masked(person, keypoint, confidence, wrong), rule)
    assert found.z < 0
    assert found.alarm
    assert "among those that would be accepted" in found.sentences[0]


def test_an_alarm_names_the_risk_that_would_keep_the_guarantee_and_refuses_this_one(predictor: Any) -> None:
    loud, quiet = checked(predictor, 0, 2), checked(predictor, 0, 1)
    assert loud.risk == 0.05
    assert loud.stricter_risk == pytest.approx(0.05 * loud.predicted / loud.errors, rel=0.06)
    text = " ".join(loud.sentences)
    assert "not guaranteed here" in text
    assert "annotate audit" in text
    assert "Not checked, because no one has them labelled: nose." in text
    with pytest.raises(BadArgumentError, match="not guaranteed here"):
        loud.refuse_risk()
    quiet.refuse_risk()
    assert "not more than chance explains" in quiet.sentences[0]
    loud.print(Console(quiet=True))


def test_an_uncalibrated_model_cannot_be_checked(folder: Any, coco: Any, fake: Any) -> None:
    folder.write(coco(2))
    with pytest.raises(BadArgumentError, match="needs a calibrated model"):
        self_check(read_annotations(folder.file), folder.images, fake(), acceptance_rule(fake()))


def test_from_the_command_line(tmp_path: Path) -> None:
    arguments = [
        "extend",
        "--dataset",
        "example",
        "--dry-run",
        "--self-check",
        "--json",
        "--out",
        str(tmp_path / "a.json"),
    ]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0, found.output
    said = json.loads(found.stdout)["self_check"]
    assert said["people"] == 3
    assert said["hidden"] == sum(row["hidden"] for row in said["keypoints"].values())
    assert not {"pelvis", "thorax"} & set(said["keypoints"])  # derived ones are no labels
    assert not set(said["unseen"]) & set(said["keypoints"])
    assert not list(tmp_path.iterdir())
