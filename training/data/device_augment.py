"""Augmentation on the GPU: affine crop by one `grid_sample`, HSV jitter, blurs, coarse dropout, low resolution.

`augment` for whole batches. Random numbers are drawn on the host, for a whole batch, from the same
distributions (mmpose's, see `augment.Augmentation`); the device computes the pixels, without synchronisation.

Shapes: N people of a batch, M of them, K keypoints, H and W crop size, h and w canvas size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch's own convention

from poseunion.models.skeleton import Skeleton
from poseunion.training.config.augmentation import Augmentation
from poseunion.training.data.augment import (
    BLUR_SIDES_PX,
    HALF_BODY_MIN_TOTAL,
    HALF_BODY_UPPER_PROB,
    half_bodies,
)

# The inverse of the standard normal distribution between -1 and 1, in steps whose error is below a millionth.
_NORMAL = NormalDist()
_SHARE = np.linspace(_NORMAL.cdf(-1), _NORMAL.cdf(1), 4097)
_QUANTILE = np.array([_NORMAL.inv_cdf(p) for p in _SHARE])


@dataclass(frozen=True)
class Crops:
    """One crop a person, as `crop.Crop` has it.

    Attributes:
        centre_N2, width_N: store px.
        rotation_N: degrees.
        flip_N: mirrored left to right.
    """

    centre_N2: NDArray[np.float64]
    width_N: NDArray[np.float64]
    rotation_N: NDArray[np.float64]
    flip_N: NDArray[np.bool_]

    def affines(self, size_wh: tuple[int, int]) -> NDArray[np.float64]:
        """(N, 2, 3) from store px to the px of a crop of this size; `crop.affine_to_crop` of each."""
        width, height = size_wh
        scale, angle = width / self.width_N, np.deg2rad(self.rotation_N)
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        mirror = np.where(self.flip_N, -1.0, 1.0)
        linear = np.stack([np.stack([mirror * cos, -mirror * sin], -1), np.stack([sin, cos], -1)], 1)
        anchor = np.stack(
            [np.where(self.flip_N, width - 1 - width / 2, width / 2), np.full(len(scale), height / 2)], -1
        )
        shift = anchor - (linear @ self.centre_N2[..., None])[..., 0]
        return np.concatenate([linear, shift[..., None]], -1)


def draw_crops(
    rng: np.random.Generator,
    box_N4: NDArray[np.floating],
    xy_NK2: NDArray[np.floating],
    known_NK: NDArray[np.bool_],
    skeleton: Skeleton,
    size_wh: tuple[int, int],
    padding: float,
    strength: Augmentation,
) -> Crops:
    """Place a crop on each person; `augment.random_crop` for a batch."""
    n = len(box_N4)
    box = np.asarray(box_N4, np.float64)
    centre, extent = box[:, :2] + box[:, 2:] / 2, box[:, 2:] * padding
    wants_half = (known_NK.sum(1) >= HALF_BODY_MIN_TOTAL) & (rng.random(n) < strength.half_body_prob)
    prefers_upper = rng.random(n) < HALF_BODY_UPPER_PROB
    half_centre, half_extent, has_half = half_bodies(xy_NK2, known_NK, prefers_upper, skeleton)
    half = (wants_half & has_half)[:, None]
    centre, extent = np.where(half, half_centre, centre), np.where(half, half_extent, extent)
    bounded = np.interp(rng.uniform(_SHARE[0], _SHARE[-1], (n, 4)), _SHARE, _QUANTILE)
    shifted = rng.random(n) < strength.shift_prob
    centre = centre + shifted[:, None] * bounded[:, :2] * strength.shift * extent
    low, high = strength.scale
    extent = extent * ((low + high) / 2 + bounded[:, 2:3] * (high - low) / 2)
    turned = rng.random(n) < strength.rotation_prob
    aspect = size_wh[0] / size_wh[1]
    return Crops(
        centre,
        np.maximum(extent[:, 0], extent[:, 1] * aspect),
        turned * bounded[:, 3] * strength.rotation_deg,
        rng.random(n) < strength.flip_prob,
    )


def sample(canvas_N3hw: Tensor, affine_N23: NDArray[np.floating], size_wh: tuple[int, int]) -> Tensor:
    """Cut crops out of canvases: bilinear, black outside; `crop.cut_crop` without its halving.

    Args:
        affine_N23: from canvas px to crop px.

    Returns:
        (N, 3, H, W) of the canvas' type.
    """
    (width, height), (h, w) = size_wh, canvas_N3hw.shape[2:]
    linear = np.linalg.inv(affine_N23[:, :, :2])
    shift = -(linear @ affine_N23[:, :, 2:])[..., 0]
    # From a crop's px straight to grid_sample's coordinates, where a canvas goes from -1 to 1 at its outer edges.
    unit = np.array([2 / w, 2 / h])
    matrix = np.concatenate([linear * unit[:, None], ((shift + 0.5) * unit - 1)[..., None]], -1)
    device = canvas_N3hw.device
    theta = torch.as_tensor(matrix, dtype=torch.float32, device=device)
    columns, rows = torch.arange(width, device=device), torch.arange(height, device=device)
    along_x = theta[:, None, None, :, 0] * columns[:, None]
    along_y = theta[:, None, None, :, 1] * rows[:, None, None]
    grid_NHW2 = along_x + along_y + theta[:, None, None, :, 2]
    return F.grid_sample(
        canvas_N3hw, grid_NHW2.to(canvas_N3hw.dtype), mode="bilinear", padding_mode="zeros", align_corners=False
    )


@dataclass(frozen=True)
class Disturbances:
    """Random changes of a batch's pixels.

    Attributes:
        low_N: height of the shrunken crop, 0 to leave it.
        hsv_N3: added to hue (of 180), saturation and value (of 255).
        blur_N, median_N: side of the kernel, 0 for none.
        hole_N4: x, y, width and height of the blackened rectangle, px.
    """

    low_N: NDArray[np.int64]
    hsv_N3: NDArray[np.int64]
    blur_N: NDArray[np.int64]
    median_N: NDArray[np.int64]
    hole_N4: NDArray[np.int64]


def draw_disturbances(
    rng: np.random.Generator, count: int, size_wh: tuple[int, int], strength: Augmentation
) -> Disturbances:
    """Draw what `augment.jitter_pixels` draws, for a batch."""
    heights = rng.integers(*strength.low_res_height_px, count, endpoint=True)
    low = np.where((rng.random(count) < strength.low_res_prob) & (heights < size_wh[1]), heights, 0)
    gain = rng.uniform(-1, 1, (count, 3)) * strength.hsv * (rng.random((count, 3)) < 0.5)
    blur, median = (
        np.where(rng.random(count) < strength.blur_prob, rng.choice(BLUR_SIDES_PX, count), 0) for _ in range(2)
    )
    side = (np.array(size_wh) * rng.uniform(*strength.dropout_side, (count, 2))).astype(np.int64)
    corner = rng.integers(0, np.array(size_wh) - side + 1)
    has_hole = rng.random(count) < strength.dropout_prob
    hole = np.concatenate([corner, side], 1) * has_hole[:, None]
    return Disturbances(low, gain.astype(np.int64), blur, median, hole)


def disturb(image_N3HW: Tensor, drawn: Disturbances) -> Tensor:
    """Low resolution, HSV jitter, blurs and coarse dropout; nothing moves.

    Args:
        image_N3HW: RGB in [0, 255], floating point; changed in place.
    """
    image, device = image_N3HW, image_N3HW.device
    for people, change in (
        (np.flatnonzero(drawn.low_N), lambda x, rows: _coarse(x, drawn.low_N[rows])),
        (np.flatnonzero(drawn.hsv_N3.any(1)), lambda x, rows: _jitter_hsv(x, drawn.hsv_N3[rows])),
        *((np.flatnonzero(drawn.blur_N == s), lambda x, _, s=s: box_blur(x, s)) for s in BLUR_SIDES_PX),
        *((np.flatnonzero(drawn.median_N == s), lambda x, _, s=s: median_blur(x, s)) for s in BLUR_SIDES_PX),
    ):
        if len(people):
            index = torch.as_tensor(people, device=device)
            image[index] = change(image[index], people)
    if drawn.hole_N4.any():
        x, y, w, h = torch.as_tensor(drawn.hole_N4, device=device).T[:, :, None]
        height, width = image.shape[2:]
        columns, rows = torch.arange(width, device=device), torch.arange(height, device=device)
        in_x, in_y = (columns >= x) & (columns < x + w), (rows >= y) & (rows < y + h)
        image.masked_fill_((in_y[:, :, None] & in_x[:, None, :])[:, None], 0)
    return image


def _jitter_hsv(image_M3HW: Tensor, gain_M3: NDArray[np.int64]) -> Tensor:
    """Hue, saturation and value moved by so much, in OpenCV's units."""
    hue, saturation, value = rgb_to_hsv(image_M3HW).unbind(1)
    gain = torch.as_tensor(gain_M3, device=image_M3HW.device, dtype=image_M3HW.dtype)[:, :, None, None]
    moved = ((hue + gain[:, 0]) % 180, (saturation + gain[:, 1]).clamp(0, 255), (value + gain[:, 2]).clamp(0, 255))
    return hsv_to_rgb(torch.stack(moved, 1))


