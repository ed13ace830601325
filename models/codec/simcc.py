"""SimCC codec: a keypoint as two one-dimensional classifications, over columns and over rows (Li et al., ECCV 2022).

Bin b of an axis sits at b / split crop pixels, as in mmpose and RTMPose. Logits are on mmpose's "beta 10" scale: a
perfect prediction peaks at about 1, and softmax(beta * logit) is the distribution.

Shapes: N people, K keypoints, W and H bins of the two axes, B bins of one, C cells of some bins each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# RTMPose's label temperature: softmax(10 * Gaussian) has a core of about two bins (mmpose, RTMCCHead `beta=10.`).
BETA = 10.0

# Standard deviation of OKS's Gaussian is 2 sigma times the root of the person's area. A person who fills an upright
# crop, padded by 1.25, has a root of half the crop's height (AREA_OF_BOX); half of that again did best on held-out
# people of both kinds (AP 29.1 -> 30.1, PCK@.2 of limbs 60.3 -> 60.7; the whole: 30.2 and 58.7).
REACH_OF_HEIGHT = 0.25
# Adjacent bins become one cell when positions are weighed, the most of these that stay within the share of the smallest
# tolerance: 4 at 192x256.
POOLED = (4, 2, 1)
CELL_OF_TOLERANCE = 0.65
# Keeps the logarithm of a likelihood of 0 finite.
TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class SimccGrid:
    """SimCC bins of both axes.

    Attributes:
        size_wh: crop size in pixels.
        split: bins per crop pixel.
        sigma_bins: label width along x and y, in bins. RTMPose gives (4.9, 5.66) for 192x256 at split 2, which is
            sqrt(axis bins / 16): for other bins, `for_bins` keeps the rule.
    """

    size_wh: tuple[int, int]
    split: float = 2.0
    sigma_bins: tuple[float, float] = (4.9, 5.66)

    @property
    def bins_wh(self) -> tuple[int, int]:
        """Number of bins along x and y."""
        return round(self.size_wh[0] * self.split), round(self.size_wh[1] * self.split)

    @classmethod
    def for_bins(cls, size_wh: tuple[int, int], bins_wh: tuple[int, int]) -> SimccGrid:
        """Grid with these bins, with labels as wide as mmpose's for that many (sigma = sqrt(bins / 16))."""
        return cls(size_wh, bins_wh[0] / size_wh[0], (float(np.sqrt(bins_wh[0] / 16)), float(np.sqrt(bins_wh[1] / 16))))


