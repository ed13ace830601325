"""Probability maps over the cells of a crop: SimCC distributions and Gaussian mixtures, and the best point of a map.

Shapes: N people, K keypoints, M components, P keypoints of any people, B bins, U and V cells across and down.
Maps are float32: they hold shares of one, and there are many of them.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from poseunion.models.codec import simcc
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.conditioning.prior import Mixture

# OKS is .5 at this many of its standard deviations.
OKS_HALF = float(np.sqrt(2 * np.log(2)))

Map = NDArray[np.float32]


class CropGrid:
    """Grid of square cells that tile a crop, `count` along its longer side."""

    def __init__(self, grid: SimccGrid, count: int) -> None:
        width, height = grid.size_wh
        self.side = max(width, height) / count
        self.split = grid.split
        across, down = (
            np.arange(round(length / self.side)) * self.side + (self.side - 1) / 2 for length in (width, height)
        )
        self.x_U: NDArray[np.float64] = np.asarray(across)
        self.y_V: NDArray[np.float64] = np.asarray(down)

    @property
    def uniform(self) -> float:
        """Mass of a cell of the uniform distribution."""
        return 1 / (len(self.x_U) * len(self.y_V))


def tempered(
    logit_NKB: NDArray[np.floating], temperature_K: NDArray[np.float64], sd_bins_K: NDArray[np.float64]
) -> Map:
    """Tempered distributions of one axis, softmax(beta * temperature * logit), blurred by a Gaussian; sums are one."""
    result = np.empty(logit_NKB.shape, np.float32)
    for sd in set(sd_bins_K.tolist()):
        mine = sd_bins_K == sd
        p = np.multiply(logit_NKB[:, mine], simcc.BETA * temperature_K[mine, None], dtype=np.float64)
        p -= p.max(-1, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(-1, keepdims=True)
        result[:, mine] = _blurred(p.astype(np.float32), max(sd, 1e-3))
    return result


def _blurred(p_NKB: Map, sd: float) -> Map:
    """Gaussian blur, `sd` in bins, of distributions over B bins; no mass leaves the axis."""
    if not p_NKB.size:
        return p_NKB
    taps, kept = _gaussian(p_NKB.shape[-1], sd)
    rows = np.ascontiguousarray((p_NKB / kept).reshape(-1, p_NKB.shape[-1]))
    blurred = cv2.sepFilter2D(rows, cv2.CV_32F, taps, np.ones(1, np.float32), borderType=cv2.BORDER_CONSTANT)
    return np.asarray(blurred, np.float32).reshape(p_NKB.shape)


@lru_cache(maxsize=128)  # one model has two axes and a handful of widths; a fit tries more
def _gaussian(bins: int, sd: float) -> tuple[Map, Map]:
    """Taps of a Gaussian, and (B,) its mass within the axis. Cached, so read-only.

    Six standard deviations: beyond them is 1e-8 of the peak, less than float32 holds.
    """
    reach = min(int(np.ceil(6 * sd)), bins - 1)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sd) ** 2)
    return taps.astype(np.float32), np.convolve(np.ones(bins), taps)[reach : reach + bins].astype(np.float32)


def at_bins(p_NKB: Map, channel_K: NDArray[np.intp], bins_NK: NDArray[np.float64]) -> Map:
    """(N, K) linear interpolation of some channels of one axis at fractional bins; 0 outside the axis."""
    last = p_NKB.shape[-1] - 1
    low = np.minimum(np.maximum(np.floor(bins_NK), 0), last - 1).astype(np.intp)
    part = (bins_NK - low).astype(np.float32)
    person = np.arange(len(p_NKB))[:, None]
    a, b = p_NKB[person, channel_K, low], p_NKB[person, channel_K, low + 1]
    return np.where((bins_NK >= -0.5) & (bins_NK <= last + 0.5), np.maximum(a + part * (b - a), 0), np.float32(0))


def cumulated(p_NKB: Map) -> NDArray[np.float64]:
    """(N, K, B + 1) mass below the lower edge of each bin, for `mass_in_cells`."""
    total = np.zeros((*p_NKB.shape[:-1], p_NKB.shape[-1] + 1))
    np.cumsum(p_NKB, -1, out=total[..., 1:])
    return total


def mass_in_cells(
    total_NKB: NDArray[np.float64],
    people_P: NDArray[np.intp],
    channel_PC: NDArray[np.intp],
    centre_PU: NDArray[np.float64],
    cells: CropGrid,
) -> Map:
    """(P, C, U) mass per cell of one axis in some channels, summed over the bins it covers.

    A sharp peak is narrower than a cell.

    Args:
        total_NKB: of `cumulated`.
    """
    bins = total_NKB.shape[-1] - 1
    edge = np.concatenate([centre_PU - cells.side / 2, centre_PU[:, -1:] + cells.side / 2], -1) * cells.split + 0.5
    edge = np.minimum(np.maximum(edge, 0), bins)
    low = np.minimum(edge.astype(np.intp), bins - 1)
    first = (people_P[:, None] * total_NKB.shape[1] + channel_PC) * (bins + 1)
    index, total = first[..., None] + low[:, None], total_NKB.reshape(-1)
    below = total[index]
    within = below + (edge - low)[:, None] * (total[index + 1] - below)
    mass = within[..., 1:] - within[..., :-1]
    return np.asarray(mass / np.maximum(mass.sum(-1, keepdims=True), 1e-12), np.float32)


def prior_map(mixture: Mixture, cells: CropGrid) -> Map:
    """(P, V, U) mass of P mixtures (each of one keypoint, `K` left out) in each cell, in crop px.

    A component narrower than a cell is widened to it. What lies outside the crop is missing from the sum.
    """
    xx, xy, yy = (mixture.cov_NKM22[..., a, b] for a, b in ((0, 0), (0, 1), (1, 1)))
    xx, yy = xx + cells.side**2 / 12, yy + cells.side**2 / 12
    determinant = xx * yy - xy**2
    log_factor = np.log(mixture.weight_NKM * cells.side**2 / (2 * np.pi * np.sqrt(determinant)))
    dx, dy = (c - mixture.mean_NKM2[..., axis, None] for axis, c in enumerate((cells.x_U, cells.y_V)))
    p, q, r = ((v / determinant)[..., None] for v in (yy, xy, xx))
    # log_factor - (p dx^2 - 2 q dx dy + r dy^2) / 2 as a product of (V, 3) and (3, U): an eighth of the time.
    down, across = np.empty((*dy.shape, 3), np.float32), np.empty((*dx.shape[:-1], 3, dx.shape[-1]), np.float32)
    down[..., 0], down[..., 1], down[..., 2] = q * dy, log_factor[..., None] - 0.5 * r * dy**2, 1
    across[..., 0, :], across[..., 1, :], across[..., 2, :] = dx, 1, -0.5 * p * dx**2
    result = np.zeros((len(xx), len(cells.y_V), len(cells.x_U)), np.float32)
    exponent = np.empty_like(result)
    for m in range(xx.shape[-1]):
        np.matmul(down[:, m], across[:, m], out=exponent)
        result += np.exp(exponent, out=exponent)
    return result


@lru_cache(maxsize=256)  # one model has two axes and a dozen widths
def _kernel(count: int, sd: float) -> Map:
    """(count, count) Gaussian of the distance of any two cells, `sd` in cells. Cached, so read-only."""
    row = np.exp(-0.5 * (np.arange(count) / sd) ** 2)
    row[row < 1e-20] = 0  # products with subnormal numbers are slow
    return row.astype(np.float32)[np.abs(np.arange(count)[:, None] - np.arange(count))]


def best_point(map_PVU: Map, cells: CropGrid, sd_P: NDArray[np.float64]) -> NDArray[np.float64]:
    """(P, 2) point of the highest expected exp(-d^2 / 2 sd^2), crop px: of expected OKS where sd is that of OKS."""

    def weight(centre: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.exp(-0.5 * ((centre - at) / sd_P[:, None]) ** 2))

    smooth = np.empty_like(map_PVU)
    for sd in np.unique(sd_P):  # one keypoint's is the same in every crop, unless areas are given
        rows = sd_P == sd
        down, across = (_kernel(len(centre), float(sd / cells.side)) for centre in (cells.y_V, cells.x_U))
        smooth[rows] = down @ map_PVU[rows] @ across
    v, u = np.divmod(smooth.reshape(len(smooth), -1).argmax(1), len(cells.x_U))
    xy = np.stack([cells.x_U[u], cells.y_V[v]], -1)
    for _ in range(4):  # mean shift climbs to the point between cells
        wx, wy = weight(cells.x_U, xy[:, :1]), weight(cells.y_V, xy[:, 1:])
        columns = wx * (wy.astype(np.float32)[:, None] @ map_PVU)[:, 0]
        rows = wy * (map_PVU @ wx.astype(np.float32)[:, :, None])[..., 0]
        total = np.maximum(columns.sum(1), 1e-30)
        xy += np.stack(
            [
                (m * (c - at)).sum(1) / total
                for m, c, at in ((columns, cells.x_U, xy[:, :1]), (rows, cells.y_V, xy[:, 1:]))
            ],
            -1,
        )
    return xy


def marginals(map_PVU: Map) -> tuple[Map, Map]:
    """(P, U) and (P, V) sums over rows and over columns."""
    ones = np.ones(max(map_PVU.shape[1:]), np.float32)
    return (ones[: map_PVU.shape[1]] @ map_PVU), (map_PVU @ ones[: map_PVU.shape[2]])


def moments(
    across_PU: NDArray[np.floating], down_PV: NDArray[np.floating], cells: CropGrid
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(P, 2) mean and (P,) standard deviation per axis, crop px; of a map without mass, those of a uniform one."""
    mean, variance = np.empty((len(across_PU), 2)), np.zeros(len(across_PU))
    for axis, (marginal, centre) in enumerate(((across_PU, cells.x_U), (down_PV, cells.y_V))):
        p = marginal + 1e-9
        total = p.sum(1)
        mean[:, axis] = p @ centre / total
        # About the mean: a difference of squares would lose the digits that float32 sums have.
        variance += np.einsum("pu,pu->p", p, (centre - mean[:, axis, None]) ** 2) / total
    return mean, np.sqrt(variance / 2)


