"""extend conditioned on labels: they count, they stay, and the bytes are the same for any batching."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poseunion.annotate.cli.main import app
from poseunion.annotate.extend import plan
from poseunion.annotate.extend.acceptance import acceptance_rule
from poseunion.annotate.extend.chunks import task_of
from poseunion.annotate.extend.requested_keypoints import Asked
from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import read_annotations
from poseunion.models.calibration.schema import (
    EVIDENCE_FEATURES,
    PICTURE_FEATURES,
    Calibration,
    KeypointLogistic,
    RiskCoverage,
)
from poseunion.models.conditioning.prior import PRIOR_PATH
from poseunion.models.errors import BadArgumentError, ModelError
from poseunion.models.files import sha256_of
from poseunion.models.inference.conditioned import ConditionedPredictor
from poseunion.models.inference.predictor import load_predictor
from poseunion.models.keypoint_offsets import LSP_OFFSETS
from poseunion.models.runtime.write_calibration import stamp
from poseunion.models.skeleton import load_skeleton

UNION = load_skeleton("union21")
NECK, HEAD_TOP = UNION.index("upper_neck"), UNION.index("head_top")


def calibration(prior: str = "") -> Calibration:
    """Every keypoint alike; of the neck there is proof, of nothing else."""
    nobody = RiskCoverage(people=20, absent=5, threshold=(0.5,), accepted=(9,), wrong=(0,), expected=(1.0,))
    proof = RiskCoverage(
        people=400, absent=20, threshold=(0.4, 0.001), accepted=(100, 300), wrong=(0, 3), expected=(2, 9)
    )
    ladders = tuple(proof if name == "upper_neck" else nobody for name in UNION.keypoints)
    weights = (0.5, 0.2, -0.1, 0.0, 0.3, 0.1, 0.2, -1.0, -0.5, -0.2, 0.1)
    return Calibration(
        keypoints=UNION.keypoints,
        size_bounds=(0.5, 4.0),
        people="12 people",
        guarantee_people="24 people, half of them cut",
        prior=prior or sha256_of(PRIOR_PATH),
        picture=KeypointLogistic(features=PICTURE_FEATURES, weights=(weights[:4],) * 21, ladders=ladders),
        evidence=KeypointLogistic(features=EVIDENCE_FEATURES, weights=(weights,) * 21, ladders=ladders),
    )


@pytest.fixture
def calibrated(tiny_model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "calibrated.onnx"
    stamp(tiny_model, path, calibration(), load_predictor(tiny_model, threads=1).metadata)
    return path


def told(path: Path) -> ConditionedPredictor:
    return ConditionedPredictor(load_predictor(path, threads=1))


def bytes_of(folder: Any, predictor: Any, **options: Any) -> bytes:
    extend(read_annotations(folder.file), folder.images, predictor, folder.out, Options(overwrite=True, **options))
    content: bytes = folder.out.read_bytes()
    return content


def test_what_humans_labelled_stays_and_proposals_say_how_sure_they_are(
    folder: Any, coco: Any, coco_kept: Any, calibrated: Path
) -> None:
    document = coco(20)
    folder.write(document)
    extend(read_annotations(folder.file), folder.images, told(calibrated), folder.out)
    coco_kept(document, folder.result())
    for record in folder.result()["annotations"]:
        for proposal in record["proposals"]:
            reason = [] if proposal["accepted"] else ["reason"]
            fields = ["name", "x", "y", "confidence", "accepted", *reason, "sd_px", "disagreement"]
            assert list(proposal) == fields
            assert proposal["sd_px"] > 0
            assert proposal["disagreement"] >= 0
            assert 0 <= proposal["confidence"] <= 1
    assert folder.result()["poseunion"]["options"]["evidence"] == sha256_of(PRIOR_PATH)


def test_a_labelled_joint_moves_what_is_proposed(folder: Any, coco: Any, calibrated: Path) -> None:
    document = coco(4)
    folder.write(document)
    before = json.loads(bytes_of(folder, told(calibrated)))
    for record in document["annotations"]:
        for k in range(17):
            record["keypoints"][3 * k] *= 0.5
    folder.write(document)
    after = json.loads(bytes_of(folder, told(calibrated)))
    for old, new in zip(before["annotations"], after["annotations"], strict=True):
        places = [[(p["x"], p["y"]) for p in record["proposals"]] for record in (old, new)]
        assert places[0] != places[1]


def test_without_evidence_the_labels_do_not_matter(folder: Any, coco: Any, calibrated: Path) -> None:
    folder.write(coco(4))
    extend(read_annotations(folder.file), folder.images, load_predictor(calibrated, threads=1), folder.out)
    assert all("sd_px" not in p for a in folder.result()["annotations"] for p in a["proposals"])
    assert folder.result()["poseunion"]["options"]["evidence"] is None


def test_people_without_any_joint_are_completed_too(folder: Any, coco: Any, calibrated: Path) -> None:
    document = coco(3)
    document["annotations"][1]["keypoints"] = [0] * 51
    folder.write(document)
    bytes_of(folder, told(calibrated), unlabelled=True)
    assert len(folder.result()["annotations"][1]["proposals"]) == 21


def test_workers_resuming_and_repeating_do_not_change_a_byte(
    folder: Any, coco: Any, calibrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "CHUNK", 5)
    folder.write(coco(30, per_image=3))
    expected = bytes_of(folder, told(calibrated))
    assert bytes_of(folder, told(calibrated)) == expected
    assert bytes_of(folder, told(calibrated), workers=3) == expected
    for path in folder.root.glob("out.json*"):
        path.unlink()

    class Stopped(ConditionedPredictor):
        def predict_crops(self, *arguments: Any) -> Any:
            if len(done) == 3:
                raise KeyboardInterrupt
            done.append(1)
            return super().predict_crops(*arguments)

    done: list[int] = []
    annotations = read_annotations(folder.file)
    with pytest.raises(KeyboardInterrupt):
        extend(annotations, folder.images, Stopped(load_predictor(calibrated, threads=1)), folder.out)
    report = extend(annotations, folder.images, told(calibrated), folder.out, Options(resume=True))
    assert 0 < report.resumed < 30
    assert folder.out.read_bytes() == expected


def test_keypoints_that_are_not_written_may_be_left_out_of_the_prediction(
    folder: Any, coco: Any, calibrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = coco(10)
    for record in document["annotations"][::2]:
        record["keypoints"][15:24] = [0] * 9  # gaps: they stay, and midpoints of theirs are proposed
    folder.write(document)
    some = bytes_of(folder, told(calibrated))
    monkeypatch.setattr(Asked, "to_predict", lambda _, visibility, *__: np.ones((len(visibility), len(UNION)), bool))
    assert bytes_of(folder, told(calibrated)) == some


@pytest.mark.slow
def test_a_ray_job_writes_the_same_bytes(folder: Any, coco: Any, calibrated: Path) -> None:
    pytest.importorskip("ray")
    folder.write(coco(20))
    expected = bytes_of(folder, told(calibrated))
    assert bytes_of(folder, told(calibrated), workers=2, engine="ray") == expected


def test_a_model_calibrated_with_another_prior_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "strange.onnx"
    stamp(tiny_model, path, calibration("another"), load_predictor(tiny_model, threads=1).metadata)
    with pytest.raises(ModelError, match="another prior"):
        told(path)
    with pytest.raises(ModelError, match="not calibrated with labelled joints"):
        told(tiny_model)


def test_a_risk_accepts_where_there_is_proof_and_only_what_nobody_looked_for(
    folder: Any, coco: Any, calibrated: Path
) -> None:
    folder.write(coco(20))
    annotations = read_annotations(folder.file)
    report = extend(annotations, folder.images, told(calibrated), folder.out, Options(risk=0.05))
    result = folder.result()
    for record in result["annotations"]:
        for proposal in record["proposals"]:
            inside = 0 <= proposal["x"] <= 63 and 0 <= proposal["y"] <= 47
            if proposal["name"] == "upper_neck" and inside:
                assert proposal["accepted"] == (proposal["confidence"] >= 0.001)
            elif proposal["name"] != "upper_neck":
                assert not proposal["accepted"]
    said = result["poseunion"]["guarantee"]
    assert said["risk"] == 0.05
    assert said["people"] == "24 people, half of them cut"
    assert said["keypoints"]["upper_neck"]["bound"] <= 0.05
    assert said["keypoints"]["upper_neck"]["share"] == 0.75
    assert result["poseunion"]["thresholds"]["nose"] is None
    assert "20 calibration people have it, 45" in said["keypoints"]["nose"]["reason"]
    assert report.guarantee == said


def test_left_out_joints_are_accepted_by_threshold_but_not_under_a_guarantee(
    folder: Any, coco: Any, calibrated: Path
) -> None:
    document = coco(6)
    for record in document["annotations"]:
        record["keypoints"][15:18] = [0, 0, 0]  # the left shoulder: an annotator gave none
    folder.write(document)
    shoulder = UNION.index("left_shoulder")

    def accepted(**options: Any) -> int:
        bytes_of(folder, told(path), **options)
        return sum(a["keypoint_source"][shoulder] == "proposed" for a in folder.result()["annotations"])

    path = folder.root / "proved.onnx"
    proved = calibration()
    assert proved.evidence is not None
    ladders = (proved.evidence.ladders[NECK],) * 21
    proved = proved.model_copy(update={"evidence": proved.evidence.model_copy(update={"ladders": ladders})})
    stamp(calibrated, path, proved, load_predictor(calibrated, threads=1).metadata)
    assert accepted(threshold=0.0, fill_gaps=True) > 0
    assert accepted(risk=0.05, fill_gaps=True) == 0
    reasons = {p["reason"] for a in folder.result()["annotations"] for p in a["proposals"] if not p["accepted"]}
    assert "gap" in reasons


def test_joints_are_told_in_the_models_definitions(folder: Any, coco: Any) -> None:
    document = coco(2, skeleton="lsp14")
    lsp = load_skeleton("lsp14")
    for record in document["annotations"]:
        points = np.array(record["keypoints"], float).reshape(-1, 3)
        points[:, 2] = 2
        record["keypoints"] = points.ravel().tolist()
    folder.write(document)
    annotations = read_annotations(folder.file)
    task = task_of(annotations, 0, np.arange(2), UNION)
    known = np.stack([person.labels for person in task.persons if person.labels is not None])
    neck, head_top = (annotations.xy[:, lsp.index(name)] for name in ("upper_neck", "head_top"))
    np.testing.assert_allclose(known[:, HEAD_TOP, :2], neck + LSP_OFFSETS[0].factor * (head_top - neck))
    hips = annotations.xy[:, [lsp.index("left_hip"), lsp.index("right_hip")]].mean(1)
    np.testing.assert_allclose(known[:, UNION.index("pelvis"), :2], hips)
    assert (known[:, UNION.index("nose"), 2] == -1).all()


def test_a_risk_needs_a_calibration_and_no_threshold(calibrated: Path, tiny_model: Path) -> None:
    with pytest.raises(BadArgumentError, match="needs a calibrated model"):
        acceptance_rule(load_predictor(tiny_model, threads=1), risk=0.05)
    for wrong in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(BadArgumentError, match="--risk"):
            acceptance_rule(told(calibrated), risk=wrong)
    with pytest.raises(BadArgumentError, match="leave out --threshold"):
        Options(risk=0.05, threshold=0.5)
    assert acceptance_rule(told(calibrated)).threshold_K.tolist() == [0.5] * 21


def test_a_dry_run_says_what_to_expect_and_writes_nothing(folder: Any, coco: Any, calibrated: Path) -> None:
    from typer.testing import CliRunner

    folder.write(coco(20))
    there = sorted(folder.root.rglob("*"))
    command = ["extend", "--annotations", str(folder.file), "--images", str(folder.images), "--out", str(folder.out)]
    command += ["--model", str(calibrated), "--risk", "0.05", "--dry-run"]
    said = json.loads(CliRunner().invoke(app, [*command, "--json"], catch_exceptions=False).output)
    assert said["expected"]["upper_neck"] == {"missing": 20, "left_out": 0, "accepted": 15, "wrong": 0}
    assert said["expected"]["nose"]["missing"] == said["expected"]["left_knee"]["missing"] == 0
    assert said["evidence"]
    text = CliRunner().invoke(app, command, catch_exceptions=False).output
    assert "This holds for people like these: 24 people" in text
    assert "head_top (20 calibration people" in text
    assert "nose (" not in text, "the file has it"
    assert sorted(folder.root.rglob("*")) == there
