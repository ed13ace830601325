"""What a pose model is, and how to run one.

Skeletons and their algebra (`skeleton`), the crop and its inverse (`geometry`), SimCC axes (`simcc`), the one image
decoder (`images`), OKS and PCK arithmetic (`metrics`), drawing (`drawing`), files that are whole or absent (`files`),
the errors (`errors`), and the predictor that runs any described ONNX file (`predictor`). Networks live in `networks`
and need torch; nothing that this module imports does, and an onnxruntime is loaded only when a predictor is made.
"""

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
from poseunion.models.predictor import Predictor, load_predictor
from poseunion.models.skeleton import Skeleton, Visibility, load_skeleton, shipped_skeletons, union
from poseunion.models.types import PoseBatch
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
