"""Losses of paper A, each a function that returns its parts.

Shapes: N people, K keypoints, W and H bins of the axes, h and w cells of a heatmap.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch's own convention

from poseunion.models.codec.heads import Alignment, HeatmapOutput
from poseunion.models.codec.simcc import BETA, SimccGrid


def simcc_labels(xy_px_NK2: Tensor, grid: SimccGrid) -> tuple[Tensor, Tensor]:
    """Label distributions softmax(beta * Gaussian) over the bins; the torch twin of `simcc.encode`.

    Returns:
        (N, K, W) and (N, K, H), each summing to one. Rows of points outside the crop are uniform: give them no weight.
    """
    labels = []
    for axis in (0, 1):
        bins = torch.arange(grid.bins_wh[axis], device=xy_px_NK2.device, dtype=xy_px_NK2.dtype)
        centre = torch.round(xy_px_NK2[..., axis, None] * grid.split)
        gauss = torch.exp(-((bins - centre) ** 2) / (2 * grid.sigma_bins[axis] ** 2))
        labels.append(torch.softmax(BETA * gauss, -1))
    return labels[0], labels[1]


def conditional_keypoint_loss(
    logit_x_NKW: Tensor, logit_y_NKH: Tensor, label_x_NKW: Tensor, label_y_NKH: Tensor, weight_NK: Tensor
) -> dict[str, Tensor]:
    """KL form of the conditional keypoint loss (paper A, eq. 6): only keypoints the person's dataset defines count.

    Args:
        weight_NK: 1 for a label, less for a pseudo-label, 0 where there is none: such a keypoint gets no gradient.

    Returns:
        `keypoint_x` and `keypoint_y`: mean KL(label || softmax(beta * logit)) over the weight.
    """
    total = weight_NK.sum().clamp_min(1e-6)
    return {
        name: (_kl(label, logit) * weight_NK).sum() / total
        for name, label, logit in (
            ("keypoint_x", label_x_NKW, logit_x_NKW),
            ("keypoint_y", label_y_NKH, logit_y_NKH),
        )
    }


def balanced(weight_NK: Tensor) -> Tensor:
    """(N, K) weights of the same sum, of which each keypoint that has any gets the same share."""
    per_keypoint = weight_NK.sum(0)
    present = (per_keypoint > 0).sum().clamp_min(1)
    return weight_NK / per_keypoint.clamp_min(1e-6) * (weight_NK.sum() / present)


def distillation_loss(
    logit_x_NKW: Tensor, logit_y_NKH: Tensor, teacher_x_NKW: Tensor, teacher_y_NKH: Tensor, weight_NK: Tensor
) -> dict[str, Tensor]:
    """KL(teacher || student) over the keypoints that the teacher predicts (paper A, eq. 7).

    Args:
        teacher_x_NKW, teacher_y_NKH: its distributions on the student's bins, from `peaks.render` or `regrid`.
        weight_NK: the teacher's confidence where it agrees with the labels, else 0, as for a keypoint that it lacks.

    Returns:
        `distil_x` and `distil_y`: weighted means.
    """
    parts = conditional_keypoint_loss(logit_x_NKW, logit_y_NKH, teacher_x_NKW, teacher_y_NKH, weight_NK)
    return {"distil_x": parts["keypoint_x"], "distil_y": parts["keypoint_y"]}


def position_loss(
    logit_x_NKW: Tensor, logit_y_NKH: Tensor, xy_px_NK2: Tensor, weight_NK: Tensor, grid: SimccGrid
) -> dict[str, Tensor]:
    """Squared-distance form of the conditional keypoint loss, as paper A writes it (eq. 6).

    p is the expectation of each axis; positions count in crop sizes, so that the value does not depend on the size.

    Returns:
        `position`: the weighted mean squared distance, in squared crop sizes.
    """
    error = torch.zeros_like(weight_NK)
    for axis, logit in ((0, logit_x_NKW), (1, logit_y_NKH)):
        bins = torch.arange(logit.shape[-1], device=logit.device, dtype=logit.dtype)
        expected = (torch.softmax(BETA * logit, -1) * bins).sum(-1) / grid.split
        error = error + ((expected - xy_px_NK2[..., axis]) / grid.size_wh[axis]) ** 2
    return {"position": (error * weight_NK).sum() / weight_NK.sum().clamp_min(1e-6)}


def total_loss(task: Tensor, distil: dict[str, Tensor], alpha: float, betas: dict[str, float]) -> Tensor:
    """alpha L_CK + (1 - alpha) sum_j beta_j L_D(T_j) (paper A, eq. 8); teachers by name."""
    total = alpha * task
    for name, loss in distil.items():
        total = total + (1 - alpha) * betas[name] * loss
    return total


def _kl(label_NKB: Tensor, logit_NKB: Tensor) -> Tensor:
    log_p = F.log_softmax(BETA * logit_NKB, -1)
    entropy = torch.special.entr(label_NKB).sum(-1)
    return -(label_NKB * log_p).sum(-1) - entropy


def heatmap_loss(
    heat_NKhw: Tensor,
    xy_px_NK2: Tensor,
    weight_NK: Tensor,
    stride: int,
    alignment: Alignment = Alignment.CENTRES,
    sigma_cells: float = 0.75,
) -> Tensor:
    """Cross-entropy of the two-dimensional heatmap: it ties both axes to one person where a crop shows several."""
    n, k, h, w = heat_NKhw.shape
    cell = xy_px_NK2 / stride if alignment is Alignment.CLASSIC else (xy_px_NK2 + 0.5) / stride - 0.5
    parts = []
    for axis, size in ((0, w), (1, h)):
        position = torch.arange(size, device=heat_NKhw.device, dtype=heat_NKhw.dtype)
        parts.append(torch.softmax(-((position - cell[..., axis, None]) ** 2) / (2 * sigma_cells**2), -1))
    target = parts[1][..., :, None] * parts[0][..., None, :]
    log_p = F.log_softmax(heat_NKhw.flatten(2), -1).view(n, k, h, w)
    cross_entropy = -(target * log_p).sum((2, 3))
    return (cross_entropy * weight_NK).sum() / weight_NK.sum().clamp_min(1e-6)


def heatmap_output(size_wh: tuple[int, int], stride: int) -> HeatmapOutput:
    """Output of a heatmap student, as HRNet's: cell u at pixel u * stride.

    HRNet's labels are 2 cells wide on 64x64 cells; on 16x16 that would be an eighth of the crop, so they are 1 cell.
    """
    cells = (-(-size_wh[0] // stride), -(-size_wh[1] // stride))
    return HeatmapOutput(
        output="heatmap",
        size_wh=cells,
        alignment=Alignment.CLASSIC,
        sigma_cells=1.0 if min(cells) < 64 else 2.0,
        flip_shift_px=1,
    )


def heatmap_mse(heat_NKhw: Tensor, xy_px_NK2: Tensor, weight_NK: Tensor, size_wh: tuple[int, int]) -> dict[str, Tensor]:
    """HRNet's loss: the squared difference from a Gaussian of height 1, over all cells.

    Returns:
        `heatmap`: the weighted mean over keypoints of the sum over cells; HRNet's mean over cells is this divided by
        their number, which changes nothing for Adam, but would for the balance against another loss.
    """
    h, w = heat_NKhw.shape[2:]
    sigma = heatmap_output(size_wh, size_wh[0] // w).sigma_cells
    axes = []
    for axis, cells in ((0, w), (1, h)):
        at = torch.arange(cells, device=heat_NKhw.device, dtype=heat_NKhw.dtype)
        centre = torch.round(xy_px_NK2[..., axis, None] * cells / size_wh[axis])
        axes.append(torch.exp(-((at - centre) ** 2) / (2 * sigma**2)))
    target = axes[1][..., :, None] * axes[0][..., None, :]
    error = ((heat_NKhw - target) ** 2).sum((2, 3))
    return {"heatmap": (error * weight_NK).sum() / weight_NK.sum().clamp_min(1e-6)}
