"""Teachers of a data file: one network, or a joint teacher with weights and turns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from poseunion.models.errors import BadFileError
from poseunion.models.inference.joint_turns import Turns
from poseunion.training.data.data_file import read_data_file
from poseunion.training.densities.joint import JointTeacher
from poseunion.training.loop.prepare import open_teacher


def data_file(folder: Path, dataset: Path, teacher: str) -> Path:
    path = folder / "data.yaml"
    path.write_text(
        f"datasets:\n  - {{name: coco, annotations: {dataset}/coco17.json, images: {dataset}}}\n"
        f"teachers:\n  - {teacher}\n"
    )
    return path


@pytest.mark.slow
def test_weights_and_turns_reach_the_joint_teacher(drawn_dataset: Path, tmp_path: Path) -> None:
    two = "{turns: disagreement, members: [{model: unified, weight: 3, weights: {wrist: 1}}, {model: unified}]}"
    (entry,) = read_data_file(data_file(tmp_path, drawn_dataset, two)).teachers
    joint = open_teacher(entry)
    assert isinstance(joint, JointTeacher)
    assert joint.turns is Turns.DISAGREEMENT
    wrist, elbow = (joint.skeleton.index(f"left_{name}") for name in ("wrist", "elbow"))
    np.testing.assert_allclose(joint.weight_MK[:, [wrist, elbow]], [[0.5, 0.75], [0.5, 0.25]])


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ("{model: unified, turns: always}", "turns is a setting of a joint teacher"),
        ("{turns: sometimes, members: [{model: unified}, {model: unified}]}", "turns"),
        ("{members: [{model: unified, weights: {wrist: -1}}, {model: unified}]}", "weights"),
        ("{model: unified, members: [{model: unified}, {model: unified}]}", "either a model or the members"),
    ],
)
def test_a_wrong_setting_is_a_sentence(teacher: str, message: str, drawn_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match=message) as error:
        read_data_file(data_file(tmp_path, drawn_dataset, teacher))
    assert "\n" not in str(error.value)
