"""Person score: the mean confidence of a person's keypoints, over those that are in the picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def person_score(
    score_NK: NDArray[np.floating], in_picture_NK: NDArray[np.floating] | None = None
) -> NDArray[np.float64]:
    """(N,) in [0, 1] score of each person, by which AP and results files rank people.

    Without `in_picture` the mean, as mmpose rescores a person (there above a keypoint score of .2 only). A calibrated
    score is the probability that a keypoint is in the picture and right, so that by the mean a person cut at the waist
    would rank below one as well predicted and whole; OKS counts labelled keypoints only. Hence the expected number of
    right keypoints over the expected number in the picture.

    Args:
        score_NK: confidences in [0, 1].
        in_picture_NK: probability that each keypoint is in the picture at all; `score` is at most that.

    >>> whole, cut = [0.8, 0.8, 0.8, 0.8], [0.8, 0.8, 0.0, 0.0]
    >>> person_score(np.array([whole, cut])).tolist()
    [0.8, 0.4]
    >>> person_score(np.array([whole, cut]), np.array([[1.0] * 4, [1.0, 1.0, 0.0, 0.0]])).tolist()
    [0.8, 0.8]
    """
    score = np.asarray(score_NK, np.float64)
    if in_picture_NK is None:
        return np.asarray(score.mean(-1))
    # Below one keypoint the ratio of two small numbers would be noise.
    expected = np.maximum(np.asarray(in_picture_NK, np.float64).sum(-1), 1.0)
    return np.asarray(np.minimum(score.sum(-1) / expected, 1.0))
