"""Augmentation: which crop of a person a training step sees, and what is done to its pixels.

The strengths are RTMPose's (rotation +-80 deg with probability .6, scale .6-1.4, shift .16 with probability .3,
half-body .3, HSV jitter, blur .1, one coarse dropout); `Augmentation.mild` is its last stage.

Shapes: K keypoints.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from poseunion.models.geometry import Crop, crop_from_box
from poseunion.models.skeleton import Skeleton


@dataclass(frozen=True)
class Augmentation:
    """Strengths; 0 or a probability of 0 turns a part off."""

    rotation_deg: float = 80.0
    rotation_prob: float = 0.6
    scale: tuple[float, float] = (0.6, 1.4)
    shift: float = 0.16
    shift_prob: float = 0.3
    half_body_prob: float = 0.3
    flip_prob: float = 0.5
    hsv: tuple[int, int, int] = (5, 30, 30)
    blur_prob: float = 0.1
    dropout_prob: float = 1.0
    dropout_side: tuple[float, float] = (0.2, 0.4)

    def mild(self) -> Augmentation:
        """RTMPose's last stage: no shift, less scale and rotation trouble, dropout half of the time."""
        return replace(self, shift_prob=0.0, scale=(0.75, 1.25), rotation_deg=60.0, dropout_prob=0.5)


NONE = Augmentation(0, 0, (1, 1), 0, 0, 0, 0, (0, 0, 0), 0, 0)

UPPER_BODY = ("nose", "eye", "ear", "shoulder", "elbow", "wrist", "thorax", "upper_neck", "head_top")
# mmpose's RandomHalfBody: at least 8 labelled keypoints in all and 2 in the half, the half's box grown by 1.5.
HALF_BODY_MIN_TOTAL, HALF_BODY_MIN_HALF, HALF_BODY_PADDING = 8, 2, 1.5


def random_crop(
    rng: np.random.Generator,
    box_xywh: NDArray[np.floating],
    xy_K2: NDArray[np.floating],
    known_K: NDArray[np.bool_],
    skeleton: Skeleton,
    size_wh: tuple[int, int],
    padding: float,
    strength: Augmentation,
) -> Crop:
    """Place a crop on a person."""
    box = np.asarray(box_xywh, np.float64)
    if known_K.sum() >= HALF_BODY_MIN_TOTAL and rng.random() < strength.half_body_prob:
        box = _half_body_box(rng, box, xy_K2, known_K, skeleton)
    base = crop_from_box(box, size_wh, padding)
    extent = np.array([base.width, base.width * size_wh[1] / size_wh[0]])
    centre = np.array(base.center_xy)
    if rng.random() < strength.shift_prob:
        centre = centre + _truncated_normal(rng, 2) * strength.shift * extent / padding
    low, high = strength.scale
    scale = (low + high) / 2 + float(_truncated_normal(rng, 1)[0]) * (high - low) / 2
    rotation = (
        float(_truncated_normal(rng, 1)[0]) * strength.rotation_deg if rng.random() < strength.rotation_prob else 0.0
    )
    return Crop(
        (float(centre[0]), float(centre[1])),
        base.width * scale,
        size_wh,
        rotation_deg=rotation,
        flip=bool(rng.random() < strength.flip_prob),
    )


def _half_body_box(
    rng: np.random.Generator,
    box: NDArray[np.float64],
    xy_K2: NDArray[np.floating],
    known_K: NDArray[np.bool_],
    skeleton: Skeleton,
) -> NDArray[np.float64]:
    upper = np.array([k.split("_", 1)[-1] in UPPER_BODY or k in UPPER_BODY for k in skeleton.keypoints])
    half = known_K & (upper if rng.random() < 0.5 else ~upper)
    if half.sum() < HALF_BODY_MIN_HALF:
        return box
    low, high = xy_K2[half].min(0), xy_K2[half].max(0)
    size = np.maximum(high - low, 1.0) * HALF_BODY_PADDING
    return np.concatenate([(low + high) / 2 - size / 2, size])


def _truncated_normal(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Normal with sd 1/2 cut at +-1, as mmpose's `truncnorm`."""
    return np.asarray(np.clip(rng.normal(0.0, 0.5, count), -1.0, 1.0))


def jitter_pixels(rng: np.random.Generator, crop_HW3: NDArray[np.uint8], strength: Augmentation) -> NDArray[np.uint8]:
    """HSV jitter, blur and coarse dropout of one crop."""
    image = crop_HW3
    if any(strength.hsv):
        # Each channel moves half of the time, as in YOLOX.
        gain = rng.uniform(-1, 1, 3) * strength.hsv * (rng.random(3) < 0.5)
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.int16) + gain.astype(np.int16)
        hsv[..., 0] %= 180
        image = np.asarray(cv2.cvtColor(np.clip(hsv, 0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB), np.uint8)
    if rng.random() < strength.blur_prob:
        image = np.asarray(cv2.blur(image, (3, 3)) if rng.random() < 0.5 else cv2.medianBlur(image, 3), np.uint8)
    if rng.random() < strength.dropout_prob:
        height, width = image.shape[:2]
        h, w = (int(s * rng.uniform(*strength.dropout_side)) for s in (height, width))
        y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
        image = image.copy()
        image[y : y + h, x : x + w] = 0
    return image
