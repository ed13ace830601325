"""Resampling of SimCC distributions between the bins of two networks, so that divergences between them are defined.

Teachers and students have bins at different places (size, split, scale, shift, mirroring). Each bin is an interval of
pixels with its probability spread evenly over it; a linear map between the two axes then gives the share of every
source bin that falls into every target bin. Probability outside the target is dropped, not piled up at its border: no
loss is defined there, and the remaining sum is the share of the teacher's distribution inside the student's crop.

Summing m adjacent bins (paper B, eq. 6) is the case of two `Axis.tiling` axes over the same region. Between axes whose
bins sit at b / split, as mmpose's do, that sum would shift positions by (m - 1) / 2 fine bins; `regrid` does not.

Shapes: N people, K keypoints, S source bins, T target bins, h and w cells of a heatmap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poseunion.models.codec.crop import Crop, affine_to_crop, compose, invert_affine
from poseunion.models.codec.simcc import BETA, SimccGrid, softmax
from poseunion.models.errors import BadArgumentError

# Below this share of the maximum a heatmap's tail is noise, and its logarithm is meaningless.
_TAIL = 1e-6


@dataclass(frozen=True)
class Axis:
    """Axis of SimCC bins.

    Attributes:
        bins: how many.
        split: bins per pixel.
        first_px: centre of bin 0, pixels.
    """

    bins: int
    split: float
    first_px: float = 0.0

    def __post_init__(self) -> None:
        if self.bins < 1 or not self.split > 0:
            raise BadArgumentError(
                f"An axis needs a bin or more and a positive split, not {self.bins} and {self.split}."
            )

    @classmethod
    def of(cls, grid: SimccGrid, axis: int) -> Axis:
        """Axis x (0) or y (1) of a SimCC grid: bin b at b / split."""
        return cls(grid.bins_wh[axis], grid.split)

    @classmethod
    def tiling(cls, bins: int, split: float) -> Axis:
        """Axis whose bins tile it from 0 on: bin b covers b / split to (b + 1) / split."""
        return cls(bins, split, 0.5 / split)

    @property
    def edges_px(self) -> NDArray[np.float64]:
        """(bins + 1,) edges of the bins, pixels."""
        return np.asarray(self.first_px + (np.arange(self.bins + 1) - 0.5) / self.split)


@dataclass(frozen=True)
class Regrid:
    """Sparse redistribution matrix: `weight[i]` of bin `source[i]` goes to bin `target[i]`.

    Attributes:
        source, target: (M,) bin indices.
        weight: (M,) in (0, 1]; those of one source bin sum to 1, or to less where it reaches outside the target.
        shape: (S, T).
    """

    source: NDArray[np.intp]
    target: NDArray[np.intp]
    weight: NDArray[np.float64]
    shape: tuple[int, int]

    def dense(self) -> NDArray[np.float64]:
        """(S, T) dense matrix; `p @ matrix` redistributes, in torch as well."""
        matrix = np.zeros(self.shape)
        matrix[self.source, self.target] = self.weight
        return matrix

    def apply(self, prob_NKS: NDArray[np.floating]) -> NDArray[np.float64]:
        """Redistribute (…, S) -> (…, T)."""
        return np.asarray(prob_NKS, np.float64) @ self.dense()


def regrid(source: Axis, target: Axis, *, scale: float = 1.0, shift_px: float = 0.0) -> Regrid:
    """Redistribution matrix between two axes of bins.

    Args:
        scale, shift_px: target pixel = scale * source pixel + shift_px (`axis_map` gives them for two crops); a
            negative scale mirrors.

    Raises:
        BadArgumentError: scale is zero or not finite.
    """
    if scale == 0 or not np.isfinite([scale, shift_px]).all():
        raise BadArgumentError(f"Axes can be mapped by a finite scale that is not zero, not {scale} and {shift_px}.")
    ends = scale * np.stack([source.edges_px[:-1], source.edges_px[1:]]) + shift_px
    # In target bins, counted from its first edge: bin t covers t to t + 1.
    low, high = (np.sort(ends, axis=0) - target.edges_px[0]) * target.split
    # Edges that coincide up to rounding must coincide, or identity would have a thousand tiny neighbours.
    low, high = (np.where(np.abs(e - np.round(e)) < 1e-9, np.round(e), e) for e in (low, high))
    first = np.clip(np.floor(low), 0, target.bins).astype(np.intp)
    last = np.clip(np.ceil(high), 0, target.bins).astype(np.intp)  # exclusive
    count = np.maximum(last - first, 0)
    index = np.repeat(np.arange(source.bins), count)
    within = np.arange(index.size) - np.repeat(np.cumsum(count) - count, count)
    bin_index = first[index] + within
    overlap = np.minimum(high[index], bin_index + 1) - np.maximum(low[index], bin_index)
    kept = overlap > 0
    weight = overlap[kept] / (high - low)[index[kept]]
    return Regrid(index[kept], bin_index[kept], weight, (source.bins, target.bins))


def axis_map(source: Crop, target: Crop, axis: int) -> tuple[float, float]:
    """Scale and shift along x (0) or y (1) from one crop's pixels to another's of the same picture, flips included.

    Raises:
        BadArgumentError: the crops are rotated against each other, so an axis of one is no axis of the other.
    """
    matrix = compose(affine_to_crop(target), invert_affine(affine_to_crop(source)))
    if abs(matrix[axis, 1 - axis]) > 1e-9 * abs(matrix[axis, axis]):
        raise BadArgumentError("Two crops rotated against each other have no common axes: regrid needs parallel ones.")
    return float(matrix[axis, axis]), float(matrix[axis, 2])


def marginals_from_heatmap(
    heat_NKhw: NDArray[np.floating], *, floor: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Marginal distributions of a heatmap along x (N, K, w) and y (N, K, h).

    Args:
        floor: values below it count as 0: small positive noise everywhere would add up in a sum.

    Returns:
        Distributions that sum to 1, or all zero where nothing is above the floor.
    """
    heat = np.asarray(heat_NKhw, np.float64)
    heat = np.where(heat > max(floor, 0.0), heat, 0.0)
    return _normalised(heat.sum(-2)), _normalised(heat.sum(-1))


