"""MoveNet Lightning's body and heatmaps: MobileNetV2 with a feature pyramid to stride 4. 2.2 M parameters.

MobileNetV2 (Sandler et al., CVPR 2018) of width 1; Google's MoveNet adds a top-down pyramid of separable convolutions
and four heads, of which the heatmaps are here; its centre, regression and offset heads are not. Fully convolutional.

Convolutions have a bias and no batch norm: the published weights have it folded in.

Shapes: N people, C channels of a map, h and w cells.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  torch's own convention

from poseunion.models.codec.heads import Alignment
from poseunion.models.networks.lite_hrnet import Separable
from poseunion.models.networks.published_simcc import HeatmapBody
from poseunion.models.runtime.description import IMAGENET_MEAN, IMAGENET_STD

# Pixels (0 to 255) times this, minus 1, are the published network's input: 2 / 255, in half precision.
PIXEL_SCALE = 0.007843017578125
# Our input where theirs is 0, by channel: zeros are padded there.
ZERO = tuple((1 / (255 * PIXEL_SCALE) - mean) / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True))

STEM_WIDTH = 32
# Expansion, channels, blocks and first stride of each stage (the paper's table 2).
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
TAPPED = (1, 2, 3)  # stages whose maps, of strides 4, 8 and 16, the pyramid reads beside the last
TOP_WIDTH = 1280
PYRAMID_WIDTHS = (24, 24, 32, 64)  # channels of the pyramid's maps of stride 4, 8, 16, 32
HEAD_WIDTH = 96


class HalvingConv(nn.Conv2d):
    """3x3 convolution of stride 2 with TensorFlow's SAME padding for even sides: one row below, one column right."""

    def __init__(self, in_channels: int, out_channels: int, groups: int = 1) -> None:
        super().__init__(in_channels, out_channels, 3, 2, groups=groups)

    def forward(self, x_NChw: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h/2, w/2)."""
        return super().forward(F.pad(x_NChw, (0, 1, 0, 1)))


class InvertedResidual(nn.Module):
    """MobileNetV2 block: 1x1 expansion, 3x3 depthwise, both with ReLU6, 1x1 projection; residual where shapes agree."""

    def __init__(self, in_channels: int, out_channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.expand = nn.Conv2d(in_channels, inner, 1) if expansion > 1 else None
        self.depthwise = (
            HalvingConv(inner, inner, inner) if stride == 2 else nn.Conv2d(inner, inner, 3, 1, 1, groups=inner)
        )
        self.project = nn.Conv2d(inner, out_channels, 1)
        self.relu = nn.ReLU6(inplace=True)
        self.is_residual = stride == 1 and in_channels == out_channels

    def forward(self, x_NChw: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C', h / stride, w / stride)."""
        y = x_NChw if self.expand is None else self.relu(self.expand(x_NChw))
        y = self.project(self.relu(self.depthwise(y)))
        return x_NChw + y if self.is_residual else y


class MoveNet(HeatmapBody):
    """MoveNet Lightning's body with its heatmaps, as logits.

    Args:
        keypoints: number of heatmaps.
    """

    alignment = Alignment.CENTRES
    widths = PYRAMID_WIDTHS
    zero_3: Tensor

    def __init__(self, keypoints: int) -> None:
        super().__init__()
        self.register_buffer("zero_3", torch.tensor(ZERO)[:, None, None], persistent=False)
        self.stem = HalvingConv(3, STEM_WIDTH)
        self.relu = nn.ReLU6(inplace=True)
        self.stages = nn.ModuleList()
        width = STEM_WIDTH
        for expansion, channels, blocks, stride in STAGES:
            widths = [width, *[channels] * blocks]
            self.stages.append(
                nn.Sequential(
                    *(InvertedResidual(widths[n], channels, expansion, 1 if n else stride) for n in range(blocks))
                )
            )
            width = channels
        self.top = nn.Conv2d(width, TOP_WIDTH, 1)
        # From fine to coarse, as the maps.
        read = (*(STAGES[number][1] for number in TAPPED), TOP_WIDTH)
        added = (*PYRAMID_WIDTHS[1:], PYRAMID_WIDTHS[-1])
        self.lateral = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(read, added, strict=True))
        self.smooth = nn.ModuleList(Separable(a, b) for a, b in zip(added, PYRAMID_WIDTHS[:-1], strict=False))
        self.head = Separable(PYRAMID_WIDTHS[0], HEAD_WIDTH)
        self.heatmap = nn.Conv2d(HEAD_WIDTH, keypoints, 1)

    def pyramid(self, image_N3HW: Tensor) -> list[Tensor]:
        """Maps of strides 4, 8, 16 and 32 with `PYRAMID_WIDTHS` channels, from (N, 3, H, W) normalised."""
        x = self.relu(self.stem(image_N3HW - self.zero_3))
        tapped = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in TAPPED:
                tapped.append(x)
        result = [self.lateral[-1](self.relu(self.top(x)))]
        for level in reversed(range(len(tapped))):
            lateral = self.lateral[level](tapped[level])
            larger = F.interpolate(result[0], size=lateral.shape[-2:], mode="bilinear", align_corners=False)
            result.insert(0, self.smooth[level](larger + lateral))
        return result

    def heatmaps(self, map_NChw: Tensor) -> Tensor:
        """Heatmaps, see `HeatmapBody.heatmaps`."""
        return self.heatmap(self.head(map_NChw))
