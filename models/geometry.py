"""From a person's box to the network's crop and back: the only place where this is computed.

Geometry is mmpose's (`TopdownAffine`): the crop's point (W/2, H/2) lies on the box centre, pixel centres are integers,
and one scale serves both axes. A crop is therefore a similarity; its inverse is exact, not a matrix inversion.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from poseunion.models.errors import ItemError

# Beyond this many image pixels a crop pixel, bilinear sampling skips pixels: the picture is area-averaged first.
ANTIALIAS_FROM = 1.5


@dataclass(frozen=True)
class Crop:
    """A region of the picture that is shown to the network.

    Attributes:
        center_xy: image pixels.
        width: image pixels covered by the crop's full width (its height follows from the aspect of `size_wh`).
        rotation_deg: how far the crop shows the person turned clockwise, as seen (mmpose counts the other way round).
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
        """How many image pixels one crop pixel covers along an axis."""
        return self.width / self.size_wh[0]


def crop_from_box(
    box_xywh: NDArray[np.floating] | tuple[float, ...], size_wh: tuple[int, int], padding: float = 1.25
) -> Crop:
    """The crop that holds `box_xywh` grown by `padding`, at the aspect of `size_wh` (mmpose's `GetBBoxCenterScale`).

    Raises:
        ItemError: the box has no positive area or is not finite.
    """
    x, y, w, h = (float(v) for v in box_xywh)
    if not np.isfinite([x, y, w, h]).all() or w <= 0 or h <= 0:
        raise ItemError(f"box {[x, y, w, h]} has no area")
    return crop_from_center((x + w / 2, y + h / 2), (w, h), size_wh, padding)


def crop_from_center(
    center_xy: tuple[float, float], extent_wh: tuple[float, float], size_wh: tuple[int, int], padding: float = 1.0
) -> Crop:
    """The crop around a centre that holds `extent_wh` (image pixels) grown by `padding`, at the aspect of `size_wh`."""
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
    affine = affine_to_crop(crop)
    shrink = crop.image_px_per_crop_px
    if antialias and shrink > ANTIALIAS_FROM:
        image, to_small = _shrink_region(image, crop, shrink)
        affine = compose(affine, invert_affine(to_small))
    return np.asarray(
        cv2.warpAffine(
            image, affine, crop.size_wh, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=border
        ),
        np.uint8,
    )


def compose(second: NDArray[np.floating], first: NDArray[np.floating]) -> NDArray[np.float64]:
    """(2, 3) map that applies `first`, then `second`."""
    full = np.vstack([np.asarray(first, np.float64), [0.0, 0.0, 1.0]])
    return np.asarray(second, np.float64) @ full


def _shrink_region(
    image: NDArray[np.uint8], crop: Crop, shrink: float
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Area-average the part of the picture that the crop sees by `shrink`; returns it and the image -> part affine."""
    width, height = crop.size_wh
    corners = np.array([[-2, -2], [width + 1, -2], [-2, height + 1], [width + 1, height + 1]], np.float64)
    seen = to_image(corners, crop)
    x0, y0 = np.clip(np.floor(seen.min(0)), 0, [image.shape[1] - 1, image.shape[0] - 1]).astype(int)
    x1, y1 = np.clip(np.ceil(seen.max(0)) + 1, [x0 + 1, y0 + 1], [image.shape[1], image.shape[0]]).astype(int)
    region = image[y0:y1, x0:x1]
    small_w, small_h = (max(1, round((x1 - x0) / shrink)), max(1, round((y1 - y0) / shrink)))
    small = cv2.resize(region, (small_w, small_h), interpolation=cv2.INTER_AREA)
    fx, fy = small_w / (x1 - x0), small_h / (y1 - y0)
    # resize aligns pixel *areas*: small = (x - x0 + 1/2) f - 1/2
    to_small = np.array([[fx, 0, (0.5 - x0) * fx - 0.5], [0, fy, (0.5 - y0) * fy - 0.5]])
    return np.asarray(small, np.uint8), to_small
