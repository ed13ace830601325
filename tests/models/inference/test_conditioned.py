"""Prediction conditioned on labelled keypoints: which keypoints are wanted, for one model and along a route."""

from __future__ import annotations

import numpy as np
import pytest

from poseunion.models.errors import BadArgumentError
from poseunion.models.inference.conditioned import ConditionedPredictor
from poseunion.models.inference.predictor import load_predictor
from poseunion.models.inference.size_routing import RoutedPredictor

SMALL_PX = 100.0


def test_wanted_keypoints_are_those_of_the_whole_prediction() -> None:
    rng = np.random.default_rng(3)
    base, small = (load_predictor(name, threads=1) for name in ("unified", "unified-64"))
    routed = RoutedPredictor(ConditionedPredictor(base), [(ConditionedPredictor(small), SMALL_PX)])
    pictures = [rng.integers(0, 256, (300, 300, 3), dtype=np.uint8)] * 2
    boxes = [np.array([[20.0, 20, 120, 240], [30, 40, 40, 80]]), np.array([[60.0, 50, 60, 90]])]
    labels = [
        np.concatenate([rng.uniform(30, 200, (len(b), 21, 2)), rng.integers(0, 3, (len(b), 21, 1))], -1) for b in boxes
    ]
    wanted = [rng.random((len(b), 21)) < 0.3 for b in boxes]
    whole, some = routed.predict(pictures, boxes, labels), routed.predict(pictures, boxes, labels, wanted)
    for a, b, label, mask in zip(whole, some, labels, wanted, strict=True):
        assert a.model == b.model
        known = label[..., 2] > 0
        used, left_out = known | mask, ~known & ~mask
        np.testing.assert_allclose(b.xy[used], a.xy[used], rtol=1e-6)
        np.testing.assert_allclose(b.score[used], a.score[used], atol=1e-6)
        assert np.isfinite(b.xy).all()
        assert (b.score[left_out] == 0).all()
        assert left_out.any()


def test_a_predictor_without_conditioning_refuses_labels() -> None:
    picture, box = np.zeros((50, 50, 3), np.uint8), np.array([[1.0, 1, 40, 40]])
    with pytest.raises(BadArgumentError, match="takes no labelled keypoints"):
        load_predictor("unified", threads=1).predict([picture], [box], [np.zeros((1, 21, 3))])
