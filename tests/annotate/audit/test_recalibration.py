"""Refitted confidences: few answers change little, many find the truth, and no human point is touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from poseunion.annotate.audit.recalibration import exposures, fit, recalibrate
from poseunion.annotate.audit.sample import draw, population, to_inspect
from poseunion.annotate.cli.main import app
from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import read_annotations
from poseunion.annotate.formats.block import check_extended
from poseunion.annotate.review.decisions import Decision, now, read_extended, save
from poseunion.models.errors import BadArgumentError
from poseunion.models.files import write_json


@pytest.fixture
def file(folder: Any, coco: Any, fake: Any) -> Path:
    """An extended file with an audit of five points, four of them rejected."""
    folder.write(coco(8))
    extend(read_annotations(folder.file), folder.images, fake(), folder.out, Options(fill_gaps=True))
    annotations = read_extended(folder.out)
    audit = draw(annotations, 5)
    write_json(Path(f"{folder.out}.audit.json"), audit.model_dump())
    places = to_inspect(annotations, audit)
    ids = [annotations.records[row]["id"] for row, _ in places]
    words = ["reject"] * 4 + ["accept"]
    save(folder.out, [Decision(i, k, w, "ann", now()) for i, (_, k), w in zip(ids, places, words, strict=True)])
    return Path(folder.out)


@given(st.floats(0.01, 0.99))
def test_without_answers_the_shipped_function_is_the_most_probable_and_none_is_sure(confidence: float) -> None:
    nothing = fit([], np.zeros(0), np.zeros(0, bool), {"nose": 1.0})
    assert (nothing.shift, nothing.slope, nothing.keypoints) == (0, 1, {"nose": 0})
    assert abs(nothing(["nose"], np.array([confidence]))[0] - 0.5) <= abs(confidence - 0.5) + 1e-9


@pytest.mark.parametrize(("answers", "tolerance"), [(50, 0.15), (2000, 0.03)])
def test_answers_bring_confidences_to_the_truth(answers: int, tolerance: float) -> None:
    rng = np.random.default_rng(0)
    confidence, noses = rng.uniform(0.7, 0.995, answers), ["nose"] * answers
    truth = 1 / (1 + np.exp(-(np.log(confidence / (1 - confidence)) - 1.5)))
    fitted = fit(noses, confidence, rng.random(answers) > truth, {"nose": 1.0})
    error = np.abs(fitted(noses, confidence) - truth).mean()
    assert error < tolerance < np.abs(confidence - truth).mean()


def test_a_keypoint_that_fails_falls_farther_and_its_side_with_it() -> None:
    wrong = np.arange(40) < 20
    exposure = {"ear": 1.0, "nose": 1.0, "upper_neck": 1.0}
    fitted = fit(["left_ear"] * 20 + ["nose"] * 20, np.full(40, 0.9), wrong, exposure)
    ear, side, neck, nose = fitted(["right_ear", "left_ear", "upper_neck", "nose"], np.full(4, 0.9))
    assert ear == side < neck < nose


def test_a_shared_shift_costs_most_where_the_tolerance_is_small() -> None:
    exposure = exposures({"nose": 0.5, "hip": 2.0, "knee": 1.0}, np.array([0.5, 1.0, 2.0]))
    assert exposure == {"nose": 4.0, "hip": 0.25, "knee": 1.0}
    fitted = fit(["left_knee"] * 40, np.full(40, 0.9), np.arange(40) < 15, exposure)
    nose, knee, hip = fitted(["nose", "left_knee", "left_hip"], np.full(3, 0.9))
    assert nose < knee < hip


def test_points_are_taken_away_and_only_proposals(file: Path) -> None:
    before = read_extended(file)
    done = recalibrate(before, draw(before, 1), 0.3)
    out = file.with_name("new.json")
    write_json(out, done.document)
    after = read_extended(out)
    check_extended(after)
    names = after.skeleton.keypoints
    for old, new in zip(before.records, after.records, strict=True):
        decided = {entry["keypoint"] for entry in old.get("review", [])}
        assert new.get("review") == old.get("review")
        for k, name in enumerate(names):
            kept = new["keypoints"][3 * k : 3 * k + 3] == old["keypoints"][3 * k : 3 * k + 3]
            assert kept or (old["keypoint_source"][k], new["keypoint_source"][k]) == ("proposed", "none")
            assert kept or name not in decided
        assert new["num_keypoints"] == sum(v > 0 for v in new["keypoints"][2::3])
        for was, is_ in zip(old["proposals"], new["proposals"], strict=True):
            assert was["accepted"] or not is_["accepted"]
    assert done.kept + sum(done.removed.values()) == len(population(before))
    assert sum(done.removed.values()) > 0
    block = after.source.document["poseunion"]
    assert block["recalibration"]["inspected"] == 5
    assert not {"certificate", "guarantee"} & set(block)


def test_from_the_command_line(file: Path, tmp_path: Path) -> None:
    def run(*arguments: object) -> Any:
        return CliRunner().invoke(app, ["recalibrate", *(str(a) for a in arguments)])

    assert isinstance(run(file, "--out", file).exception, BadArgumentError)
    out = tmp_path / "new.json"
    said = json.loads(run(file, "--out", out, "--risk", 0.3, "--json").stdout)
    assert (said["inspected"], said["errors"]) == (5, 4)
    assert "no longer are" in run(file, "--out", out, "--overwrite").stdout
    assert run(file, "--out", out).exception is not None
    assert isinstance(run(file, "--out", tmp_path / "b.json", "--risk", 2).exception, BadArgumentError)
    assert not (tmp_path / "b.json").exists()
