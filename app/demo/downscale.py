"""Reduced resolution of one person: the picture around a box with only so many pixels left."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from poseunion.models.codec.crop import Crop


def reduce_resolution(image: NDArray[np.uint8], crop: Crop, side_px: int) -> NDArray[np.uint8]:
    """A copy of `image` where the region of `crop` has lost what `side_px` pixels of its longer side cannot hold.

    Areas are averaged, as a sensor does, and enlarged again smoothly, as a network's crop would be.

    Args:
        image: (H, W, 3) uint8.
        crop: upright and not mirrored.
        side_px: pixels that are left along the longer side of the region.
    """
    width = crop.width
    height = width * crop.size_wh[1] / crop.size_wh[0]
    x0, y0 = crop.center_xy[0] - width / 2, crop.center_xy[1] - height / 2
    left, top = max(0, math.floor(x0)), max(0, math.floor(y0))
    right, bottom = min(image.shape[1], math.ceil(x0 + width)), min(image.shape[0], math.ceil(y0 + height))
    blurred = image.copy()
    if right <= left or bottom <= top:
        return blurred
    region = image[top:bottom, left:right]
    kept_px_per_px = side_px / max(width, height)
    if kept_px_per_px >= 1:
        return blurred
    small_wh = [max(1, round(side * kept_px_per_px)) for side in (right - left, bottom - top)]
    small = cv2.resize(region, small_wh, interpolation=cv2.INTER_AREA)
    blurred[top:bottom, left:right] = cv2.resize(small, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    return blurred
