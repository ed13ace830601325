"""Person score: within the keypoints' range, and blind to keypoints that are out of the picture."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from poseunion.models.poses.person_score import person_score

probability = st.floats(0, 1)


@given(st.lists(st.tuples(probability, probability), min_size=1, max_size=21))
def test_it_is_a_probability_and_at_least_the_mean(pairs: list[tuple[float, float]]) -> None:
    in_picture, right = np.array(pairs).T
    score = in_picture * right
    found = person_score(score[None], in_picture[None])[0]
    assert score.mean() - 1e-12 <= found <= 1
    assert person_score(score[None], np.ones((1, len(pairs))))[0] == person_score(score[None])[0]


@given(st.lists(st.floats(0.1, 1), min_size=1, max_size=17), st.integers(0, 10))
def test_keypoints_out_of_the_picture_do_not_count(score: list[float], absent: int) -> None:
    cut = np.array([[*score, *[0.0] * absent]])
    in_picture = np.array([[*[1.0] * len(score), *[0.0] * absent]])
    assert np.isclose(person_score(cut, in_picture), np.mean(score)).all()