def upsample(prob_NKS: NDArray[np.floating], factor: int) -> NDArray[np.float64]:
    """Upsample distributions, (…, S) -> (…, S * factor), by cubic interpolation of the logarithm.

    For heatmaps, whose cells are several bins wide: `regrid` alone would make stairs of them. Exact for a Gaussian,
    whose logarithm is a parabola. All-zero distributions stay so.
    """
    prob = np.asarray(prob_NKS, np.float64)
    size = prob.shape[-1]
    if factor == 1 or size < 3:
        return _normalised(np.repeat(prob, factor, -1))
    peak = prob.max(-1, keepdims=True)
    log = np.log(np.maximum(prob / np.where(peak > 0, peak, 1.0), _TAIL))
    # Two cells beyond either end, on the parabola through the last three.
    for _ in range(2):
        before = 3 * log[..., :1] - 3 * log[..., 1:2] + log[..., 2:3]
        after = 3 * log[..., -1:] - 3 * log[..., -2:-1] + log[..., -3:-2]
        log = np.concatenate([before, log, after], -1)
    position = (np.arange(size * factor) + 0.5) / factor - 0.5
    cell = np.floor(position).astype(np.intp)
    t = position - cell
    catmull_rom = np.stack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]) / 2
    fine = sum(log[..., cell + 1 + step] * catmull_rom[step] for step in range(4))
    return _normalised(np.where(peak > 0, np.exp(np.minimum(fine, 0.5)), 0.0))


def sharpen(
    prob_NKT: NDArray[np.floating], sigma_bins: float, target_sigma_bins: float, beta: float = BETA
) -> NDArray[np.float64]:
    """Sharpen a Gaussian-like distribution to the student's label form: softmax(beta * Gaussian of the label's width).

    The distribution over its maximum, to the power (sigma / target sigma)^2, is a Gaussian of the target width.

    Args:
        sigma_bins: width of the given distribution, in these bins: the teacher's label sigma, scaled as its axis was.
        target_sigma_bins: the student's, `SimccGrid.sigma_bins`.

    Returns:
        Same shape, summing to 1; all zero where all is zero (no target).
    """
    prob = np.asarray(prob_NKT, np.float64)
    peak = prob.max(-1, keepdims=True)
    label = (prob / np.where(peak > 0, peak, 1.0)) ** ((sigma_bins / target_sigma_bins) ** 2)
    return np.where(peak > 0, softmax(label, beta), 0.0)


def _normalised(prob: NDArray[np.float64]) -> NDArray[np.float64]:
    total = prob.sum(-1, keepdims=True)
    return np.asarray(prob / np.where(total > 0, total, 1.0))
