"""Fitting the tempering: students of known faults get what undoes these faults."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from poseunion.models.calibration.conditioning_parameters import ConditioningParameters
from poseunion.models.codec.crop import affine_to_crop, apply_affine, crop_from_box
from poseunion.models.codec.simcc import SimccGrid, encode
from poseunion.models.conditioning.prior import load_prior
from poseunion.training.calibration.fit_conditioning import (
    SINGLES,
    People,
    fit_exponents,
    fit_hypotheses,
    fit_shift,
    one_at_a_time,
    sharpness,
)
from poseunion.training.calibration.masking import rounds

PRIOR, GRID = load_prior(), SimccGrid((192, 256))
UNION = PRIOR.skeleton
K = len(UNION)
BOX = (130.0, 170.0, 140.0, 222.0)


def crowd(
    count: int, *, error_px: float = 0.0, exchanged: float = 0.0, shared_px: float = 0.0, seed: int = 0
) -> People:
    """Labelled people, and a student that errs by so much, a share of the time left for right, or all joints alike."""
    rng = np.random.default_rng(seed)
    truth = PRIOR.template_K2 * 55 + [200.0, 272.0] + rng.normal(size=(count, K, 2)) * 4
    told = truth + rng.normal(size=truth.shape) * error_px + rng.normal(size=(count, 1, 2)) * shared_px
    swap = rng.random(count) < exchanged
    told[swap] = told[swap][:, UNION.flip_indices]
    crop = crop_from_box(BOX, GRID.size_wh)
    x, y, _ = encode(apply_affine(told, affine_to_crop(crop)), GRID)
    labelled = np.ones((count, K), bool)
    predicted: Any = SimpleNamespace(crops=(crop,) * count, truth=truth, given=truth)
    groups = np.stack([rounds(UNION, f"{i}.jpg", i) for i in range(count)], 1)
    return People(
        predicted,
        x,
        y,
        apply_affine(truth, affine_to_crop(crop)),
        labelled,
        labelled,
        (groups, one_at_a_time(labelled, UNION)),
        np.full(count, 55.0),
    )


def test_a_student_that_is_surer_than_right_is_blurred() -> None:
    exact, rough = (sharpness(crowd(20, error_px=error), GRID, UNION) for error in (0.3, 6.0))
    assert set(exact) == {k.split("_", 1)[1] if k.startswith(("left_", "right_")) else k for k in UNION.keypoints}
    for kind in ("knee", "nose", "head_top"):
        assert exact[kind].blur < rough[kind].blur


def test_errors_that_a_person_shares_become_a_shift() -> None:
    shared, own = (
        fit_shift(people, GRID, UNION, PRIOR, ConditioningParameters(joints=sharpness(people, GRID, UNION)))
        for people in (crowd(12, shared_px=5.0), crowd(12, error_px=5.0))
    )
    assert shared.error_sd > own.error_sd


def test_a_student_that_exchanges_sides_is_found_out() -> None:
    people = crowd(20, error_px=1.0, exchanged=0.4)
    start = ConditioningParameters(joints=sharpness(people, GRID, UNION))
    fitted = fit_hypotheses(people, GRID, UNION, PRIOR, start)
    assert fitted.swapped_mirror + fitted.swapped_pairs > 0
    assert fitted.joints["nose"].swapped == pytest.approx(-3)  # it has no other side
    straight = fit_hypotheses(crowd(20, error_px=1.0), GRID, UNION, PRIOR, start)
    assert straight.joints["knee"].swapped < -3


def test_every_step_keeps_what_the_others_fitted() -> None:
    people = crowd(4, error_px=2.0)
    start = ConditioningParameters(model="a student", error_sd=0.03, joints=sharpness(people, GRID, UNION))
    fitted = fit_exponents(people, GRID, UNION, PRIOR, start)
    assert fitted.model == "a student"
    assert fitted.error_sd == 0.03
    assert {kind: joint.blur for kind, joint in fitted.joints.items()} == {
        kind: joint.blur for kind, joint in start.joints.items()
    }


def test_one_at_a_time_hides_labelled_joints_and_their_midpoints() -> None:
    labelled: NDArray[np.bool_] = np.random.default_rng(0).random((30, K)) < 0.8
    hidden = one_at_a_time(labelled, UNION)
    assert hidden.shape == (SINGLES, 30, K)
    middle = [UNION.index(name) for name in UNION.midpoints]
    others = np.setdiff1d(np.arange(K), middle)
    assert (hidden[..., others].sum(-1) <= 1).all()
    assert not (hidden[..., others] & ~labelled[:, others]).any()
    for name, parents in UNION.midpoints.items():
        for parent in parents:
            assert hidden[hidden[..., UNION.index(parent)], UNION.index(name)].all()
