"""Logistic function and its inverse, of arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def logistic(logit: NDArray[np.floating]) -> NDArray[np.float64]:
    """Sigmoid of any shape, clipped so that it stays inside (0, 1)."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logit, -30, 30))))


def log_odds(p: NDArray[np.floating], least: float) -> NDArray[np.float64]:
    """Log odds of probabilities of any shape, which are clipped to `least` and 1 - `least`."""
    clipped = np.clip(np.asarray(p, np.float64), least, 1 - least)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))
