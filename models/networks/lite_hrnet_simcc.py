"""Lite-HRNet as a SimCC network: marginals of the published heatmaps, and a branch for added keypoints.

The published keypoints stay the rows of the published last layer, so that a converted network predicts the same as
before; the others have convolutions of their own on the head's maps. As further rows of the last layer they would
depend on features that were never trained for them.

Shapes: N people, C channels, h and w cells, K keypoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from poseunion.models.codec.heads import Alignment
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.networks.equivariant import STRIDE, AxisUpsampler, MarginalSimcc, Pyramid
from poseunion.models.networks.lite_hrnet import PYRAMID_WIDTHS, LiteHrnet

PUBLISHED = 17  # COCO's keypoints, the first of a skeleton
BRANCH_CHANNELS = 64
BRANCH_BLOCKS = (3, 2, 1, 1)  # at strides 4, 8, 16, 32


class AddedKeypoints(nn.Module):
    """Heatmap branch for added keypoints, from the head's maps of strides 4 to 32."""

    def __init__(self, keypoints: int) -> None:
        super().__init__()
        self.pyramid = Pyramid(list(PYRAMID_WIDTHS), BRANCH_CHANNELS, BRANCH_BLOCKS)
        self.heatmap = nn.Conv2d(BRANCH_CHANNELS, keypoints, 1)


class LiteHrnetSimcc(MarginalSimcc):
    """Lite-HRNet SimCC network: body, its heatmaps and those of added keypoints, marginals.

    Args:
        keypoints: K, of which the first `PUBLISHED` are the body's own.
        grid: the bins of the output; bins per cell must be a whole number, the input's sides divisible by 32.
    """

    # Of the published network: cell u on input pixel 4u.
    alignment = Alignment.CLASSIC

    def __init__(self, keypoints: int, grid: SimccGrid) -> None:
        super().__init__()
        self.grid = grid
        self.backbone = LiteHrnet(min(keypoints, PUBLISHED))
        self.added = AddedKeypoints(keypoints - PUBLISHED) if keypoints > PUBLISHED else None
        bins_per_cell = round(grid.split * STRIDE)
        width, height = (side // STRIDE for side in grid.size_wh)
        self.upsample_x = AxisUpsampler(bins_per_cell, cubic_cells=width)
        self.upsample_y = AxisUpsampler(bins_per_cell, cubic_cells=height)

    def features(self, image_N3HW: Tensor) -> Tensor:
        """Last maps of body and branch, concatenated, (N, C, H/4, W/4), from (N, 3, H, W) normalised."""
        return member_features(self.backbone, self.added, image_N3HW)

    def heatmaps(self, features_NChw: Tensor) -> Tensor:
        """Heatmaps (N, K, h, w) from the map of `features`."""
        return member_heatmaps(self.backbone, self.added, features_NChw)


class LiteHrnetPair(MarginalSimcc):
    """Mean of two Lite-HRNets: their densities over the cells are averaged, then read as one.

    Two independently trained bodies err at different places: the mean has more AP than either, for twice the time.
    `training.loop.pair` makes one of two trained networks.
    """

    alignment = Alignment.CLASSIC

    def __init__(self, keypoints: int, grid: SimccGrid) -> None:
        super().__init__()
        members = [LiteHrnetSimcc(keypoints, grid) for _ in range(2)]
        self.grid = grid
        self.backbone = nn.ModuleList(member.backbone for member in members)
        self.added = nn.ModuleList(member.added for member in members if member.added is not None)
        # Cells to bins is the same for both.
        self.upsample_x, self.upsample_y = members[0].upsample_x, members[0].upsample_y

    def features(self, image_N3HW: Tensor) -> Tensor:
        """Last maps of both members, concatenated, (N, C, H/4, W/4), from (N, 3, H, W) normalised."""
        return torch.cat([member_features(*member, image_N3HW) for member in self._members()], 1)

    def heatmaps(self, features_NChw: Tensor) -> Tensor:
        """Logarithms of the mean density, up to a constant, (N, K, h, w) from the map of `features`."""
        halves = features_NChw.chunk(2, 1)
        heat = [member_heatmaps(*member, half) for member, half in zip(self._members(), halves, strict=True)]
        logp = [one - torch.logsumexp(one.flatten(2), -1)[..., None, None] for one in heat]
        return torch.logsumexp(torch.stack(logp), 0)

    def _members(self) -> list[tuple[LiteHrnet, AddedKeypoints | None]]:
        added: list[nn.Module | None] = list(self.added) or [None] * len(self.backbone)
        return list(zip(self.backbone, added, strict=True))  # type: ignore[arg-type]


def member_features(backbone: LiteHrnet, added: AddedKeypoints | None, image_N3HW: Tensor) -> Tensor:
    """Last maps of body and branch, concatenated."""
    maps = backbone.pyramid(image_N3HW)
    return maps[0] if added is None else torch.cat([maps[0], added.pyramid(maps)], 1)


def member_heatmaps(backbone: LiteHrnet, added: AddedKeypoints | None, features_NChw: Tensor) -> Tensor:
    """Heatmaps (N, K, h, w) of body and branch from their maps."""
    if added is None:
        return backbone.heatmap(features_NChw)
    own, branch = features_NChw.split([PYRAMID_WIDTHS[0], BRANCH_CHANNELS], 1)
    return torch.cat([backbone.heatmap(own), added.heatmap(branch)], 1)
