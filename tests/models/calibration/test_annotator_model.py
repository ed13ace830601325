"""What a person's labelled joints say of the view, and the two logistic functions on it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from poseunion.models.calibration.annotator_model import GEOMETRY, AnnotatorModel, labelling_geometry
from poseunion.models.skeleton import load_skeleton

UNION = load_skeleton("union21")
SHOULDERS, HIPS, TURN, HIDDEN_NEAR, HIDDEN = range(len(GEOMETRY))
# Facing the camera, upright; the person's left is at the picture's right.
FRONT: dict[str, tuple[float, float]] = {
    "nose": (50, 20),
    "left_eye": (53, 17),
    "right_eye": (47, 17),
    "left_ear": (57, 19),
    "right_ear": (43, 19),
    "left_shoulder": (65, 40),
    "right_shoulder": (35, 40),
    "left_hip": (60, 90),
    "right_hip": (40, 90),
}


def person(points: dict[str, tuple[float, float]]) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    xy, visibility = np.zeros((1, 21, 2)), np.zeros((1, 21), np.int8)
    for name, point in points.items():
        xy[0, UNION.index(name)], visibility[0, UNION.index(name)] = point, 2
    return xy, visibility


def feature(xy: NDArray[np.float64], visibility: NDArray[np.int8], which: int, name: str = "nose") -> float:
    return float(labelling_geometry(UNION, xy, visibility)[0, UNION.index(name), which])


def test_front_and_back_are_told_by_the_order_of_left_and_right() -> None:
    xy, visibility = person(FRONT)
    assert feature(xy, visibility, SHOULDERS) == pytest.approx(1)
    assert feature(xy, visibility, HIPS) == pytest.approx(1)
    behind = xy[:, UNION.flip_indices]
    assert feature(behind, visibility, SHOULDERS) == pytest.approx(-1)
    visibility[0, UNION.index("left_hip")] = 0
    assert feature(xy, visibility, HIPS) == 0


@settings(max_examples=30, deadline=None)
@given(angle=st.floats(-3.1, 3.1), scale=st.floats(0.2, 5), x=st.floats(-100, 100), y=st.floats(-100, 100))
def test_place_size_and_rotation_of_a_person_do_not_matter(angle: float, scale: float, x: float, y: float) -> None:
    xy, visibility = person({**FRONT, "nose": (55, 20)})
    turned = scale * xy @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) + [x, y]
    expected = labelling_geometry(UNION, xy, visibility)
    np.testing.assert_allclose(labelling_geometry(UNION, turned, visibility), expected, atol=1e-9)


def test_a_mirrored_picture_of_the_same_person_says_the_same_of_the_other_side() -> None:
    xy, visibility = person({**FRONT, "nose": (58, 20)})
    mirrored = (xy * [-1, 1] + [200, 0])[:, UNION.flip_indices]
    before = labelling_geometry(UNION, xy, visibility)
    after = labelling_geometry(UNION, mirrored, visibility[:, UNION.flip_indices])
    np.testing.assert_allclose(after, before[:, UNION.flip_indices], atol=1e-12)


def test_the_eye_on_the_side_that_the_nose_is_turned_to_is_the_far_one() -> None:
    xy, visibility = person({**FRONT, "nose": (60, 20)})
    assert feature(xy, visibility, TURN, "left_ear") == pytest.approx(0.4)
    assert feature(xy, visibility, TURN, "right_ear") == pytest.approx(-0.4)
    assert feature(xy, visibility, TURN, "nose") == 0


def test_hidden_joints_are_counted_among_labelled_ones_only() -> None:
    xy, visibility = person(FRONT)
    visibility[0, UNION.index("left_hip")] = 1
    assert feature(xy, visibility, HIDDEN) == pytest.approx(1 / 9)
    assert feature(xy, visibility, HIDDEN_NEAR, "left_knee") == 1
    assert feature(xy, visibility, HIDDEN_NEAR, "right_knee") == 0
    assert feature(xy, visibility, HIDDEN_NEAR, "left_ankle") == 0  # no neighbour is labelled


def test_a_person_not_looked_at_and_a_skeleton_without_a_face_give_numbers() -> None:
    assert np.isfinite(labelling_geometry(UNION, np.full((2, 21, 2), np.nan), np.zeros((2, 21), np.int8))).all()
    mpii = load_skeleton("mpii16")
    geometry = labelling_geometry(mpii, np.ones((1, 16, 2)), np.full((1, 16), 2))
    assert (geometry[..., TURN] == 0).all()


def test_what_was_not_fitted_is_labelled_and_visible() -> None:
    labelling = AnnotatorModel(people="2 people", threshold=0.5, labelled={"nose": (0, 0, 5, 0, 0)}, occluded={})
    xy, visibility = person(FRONT)
    confidence = np.full((1, 21), 0.9)
    for places, low in ((xy, False), (xy[:, UNION.flip_indices], True)):
        geometry = labelling_geometry(UNION, places, visibility)
        likely = labelling.labelled_probability(UNION.keypoints, confidence, geometry)[0]
        assert (likely[UNION.index("nose")] < 0.1) == low
        assert (np.delete(likely, UNION.index("nose")) == 1).all()
        assert (labelling.occluded_probability(UNION.keypoints, confidence, geometry) == 0).all()


def test_another_number_of_weights_is_refused() -> None:
    with pytest.raises(ValidationError, match="5 weights"):
        AnnotatorModel(people="", threshold=0.5, labelled={"nose": (1, 2)}, occluded={})
