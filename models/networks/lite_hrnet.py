"""Lite-HRNet, naive and wide: body of a small heatmap network with a stride-4 branch throughout.

Yu et al., "Lite-HRNet: A Lightweight High-Resolution Network", CVPR 2021, in the "naive" form (plain ShuffleNetV2 units
in place of conditional channel weighting) and the width of 40 channels that PaddleDetection trained and published. Up
to four branches of strides 4, 8, 16 and 32 exchange their maps after every module; a top-down head brings the strides
together again. 1.3 M parameters.

Convolutions have a bias and no batch norm: the published weights have it folded in. A module is two ShuffleNetV2 units.
The original shuffles channels after each unit and after the stem; here the order of channels between two units, and
after the stem, is absorbed into the neighbouring 1x1 convolutions, so that one shuffle a module is left, which costs no
more than the concatenation that is there anyway. `export.starts.lite_hrnet` has the orders.

Shapes: N people, C channels of a branch, h and w cells of a map.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  torch's own convention

WIDTHS = (40, 80, 160, 320)  # channels of the branches of stride 4, 8, 16, 32
PYRAMID_WIDTHS = (40, 40, 80, 160)  # channels of the head's maps of stride 4, 8, 16, 32
STEM_WIDTH = 32
STAGES = ((2, 2), (3, 4), (4, 2))  # branches and modules of each stage


class Separable(nn.Sequential):
    """Depthwise separable convolution: 3x3 and 1x1, nothing between them, optional ReLU behind them."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1, relu: bool = True) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(in_channels, in_channels, 3, stride, 1, groups=in_channels)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1)
        if relu:
            self.relu = nn.ReLU(inplace=True)


