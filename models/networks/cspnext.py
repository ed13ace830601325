"""CSPNeXt, the backbone of RTMDet and RTMPose (Lyu et al., RTMDet, 2022), architecture P5.

Modules and parameters are named as in mmpose (`stage1.1.blocks.0.conv2.depthwise_conv.conv.weight` …), so that its
checkpoints load by name.

Shapes: N pictures, C channels, h and w cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from poseunion.models.errors import BadArgumentError

# P5: output channels and blocks of the four stages at depth and width 1; only the last has no identities, and pools.
STAGES = ((128, 3), (256, 6), (512, 6), (1024, 3))
STEM_CHANNELS = 64
# mmpose's deepen_factor and widen_factor of RTMPose's sizes.
SIZES = {"t": (0.167, 0.375), "s": (0.33, 0.5), "m": (0.67, 0.75), "l": (1.0, 1.0)}
POOLINGS = (5, 9, 13)


class ConvModule(nn.Module):
    """Convolution without bias, batch norm, SiLU.

    The batch norm has torch's eps and momentum, as RTMPose's configurations set them; CSPNeXt's own, 1e-3 and .03, are
    RTMDet's, and would change a checkpoint's outputs.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 1, *, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        # Not in place: training would keep a copy of what it overwrites.
        self.activate = nn.SiLU()

    def forward(self, x_NChw: Tensor) -> Tensor:
        """(N, C_in, h, w) -> (N, C_out, ceil(h / stride), ceil(w / stride))."""
        return self.activate(self.bn(self.conv(x_NChw)))


class DepthwiseSeparableConv(nn.Module):
    """Depthwise then 1x1, each a ConvModule."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.depthwise_conv = ConvModule(channels, channels, kernel, groups=channels)
        self.pointwise_conv = ConvModule(channels, channels)

    def forward(self, x_NChw: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        return self.pointwise_conv(self.depthwise_conv(x_NChw))


class CSPNeXtBlock(nn.Module):
    """CSPNeXt block: 3x3 convolution, 5x5 depthwise separable convolution, identity where `add_identity`."""

    def __init__(self, channels: int, add_identity: bool) -> None:
        super().__init__()
        self.conv1 = ConvModule(channels, channels, 3)
        self.conv2 = DepthwiseSeparableConv(channels, 5)
        self.add_identity = add_identity

    def forward(self, x_NChw: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        y = self.conv2(self.conv1(x_NChw))
        return y + x_NChw if self.add_identity else y


class ChannelAttention(nn.Module):
    """Channel attention: each channel times the hard sigmoid of a linear function of all channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.fc.bias)  # type: ignore[arg-type]

    def forward(self, x_NChw: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        return x_NChw * nn.functional.hardsigmoid(self.fc(x_NChw.mean((2, 3), keepdim=True)))


class CSPLayer(nn.Module):
    """Cross-stage partial layer: half of the channels go through the blocks, half around them."""

    def __init__(self, channels: int, blocks: int, add_identity: bool) -> None:
        super().__init__()
        half = channels // 2
        self.main_conv = ConvModule(channels, half)
        self.short_conv = ConvModule(channels, half)
        self.final_conv = ConvModule(2 * half, channels)
        self.blocks = nn.Sequential(*(CSPNeXtBlock(half, add_identity) for _ in range(blocks)))
        self.attention = ChannelAttention(2 * half)

    def forward(self, x_NChw: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        both = torch.cat([self.blocks(self.main_conv(x_NChw)), self.short_conv(x_NChw)], dim=1)
        return self.final_conv(self.attention(both))


class SPPBottleneck(nn.Module):
    """Spatial pyramid pooling: the map beside its maxima over three windows."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = ConvModule(channels, half)
        self.poolings = nn.ModuleList(nn.MaxPool2d(k, stride=1, padding=k // 2) for k in POOLINGS)
        self.conv2 = ConvModule(half * (len(POOLINGS) + 1), channels)

    def forward(self, x_NChw: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        x = self.conv1(x_NChw)
        return self.conv2(torch.cat([x, *(pool(x) for pool in self.poolings)], dim=1))


@dataclass(frozen=True)
class FeatureInfo:
    """Channels of a backbone's maps, with timm's `feature_info` interface."""

    widths: tuple[int, ...]

    def channels(self) -> list[int]:
        """Channels of the maps of strides 4, 8, 16 and 32."""
        return list(self.widths)


class CSPNeXt(nn.Module):
    """CSPNeXt backbone: a stem of stride 2 and four stages of stride 2.

    Args:
        deepen: factor on the number of blocks.
        widen: factor on the channels.
    """

    def __init__(self, deepen: float, widen: float) -> None:
        super().__init__()
        stem = int(STEM_CHANNELS * widen)
        half = int(STEM_CHANNELS * widen // 2)
        self.stem = nn.Sequential(
            ConvModule(3, half, 3, stride=2), ConvModule(half, half, 3), ConvModule(half, stem, 3)
        )
        channels = [stem, *(int(c * widen) for c, _ in STAGES)]
        self.channels = tuple(channels[1:])
        for number, (_, blocks) in enumerate(STAGES, start=1):
            last = number == len(STAGES)
            stage: list[nn.Module] = [ConvModule(channels[number - 1], channels[number], 3, stride=2)]
            if last:
                stage.append(SPPBottleneck(channels[number]))
            stage.append(CSPLayer(channels[number], max(round(blocks * deepen), 1), add_identity=not last))
            self.add_module(f"stage{number}", nn.Sequential(*stage))
        self.feature_info = FeatureInfo(self.channels)

    def forward(self, image_N3HW: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> the maps of strides 4, 8, 16 and 32, channels as in `channels`."""
        x = self.stem(image_N3HW)
        maps = []
        for number in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"stage{number}")(x)
            maps.append(x)
        return maps


def build_cspnext(size: str) -> CSPNeXt:
    """Backbone of RTMPose-t, -s, -m or -l.

    Raises:
        BadArgumentError: unknown size.
    """
    if size not in SIZES:
        raise BadArgumentError(f"No RTMPose or CSPNeXt of size {size!r}: give one of {', '.join(SIZES)}.")
    return CSPNeXt(*SIZES[size])
