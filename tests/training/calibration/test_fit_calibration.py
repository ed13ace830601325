"""Calibration: people cut at a border, joints hidden in rounds, probabilities that are true, and the command."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from poseunion.models.calibration.schema import PICTURE_FEATURES, KeypointLogistic, RiskCoverage, picture_features
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.inference.conditioned import ConditionedPredictor, supports_labels
from poseunion.models.inference.joint import load_joint
from poseunion.models.inference.predictor import load_predictor
from poseunion.models.networks.weights import read_weights
from poseunion.models.skeleton import load_skeleton
from poseunion.models.zoo import model_path
from poseunion.training.calibration.fit_calibration import Samples, confidence_of, ladder_of
from poseunion.training.calibration.logistic import fit_weights
from poseunion.training.calibration.masking import rounds
from poseunion.training.calibration.samples import View, counts_for_guarantee, cut_at_border, read_views
from poseunion.training.cli.main import app
from poseunion.training.data.splits import is_for_guarantee, is_held_out

UNION = load_skeleton("union21")


@pytest.fixture(scope="module")
def views(drawn_dataset: Path) -> list[View]:
    return [v for n in ("coco17", "lsp14") for v in read_views(n, drawn_dataset / f"{n}.json", drawn_dataset, UNION)]


def test_a_cut_person_has_joints_on_both_sides_of_the_border(views: list[View]) -> None:
    for view in views:
        cut = cut_at_border(view)
        assert cut is not None
        assert cut.window_xyxy is not None
        assert view.inside.sum() == view.labelled.sum() == cut.labelled.sum()
        assert 3 <= cut.inside.sum() < view.labelled.sum()
        assert 0 < cut.area < view.area
        x, y, w, h = cut.person.box_xywh
        x0, y0, x1, y1 = cut.window_xyxy
        assert x >= x0
        assert y >= y0
        assert x + w <= x1
        assert y + h <= y1
        # Nobody's joints move, and no joint lies on the border itself.
        np.testing.assert_array_equal(cut.person.xy, view.person.xy)
        again = cut_at_border(view)
        assert again is not None
        assert again.window_xyxy == cut.window_xyxy
        assert counts_for_guarantee(view) != counts_for_guarantee(cut)


def test_every_joint_is_hidden_in_some_round_and_midpoints_with_their_parents() -> None:
    hidden = rounds(UNION, "a.jpg", 3)
    assert hidden.any(0).all()
    for name, parents in UNION.midpoints.items():
        parent_hidden = hidden[:, [UNION.index(p) for p in parents]].any(1)
        assert (hidden[:, UNION.index(name)] >= parent_hidden).all()
    np.testing.assert_array_equal(hidden, rounds(UNION, "a.jpg", 3))


def test_people_of_the_guarantee_are_others_than_those_of_the_fit() -> None:
    held = [name for name in (f"{i:012d}.jpg" for i in range(20_000)) if is_held_out(name)]
    share = np.mean([is_for_guarantee(name) for name in held])
    assert 0.6 < share < 0.7


def _samples(rng: np.random.Generator, n: int) -> Samples:
    """Proposals that are right with a probability that depends on score and size in a way the fit can express."""
    keypoint = rng.integers(0, 21, n)
    raw, size = rng.uniform(0.05, 0.95, n), rng.uniform(0.3, 3, n)
    logit = 1.5 + (keypoint % 3) * 0.5 + 2 * np.log(raw) - 0.3 * np.log(size)
    right = rng.random(n) < 1 / (1 + np.exp(-logit))
    feature = picture_features(raw[:, None], size, (0.3, 3.0))[:, 0]
    nowhere = np.zeros(n, bool)
    return Samples(np.arange(n), keypoint, feature, right, nowhere, ~nowhere)


def _part(samples: Samples) -> KeypointLogistic:
    empty = RiskCoverage(people=0, absent=0, threshold=(), accepted=(), wrong=(), expected=())
    weights = tuple(map(tuple, fit_weights(samples.feature, samples.right, samples.keypoint, UNION).tolist()))
    return KeypointLogistic(features=PICTURE_FEATURES, weights=weights, ladders=(empty,) * 21)


def test_fitted_confidences_are_the_true_probabilities() -> None:
    rng = np.random.default_rng(0)
    part, fresh = _part(_samples(rng, 8_000)), _samples(rng, 20_000)
    confidence = confidence_of(part, fresh)
    bins = np.array_split(np.argsort(confidence), 15)
    error = np.mean([abs(confidence[b].mean() - fresh.right[b].mean()) for b in bins])
    assert error < 0.03
    assert confidence.min() >= 0
    assert confidence.max() <= 1


def test_a_ladder_counts_people_and_accepts_nobody_outside_the_picture() -> None:
    rng = np.random.default_rng(1)
    samples = _samples(rng, 4_000)
    part = _part(samples)
    outside = rng.random(4_000) < 0.3
    samples = dataclasses.replace(samples, placed=~outside)
    ladder = ladder_of(part, samples, samples, 7)
    mine = samples.keypoint == 7
    confidence = confidence_of(part, samples)
    assert ladder.people == mine.sum()
    assert list(ladder.threshold) == sorted(ladder.threshold, reverse=True)
    for threshold, accepted, wrong in zip(ladder.threshold, ladder.accepted, ladder.wrong, strict=True):
        taken = mine & ~outside & (confidence >= threshold)
        assert (accepted, wrong) == (taken.sum(), (taken & ~samples.right).sum())
    assert (ladder.test_accepted, ladder.test_wrong) == (ladder.accepted, ladder.wrong)


def test_the_command_calibrates_a_file_and_leaves_its_weights(drawn_dataset: Path, tmp_path: Path) -> None:
    import onnx

    files = ["--annotations", str(drawn_dataset / "coco17.json"), "--images", str(drawn_dataset)]
    out = tmp_path / "calibrated.onnx"
    command = ["calibrate", "--model", "unified", *files, "--all", "--out", str(out), "--threads", "1"]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "people of" in done.output

    before, after = onnx.load(str(model_path("unified"))), onnx.load(str(out))
    assert before.graph == after.graph
    assert before.training_info == after.training_info
    (old, spec, _), (new, same, _) = (read_weights(path) for path in (model_path("unified"), out))
    assert all((old[name] == new[name]).all() for name in old)
    assert (old.keys(), spec) == (new.keys(), same)

    predictor = load_predictor(out, threads=1)
    calibration = predictor.metadata.calibration
    assert calibration is not None
    assert supports_labels(predictor)
    assert ConditionedPredictor(predictor).prior_sha256 == calibration.prior
    assert sum(ladder.people for ladder in calibration.picture.ladders) > 0
    picture = np.random.default_rng(0).integers(0, 256, (200, 160, 3), np.uint8)
    poses = predictor(picture, [[20, 20, 120, 160]])
    assert poses.raw_score is not None
    crop, region = predictor.cut(picture, [20, 20, 120, 160])
    oks = predictor.expected_oks(predictor.outputs(crop[None]))
    assert calibration.by_expected_oks
    size = np.array([region.image_px_per_crop_px])
    assert poses.in_picture is not None
    confidence = np.minimum(calibration.from_picture(poses.raw_score, size, oks), poses.in_picture)
    np.testing.assert_allclose(poses.score, confidence, atol=1e-6)
    assert calibration.evidence is not None
    assert calibration.evidence.in_picture is not None

    with pytest.raises(BadFileError, match="exists"):
        CliRunner().invoke(app, command, catch_exceptions=False)


def test_a_file_without_held_out_pictures_is_refused(drawn_dataset: Path, tmp_path: Path) -> None:
    document = json.loads((drawn_dataset / "lsp14.json").read_text())
    document["images"] = [image for image in document["images"] if not is_held_out(image["file_name"])]
    trained_on = {image["id"] for image in document["images"]}
    document["annotations"] = [a for a in document["annotations"] if a["image_id"] in trained_on]
    (tmp_path / "trained.json").write_text(json.dumps(document))
    command = ["calibrate", "--model", "unified", "--annotations", str(tmp_path / "trained.json")]
    command += ["--images", str(drawn_dataset), "--out", str(tmp_path / "c.onnx")]
    with pytest.raises(BadFileError, match="held-out"):
        CliRunner().invoke(app, command, catch_exceptions=False)
    assert not (tmp_path / "c.onnx").exists()


def test_several_models_get_a_calibration_of_their_own(drawn_dataset: Path, tmp_path: Path) -> None:
    names, out = ("unified-64", "unified-32"), tmp_path / "joint.json"
    files = ["--annotations", str(drawn_dataset / "lsp14.json"), "--images", str(drawn_dataset)]
    command = ["calibrate", *(f"--model={name}" for name in names), *files, "--all", "--threads", "1"]
    done = CliRunner().invoke(app, [*command, "--out", str(out)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    predictor = load_joint(names, calibration=out, threads=1)
    assert predictor.metadata.calibration is not None
    assert "people of" in predictor.metadata.calibration.guarantee_people
    assert ConditionedPredictor(predictor).uses_labels
    for wrong, message in ((tmp_path / "joint.onnx", "end its name in .json"), (out, "exists")):
        with pytest.raises((BadArgumentError, BadFileError), match=message):
            CliRunner().invoke(app, [*command, "--out", str(wrong)], catch_exceptions=False)
