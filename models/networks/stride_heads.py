"""Low-resolution students: a SimCC or heatmap head on a backbone's map of stride 4, 8 or 16.

A map of stride 32 has 2x2 cells at 64x64 pixels and one at 32x32. These use HRNet's finest branch, another network up
to that stride, or a ResNet whose later stages are dilated instead of strided.

Shapes: N people, C channels, h and w cells of the map, K keypoints, W and H bins.
"""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn

from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.errors import BadArgumentError
from poseunion.models.networks.backbones import drop_unread
from poseunion.models.networks.cspnext import build_cspnext
from poseunion.models.networks.rtmpose import RTMCCHead, Simcc

# timm's `out_indices` of the map of each stride.
LEVELS = {4: 1, 8: 2, 16: 3, 32: 4}
HEADS = ("simcc", "rtmcc", "heatmap")
# HRNet's own start of its last layer: heatmaps near zero.
HEATMAP_STD = 0.001


class FlatSimcc(nn.Module):
    """SimCC head (Li et al., 2022): 1x1 convolution to K maps, flatten, one linear layer an axis."""

    def __init__(self, channels: int, keypoints: int, grid: SimccGrid, stride: int) -> None:
        super().__init__()
        cells = cells_of(grid, stride)
        self.final_layer = nn.Conv2d(channels, keypoints, 1)
        self.cls_x = nn.Linear(cells[0] * cells[1], grid.bins_wh[0])
        self.cls_y = nn.Linear(cells[0] * cells[1], grid.bins_wh[1])

    def forward(self, map_NChw: Tensor) -> Simcc:
        """(N, C, h, w) -> logits (N, K, W) and (N, K, H)."""
        flat = self.final_layer(map_NChw).flatten(2)
        return Simcc(self.cls_x(flat), self.cls_y(flat))


class EarlyNetwork(nn.Module):
    """Pose network of a backbone up to one stride, and a head.

    Args:
        head: `simcc` (flatten and linear), `rtmcc` (RTMPose's) or `heatmap` (1x1 convolution, HRNet's).
        backbone: a timm name, or `cspnext-t|s|m|l`.
        stride: of the map: 4, 8, 16 or 32.

    Raises:
        BadArgumentError: no such backbone or head, or a backbone without a map of that stride.
    """

    def __init__(self, head: str, backbone: str, stride: int, keypoints: int, grid: SimccGrid) -> None:
        super().__init__()
        if head not in HEADS or stride not in LEVELS:
            raise BadArgumentError(
                f"No network {head}-{stride}: a head is {', '.join(HEADS)}, a stride {', '.join(map(str, LEVELS))}."
            )
        self.stride = stride
        self.backbone = early_backbone(backbone, stride)
        channels = _channels(self.backbone, grid, stride, backbone)
        self.head: nn.Module
        if head == "simcc":
            self.head = FlatSimcc(channels, keypoints, grid, stride)
        elif head == "rtmcc":
            self.head = RTMCCHead(channels, keypoints, grid, stride)
        else:
            self.head = nn.Conv2d(channels, keypoints, 1)
            nn.init.normal_(self.head.weight, std=HEATMAP_STD)
            nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def features(self, image_N3HW: Tensor) -> Tensor:
        """Last map before the head, (N, C, H / stride, W / stride), from (N, 3, H, W) normalised."""
        maps = self.backbone(image_N3HW)
        return maps if isinstance(maps, Tensor) else maps[-1]

    def forward(self, image_N3HW: Tensor) -> Simcc | Tensor:
        """Outputs simcc_x and simcc_y, or the heatmap (N, K, h, w), from (N, 3, H, W) normalised."""
        return self.head(self.features(image_N3HW))


def cells_of(grid: SimccGrid, stride: int) -> tuple[int, int]:
    """Cells (h, w) of the map of a stride."""
    return -(-grid.size_wh[1] // stride), -(-grid.size_wh[0] // stride)


def early_backbone(name: str, stride: int) -> nn.Module:
    """Backbone up to the map of a stride, random weights."""
    level = LEVELS[stride]
    if name.startswith("cspnext-"):
        whole = build_cspnext(name.removeprefix("cspnext-"))
        return nn.Sequential(whole.stem, *(whole.get_submodule(f"stage{n}") for n in range(1, level + 1)))
    options: dict[str, Any] = {"out_indices": (level,)}
    if name.startswith("hrnet"):
        # The branches as they are, without the wider maps of the classifier; `_only_branch` leaves one.
        options = {"out_indices": (1,), "feature_location": ""}
    elif name.startswith("resnet"):
        # All stages: cut at stride 8, ResNet-50 would keep 1.4 of its 23.5 million parameters.
        options |= {"out_indices": (4,), "output_stride": stride}
    try:
        backbone: nn.Module = timm.create_model(name, pretrained=False, features_only=True, **options)
    except (RuntimeError, TypeError, NotImplementedError, AssertionError, ValueError) as error:
        raise BadArgumentError(f"timm cannot build the backbone {name!r} of stride {stride}: {error}.") from error
    if name.startswith("hrnet"):
        _only_branch(backbone, level - 1)
    else:
        drop_unread(backbone)
    return backbone


def _only_branch(hrnet: nn.Module, branch: int) -> None:
    """Drop the layers of the unused branches of HRNet's last fusion."""
    last = hrnet.get_submodule("stage4")[-1]  # type: ignore[index]
    last.fuse_layers = nn.ModuleList([last.fuse_layers[branch]])


@torch.no_grad()
def _channels(backbone: nn.Module, grid: SimccGrid, stride: int, name: str) -> int:
    """Channels of the map of a stride; raises BadArgumentError where its size is another."""
    training = backbone.training
    maps = backbone.eval()(torch.zeros(1, 3, grid.size_wh[1], grid.size_wh[0]))
    backbone.train(training)
    last = maps if isinstance(maps, Tensor) else maps[-1]
    if tuple(last.shape[2:]) != cells_of(grid, stride):
        raise BadArgumentError(f"The backbone {name} has no map of stride {stride}: choose another stride.")
    return last.shape[1]
