"""Which proposals are good enough to stand as keypoints? One small rule, in one place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.models.errors import BadArgumentError
from poseunion.models.skeleton import Skeleton

DEFAULT_THRESHOLD = 0.3


def thresholds_for(skeleton: Skeleton, metadata: Any = None, threshold: float | None = None) -> NDArray[np.float64]:
    """(K,) confidence that each keypoint's proposal has to reach.

    What the user says comes first, then the model's own `metadata.score_threshold`, then `DEFAULT_THRESHOLD`.

    Raises:
        BadArgumentError: `threshold` is not in [0, 1].
    """
    if threshold is not None:
        if not 0 <= threshold <= 1:
            raise BadArgumentError(f"--threshold {threshold} is not a confidence: give a number from 0 to 1.")
        return np.full(len(skeleton), threshold)
    return np.full(len(skeleton), float(getattr(metadata, "score_threshold", DEFAULT_THRESHOLD)))


def accepted(
    xy_NK2: NDArray[np.floating],
    confidence_NK: NDArray[np.floating],
    threshold_K: NDArray[np.floating],
    size_wh_N2: NDArray[np.floating],
) -> NDArray[np.bool_]:
    """(N, K): confident enough, and inside the picture (pixel centres 0 … width-1); NaN is never accepted.

    Args:
        xy_NK2: image pixels, 0-based.
        size_wh_N2: picture sizes, pixels.
    """
    inside = ((xy_NK2 >= 0) & (xy_NK2 <= size_wh_N2[:, None, :] - 1)).all(-1)
    return np.asarray(inside & (confidence_NK >= threshold_K))
