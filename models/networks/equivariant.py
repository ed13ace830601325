"""Translation-equivariant SimCC network: heatmaps from a feature pyramid, whose marginals are the SimCC axes.

RTMPose flattens the last feature map and has a linear layer over positions. Here a feature pyramid gives one small
heatmap of log-probabilities per keypoint, and the two SimCC axes are its marginals; a shift of the person shifts the
output, so a few thousand people are enough for training. Same outputs, labels, losses and export as RTMPose.

Shapes: N people, C channels, h and w cells of a feature map, K keypoints, W and H bins, P = bins per cell.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  torch's own convention

from poseunion.models.codec.heads import Alignment
from poseunion.models.codec.heatmap import keys_matrix
from poseunion.models.codec.simcc import BETA, SimccGrid

STRIDE = 4  # image pixels per heatmap cell


class SeparableBlock(nn.Module):
    """Residual 5x5 depthwise + 1x1 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x_NChw: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        y = F.relu(self.norm1(self.depthwise(x_NChw)), inplace=True)
        return x_NChw + F.relu(self.norm2(self.pointwise(y)), inplace=True)


class Pyramid(nn.Module):
    """Top-down feature pyramid: maps of strides 4, 8, 16, 32 (or fewer) -> one map of stride 4 from all of them."""

    def __init__(self, in_channels: list[int], channels: int, blocks: tuple[int, ...] = (2, 1, 1, 2)) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, channels, 1, bias=False), nn.BatchNorm2d(channels)) for c in in_channels
        )
        blocks = blocks[: len(in_channels)]
        self.smooth = nn.ModuleList(nn.Sequential(*(SeparableBlock(channels) for _ in range(n))) for n in blocks)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps from fine to coarse -> (N, C, h, w) at the finest."""
        x = None
        for lateral, smooth, level in zip(reversed(self.lateral), reversed(self.smooth), reversed(maps), strict=True):
            y = lateral(level)
            if x is not None:
                y = y + F.interpolate(x, size=y.shape[-2:], mode="nearest")
            x = smooth(y)
        assert x is not None
        return x


class AxisUpsampler(nn.Module):
    """Upsampling of cells' log-probabilities to logits of bins, one small network for all keypoints.

    Linear interpolation peaks only at cell centres; the learned part, with a receptive field of five cells to either
    side, places the peak between them.

    Args:
        cubic_cells: number of cells of the axis, to interpolate by a cubic instead: its peak may lie between cells, as
            a network trained with Gaussian heatmaps needs.
    """

    def __init__(self, bins_per_cell: int, hidden: int = 24, *, cubic_cells: int = 0) -> None:
        super().__init__()
        self.cubic_wW: Tensor | None
        self.bins_per_cell = bins_per_cell
        matrix = torch.from_numpy(keys_matrix(cubic_cells * bins_per_cell, cubic_cells, 1 / bins_per_cell))
        self.register_buffer("cubic_wW", matrix.T.contiguous() if cubic_cells else None, persistent=False)
        self.inner = nn.Conv1d(1, hidden, 5, padding=2)
        self.middle = nn.Conv1d(hidden, hidden, 3, padding=1)
        self.outer = nn.Conv1d(hidden, bins_per_cell, 5, padding=2)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)  # type: ignore[arg-type]

    def forward(self, logp_NKw: Tensor) -> Tensor:
        """(N, K, w) -> (N, K, w * P)."""
        n, k, w = logp_NKw.shape
        flat = logp_NKw.reshape(n * k, 1, w)
        if self.cubic_wW is not None:
            coarse = flat @ self.cubic_wW
        else:
            coarse = F.interpolate(flat, scale_factor=float(self.bins_per_cell), mode="linear", align_corners=False)
        # The scale of log-probabilities (0 to -15) is brought near 1 for the convolutions.
        y = F.relu(self.middle(F.relu(self.inner(flat * 0.2))))
        fine = self.outer(y).transpose(1, 2).reshape(n * k, 1, w * self.bins_per_cell)
        return (coarse + fine).reshape(n, k, w * self.bins_per_cell)

    @torch.no_grad()
    def halve(self) -> AxisUpsampler:
        """Upsampler for twice the input size and the same bins: each new bin is the mean of two old ones."""
        half = AxisUpsampler(self.bins_per_cell // 2, self.inner.out_channels)
        half.inner.load_state_dict(self.inner.state_dict())
        half.middle.load_state_dict(self.middle.state_dict())
        half.outer.weight.copy_(self.outer.weight.unflatten(0, (-1, 2)).mean(1))
        assert half.outer.bias is not None
        assert self.outer.bias is not None
        half.outer.bias.copy_(self.outer.bias.unflatten(0, (-1, 2)).mean(1))
        return half

    @torch.no_grad()
    def double(self) -> AxisUpsampler:
        """Upsampler for half the input size and the same bins: each bin is used twice; `halve` is the inverse."""
        twice = AxisUpsampler(self.bins_per_cell * 2, self.inner.out_channels)
        twice.inner.load_state_dict(self.inner.state_dict())
        twice.middle.load_state_dict(self.middle.state_dict())
        twice.outer.weight.copy_(self.outer.weight.repeat_interleave(2, 0))
        assert twice.outer.bias is not None
        assert self.outer.bias is not None
        twice.outer.bias.copy_(self.outer.bias.repeat_interleave(2, 0))
        return twice


class MarginalSimcc(nn.Module):
    """Base class of SimCC networks whose logits are the marginals of heatmaps.

    Attributes:
        grid: the bins of the output; bins per cell must be a whole number.
        alignment: where heatmap cell u sits on the input.
        upsample_x, upsample_y: cells to bins.
    """

    grid: SimccGrid
    alignment: Alignment
    upsample_x: AxisUpsampler
    upsample_y: AxisUpsampler

    def features(self, image_N3HW: Tensor) -> Tensor:
        """Last map before the heatmaps, (N, C, H/4, W/4), from (N, 3, H, W) normalised."""
        raise NotImplementedError

    def heatmaps(self, features_NChw: Tensor) -> Tensor:
        """Heatmaps (N, K, h, w) from the map of `features`."""
        raise NotImplementedError

    def heatmap_logits(self, image_N3HW: Tensor) -> Tensor:
        """Heatmap logits (N, K, H/4, W/4) from (N, 3, H, W); softmax over all cells is a keypoint's distribution."""
        return self.heatmaps(self.features(image_N3HW))

    def axes(self, heat_NKhw: Tensor) -> tuple[Tensor, Tensor]:
        """SimCC logits (N, K, W) and (N, K, H) on the beta-10 scale, each with mean zero, from heatmap logits.

        The mean over bins is removed since a softmax ignores it: the peak is then near 1 for a sharp distribution, as
        runtimes that threshold logits expect.
        """
        logp = heat_NKhw - torch.logsumexp(heat_NKhw.flatten(2), -1)[..., None, None]
        x = self.upsample_x(torch.logsumexp(logp, 2))
        y = self.upsample_y(torch.logsumexp(logp, 3))
        return (x - x.mean(-1, keepdim=True)) / BETA, (y - y.mean(-1, keepdim=True)) / BETA

    def forward(self, image_N3HW: Tensor) -> tuple[Tensor, Tensor]:
        """SimCC logits simcc_x (N, K, W), simcc_y (N, K, H) from (N, 3, H, W) normalised."""
        return self.axes(self.heatmap_logits(image_N3HW))


