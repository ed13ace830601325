"""`evaluate --joint`: members are read once for their own rows and for the joint's; the oracle chooses among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from poseunion.models.inference.predictor import load_predictor
from poseunion.training.densities.joint import JointTeacher
from poseunion.training.evaluation.evaluate import measure, read_task
from poseunion.training.evaluation.joint_rows import ORACLE, measure_joint, oracle


@pytest.mark.slow
def test_members_have_the_rows_they_have_alone_and_are_run_once(drawn_dataset: Path) -> None:
    members = [load_predictor("unified", threads=1), load_predictor("unified", threads=1, refine=False)]
    task = read_task(drawn_dataset / "coco17.json", drawn_dataset)
    alone = [measure(one, task) for one in members]
    calls = []
    run = members[0].model.run
    members[0].model.run = lambda crops: calls.append(len(crops)) or run(crops)  # type: ignore[assignment,func-returns-value,method-assign]
    rows = measure_joint(JointTeacher(members), task)
    assert sum(calls) == 12
    assert [r.scores["model"] for r in rows[2:]] == ["joint", ORACLE]
    for own, row in zip(alone, rows, strict=False):
        assert own.scores == row.scores
        np.testing.assert_array_equal(own.predictions.xy, row.predictions.xy)
    best = rows[-1].scores["pck"]["PCK"]
    assert best >= max(one.scores["pck"]["PCK"] for one in alone)


def test_the_oracle_has_each_keypoint_from_the_nearest_member_that_knows_it(drawn_dataset: Path) -> None:
    from poseunion.training.evaluation.predictions import Predictions

    annotations = read_task(drawn_dataset / "coco17.json", drawn_dataset).annotations
    truth = annotations.xy[:12]
    rows, score = np.arange(12), np.full((12, 17), 0.5)
    near, far = truth + np.array([1, 0]), truth + np.array([40, 0])
    known = np.ones(17, bool)
    blind = known.copy()
    blind[3] = False
    first = Predictions(rows, np.where(np.arange(17)[:, None] % 2, near, far), score, blind, ())
    second = Predictions(rows[2:], np.where(np.arange(17)[:, None] % 2, far, near)[2:], score[2:], known, ())
    best = oracle(annotations, [first, second])
    np.testing.assert_array_equal(best.rows, rows[2:])
    expected = near[2:].copy()
    expected[:, 3] = far[2:, 3]
    np.testing.assert_allclose(best.xy, expected)
    assert best.known.all()