def rgb_to_hsv(image_M3HW: Tensor) -> Tensor:
    """RGB of [0, 255] -> hue of [0, 180), saturation and value of [0, 255], not rounded (OpenCV's are)."""
    r, g, b = image_M3HW.unbind(1)
    value, low = image_M3HW.amax(1), image_M3HW.amin(1)
    spread = (value - low).clamp_min(1e-6)
    sector = torch.where(
        value == r, (g - b) / spread, torch.where(value == g, 2 + (b - r) / spread, 4 + (r - g) / spread)
    )
    return torch.stack([(sector * 30) % 180, 255 * (value - low) / value.clamp_min(1e-6), value], 1)


def hsv_to_rgb(hsv_M3HW: Tensor) -> Tensor:
    """The way back from `rgb_to_hsv`."""
    hue, saturation, value = hsv_M3HW.unbind(1)
    channels = []
    for start in (5, 3, 1):
        k = (hue / 30 + start) % 6
        channels.append(value - value * saturation / 255 * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, 1)


def box_blur(image_M3HW: Tensor, side: int) -> Tensor:
    """`cv2.blur`: the mean of a square, mirrored at the borders."""
    half = side // 2
    return F.avg_pool2d(F.pad(image_M3HW, (half,) * 4, mode="reflect"), side, stride=1)


