"""Several networks and turned pictures behind the interface of one predictor."""

from __future__ import annotations

import functools
import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data
from typer.testing import CliRunner

from poseunion.annotate.cli.main import app
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.files import write_json
from poseunion.models.inference.conditioned import ConditionedPredictor
from poseunion.models.inference.joint import JointModel, JointPredictor, calibration_file, load_joint, read_calibration
from poseunion.models.inference.joint_turns import Turns
from poseunion.models.inference.predictor import Predictor, load_predictor
from poseunion.models.inference.size_routing import predictor_for_option
from poseunion.training.densities.joint import JointTeacher

PICTURE = data.astronaut()
BOXES = np.array([[20.0, 0, 420, 512], [100, 20, 250, 300]])
NAMES = ("unified", "unified-64")


@functools.cache
def network(name: str, flip: bool = False) -> Predictor:
    """A shipped network, single-threaded."""
    return load_predictor(name, threads=1, flip=flip)


def joint(names: Sequence[str] = NAMES, turns: Turns = Turns.NONE, flip: bool = False) -> JointPredictor:
    """Shipped networks as one."""
    return JointPredictor(JointModel([network(name, flip) for name in names], turns))


def calibrated(turns: Turns = Turns.NONE) -> JointPredictor:
    """With the first network's calibration: the numbers mean nothing, the way is the same."""
    return JointPredictor(joint(turns=turns).model, network("unified").metadata.calibration)


@pytest.mark.parametrize("turns", list(Turns))
def test_its_outputs_are_the_mean_densities_of_the_joint_teacher(turns: Turns) -> None:
    predictor = joint(turns=turns)
    teacher = JointTeacher([network(name) for name in NAMES], turns=turns)
    # Boxes of the input's aspect: of others the teacher's members each have their own crop.
    boxes = np.array([[40.0, 0, 360, 480], [100, 20, 225, 300]])
    heat, _ = teacher.heatmaps([PICTURE] * 2, boxes)
    pixels = np.stack([predictor.cut(PICTURE, box)[0] for box in boxes])
    x, y = predictor.outputs(pixels)
    # Away from the border: which cells a turned crop's end covers depends on the last digits of the affine.
    np.testing.assert_allclose(x[..., 2:-2], heat[..., 2:-2].max(-2), atol=1e-2)
    np.testing.assert_allclose(y[..., 2:-2], heat[:, :, 2:-2].max(-1), atol=1e-2)
    apart = np.linalg.norm(predictor.predict([PICTURE], [boxes])[0].xy - teacher(PICTURE, boxes).xy, axis=-1)
    sure = teacher(PICTURE, boxes).score > 0.6
    assert sure.sum() > 10
    # Of 512 px: the one is the highest expected OKS, the other the highest cell, of two peaks either.
    assert np.quantile(apart[sure], 0.8) < 4


def test_several_pictures_are_as_one_by_one() -> None:
    predictor = joint()
    both = predictor.predict([PICTURE, PICTURE[:, ::-1]], [BOXES, BOXES[:1]])
    alone = [predictor(PICTURE, BOXES), predictor(PICTURE[:, ::-1], BOXES[:1])]
    for found, expected in zip(both, alone, strict=True):
        np.testing.assert_allclose(found.xy, expected.xy, atol=1e-2)
        assert found.disagreement is not None
        assert expected.disagreement is not None
        np.testing.assert_allclose(found.disagreement, expected.disagreement, atol=1e-3)
        np.testing.assert_array_equal(found.box_xywh, expected.box_xywh)
    assert not predictor.predict([], [])


def test_disagreement_is_the_farthest_network_s_distance_in_radii() -> None:
    found = joint()(PICTURE, BOXES)
    own = [network(name)(PICTURE, BOXES) for name in NAMES]
    apart = np.linalg.norm(own[0].xy - own[1].xy, axis=-1)
    assert found.disagreement is not None
    assert (found.disagreement >= 0).all()
    far, near = apart > np.quantile(apart, 0.8), apart < np.quantile(apart, 0.4)
    assert np.median(found.disagreement[far]) > np.median(found.disagreement[near])


def test_labelled_keypoints_condition_it_like_one_network() -> None:
    predictor = ConditionedPredictor(calibrated())
    labels = np.zeros((2, 21, 3))
    labels[:, predictor.skeleton.index("nose")] = 230, 120, 2
    found, without = predictor(PICTURE, BOXES, labels), calibrated()(PICTURE, BOXES)
    np.testing.assert_allclose(found.keypoint("nose"), [[230, 120]] * 2)
    assert found.sd_px is not None
    assert found.disagreement is not None
    assert without.disagreement is not None
    assert (found.disagreement >= without.disagreement - 1e-6).all()
    assert predictor.metadata.parts["turns"] == "none"
    # Threads of one call each give the same.
    threaded = ConditionedPredictor(
        JointPredictor(
            JointModel([load_predictor(name, threads=2) for name in NAMES]), network("unified").metadata.calibration
        )
    )
    assert threaded.model.threads == 2
    np.testing.assert_allclose(threaded(PICTURE, BOXES, labels).xy, found.xy, atol=0.1)


