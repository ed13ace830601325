"""Peaks of a teacher's distributions: a few two-dimensional Gaussians a keypoint, which any augmentation can move.

A teacher's one-dimensional marginals cannot be rotated; its modes can. Position, covariance and weight are computed
once, on the upright crop, kept in the person's own pixels, and rendered to both axes of the crop of a training step.
A mode is drawn as wide as the student's own label, and wider only by as much as this peak is wider than the teacher's
usual peaks: the teacher's uncertainty is distilled, its resolution is not.

Shapes: N people, K keypoints, M modes, h and w cells, X and Y bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from poseunion.models.codec import simcc
from poseunion.models.codec.heads import Alignment, HeatmapOutput
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.keypoint_offsets import DefinitionOffset
from poseunion.models.skeleton import Skeleton

MODES = 3
# A second peak below a tenth of the first is noise in every teacher that was measured.
MIN_SHARE = 0.1
# Cells (bins) to either side of a peak over which its centre and covariance are measured.
REACH_CELLS = 3
REACH_BINS = 12


@dataclass(frozen=True)
class Peaks:
    """Attributes:
    xy: (N, K, M, 2) px.
    cov: (N, K, M, 3) xx, xy, yy in px^2: how much wider than the teacher's usual peak; >= 0 on the diagonal.
    weight: (N, K, M) >= 0, summing to one where the teacher predicts the keypoint, else 0.
    confidence: (N, K) in [0, 1], the height of the first peak.
    """

    xy: NDArray[np.float32]
    cov: NDArray[np.float32]
    weight: NDArray[np.float32]
    confidence: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.xy)

    def mapped(self, affines_N23: NDArray[np.floating]) -> Peaks:
        """Under one affine map a person."""
        linear, shift = np.asarray(affines_N23)[:, :, :2], np.asarray(affines_N23)[:, :, 2]
        xy = np.einsum("nij,nkmj->nkmi", linear, self.xy) + shift[:, None, None]
        full = self.cov[..., [0, 1, 1, 2]].reshape(*self.cov.shape[:3], 2, 2)
        turned = np.einsum("nij,nkmjl,npl->nkmip", linear, full, linear)
        cov = np.stack([turned[..., 0, 0], turned[..., 0, 1], turned[..., 1, 1]], -1)
        return replace(self, xy=xy.astype(np.float32), cov=cov.astype(np.float32))

    def reordered(self, index_K: NDArray[np.intp]) -> Peaks:
        """Keypoints by index; -1 gives a keypoint that the teacher lacks."""
        known = index_K >= 0
        return Peaks(
            xy=self.xy[:, index_K],
            cov=self.cov[:, index_K],
            weight=self.weight[:, index_K] * known[None, :, None],
            confidence=self.confidence[:, index_K] * known[None],
        )

    def in_union_definitions(self, skeleton: Skeleton, offsets: Sequence[DefinitionOffset]) -> Peaks:
        """Keypoints moved along the line from their anchor's first mode, see `keypoint_offsets.MODEL_OFFSETS`."""
        xy = self.xy.copy()
        for offset in offsets:
            k, anchor = skeleton.index(offset.keypoint), self.xy[:, skeleton.index(offset.anchor), :1]
            xy[:, k] = anchor + offset.factor * (self.xy[:, k] - anchor)
        return replace(self, xy=xy)


def from_heatmaps(heat_NKhw: NDArray[np.float32], output: HeatmapOutput, size_wh: tuple[int, int]) -> Peaks:
    """Modes of a heatmap teacher, in its input's px. Negative values count as zero."""
    n, k, h, w = heat_NKhw.shape
    heat = np.maximum(heat_NKhw, 0)
    peaks = (heat == maximum_filter(heat, size=(1, 1, 2 * REACH_CELLS + 1, 2 * REACH_CELLS + 1))) & (heat > 0)
    flat = np.where(peaks, heat, 0).reshape(n, k, -1)
    best = np.argsort(-flat, -1, kind="stable")[..., :MODES]
    height = np.take_along_axis(flat, best, -1)
    row, column = np.divmod(best, w)
    padded = np.pad(heat, ((0, 0), (0, 0), (REACH_CELLS, REACH_CELLS), (REACH_CELLS, REACH_CELLS)))
    steps = np.arange(-REACH_CELLS, REACH_CELLS + 1)
    people, keypoints = np.ogrid[:n, :k]
    window = padded[
        people[..., None, None, None],
        keypoints[..., None, None, None],
        row[..., None, None] + (steps + REACH_CELLS)[:, None],
        column[..., None, None] + (steps + REACH_CELLS)[None, :],
    ]
    mass = window.sum((-1, -2)) + 1e-12
    dx, dy = (window * steps[None, :]).sum((-1, -2)) / mass, (window * steps[:, None]).sum((-1, -2)) / mass
    xx = (window * steps[None, :] ** 2).sum((-1, -2)) / mass - dx**2
    yy = (window * steps[:, None] ** 2).sum((-1, -2)) / mass - dy**2
    xy_ = (window * steps[None, :] * steps[:, None]).sum((-1, -2)) / mass - dx * dy
    stride = np.asarray(size_wh, np.float64) / (w, h)
    cells = np.stack([column + dx, row + dy], -1)
    points = cells * stride if output.alignment is Alignment.CLASSIC else (cells + 0.5) * stride - 0.5
    cov = np.stack([xx * stride[0] ** 2, xy_ * stride[0] * stride[1], yy * stride[1] ** 2], -1)
    return _finished(points, cov, height)