def encode(
    xy_px_NK2: NDArray[np.floating], grid: SimccGrid
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """SimCC labels: unnormalised Gaussians of height 1 (mmpose `SimCCLabel`, 'gaussian').

    Args:
        xy_px_NK2: (N, K, 2) crop pixels.

    Returns:
        (N, K, W) and (N, K, H) float32 in [0, 1], and an (N, K) mask of what lies within three sigma of the crop;
        the others have all-zero labels and must not enter the loss.
    """
    centre = np.round(np.asarray(xy_px_NK2, np.float64) * grid.split)
    sigma = np.asarray(grid.sigma_bins)
    bins = np.asarray(grid.bins_wh)
    # mmpose's bounds, one bin wider on the left than on the right.
    inside = np.isfinite(centre).all(-1) & (centre >= -3 * sigma - 1).all(-1) & (centre < bins + 3 * sigma).all(-1)
    labels = []
    for axis in (0, 1):
        distance = np.arange(bins[axis]) - np.where(inside, centre[..., axis], 0.0)[..., None]
        gauss = np.exp(-(distance**2) / (2 * sigma[axis] ** 2)) * inside[..., None]
        labels.append(gauss.astype(np.float32))
    return labels[0], labels[1], inside


def softmax(logit: NDArray[np.floating], beta: float = BETA) -> NDArray[np.float64]:
    """Softmax of beta * logit over the last axis."""
    scaled = beta * np.asarray(logit, np.float64)
    scaled -= scaled.max(-1, keepdims=True)
    exp = np.exp(scaled)
    return np.asarray(exp / exp.sum(-1, keepdims=True))


def decode(
    logit_x_NKW: NDArray[np.floating],
    logit_y_NKH: NDArray[np.floating],
    grid: SimccGrid,
    *,
    refine: bool = False,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Keypoints from logits: argmax of both distributions.

    Args:
        refine: add the sub-bin offset of a parabola through the three bins around the maximum (exact for a Gaussian
            label in the log domain, and a bin is the label's resolution). Off equals mmpose's `get_simcc_maximum`,
            except that it moves a keypoint whose score is not positive to bin -1.

    Returns:
        (N, K, 2) crop pixels and (N, K) scores: the lower of the two maxima, as in mmpose, not clipped.
    """
    xy, peaks = [], []
    for logit in (np.asarray(logit_x_NKW), np.asarray(logit_y_NKH)):
        bin_index = logit.argmax(-1)
        position = bin_index.astype(np.float64)
        if refine:
            middle, around = _around(logit, bin_index)
            position += _parabola(around, bin_index == middle)[0]
        xy.append(position / grid.split)
        peaks.append(np.take_along_axis(logit, bin_index[..., None], -1)[..., 0])
    score = np.minimum(*peaks)
    return np.stack(xy, -1).astype(np.float32), score.astype(np.float32)


def decode_expected(
    logit_x_NKW: NDArray[np.floating],
    logit_y_NKH: NDArray[np.floating],
    grid: SimccGrid,
    tolerance_px_K: Sequence[float],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Keypoints from logits: argmax of the expected OKS; for a sharp distribution the same place as `decode`.

    OKS is a Gaussian of the distance along x times one along y, so that the axes are independent.

    Args:
        tolerance_px_K: OKS's standard deviations, see `tolerances_px`.

    Returns:
        (N, K, 2) crop pixels, and (N, K) in [0, 1] the expected OKS there, under the network's own distributions.
    """
    tolerance = tuple(tolerance_px_K)
    (x, like_x), (y, like_y) = (
        _expected_position(np.asarray(logit), tolerance, grid.split) for logit in (logit_x_NKW, logit_y_NKH)
    )
    return (np.stack([x, y], -1) / grid.split).astype(np.float32), (like_x * like_y).astype(np.float32)


def tolerances_px(oks_sigmas: Sequence[float], grid: SimccGrid) -> tuple[float, ...]:
    """(K,) standard deviations of OKS in crop px, for `decode_expected`."""
    return tuple(2 * sigma * REACH_OF_HEIGHT * grid.size_wh[1] for sigma in oks_sigmas)


@lru_cache(maxsize=16)
def tolerance_kernels(bins: int, split: float, tolerance_px_K: tuple[float, ...]) -> tuple[int, NDArray[np.float64]]:
    """Bins per cell, and (K, C, C) OKS kernels between any two cells of an axis."""
    tolerance_bins_K = np.asarray(tolerance_px_K) * split
    finest = CELL_OF_TOLERANCE * tolerance_bins_K.min()
    pooled = next(size for size in POOLED if size == 1 or (bins % size == 0 and size <= finest))
    cell = np.arange(bins // pooled) * pooled
    width = tolerance_bins_K[:, None, None]
    return pooled, np.exp(-((cell[:, None] - cell) ** 2) / (2 * width**2))


def _expected_position(
    logit_NKB: NDArray[np.floating], tolerance_px_K: tuple[float, ...], split: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, K) bin of the highest expected OKS factor of one axis, and its value."""
    pooled, kernel_KCC = tolerance_kernels(logit_NKB.shape[-1], split, tolerance_px_K)
    scaled = BETA * np.asarray(logit_NKB, np.float32)
    exponential = np.exp(scaled - scaled.max(-1, keepdims=True))
    # Sums in 64 bits: a wide kernel is so flat at its top that rounding would move the place.
    mass = exponential[..., ::pooled].astype(np.float64)
    for start in range(1, pooled):
        mass += exponential[..., start::pooled]
    likelihood = (mass.transpose(1, 0, 2) @ kernel_KCC).transpose(1, 0, 2)
    cell = likelihood.argmax(-1)
    middle, around = _around(likelihood, cell)
    offset, rise = _parabola(np.log(around + TINY), cell == middle)
    position = np.asarray((cell + offset) * pooled + (pooled - 1) / 2)
    return position, np.minimum(np.exp(np.log(likelihood.max(-1) + TINY) + rise) / mass.sum(-1), 1.0)


def _around(value_NKB: NDArray[np.floating], bin_NK: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The bins, moved off the ends of the axis, and (3, N, K) values of each with its neighbours."""
    last = value_NKB.shape[-1] - 1
    middle = np.minimum(np.maximum(bin_NK, 1), max(last - 1, 1))
    first = np.arange(bin_NK.size).reshape(bin_NK.shape) * (last + 1)
    flat = value_NKB.reshape(-1)
    index = np.stack([middle - 1, middle, np.minimum(middle + 1, last)]) + first
    return middle, flat[index].astype(np.float64)


def _parabola(
    around_3NK: NDArray[np.float64], is_inside_NK: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sub-bin offset, at most half a bin, of a parabola's top around a maximum, and its rise above the maximum.

    Args:
        around_3NK: the maximum and its neighbours.
        is_inside_NK: false where the maximum is at an end of the axis: no offset.
    """
    left, centre, right = around_3NK
    curvature = left - 2 * centre + right
    is_curved = is_inside_NK & (curvature < -1e-9)
    offset = 0.5 * (left - right) / np.where(is_curved, curvature, 1.0)
    # A maximum of infinite or undefined logits has no top: a NaN fails both comparisons.
    offset = np.where(is_curved & (offset >= -np.inf), np.minimum(np.maximum(offset, -0.5), 0.5), 0.0)
    return offset, 0.25 * (right - left) * offset


def unflip_x(logit_x_NKW: NDArray[np.floating], grid: SimccGrid) -> NDArray[np.float32]:
    """X logits of mirrored crops mapped back to the crops themselves, for the flip test (no exchange of left/right).

    A mirrored pixel u is W - 1 - u, so bin b is bin W * split - split - b: at split 2 reversing alone, as mmpose does,
    is one bin off.
    """
    reverse = np.asarray(logit_x_NKW)[..., ::-1]
    shift = round(grid.split) - 1
    if shift > 0:
        edge = np.repeat(reverse[..., -1:], shift, -1)
        reverse = np.concatenate([reverse[..., shift:], edge], -1)
    return np.ascontiguousarray(reverse, np.float32)
