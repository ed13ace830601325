"""Pose models: skeletons, calibrated predictors that run any described ONNX file, and their parts.

`codec`: crops and keypoint encodings. `runtime`: model files and what runs them. `calibration`, `conditioning`:
confidences, and keypoints given labelled ones. `inference`: the predictors. `networks`: torch modules, which nothing
else here imports. At the top: skeletons, pictures, files, metrics, drawing. onnxruntime is loaded when a predictor is
created.

The names of this package are imported when they are first used: a command's --help needs none of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poseunion.models.errors import (
        BadArgumentError,
        BadFileError,
        ItemError,
        MissingExtraError,
        ModelError,
        PoseUnionError,
        SkeletonError,
    )
    from poseunion.models.images import read_image
    from poseunion.models.inference.predictor import Predictor, load_predictor
    from poseunion.models.poses.batch import PoseBatch
    from poseunion.models.skeleton import Skeleton, Visibility, load_skeleton, shipped_skeletons, union
    from poseunion.models.zoo import shipped_models

__all__ = [
    "BadArgumentError",
    "BadFileError",
    "ItemError",
    "MissingExtraError",
    "ModelError",
    "PoseBatch",
    "PoseUnionError",
    "Predictor",
    "Skeleton",
    "SkeletonError",
    "Visibility",
    "load_predictor",
    "load_skeleton",
    "read_image",
    "shipped_models",
    "shipped_skeletons",
    "union",
]

_PLACES = {
    "errors": (
        "BadArgumentError",
        "BadFileError",
        "ItemError",
        "MissingExtraError",
        "ModelError",
        "PoseUnionError",
        "SkeletonError",
    ),
    "images": ("read_image",),
    "inference.predictor": ("Predictor", "load_predictor"),
    "poses.batch": ("PoseBatch",),
    "skeleton": ("Skeleton", "Visibility", "load_skeleton", "shipped_skeletons", "union"),
    "zoo": ("shipped_models",),
}


def __getattr__(name: str) -> Any:
    for module, names in _PLACES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