def median_blur(image_M3HW: Tensor, side: int) -> Tensor:
    """`cv2.medianBlur`: the median of a square, the border's pixels repeated."""
    half = side // 2
    padded = F.pad(image_M3HW, (half,) * 4, mode="replicate")
    windows = padded.unfold(2, side, 1).unfold(3, side, 1)
    return windows.reshape(*image_M3HW.shape, side * side).median(-1).values


def _coarse(image_M3HW: Tensor, height_M: NDArray[np.int64]) -> Tensor:
    """The same pictures with the detail of ones that are so many px high."""
    height, width = image_M3HW.shape[2:]
    rows, columns = [], []
    for low in height_M:
        low_wh = max(1, round(width * int(low) / height)), int(low)
        columns.append(_coarse_matrix(width, low_wh[0], image_M3HW.device, image_M3HW.dtype))
        rows.append(_coarse_matrix(height, low_wh[1], image_M3HW.device, image_M3HW.dtype))
    along_y, along_x = torch.stack(rows)[:, None], torch.stack(columns)[:, None]
    return along_y @ image_M3HW @ along_x.mT


@lru_cache(maxsize=512)
def _coarse_matrix(size: int, low: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(size, size): OpenCV's INTER_AREA down to `low` cells and INTER_LINEAR up again, along one axis."""
    edge = np.arange(low + 1) * size / low
    pixel = np.arange(size)
    overlap = np.minimum(edge[1:, None], pixel + 1) - np.maximum(edge[:-1, None], pixel)
    down = np.maximum(overlap, 0) * low / size
    position = np.clip((pixel + 0.5) * low / size - 0.5, 0, low - 1)
    up = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(low)))
    return torch.as_tensor(up @ down, device=device, dtype=dtype)
