"""Smooth keypoints along a track: the One-Euro filter, with each observation weighed by its confidence.

G. Casiez, N. Roussel, D. Vogel: 1€ Filter, CHI 2012. A low-pass whose cutoff rises with speed: what rests does not
tremble, what moves does not lag. Plain, it is an average with the weights α(1-α)^i of i frames ago; here each weight is
also multiplied by the observation's confidence, so that a doubtful point moves its keypoint little. With equal
confidences that is the plain filter.

Shapes: K keypoints.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# Those of MediaPipe's pose_landmark_filtering graph, whose speeds are in sizes of the person a second as ours are.
MIN_CUTOFF_HZ = 0.05
BETA = 80.0
SPEED_CUTOFF_HZ = 1.0
# A point of no confidence at all would divide nothing by nothing.
LEAST_CONFIDENCE = 1e-3


class OneEuro:
    """The keypoints of one track."""

    def __init__(self) -> None:
        self._time_s: float | None = None

    def __call__(
        self, xy_K2: NDArray[np.floating], confidence_K: NDArray[np.floating], time_s: float, size_px: float
    ) -> NDArray[np.float64]:
        """(K, 2) smoothed pixels of a frame later than all before.

        Args:
            size_px: of the person, so that near and far ones are treated alike.
        """
        xy, confidence = np.asarray(xy_K2, np.float64), np.maximum(confidence_K, LEAST_CONFIDENCE).astype(np.float64)
        if self._time_s is None:
            self._seen = self._xy = xy
            self._speed, self._weight = np.zeros_like(xy), confidence
        else:
            elapsed_s = max(time_s - self._time_s, 1e-6)
            speed = (xy - self._seen) / size_px / elapsed_s
            self._speed += _share(SPEED_CUTOFF_HZ, elapsed_s) * (speed - self._speed)
            cutoff_hz = MIN_CUTOFF_HZ + BETA * np.linalg.norm(self._speed, axis=1)
            share = _share(cutoff_hz, elapsed_s)
            new, old = share * confidence, (1 - share) * self._weight
            self._weight = new + old
            self._xy = self._xy + (new / self._weight)[:, None] * (xy - self._xy)
            self._seen = xy
        self._time_s = time_s
        return self._xy.copy()


def _share(cutoff_hz: NDArray[np.float64] | float, elapsed_s: float) -> NDArray[np.float64]:
    """α: what a new observation counts in a low-pass of this cutoff."""
    return np.asarray(1 / (1 + 1 / (2 * math.pi * np.asarray(cutoff_hz) * elapsed_s)))
