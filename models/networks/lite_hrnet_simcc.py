"""Lite-HRNet as a SimCC network, with a branch for added keypoints; and two of them as one network.

The published 17 keypoints stay the rows of the published last layer, so that a converted network predicts the same as
before; the others have convolutions of their own on the body's maps. As further rows of the last layer they would
depend on features that were never trained for them.

Shapes: N people, C channels, h and w cells, K keypoints.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from poseunion.models.codec.heads import Alignment
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.networks.equivariant import STRIDE, AxisUpsampler, MarginalSimcc, Pyramid
from poseunion.models.networks.lite_hrnet import PYRAMID_WIDTHS, LiteHrnet

PUBLISHED = 17  # COCO's keypoints, the first of a skeleton
# Pyramid of the branch: as wide as that of the ImageNet student, most of its blocks where it is finest.
ADDED_CHANNELS, ADDED_BLOCKS = 64, (3, 2, 1, 1)


class AddedKeypoints(nn.Module):
    """Heatmap branch for added keypoints, from the body's maps of strides 4 to 32."""

    def __init__(self, keypoints: int) -> None:
        super().__init__()
        self.pyramid = Pyramid(list(PYRAMID_WIDTHS), ADDED_CHANNELS, ADDED_BLOCKS)
        self.heatmap = nn.Conv2d(ADDED_CHANNELS, keypoints, 1)


@dataclass(frozen=True)
class Member:
    """Body and branch of one network, as functions of the image.

    Attributes:
        added: None where the body has all keypoints.
    """

    body: LiteHrnet
    added: AddedKeypoints | None

    def features(self, image_N3HW: Tensor) -> Tensor:
        """Last maps of body and branch, concatenated, (N, C, H/4, W/4), from (N, 3, H, W) normalised."""
        maps = self.body.pyramid(image_N3HW)
        return maps[0] if self.added is None else torch.cat([maps[0], self.added.pyramid(maps)], 1)

    def heatmaps(self, features_NChw: Tensor) -> Tensor:
        """Heatmaps (N, K, h, w) from the map of `features`."""
        if self.added is None:
            return self.body.heatmap(features_NChw)
        own, added = features_NChw.split([PYRAMID_WIDTHS[0], ADDED_CHANNELS], 1)
        return torch.cat([self.body.heatmap(own), self.added.heatmap(added)], 1)


class LiteHrnetSimcc(MarginalSimcc):
    """Lite-HRNet SimCC network: body, its heatmaps and those of added keypoints, marginals.

    Args:
        keypoints: K, of which the first `PUBLISHED` are the body's own.
        grid: the bins of the output; bins per cell must be a whole number, the input's sides divisible by 32.
    """

    alignment = Alignment.CLASSIC

    def __init__(self, keypoints: int, grid: SimccGrid) -> None:
        super().__init__()
        self.grid = grid
        self.backbone = LiteHrnet(min(keypoints, PUBLISHED))
        further = keypoints - PUBLISHED
        self.added = AddedKeypoints(further) if further > 0 else None
        self.upsample_x, self.upsample_y = (
            AxisUpsampler(round(grid.split * STRIDE), cubic_cells=side // STRIDE) for side in grid.size_wh
        )

    def features(self, image_N3HW: Tensor) -> Tensor:
        """Last maps of body and branch, concatenated, (N, C, H/4, W/4), from (N, 3, H, W) normalised."""
        return self.member.features(image_N3HW)

    def heatmaps(self, features_NChw: Tensor) -> Tensor:
        """Heatmaps (N, K, h, w) from the map of `features`."""
        return self.member.heatmaps(features_NChw)

    @property
    def member(self) -> Member:
        """Body and branch."""
        return Member(self.backbone, self.added)

    def heatmap_logits(self, image_N3HW: Tensor) -> Tensor:
        """Heatmap logits, see `MarginalSimcc.heatmap_logits`; without joining and splitting the maps between."""
        maps = self.backbone.pyramid(image_N3HW)
        own = self.backbone.heatmap(maps[0])
        return own if self.added is None else torch.cat([own, self.added.heatmap(self.added.pyramid(maps))], 1)


class LiteHrnetPair(MarginalSimcc):
    """Mean of two Lite-HRNets: their densities over the cells are averaged, then read as one.

    Two independently trained bodies err at different places: the mean has more AP than either, for twice the time.
    `training.loop.pair` makes one of two trained networks.
    """

    alignment = Alignment.CLASSIC

    def __init__(self, keypoints: int, grid: SimccGrid) -> None:
        super().__init__()
        members = [LiteHrnetSimcc(keypoints, grid) for _ in range(2)]
        self.keypoints, self.grid = keypoints, grid
        self.backbone = nn.ModuleList(member.backbone for member in members)
        self.added = nn.ModuleList(member.added for member in members if member.added is not None)
        # Cells to bins is the same for both.
        self.upsample_x, self.upsample_y = members[0].upsample_x, members[0].upsample_y

    def first(self) -> LiteHrnetSimcc:
        """The first member as a network of its own, which shares this one's weights."""
        network, member = LiteHrnetSimcc(self.keypoints, self.grid), self._members()[0]
        network.backbone, network.added = member.body, member.added
        network.upsample_x, network.upsample_y = self.upsample_x, self.upsample_y
        return network

    def features(self, image_N3HW: Tensor) -> Tensor:
        """Last maps of both members, concatenated, (N, C, H/4, W/4), from (N, 3, H, W) normalised."""
        return torch.cat([member.features(image_N3HW) for member in self._members()], 1)

    def heatmaps(self, features_NChw: Tensor) -> Tensor:
        """Logarithms of the mean density, up to a constant, (N, K, h, w) from the map of `features`."""
        halves = features_NChw.chunk(2, 1)
        heat = [member.heatmaps(half) for member, half in zip(self._members(), halves, strict=True)]
        logp = [one - torch.logsumexp(one.flatten(2), -1)[..., None, None] for one in heat]
        return torch.logsumexp(torch.stack(logp), 0)

    def _members(self) -> list[Member]:
        added: list[AddedKeypoints | None] = [*self.added] or [None] * len(self.backbone)
        return [Member(*member) for member in zip(self.backbone, added, strict=True)]  # type: ignore[arg-type]