class Stem(nn.Module):
    """Lite-HRNet stem: 3x3 convolution and a ShuffleNetV2 unit of stride 2, to a quarter of the input's size."""

    def __init__(self, width: int = STEM_WIDTH) -> None:
        super().__init__()
        self.half_width = half = width // 2
        self.conv = nn.Conv2d(3, width, 3, 2, 1)
        self.left = Separable(half, half, stride=2)
        self.expand = nn.Conv2d(half, width, 1)
        self.right = Separable(width, half, stride=2)

    def forward(self, image_N3HW: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, C, H/4, W/4)."""
        left, right = F.relu(self.conv(image_N3HW), inplace=True).split(self.half_width, 1)
        return torch.cat([self.left(left), self.right(F.relu(self.expand(right), inplace=True))], 1)


class Unit(nn.Module):
    """ShuffleNetV2 unit, its convolved half: 1x1, ReLU, depthwise 3x3, 1x1, ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, channels, 1)
        self.separable = Separable(channels, channels)

    def forward(self, x_NChw: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        return self.separable(F.relu(self.expand(x_NChw), inplace=True))


class UnitPair(nn.Module):
    """Two ShuffleNetV2 units with one channel shuffle.

    A unit convolves the second half of its channels and interleaves the result with the first. Of the second unit's
    halves, the first is then made of the first halves of both operands, the second of their second halves; in which
    order the second unit's convolution reads them is a matter of its weights.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.quarter = channels // 4
        self.first = Unit(channels // 2)
        self.second = Unit(channels // 2)

    def forward(self, x_NChw: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        q = self.quarter
        kept, read, convolved = x_NChw.split([q, q, 2 * q], 1)
        first_kept, first_read = self.first(convolved).split(q, 1)
        even, odd = self.second(torch.cat([read, first_read], 1)).split(q, 1)
        return interleaved([kept, even, first_kept, odd])


def interleaved(parts: list[Tensor]) -> Tensor:
    """Channel shuffle: maps (N, C, h, w) interleaved into one (N, C * parts, h, w)."""
    if parts[0].shape[1] > 1 and parts[0].stride(1) == 1:  # channels last: the same without leaving that layout
        return torch.stack([part.permute(0, 2, 3, 1) for part in parts], -1).flatten(-2).permute(0, 3, 1, 2)
    return torch.stack(parts, 2).flatten(1, 2)


class Exchange(nn.Module):
    """Multi-resolution fusion: each branch plus all others, coarser ones enlarged and finer ones shrunk.

    As in the published network, branch 0 counts twice in its own sum, and it is this sum (before its ReLU) that the
    coarser branches receive of it, twice again: there the factor is part of the weights.
    """

    def __init__(self, branches: int) -> None:
        super().__init__()
        self.up = nn.ModuleDict()
        self.down = nn.ModuleDict()
        for to in range(branches):
            for source in range(branches):
                name = f"{source}_to_{to}"
                if source > to:
                    self.up[name] = nn.Conv2d(WIDTHS[source], WIDTHS[to], 1)
                elif source < to:
                    width = WIDTHS[source]
                    steps = [Separable(width, width, stride=2) for _ in range(to - source - 1)]
                    self.down[name] = nn.Sequential(*steps, Separable(width, WIDTHS[to], stride=2, relu=False))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps of the branches, from fine to coarse -> the same shapes."""
        maps, result = list(maps), []
        for to in range(len(maps)):
            total = 2 * maps[0] if to == 0 else maps[to]
            for source in range(len(maps)):
                name = f"{source}_to_{to}"
                if source > to:
                    coarse = self.up[name](maps[source])
                    total = total + F.interpolate(coarse, scale_factor=float(2 ** (source - to)), mode="nearest")
                elif source < to:
                    total = total + self.down[name](maps[source])
            if to == 0:
                maps[0] = total
            result.append(F.relu(total))
        return result


class Module(nn.Module):
    """Lite-HRNet module: a pair of units on every branch, then the fusion."""

    def __init__(self, branches: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(UnitPair(width) for width in WIDTHS[:branches])
        self.exchange = Exchange(branches)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps of the branches, from fine to coarse -> the same shapes."""
        return self.exchange([branch(one) for branch, one in zip(self.branches, maps, strict=True)])


class TopDown(nn.Module):
    """Top-down head: from the coarsest branch, separable convolution, enlarged, added to the next finer, four times."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList(Separable(a, b) for a, b in zip(WIDTHS[::-1], PYRAMID_WIDTHS[::-1], strict=True))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps of the branches, from fine to coarse -> maps of the same sizes with `PYRAMID_WIDTHS` channels."""
        result: list[Tensor] = []
        for step, one in zip(self.steps, reversed(maps), strict=True):
            if result:
                one = one + F.interpolate(result[0], size=one.shape[-2:], mode="bilinear", align_corners=True)
            result.insert(0, step(one))
        return result


class LiteHrnet(nn.Module):
    """Naive Lite-HRNet with its top-down head and heatmaps.

    Args:
        keypoints: number of heatmaps.
    """

    def __init__(self, keypoints: int) -> None:
        super().__init__()
        self.stem = Stem()
        self.to_stride_4 = Separable(STEM_WIDTH, WIDTHS[0])
        # The first map of each further branch, from the coarsest that is there (of stride 8: from the stem).
        self.begin = nn.ModuleList(
            Separable(a, b, stride=2) for a, b in zip((STEM_WIDTH, *WIDTHS[1:-1]), WIDTHS[1:], strict=True)
        )
        self.stages = nn.ModuleList(
            nn.ModuleList(Module(branches) for _ in range(modules)) for branches, modules in STAGES
        )
        self.top_down = TopDown()
        self.heatmap = nn.Conv2d(WIDTHS[0], keypoints, 1)

    def pyramid(self, image_N3HW: Tensor) -> list[Tensor]:
        """Maps of the head, strides 4, 8, 16 and 32 with `PYRAMID_WIDTHS` channels, from (N, 3, H, W) normalised."""
        stem = self.stem(image_N3HW)
        maps = [self.to_stride_4(stem)]
        for stage, begin in zip(self.stages, self.begin, strict=True):
            maps.append(begin(stem if len(maps) == 1 else maps[-1]))
            for module in stage:  # type: ignore[attr-defined]
                maps = module(maps)
        return self.top_down(maps)

    def forward(self, image_N3HW: Tensor) -> Tensor:
        """Heatmaps (N, K, H/4, W/4) from (N, 3, H, W) normalised, sides divisible by 32."""
        return self.heatmap(self.pyramid(image_N3HW)[0])