def test_another_process_gets_the_same_networks() -> None:
    predictor = joint()
    again = pickle.loads(pickle.dumps(predictor))
    assert again.sha256 == predictor.sha256
    np.testing.assert_array_equal(again(PICTURE, BOXES).xy, predictor(PICTURE, BOXES).xy)


def test_its_hash_depends_on_networks_order_and_turns() -> None:
    made = [joint(), joint(NAMES[::-1]), joint(turns=Turns.ALWAYS), joint(("unified", "unified-32"))]
    assert len({one.sha256 for one in made}) == 4
    assert joint().sha256 == made[0].sha256
    assert made[2].name == "unified + unified-64, turned: always"
    assert [m["sha256"] for m in made[0].metadata.parts["members"]] == [network(name).sha256 for name in NAMES]


@pytest.mark.parametrize(
    ("names", "turns", "message"),
    [
        (("unified",), Turns.NONE, "two networks, or one with --turns always"),
        (("unified",), Turns.DISAGREEMENT, "two networks, or one with --turns always"),
        (("unified", "unified"), Turns.NONE, "unified is a member of a joint model twice"),
    ],
)
def test_what_is_no_joint_model_is_refused(names: tuple[str, ...], turns: Turns, message: str) -> None:
    with pytest.raises(BadArgumentError, match=message):
        joint(names, turns)


def test_members_have_one_flip_test() -> None:
    with pytest.raises(BadArgumentError, match="another flip test"):
        JointModel([network("unified"), network("unified-64", True)])
    plain, flipped = joint()(PICTURE, BOXES), joint(flip=True)(PICTURE, BOXES)
    assert joint(flip=True).flip
    assert not np.array_equal(plain.xy, flipped.xy)
    assert np.median(np.linalg.norm(plain.xy - flipped.xy, axis=-1)) < 8


def test_a_calibration_is_of_its_networks_alone(tmp_path: Path) -> None:
    predictor = calibrated()
    file = tmp_path / "joint.json"
    assert predictor.metadata.calibration is not None
    write_json(file, calibration_file(predictor, predictor.metadata.calibration).model_dump())
    assert load_joint(NAMES, calibration=file, threads=1).calibration_part == predictor.calibration_part
    for other in (joint(NAMES[::-1]), joint(turns=Turns.ALWAYS)):
        with pytest.raises(BadFileError, match=r"was fitted for unified \+ unified-64, turns none, not for"):
            read_calibration(file, other.model)
    file.write_text("{}")
    with pytest.raises(BadFileError, match="is no calibration of a joint model"):
        read_calibration(file, predictor.model)


def test_a_route_starts_from_one_network() -> None:
    with pytest.raises(BadArgumentError, match="--route auto starts from one network"):
        predictor_for_option("auto", "unified", joint(), print, device="cpu", threads=1)


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_extend_with_several_models(tmp_path: Path) -> None:
    out, calibration = tmp_path / "out.json", tmp_path / "joint.json"
    command = ("extend", "--dataset", "example", "--out", out, "--threads", 1, "--model", "unified")
    several = (*command, "--model", "unified-64")
    result = run(*several)
    assert result.exit_code == 0, result.output
    assert "unified + unified-64 has no calibration" in result.stderr
    document = json.loads(out.read_text())
    model = document["poseunion"]["model"]
    assert model["name"] == "unified + unified-64"
    assert [m["name"] for m in model["members"]] == list(NAMES)
    assert model["turns"] == "none"
    assert model["calibration"] is None
    proposal = document["annotations"][0]["proposals"][0]
    assert proposal["disagreement"] >= 0
    assert "sd_px" not in proposal
    # Other members are other work.
    assert isinstance(run(*several, "--model", "unified-32", "--resume").exception, BadFileError)
    assert "--risk needs a calibrated model" in str(run(*several, "--overwrite", "--risk", "0.1").exception)
    predictor = calibrated()
    assert predictor.metadata.calibration is not None
    write_json(calibration, calibration_file(predictor, predictor.metadata.calibration).model_dump())
    # Finished work without a calibration is no start for a run with one.
    assert isinstance(run(*several, "--resume", "--calibration", calibration).exception, BadFileError)
    result = run(*several, "--overwrite", "--risk", "0.2", "--calibration", calibration)
    assert result.exit_code == 0, result.output
    document = json.loads(out.read_text())
    assert document["poseunion"]["guarantee"]["risk"] == 0.2
    assert len(document["poseunion"]["model"]["calibration"]) == 64
    assert "sd_px" in document["annotations"][0]["proposals"][0]
    assert "two networks" in str(run(*command, "--overwrite", "--calibration", calibration).exception)
    assert "No --turns '4'" in str(run(*command, "--overwrite", "--turns", "4").exception)
