"""A poseunion model as a FiftyOne model: `dataset.apply_model(model, label_field="pose")`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import fiftyone as fo
import numpy as np
from numpy.typing import NDArray

from poseunion.models.inference.predictor import load_predictor


class PoseModel(fo.Model):
    """Detects people in a picture and predicts their keypoints.

    Args:
        model: shipped model or described .onnx file.
        device: cpu, cuda or tensorrt.
        minimum_confidence: keypoints below it become NaN, which FiftyOne does not draw; `apply_model` sets another for
            its own time by `confidence_thresh`.
    """

    media_type = "image"
    has_logits = False
    has_embeddings = False
    can_embed_prompts = False
    ragged_batches = True
    transforms = None
    preprocess = False

    def __init__(self, model: str = "unified", *, device: str = "cpu", minimum_confidence: float = 0.0) -> None:
        self._predict = load_predictor(model, device=device)
        self.config = SimpleNamespace(confidence_thresh=minimum_confidence)  # where `apply_model` looks for it

    @property
    def skeleton(self) -> Any:
        """For `dataset.skeletons[label_field]`."""
        found = self._predict.skeleton
        edges = [[found.index(a), found.index(b)] for a, b in found.links]
        return fo.KeypointSkeleton(labels=list(found.keypoints), edges=edges)

    def predict(self, arg: NDArray[np.uint8]) -> Any:
        """`Keypoints` of an RGB picture (H, W, 3): one `Keypoint` a person, x / width and y / height."""
        people = self._predict(arg)
        size_wh = np.array([arg.shape[1], arg.shape[0]])
        xy_NK2 = np.where(people.score[..., None] < self.config.confidence_thresh, np.nan, people.xy / size_wh)
        return fo.Keypoints(
            keypoints=[
                fo.Keypoint(label="person", points=xy.tolist(), confidence=score.tolist())
                for xy, score in zip(xy_NK2, people.score, strict=True)
            ]
        )
