"""Definition offsets: conversion of a dataset's keypoints to the union's definitions, and back.

Shapes: N people, K keypoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poseunion.models.skeleton import Skeleton, derive_midpoints, project


@dataclass(frozen=True)
class DefinitionOffset:
    """Definition offset of one keypoint: a move along the line from another keypoint.

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

# Models whose keypoint lies elsewhere than in the union's definition, by the name of their description; applied to
# their output, as teachers and in evaluation. EfficientPose-RT: .957 +- .010 (517 people), .029 torso too high:
# benchmarks/accuracy/head_top_offset.py --model efficientpose-rt.onnx --annotations lspet/train.json
# --images lspet/train --all --most 1200. Above the outline of the hair it lies by .086 torso, a student of union21 by
# .060 (.874 and .905 of 299 people each): most of that is the definition.
MODEL_OFFSETS: Mapping[str, tuple[DefinitionOffset, ...]] = {
    "efficientpose-rt": (DefinitionOffset("head_top", "upper_neck", 0.957),),
}

# Skeletons whose models predict in the union's definitions: head_top of union21 is MPII's.
IN_UNION_DEFINITIONS = ("union21", "mpii16")


def apply_offsets(
    xy_NK2: NDArray[np.float64],
    visibility_NK: NDArray[np.int8],
    skeleton: Skeleton,
    offsets: tuple[DefinitionOffset, ...],
    *,
    inverse: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Convert keypoints to the union's definitions, or (`inverse`) predictions back to a dataset's own."""
    xy, visibility = xy_NK2.copy(), visibility_NK.copy()
    for offset in offsets:
        k, a = skeleton.index(offset.keypoint), skeleton.index(offset.anchor)
        factor = 1 / offset.factor if inverse else offset.factor
        known = visibility_NK[:, k] > 0
        usable = known & (visibility_NK[:, a] > 0)
        xy[usable, k] = xy_NK2[usable, a] + factor * (xy_NK2[usable, k] - xy_NK2[usable, a])
        visibility[known & ~usable, k] = -1
    return xy, visibility


def to_model_keypoints(
    xy_NK2: NDArray[np.float64],
    visibility_NK: NDArray[np.int8],
    dataset: Skeleton,
    model: Skeleton,
    offsets: tuple[DefinitionOffset, ...] = (),
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Labels of a dataset in a model's keypoints and definitions: offsets, projection, derived midpoints.

    A keypoint whose definition differs and cannot be converted counts as not labelled.

    Returns:
        (N, M, 2) xy and (N, M) visibility of the model's M keypoints.
    """
    xy, visibility = apply_offsets(np.asarray(xy_NK2, np.float64), visibility_NK, dataset, offsets)
    xy, visibility = project(xy, visibility, dataset, model)
    xy, visibility, _ = derive_midpoints(xy, visibility, model)
    return xy, visibility
