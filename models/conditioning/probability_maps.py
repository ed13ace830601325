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
    p = simcc.softmax(np.asarray(logit_NKB) * temperature_K[:, None]).astype(np.float32)
    for sd in np.unique(sd_bins_K):
        mine = sd_bins_K == sd
        p[:, mine] = _blurred(p[:, mine], max(float(sd), 1e-3))
    return p


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


def at_bins(p_B: Map, bins: NDArray[np.float64]) -> Map:
    """Linear interpolation along the last axis at fractional bins (same leading shape); 0 outside the axis."""
    last = p_B.shape[-1] - 1
    low = np.clip(np.floor(bins), 0, last - 1).astype(np.intp)
    part = (bins - low).astype(np.float32)
    a, b = np.take_along_axis(p_B, low, -1), np.take_along_axis(p_B, low + 1, -1)
    return np.where((bins >= -0.5) & (bins <= last + 0.5), np.maximum(a + part * (b - a), 0), np.float32(0))


def picture_map(x_PB: Map, y_PB: Map, shift_P2: NDArray[np.float64], cells: CropGrid) -> Map:
    """(P, V, U) product of both axes' distributions, moved by `shift_P2` (crop px); sums to one."""
    across = _mass_in_cells(x_PB, cells.x_U - shift_P2[:, :1], cells)
    down = _mass_in_cells(y_PB, cells.y_V - shift_P2[:, 1:], cells)
    return np.asarray(down[:, :, None] * across[:, None, :])


def _mass_in_cells(p_PB: Map, centre_PU: NDArray[np.float64], cells: CropGrid) -> Map:
    """(P, U) mass per cell of one axis, summed over the bins it covers: a sharp peak is narrower than a cell."""
    total = np.concatenate([np.zeros((len(p_PB), 1)), np.cumsum(p_PB, -1, dtype=np.float64)], -1)
    edge = np.concatenate([centre_PU - cells.side / 2, centre_PU[:, -1:] + cells.side / 2], -1) * cells.split + 0.5
    edge = np.clip(edge, 0, p_PB.shape[-1])
    low = np.minimum(edge.astype(np.intp), p_PB.shape[-1] - 1)
    below = np.take_along_axis(total, low, -1)
    within = below + (edge - low) * (np.take_along_axis(total, low + 1, -1) - below)
    mass = np.diff(within, axis=-1)
    return np.asarray(mass / np.maximum(mass.sum(-1, keepdims=True), 1e-12), np.float32)


def prior_map(mixture: Mixture, cells: CropGrid) -> Map:
    """(P, V, U) mass of P mixtures (each of one keypoint, `K` left out) in each cell, in crop px.

    A component narrower than a cell is widened to it. What lies outside the crop is missing from the sum.
    """
    xx, xy, yy = (mixture.cov_NKM22[..., a, b] for a, b in ((0, 0), (0, 1), (1, 1)))
    xx, yy = xx + cells.side**2 / 12, yy + cells.side**2 / 12
    determinant = xx * yy - xy**2
    factor = mixture.weight_NKM * cells.side**2 / (2 * np.pi * np.sqrt(determinant))
    result = np.zeros((len(xx), len(cells.y_V), len(cells.x_U)), np.float32)
    for m in range(xx.shape[-1]):
        dx, dy = cells.x_U - mixture.mean_NKM2[:, m, :1], cells.y_V - mixture.mean_NKM2[:, m, 1:]
        p, q, r = (v[:, m, None] / determinant[:, m, None] for v in (yy, xy, xx))
        # -(p dx^2 - 2 q dx dy + r dy^2) / 2, in place: most of the time is spent here.
        exponent = (q * dx).astype(np.float32)[:, None, :] * dy.astype(np.float32)[:, :, None]
        exponent -= (0.5 * p * dx**2).astype(np.float32)[:, None, :]
        exponent -= (0.5 * r * dy**2 - np.log(factor[:, m, None])).astype(np.float32)[:, :, None]
        result += np.exp(exponent, out=exponent)
    return result


def best_point(map_PVU: Map, cells: CropGrid, sd_P: NDArray[np.float64]) -> NDArray[np.float64]:
    """(P, 2) point of the highest expected exp(-d^2 / 2 sd^2), crop px: of expected OKS where sd is that of OKS."""

    def kernel(centres: NDArray[np.float64]) -> Map:
        # Cells are equally far from each other: one row of exponentials is enough.
        steps = np.abs(np.arange(len(centres))[:, None] - np.arange(len(centres)))
        away = np.arange(len(centres)) * cells.side / sd_P[:, None]
        return np.exp(-0.5 * away**2).astype(np.float32)[:, steps]

    smooth = kernel(cells.y_V) @ map_PVU @ kernel(cells.x_U)
    v, u = np.divmod(smooth.reshape(len(smooth), -1).argmax(1), len(cells.x_U))
    xy = np.stack([cells.x_U[u], cells.y_V[v]], -1)
    for _ in range(4):  # mean shift climbs to the point between cells
        wx = np.exp(-0.5 * ((cells.x_U - xy[:, :1]) / sd_P[:, None]) ** 2)
        wy = np.exp(-0.5 * ((cells.y_V - xy[:, 1:]) / sd_P[:, None]) ** 2)
        columns = (wy.astype(np.float32)[:, None] @ map_PVU)[:, 0].astype(np.float64)
        rows = (map_PVU @ wx.astype(np.float32)[:, :, None])[..., 0].astype(np.float64)
        total = np.maximum((columns * wx).sum(1), 1e-30)
        xy = np.stack([(columns * wx * cells.x_U).sum(1), (rows * wy * cells.y_V).sum(1)], -1) / total[:, None]
    return xy


def moments(map_PVU: Map, cells: CropGrid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(P, 2) mean and (P,) standard deviation per axis, crop px; of a map without mass, those of a uniform one."""
    across, down = map_PVU.sum(1, dtype=np.float64), map_PVU.sum(2, dtype=np.float64)
    means, variances = [], []
    for p, centre in ((across, cells.x_U), (down, cells.y_V)):
        p = p + 1e-9
        p = p / p.sum(1, keepdims=True)
        means.append((p * centre).sum(1))
        variances.append((p * centre**2).sum(1) - means[-1] ** 2)
    return np.stack(means, -1), np.sqrt(np.maximum(np.mean(variances, 0), 0.0))


def mass_around(map_PVU: Map, cells: CropGrid, xy_P2: NDArray[np.float64], radius_P: NDArray[np.float64]) -> Map:
    """(P,) mass within a radius (crop px) of a point; a cell counts where its centre is inside."""
    dx2, dy2 = (cells.x_U - xy_P2[:, :1]) ** 2, (cells.y_V - xy_P2[:, 1:]) ** 2
    away = np.sqrt(dx2[:, None, :] + dy2[:, :, None])
    share = np.clip((radius_P[:, None, None] - away) / cells.side + 0.5, 0, 1)
    return np.asarray((map_PVU * share.astype(np.float32)).sum((1, 2)))


def mass_between(
    map_PVU: Map, cells: CropGrid, low_P2: NDArray[np.float64], high_P2: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(P,) mass of the cells whose centres lie in a box."""
    across = (cells.x_U >= low_P2[:, :1]) & (cells.x_U <= high_P2[:, :1])
    down = (cells.y_V >= low_P2[:, 1:]) & (cells.y_V <= high_P2[:, 1:])
    return np.asarray(((map_PVU * across[:, None, :]).sum(2) * down).sum(1), np.float64)