def mass_around(
    map_PVU: Map, cells: CropGrid, xy_P2: NDArray[np.float64], radius_P: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(P,) mass within a radius (crop px) of a point; a cell counts by how far its centre is inside."""
    row = np.arange(len(map_PVU))[:, None]
    squared, index = [], []
    for axis, centre in enumerate((cells.x_U, cells.y_V)):
        # Only the cells around the point: as many for all points as the largest radius needs.
        reach = min(2 * int(radius_P.max(initial=0.0) / cells.side + 2) + 1, len(centre))
        first = np.rint((xy_P2[:, axis, None] - centre[0]) / cells.side).astype(np.intp) - reach // 2
        near = np.clip(first, 0, len(centre) - reach) + np.arange(reach)
        index.append(near)
        squared.append((centre[near] - xy_P2[:, axis, None]) ** 2)
    away = np.sqrt(squared[0][:, None, :] + squared[1][:, :, None])
    share = np.minimum(np.maximum((radius_P[:, None, None] - away) / cells.side + 0.5, 0), 1)
    near_PVU = map_PVU[row[:, None], index[1][:, :, None], index[0][:, None, :]]
    # In 64 bits: the sum does not depend on how many cells without a share are around.
    return np.einsum("pvu,pvu->p", near_PVU, share)


def mass_between(
    map_PVU: Map, cells: CropGrid, low_P2: NDArray[np.float64], high_P2: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(P,) mass of the cells whose centres lie in a box."""
    across = (cells.x_U >= low_P2[:, :1]) & (cells.x_U <= high_P2[:, :1])
    down = (cells.y_V >= low_P2[:, 1:]) & (cells.y_V <= high_P2[:, 1:])
    inside = map_PVU @ across.astype(np.float32)[:, :, None]
    return np.asarray((inside[..., 0] * down).sum(1), np.float64)