class EquivariantSimcc(MarginalSimcc):
    """Equivariant SimCC network: backbone, pyramid, heatmap, marginals.

    Args:
        backbone: gives the maps of strides 4, 8, 16, 32, or the first of them, for an (N, 3, H, W) picture; has
            `feature_info.channels()`.
        keypoints: K.
        grid: the bins of the output; bins per cell must be a whole number.
    """

    alignment = Alignment.CENTRES

    def __init__(self, backbone: nn.Module, keypoints: int, grid: SimccGrid, channels: int = 64) -> None:
        super().__init__()
        self.grid = grid
        self.backbone = backbone
        self.pyramid = Pyramid(list(backbone.feature_info.channels()), channels)  # type: ignore[operator, union-attr]
        self.heatmap = nn.Conv2d(channels, keypoints, 1)
        bins_per_cell = round(grid.split * STRIDE)
        self.upsample_x = AxisUpsampler(bins_per_cell)
        self.upsample_y = AxisUpsampler(bins_per_cell)

    def features(self, image_N3HW: Tensor) -> Tensor:
        """Last map before the heatmaps, see `MarginalSimcc.features`."""
        return self.pyramid(self.backbone(image_N3HW))

    def heatmaps(self, features_NChw: Tensor) -> Tensor:
        """Heatmaps, see `MarginalSimcc.heatmaps`."""
        return self.heatmap(features_NChw)

    def grown(self) -> EquivariantSimcc:
        """Network for an input twice as wide and high with the same bins and the same weights."""
        return self._resized(2.0, self.upsample_x.halve(), self.upsample_y.halve())

    def shrunk(self) -> EquivariantSimcc:
        """Network for an input half as wide and high with the same bins; `grown` is the inverse."""
        return self._resized(0.5, self.upsample_x.double(), self.upsample_y.double())

    def _resized(self, factor: float, upsample_x: AxisUpsampler, upsample_y: AxisUpsampler) -> EquivariantSimcc:
        width, height = (round(side * factor) for side in self.grid.size_wh)
        grid = SimccGrid((width, height), self.grid.split / factor, self.grid.sigma_bins)
        other = EquivariantSimcc(self.backbone, self.heatmap.out_channels, grid, self.heatmap.in_channels)
        other.pyramid, other.heatmap = self.pyramid, self.heatmap
        other.upsample_x, other.upsample_y = upsample_x, upsample_y
        return other
