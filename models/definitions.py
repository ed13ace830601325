"""Names agree, definitions do not: how one dataset's keypoint is brought to the union's definition, and back.

Shapes: N people, K keypoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poseunion.models.skeleton import Skeleton


@dataclass(frozen=True)
class DefinitionOffset:
    """How one dataset's keypoint is brought to the union's definition: moved along the line from another keypoint.

    new = anchor + factor * (keypoint - anchor), only where both are labelled; otherwise the keypoint is unknown.
    """

    keypoint: str
    anchor: str
    factor: float


# LSP annotators put head_top lower than MPII's. Upright people of LSPET's training half (1,220) and of MPII's (14,311),
# medians in torso lengths: neck .09 and .13, head_top .54 and .69 above mid-shoulder; neck to head_top .49 and .59. The
# ratio of the heads is 1.24 along the torso and 1.18 as a length; MPII's torso is itself about 2.5 % shorter (its
# hips sit higher).
LSP_OFFSETS = (DefinitionOffset("head_top", "upper_neck", 1.2),)

OFFSETS: Mapping[str, tuple[DefinitionOffset, ...]] = {"lsp14": LSP_OFFSETS}


def apply_offsets(
    xy_NK2: NDArray[np.float64],
    visibility_NK: NDArray[np.int8],
    skeleton: Skeleton,
    offsets: tuple[DefinitionOffset, ...],
    *,
    inverse: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Bring keypoints to the union's definition, or (`inverse`) predictions back to a dataset's own."""
    xy, visibility = xy_NK2.copy(), visibility_NK.copy()
    for offset in offsets:
        k, a = skeleton.index(offset.keypoint), skeleton.index(offset.anchor)
        factor = 1 / offset.factor if inverse else offset.factor
        known = visibility_NK[:, k] > 0
        usable = known & (visibility_NK[:, a] > 0)
        xy[usable, k] = xy_NK2[usable, a] + factor * (xy_NK2[usable, k] - xy_NK2[usable, a])
        visibility[known & ~usable, k] = -1
    return xy, visibility
