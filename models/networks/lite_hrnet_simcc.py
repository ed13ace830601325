"""Lite-HRNet as a SimCC network, with a branch for added keypoints; and two of them as one network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from poseunion.models.codec.heads import Alignment
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.networks.equivariant import MarginalSimcc
from poseunion.models.networks.lite_hrnet import LiteHrnet
from poseunion.models.networks.published_simcc import PUBLISHED, AddedKeypoints, Branch, Member, PublishedSimcc

BRANCH = Branch(stride=4, channels=64, blocks=(3, 2, 1, 1))


class LiteHrnetSimcc(PublishedSimcc):
    """Lite-HRNet SimCC network, see `PublishedSimcc`."""

    def __init__(self, keypoints: int, grid: SimccGrid) -> None:
        super().__init__(LiteHrnet(min(keypoints, PUBLISHED)), keypoints, grid, BRANCH)


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
