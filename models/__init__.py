"""Pose models: skeletons, calibrated predictors that run any described ONNX file, and their parts.

`codec`: crops and keypoint encodings. `runtime`: model files and what runs them. `calibration`, `conditioning`:
confidences, and keypoints given labelled ones. `inference`: the predictors. `networks`: torch modules, which nothing
else here imports. At the top: skeletons, pictures, files, metrics, drawing. An onnxruntime is loaded when a predictor
is made, the predictor's modules when one of its names is asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

from poseunion.models.errors import (
    BadArgumentError,
    BadFileError,
    ItemError,
    MissingExtraError,
    ModelError,
    PoseUnionError,
    SkeletonError,
)
from poseunion.models.skeleton import Skeleton, Visibility, load_skeleton, shipped_skeletons, union

if TYPE_CHECKING:
    from poseunion.models.images import read_image
    from poseunion.models.inference.predictor import Predictor, load_predictor
    from poseunion.models.pose_batch import PoseBatch
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

_LAZY = {
    "PoseBatch": "pose_batch",
    "Predictor": "inference.predictor",
    "load_predictor": "inference.predictor",
    "read_image": "images",
    "shipped_models": "zoo",
}


def __getattr__(name: str) -> Any:
    """Names of modules that reading an annotation file does not need (PEP 562)."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