def from_simcc(logit_x_NKX: NDArray[np.float32], logit_y_NKY: NDArray[np.float32], grid: SimccGrid) -> Peaks:
    """Modes of a SimCC teacher, in its input's px: the likeliest pairs of an x peak and a y peak."""
    axes = []
    for logit in (logit_x_NKX, logit_y_NKY):
        p = simcc.softmax(logit)
        peaks = p == maximum_filter(p, size=(1, 1, 2 * REACH_BINS + 1))
        best = np.argsort(-np.where(peaks, p, 0), -1, kind="stable")[..., :2]
        height = np.take_along_axis(logit, best, -1)
        steps = np.arange(-REACH_BINS, REACH_BINS + 1)
        padded = np.pad(p, ((0, 0), (0, 0), (REACH_BINS, REACH_BINS)))
        window = np.take_along_axis(padded[..., None, :], best[..., None] + steps + REACH_BINS, -1)
        mass = window.sum(-1) + 1e-12
        offset = (window * steps).sum(-1) / mass
        variance = (window * steps**2).sum(-1) / mass - offset**2
        axes.append(((best + offset) / grid.split, variance / grid.split**2, mass, height))
    (x, var_x, mass_x, top_x), (y, var_y, mass_y, top_y) = axes
    i, j = np.array([0, 0, 1]), np.array([0, 1, 0])  # the pair of first peaks, then one second peak each
    points = np.stack([x[..., i], y[..., j]], -1)
    cov = np.stack([var_x[..., i], np.zeros_like(var_x[..., i]), var_y[..., j]], -1)
    share = mass_x[..., i] * mass_y[..., j]
    peak = np.clip(np.minimum(top_x[..., 0], top_y[..., 0]), 0, 1)[..., None]
    return _finished(points, cov, share / share.max(-1, keepdims=True) * peak)


def _finished(points: NDArray[np.float64], cov: NDArray[np.float64], height: NDArray[np.floating]) -> Peaks:
    """Drop weak peaks, normalise, and subtract the usual width of the teacher's confident peaks."""
    height = np.where(height >= MIN_SHARE * height[..., :1], height, 0)
    first = cov[..., 0, :][height[..., 0] >= np.quantile(height[..., 0], 0.5)]
    usual = np.median(first[:, [0, 2]], 0) if len(first) else np.zeros(2)
    excess = cov.copy()
    excess[..., 0] = np.maximum(cov[..., 0] - usual[0], 0)
    excess[..., 2] = np.maximum(cov[..., 2] - usual[1], 0)
    # The rest must stay a covariance.
    bound = np.sqrt(excess[..., 0] * excess[..., 2])
    excess[..., 1] = np.clip(cov[..., 1], -bound, bound)
    total = height.sum(-1, keepdims=True)
    return Peaks(
        xy=points.astype(np.float32),
        cov=excess.astype(np.float32),
        weight=(height / np.maximum(total, 1e-12)).astype(np.float32),
        confidence=np.clip(height[..., 0], 0, 1).astype(np.float32),
    )


def render(modes: Peaks, grid: SimccGrid) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Modes in crop px as distributions over the student's bins.

    Returns:
        (N, K, X), (N, K, Y), each summing to one, and (N, K) the share of the weight that lies inside the crop; where
        it is 0 the rows are uniform.
    """
    size = np.asarray(grid.size_wh)
    inside = ((modes.xy > -0.5) & (modes.xy < size - 0.5)).all(-1)
    weight = modes.weight * inside
    share = weight.sum(-1)
    weight = weight / np.maximum(share, 1e-12)[..., None]
    rows = []
    for axis, variance in ((0, modes.cov[..., 0]), (1, modes.cov[..., 2])):
        bins = np.arange(grid.bins_wh[axis], dtype=np.float32)
        centre = np.round(modes.xy[..., axis] * grid.split)
        sigma2 = grid.sigma_bins[axis] ** 2 + variance * grid.split**2
        gauss = np.exp(-((bins - centre[..., None]) ** 2) / (2 * sigma2[..., None]))
        label = simcc.softmax(gauss)
        mixed = (label * weight[..., None]).sum(-2)
        rows.append(np.where(share[..., None] > 0, mixed, 1 / grid.bins_wh[axis]).astype(np.float32))
    return rows[0], rows[1], share.astype(np.float32)
