"""Top-down crop: affine from a person's box to the network's input and back; the only place where it is computed.

Geometry is mmpose's (`TopdownAffine`): the crop's point (W/2, H/2) lies on the box centre, pixel centres are integers,
and one scale serves both axes. A crop is therefore a similarity; its inverse is exact, not a matrix inversion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from poseunion.models.errors import ItemError

# Beyond this many image pixels a crop pixel, bilinear sampling skips pixels: the picture is halved until it does not.
ANTIALIAS_FROM = 1.5


@dataclass(frozen=True)
class Crop:
    """Region of the picture that becomes the network's input.

    Attributes:
        center_xy: image pixels.
        width: image pixels covered by the crop's full width (its height follows from the aspect of `size_wh`).
        rotation_deg: clockwise rotation of the person in the crop (mmpose's sign is the opposite).
        size_wh: network input size, pixels.
        flip: the crop is mirrored left to right.
    """

    center_xy: tuple[float, float]
    width: float
    size_wh: tuple[int, int]
    rotation_deg: float = 0.0
    flip: bool = False

    @property
    def image_px_per_crop_px(self) -> float:
        """Image pixels that one crop pixel covers along an axis."""
        return self.width / self.size_wh[0]


def corners_of(box_xywh_N4: NDArray[np.floating]) -> NDArray[np.floating]:
    """Boxes x, y, width, height as x0, y0, x1, y1."""
    return np.concatenate([box_xywh_N4[:, :2], box_xywh_N4[:, :2] + box_xywh_N4[:, 2:]], 1)


def crop_from_box(
    box_xywh: NDArray[np.floating] | tuple[float, ...], size_wh: tuple[int, int], padding: float = 1.25
) -> Crop:
    """Crop around `box_xywh` grown by `padding`, at the aspect of `size_wh` (mmpose's `GetBBoxCenterScale`).

    Raises:
        ItemError: the box has no positive area or is not finite.
    """
    x, y, w, h = (float(v) for v in box_xywh)
    if not np.isfinite([x, y, w, h]).all() or w <= 0 or h <= 0:
        raise ItemError(f"box {[x, y, w, h]} has no area")
    return crop_from_center((x + w / 2, y + h / 2), (w, h), size_wh, padding)


def check_in_picture(image: NDArray[np.uint8], box_xywh: NDArray[np.floating] | tuple[float, ...]) -> None:
    """Check that a box touches the picture; raises ItemError."""
    x, y, w, h = (float(v) for v in box_xywh)
    if x >= image.shape[1] or y >= image.shape[0] or x + w <= 0 or y + h <= 0:
        raise ItemError(
            f"box [{x:g}, {y:g}, {w:g}, {h:g}] lies outside the picture of {image.shape[1]}x{image.shape[0]}"
        )


def crop_from_center(
    center_xy: tuple[float, float], extent_wh: tuple[float, float], size_wh: tuple[int, int], padding: float = 1.0
) -> Crop:
    """Crop around a centre and `extent_wh` (image pixels) grown by `padding`, at the aspect of `size_wh`."""
    aspect = size_wh[0] / size_wh[1]
    width = max(extent_wh[0] * padding, extent_wh[1] * padding * aspect)
    return Crop((float(center_xy[0]), float(center_xy[1])), float(width), size_wh)


def affine_to_crop(crop: Crop) -> NDArray[np.float64]:
    """(2, 3) matrix from image pixels to crop pixels."""
    width, height = crop.size_wh
    scale = width / crop.width
    angle = np.deg2rad(crop.rotation_deg)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    mirror = -1.0 if crop.flip else 1.0
    linear = np.array([[mirror * cos, -mirror * sin], [sin, cos]])
    # A mirrored pixel row counts from the other end: column u goes to W - 1 - u.
    anchor = np.array([width - 1 - width / 2 if crop.flip else width / 2, height / 2])
    return np.column_stack([linear, anchor - linear @ np.asarray(crop.center_xy)])


def invert_affine(affine_23: NDArray[np.floating]) -> NDArray[np.float64]:
    """(2, 3) exact inverse of a similarity or any other invertible affine map."""
    (a, b, tx), (c, d, ty) = np.asarray(affine_23, np.float64)
    determinant = a * d - b * c
    inverse = np.array([[d, -b], [-c, a]]) / determinant
    return np.column_stack([inverse, -inverse @ np.array([tx, ty])])


def apply_affine(xy_px: NDArray[np.floating], affine_23: NDArray[np.floating]) -> NDArray[np.float64]:
    """Map (..., 2) points."""
    matrix = np.asarray(affine_23, np.float64)
    return np.asarray(xy_px, np.float64) @ matrix[:, :2].T + matrix[:, 2]


def to_image(xy_px: NDArray[np.floating], crop: Crop) -> NDArray[np.float64]:
    """Map (..., 2) points from a crop's pixels back to the picture's."""
    return apply_affine(xy_px, invert_affine(affine_to_crop(crop)))


def cut_crop(
    image: NDArray[np.uint8], crop: Crop, *, antialias: bool = True, border: tuple[int, int, int] = (0, 0, 0)
) -> NDArray[np.uint8]:
    """Cut `crop` out of a picture.

    Args:
        image: (H, W, 3) uint8.
        antialias: when shrinking, average areas before sampling. Off reproduces mmpose and rtmlib, which alias.
        border: colour outside the picture.

    Returns:
        (size_h, size_w, 3) uint8.
    """
    region, affine = _seen_region(image, crop)
    shrink = crop.image_px_per_crop_px
    while antialias and shrink > ANTIALIAS_FROM and min(region.shape[:2]) > 1:
        region, affine = _halved(region, affine)
        shrink /= 2
    # OpenCV warps four channels in half the time that it takes for three, adding and dropping one included.
    four = cv2.warpAffine(
        cv2.cvtColor(region, cv2.COLOR_RGB2RGBA),
        affine,
        crop.size_wh,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(*border, 255),
    )
    return np.asarray(cv2.cvtColor(four, cv2.COLOR_RGBA2RGB), np.uint8)


def compose(second: NDArray[np.floating], first: NDArray[np.floating]) -> NDArray[np.float64]:
    """(2, 3) map that applies `first`, then `second`."""
    full = np.vstack([np.asarray(first, np.float64), [0.0, 0.0, 1.0]])
    return np.asarray(second, np.float64) @ full


def _seen_region(image: NDArray[np.uint8], crop: Crop) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """View of the part of the picture that the crop covers, and the (2, 3) affine from its pixels to the crop's."""
    scale, angle = crop.image_px_per_crop_px, math.radians(crop.rotation_deg)
    cos, sin = abs(math.cos(angle)) * scale, abs(math.sin(angle)) * scale
    reach_w, reach_h = (side / 2 + 2 for side in crop.size_wh)  # with what bilinear sampling reads around it
    (x0, x1), (y0, y1) = (
        _within(centre - reach, centre + reach, length)
        for centre, reach, length in (
            (crop.center_xy[0], cos * reach_w + sin * reach_h, image.shape[1]),
            (crop.center_xy[1], sin * reach_w + cos * reach_h, image.shape[0]),
        )
    )
    affine = affine_to_crop(crop)
    affine[:, 2] += affine[:, :2] @ (x0, y0)
    return image[y0:y1, x0:x1], affine


def _within(start: float, end: float, length: int) -> tuple[int, int]:
    """Pixel range from `start` to `end` clipped to the picture, at least one pixel."""
    first = min(max(math.floor(start), 0), length - 1)
    return first, min(max(math.ceil(end) + 1, first + 1), length)


def _halved(region: NDArray[np.uint8], affine_23: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Halved picture (means of 2x2 pixels), and the affine from it: other ratios take OpenCV twenty times as long.

    A last odd row or column is left out.
    """
    half_h, half_w = region.shape[0] // 2, region.shape[1] // 2
    half = cv2.resize(region[: 2 * half_h, : 2 * half_w], (half_w, half_h), interpolation=cv2.INTER_AREA)
    # Pixel areas tile the region: the centre of block u is at 2u + 1/2.
    return np.asarray(half, np.uint8), compose(affine_23, np.array([[2, 0, 0.5], [0, 2, 0.5]]))
