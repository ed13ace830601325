"""Augmentation of crops: random crop geometry, low resolution, colour, blur and dropout of pixels.

Shapes: N people, K keypoints.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist

import cv2
import numpy as np
from numpy.typing import NDArray

from poseunion.models.codec.crop import Crop, crop_from_center
from poseunion.models.skeleton import Skeleton
from poseunion.training.config.augmentation import Augmentation

UPPER_BODY = ("nose", "eye", "ear", "shoulder", "elbow", "wrist", "thorax", "upper_neck", "head_top")
# mmpose's RandomHalfBody: this many labelled keypoints in all, in an upper and in a lower half; the crop holds the
# half's keypoints grown by 1.5 around their mean (and is not padded again); the upper half is preferred.
HALF_BODY_MIN_TOTAL, HALF_BODY_MIN_UPPER, HALF_BODY_MIN_LOWER = 9, 2, 3
HALF_BODY_PADDING, HALF_BODY_UPPER_PROB = 1.5, 0.7
BLUR_SIDES_PX = (3, 5, 7)


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
    centre, extent = box[:2] + box[2:] / 2, box[2:] * padding
    if known_K.sum() >= HALF_BODY_MIN_TOTAL and rng.random() < strength.half_body_prob:
        prefers_upper = np.array([rng.random() < HALF_BODY_UPPER_PROB])
        half_centre, half_extent, has_half = half_bodies(xy_K2[None], known_K[None], prefers_upper, skeleton)
        if has_half[0]:
            centre, extent = half_centre[0], half_extent[0]
    shift_x, shift_y, scaling, turning = _truncated_normal(rng, 4)
    if rng.random() < strength.shift_prob:
        centre = centre + np.array([shift_x, shift_y]) * strength.shift * extent
    low, high = strength.scale
    extent = extent * ((low + high) / 2 + scaling * (high - low) / 2)
    rotation = float(turning) * strength.rotation_deg if rng.random() < strength.rotation_prob else 0.0
    crop = crop_from_center((centre[0], centre[1]), (extent[0], extent[1]), size_wh)
    return replace(crop, rotation_deg=rotation, flip=bool(rng.random() < strength.flip_prob))


def half_bodies(
    xy_NK2: NDArray[np.floating], known_NK: NDArray[np.bool_], prefers_upper_N: NDArray[np.bool_], skeleton: Skeleton
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Centre and extent of each person's upper or lower half, and whether either has enough keypoints."""
    is_upper = np.array([k.split("_", 1)[-1] in UPPER_BODY or k in UPPER_BODY for k in skeleton.keypoints])
    upper, lower = known_NK & is_upper, known_NK & ~is_upper
    has_upper, has_lower = upper.sum(1) >= HALF_BODY_MIN_UPPER, lower.sum(1) >= HALF_BODY_MIN_LOWER
    takes_upper = has_upper & (prefers_upper_N | ~has_lower)
    chosen = np.where(takes_upper[:, None], upper, lower)[..., None]
    xy = np.asarray(xy_NK2, np.float64)
    mean = np.where(chosen, xy, 0).sum(1) / np.maximum(chosen.sum(1), 1)
    reach = np.where(chosen, xy, -np.inf).max(1) - np.where(chosen, xy, np.inf).min(1)
    has_half = has_upper | has_lower
    return mean, np.maximum(np.where(has_half[:, None], reach, 0), 1.0) * HALF_BODY_PADDING, has_half


def _truncated_normal(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Standard normal, values beyond +-1 drawn anew (scipy's `truncnorm(-1, 1)`, as in mmpose); its sd is .54."""
    normal = NormalDist()
    return np.array([normal.inv_cdf(p) for p in rng.uniform(normal.cdf(-1), normal.cdf(1), count)])


def jitter_pixels(rng: np.random.Generator, crop_HW3: NDArray[np.uint8], strength: Augmentation) -> NDArray[np.uint8]:
    """Low resolution, HSV jitter, blur and coarse dropout of one crop; nothing moves."""
    image = crop_HW3
    if rng.random() < strength.low_res_prob:
        image = _shrink_and_enlarge(image, int(rng.integers(*strength.low_res_height_px, endpoint=True)))
    if any(strength.hsv):
        # Each channel moves half of the time, as in YOLOX.
        gain = rng.uniform(-1, 1, 3) * strength.hsv * (rng.random(3) < 0.5)
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.int16) + gain.astype(np.int16)
        hsv[..., 0] %= 180
        image = np.asarray(cv2.cvtColor(np.clip(hsv, 0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB), np.uint8)
    if rng.random() < strength.blur_prob:
        image = np.asarray(cv2.blur(image, (int(rng.choice(BLUR_SIDES_PX)),) * 2), np.uint8)
    if rng.random() < strength.blur_prob:
        image = np.asarray(cv2.medianBlur(image, int(rng.choice(BLUR_SIDES_PX))), np.uint8)
    if rng.random() < strength.dropout_prob:
        height, width = image.shape[:2]
        h, w = (int(s * rng.uniform(*strength.dropout_side)) for s in (height, width))
        y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
        image = image.copy()
        image[y : y + h, x : x + w] = 0
    return image


def _shrink_and_enlarge(image_HW3: NDArray[np.uint8], height_px: int) -> NDArray[np.uint8]:
    """The same picture with the detail of one that is `height_px` high."""
    height, width = image_HW3.shape[:2]
    if height_px >= height:
        return image_HW3
    small = cv2.resize(image_HW3, (max(1, round(width * height_px / height)), height_px), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
