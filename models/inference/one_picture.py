"""Prediction on one picture as a caller in Python has it; people are detected where no boxes are given."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from poseunion.models.errors import BadArgumentError
from poseunion.models.images import ImageLike, rgb_image
from poseunion.models.inference.detector import OnnxDetector, load_detector
from poseunion.models.inference.interface import PosePredictor
from poseunion.models.poses.batch import PoseBatch


def predict_picture(
    predictor: PosePredictor,
    picture: ImageLike,
    boxes_xywh: ArrayLike | None,
    labels_NK3: NDArray[np.floating] | None,
) -> PoseBatch:
    """Keypoints of the people in one picture, with the picture as `PoseBatch.image`, see `PosePredictor.__call__`."""
    if boxes_xywh is None and labels_NK3 is not None:
        raise BadArgumentError("Labelled keypoints belong to people: give their boxes as well.")
    image = rgb_image(picture)
    boxes = _shipped_detector()(image)[0] if boxes_xywh is None else boxes_xywh
    labels = None if labels_NK3 is None else [labels_NK3]
    return replace(predictor.predict([image], [boxes], labels)[0], image=image)


@functools.lru_cache(maxsize=1)
def _shipped_detector() -> OnnxDetector:
    return load_detector()
