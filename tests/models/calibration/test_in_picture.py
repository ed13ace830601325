"""Presence in the picture: features of crops at a border, and the confidence as a product."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from poseunion.annotate.formats.added_fields import presence
from poseunion.models.calibration.in_picture import (
    WITH_LABELS,
    WITHOUT_LABELS,
    InPicture,
    features_without_labels,
)
from poseunion.models.calibration.schema import KeypointLogistic
from poseunion.models.codec.crop import Crop
from poseunion.models.codec.simcc import SimccGrid, encode
from poseunion.models.inference.conditioned import ConditionedPredictor
from poseunion.models.inference.predictor import Predictor, load_predictor

GRID = SimccGrid((96, 128), 2.0, (4.9, 5.66))
BOX = np.array([[30.0, 20, 90, 160]])


def test_mass_beyond_the_picture_s_border_is_not_inside() -> None:
    """One crop of 96x128 px whose upper left corner is at (-10, 0); the picture ends at y = 60."""
    crop = Crop((38.0, 64.0), 96.0, (96, 128))
    at_px = np.array([[[5.0, 30], [40, 30], [40, 100]]])  # beyond the left border, inside, below the picture
    x, y, _ = encode(at_px, GRID)
    size_wh = np.array([[200.0, 60]])
    feature = features_without_labels(np.ones((1, 3, 1)), at_px - [10, 0], x, y, GRID, [crop], size_wh)
    names = ("one", *WITHOUT_LABELS)
    inside, outside = feature[0, :, names.index("inside")], feature[0, :, names.index("outside")]
    assert inside[1] > 4
    assert (inside[[0, 2]] < -4).all()
    assert outside.tolist() == [1, 0, 1]


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_record_s_two_probabilities_multiply_to_its_confidence(a: float, b: float) -> None:
    confidence, in_picture = sorted((round(a, 4), round(b, 4)))
    both = presence(confidence, in_picture)
    assert both["in_picture"] * both["right_in_picture"] == pytest.approx(confidence, abs=1e-4)
    assert 0 <= both["right_in_picture"] <= 1
    assert presence(confidence, float("nan")) == {}


def by_inside(part: KeypointLogistic, more: tuple[str, ...]) -> KeypointLogistic:
    """A part whose `in_picture` follows the mass inside the picture alone."""
    row = [0.0] * (len(part.features) + len(more))
    row[len(part.features) + more.index("inside")] = 1.0
    return part.model_copy(update={"in_picture": InPicture(weights=(tuple(row),) * len(part.weights))})


def without(part: KeypointLogistic, _more: tuple[str, ...]) -> KeypointLogistic:
    """A part that was calibrated before there was `in_picture`."""
    return part.model_copy(update={"in_picture": None})


def calibrated(predictor: Predictor, change: Callable[[KeypointLogistic, tuple[str, ...]], Any]) -> Predictor:
    """A shipped model with both parts of its calibration changed."""
    calibration = predictor.metadata.calibration
    assert calibration is not None
    assert calibration.evidence is not None
    parts = {
        "picture": change(calibration.picture, WITHOUT_LABELS),
        "evidence": change(calibration.evidence, WITH_LABELS),
    }
    model = copy.copy(predictor.model)
    model.description = model.description.model_copy(update={"calibration": calibration.model_copy(update=parts)})
    return Predictor(model)


def test_confidences_fall_at_a_border_only_and_stay_with_labels() -> None:
    shipped = load_predictor("unified", threads=1)
    plain, present = calibrated(shipped, without), calibrated(shipped, by_inside)
    picture = np.random.default_rng(0).integers(0, 256, (200, 160, 3), np.uint8)
    before, after = plain(picture, BOX), present(picture, BOX)
    assert before.in_picture is None
    assert after.in_picture is not None
    np.testing.assert_array_equal(after.score, np.minimum(before.score, after.in_picture))
    labels = np.zeros((1, 21, 3))
    labels[0, 5:13] = np.random.default_rng(1).uniform(40, 100, (8, 3))
    known, found = (ConditionedPredictor(p)(picture, BOX, labels) for p in (plain, present))
    assert found.in_picture is not None
    np.testing.assert_array_equal(found.score, known.score)
    assert (found.in_picture >= found.score).all()
    assert (found.in_picture[0, 5:13] > 0.9).all()  # labelled: the mass is at the label


def test_a_picture_that_ends_above_the_legs_lowers_them() -> None:
    from skimage.data import astronaut

    present = calibrated(load_predictor("unified", threads=1), by_inside)
    box = [[40.0, 0, 420, 1000]]  # the picture ends at 512: the box continues where the body would
    found = present(astronaut(), box)
    assert found.in_picture is not None
    head, ankles = (found.in_picture[0, [found.skeleton.index(n) for n in names]] for names in HEAD_AND_ANKLES)
    assert head.min() > 0.9
    assert ankles.max() < head.min()


HEAD_AND_ANKLES = (("nose", "left_eye", "right_eye"), ("left_ankle", "right_ankle"))


def test_weights_of_another_number_of_features_are_refused() -> None:
    calibration = load_predictor("unified", threads=1).metadata.calibration
    assert calibration is not None
    part = calibration.picture.model_dump()
    with pytest.raises(ValidationError, match="in_picture needs 7 weights for every keypoint"):
        KeypointLogistic.model_validate({**part, "in_picture": {"weights": [[0.0]] * 21}})
    assert KeypointLogistic.model_validate({k: v for k, v in part.items() if k != "in_picture"}).in_picture is None
