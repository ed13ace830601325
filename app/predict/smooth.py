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

# Tried on a photograph of five people, panned over at up to half a person a second for 3 s with noise of 4 grey levels:
# of cutoffs .05 to 2 Hz and betas 2 to 80 (sizes of the person, as MediaPipe counts its speeds) these leave the least
# tremble, 2.8 instead of 4.8 % of the size from frame to frame, at which the distance from the truth is not larger than
# before (8.1 %).
MIN_CUTOFF_HZ = 1.0
BETA = 5.0
SPEED_CUTOFF_HZ = 1.0  # the paper's
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
            self._seen, self._confidence = self._xy, self._weight = xy, confidence
            self._speed, self._speed_weight = np.zeros_like(xy), confidence
        else:
            elapsed_s = max(time_s - self._time_s, 1e-6)
            speed = (xy - self._seen) / size_px / elapsed_s
            # A speed is as doubtful as the more doubtful of its two points.
            of_speed = np.minimum(confidence, self._confidence)
            self._speed, self._speed_weight = _moved(
                self._speed, self._speed_weight, speed, of_speed, _share(SPEED_CUTOFF_HZ, elapsed_s)
            )
            share = _share(MIN_CUTOFF_HZ + BETA * np.linalg.norm(self._speed, axis=1), elapsed_s)
            self._xy, self._weight = _moved(self._xy, self._weight, xy, confidence, share)
        self._seen, self._confidence, self._time_s = xy, confidence, time_s
        return self._xy.copy()


def _moved(
    value_K2: NDArray[np.float64],
    weight_K: NDArray[np.float64],
    seen_K2: NDArray[np.float64],
    confidence_K: NDArray[np.float64],
    share: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The average and its weight after one more observation."""
    new, old = share * confidence_K, (1 - share) * weight_K
    return value_K2 + (new / (new + old))[:, None] * (seen_K2 - value_K2), new + old


def _share(cutoff_hz: NDArray[np.float64] | float, elapsed_s: float) -> NDArray[np.float64]:
    """α: what a new observation counts in a low-pass of this cutoff."""
    return np.asarray(1 / (1 + 1 / (2 * math.pi * np.asarray(cutoff_hz) * elapsed_s)))
