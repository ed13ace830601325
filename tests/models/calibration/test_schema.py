"""Confidences as probabilities: the formula, what a calibration refuses to be, and the radius that is meant."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from poseunion.models.calibration.schema import (
    EXPECTED_FEATURES,
    PICTURE_FEATURES,
    Calibration,
    KeypointLogistic,
    RiskCoverage,
)
from poseunion.models.errors import ModelError
from poseunion.models.metrics import oks, oks_radius_px
from poseunion.models.poses.batch import PoseBatch
from poseunion.models.runtime.description import parse_description
from poseunion.models.skeleton import load_skeleton

UNION = load_skeleton("union21")


def calibration_of(weights: list[float], **changes: Any) -> Calibration:
    empty = RiskCoverage(people=0, absent=0, threshold=(), accepted=(), wrong=(), expected=())
    part = KeypointLogistic(features=PICTURE_FEATURES, weights=(tuple(weights),) * 21, ladders=(empty,) * 21)
    given: dict[str, Any] = {"keypoints": UNION.keypoints, "size_bounds": (0.2, 4.0), "people": "nobody"}
    return Calibration(**{**given, "guarantee_people": "nobody", "picture": part, **changes})


@settings(max_examples=50)
@given(
    raw=st.floats(0, 1),
    size=st.floats(0.3, 3),
    weights=st.lists(st.floats(-3, 3), min_size=4, max_size=4),
)
def test_the_formula_is_the_one_that_is_documented(raw: float, size: float, weights: list[float]) -> None:
    got = calibration_of(weights).from_picture(np.full((2, 21), raw), np.full(2, size))
    s = min(max(raw, 1e-3), 1 - 1e-3)
    logit = weights[0] + weights[1] * np.log(s) + weights[2] * np.log(1 - s) + weights[3] * np.log(size)
    np.testing.assert_allclose(got, 1 / (1 + np.exp(-np.clip(logit, -30, 30))), atol=1e-12)


def test_sizes_beyond_what_was_seen_count_as_the_nearest() -> None:
    one = calibration_of([0, 1, 0, 0.5])
    raw = np.full((3, 21), 0.5)
    small, edge, large = one.from_picture(raw, np.array([0.01, 0.2, 100.0]))
    assert (small == edge).all()
    np.testing.assert_array_equal(large, one.from_picture(raw[:1], np.array([4.0]))[0])


def test_a_simcc_network_is_judged_by_the_oks_that_it_expects() -> None:
    raw, size, oks = np.full((2, 21), 0.3), np.full(2, 1.0), np.full((2, 21), 0.8)
    by_raw = calibration_of([0, 1, 0, 0])
    by_oks = by_raw.model_copy(update={"picture": by_raw.picture.model_copy(update={"features": EXPECTED_FEATURES})})
    np.testing.assert_array_equal(by_oks.from_picture(raw, size, oks), by_raw.from_picture(oks, size))
    np.testing.assert_array_equal(by_raw.from_picture(raw, size, oks), by_raw.from_picture(raw, size))
    with pytest.raises(ModelError, match="heatmaps"):
        by_oks.from_picture(raw, size)


def test_it_survives_json() -> None:
    one = calibration_of([0.25, 1.5, -0.125, 0.1])
    assert Calibration.model_validate_json(one.model_dump_json()) == one


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoints": UNION.keypoints[:5]}, "weights of 21"),
        ({"size_bounds": (2.0, 1.0)}, "smaller one first"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        calibration_of([0, 1, 0, 0], **changes)


def test_a_calibration_of_other_keypoints_is_refused() -> None:
    described = {"name": "m", "skeleton": "mpii16", "size_wh": [192, 256], "head": {"kind": "simcc"}}
    stranger = json.loads(calibration_of([0, 1, 0, 0]).model_dump_json())
    with pytest.raises(ModelError, match="other keypoints"):
        parse_description({**described, "calibration": stranger}, "m.onnx")
    assert parse_description(described, "m.onnx").confidence_threshold == 0.3
    same = parse_description({**described, "skeleton": "union21", "calibration": stranger}, "m.onnx")
    assert same.confidence_threshold == 0.5


@settings(max_examples=20)
@given(area=st.floats(1, 1e6), angle=st.floats(0, 6.3))
def test_at_the_radius_oks_is_a_half(area: float, angle: float) -> None:
    radius = oks_radius_px(np.array([area]), UNION.sigma_array)
    away = radius[..., None] * [np.cos(angle), np.sin(angle)]
    for k in range(21):
        visibility = np.zeros((1, 21), np.int8)
        visibility[0, k] = 2
        got = oks(away, np.zeros((1, 21, 2)), visibility, np.array([area]), UNION.sigma_array)
        assert got[0] == pytest.approx(0.5, abs=1e-6)


def test_a_batch_keeps_the_raw_scores() -> None:
    n, k = 2, 21
    arrays = (np.zeros((n, k, 2), np.float32), np.full((n, k), 0.9, np.float32), np.zeros((n, 4), np.float32))
    told = PoseBatch(UNION, *arrays, raw_score=np.full((n, k), 0.4, np.float32))
    both = PoseBatch.concatenate([told, told])
    assert both.raw_score is not None
    assert both.raw_score.shape == (4, 21)
    assert PoseBatch.concatenate([told, PoseBatch(UNION, *arrays)]).raw_score is None
