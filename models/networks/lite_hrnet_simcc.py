"""Lite-HRNet as a SimCC network, with a branch for added keypoints."""

from __future__ import annotations

from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.networks.lite_hrnet import LiteHrnet
from poseunion.models.networks.published_simcc import PUBLISHED, Branch, PublishedSimcc

BRANCH = Branch(stride=4, channels=64, blocks=(3, 2, 1, 1))


class LiteHrnetSimcc(PublishedSimcc):
    """Lite-HRNet SimCC network, see `PublishedSimcc`."""

    def __init__(self, keypoints: int, grid: SimccGrid) -> None:
        super().__init__(LiteHrnet(min(keypoints, PUBLISHED)), keypoints, grid, BRANCH)
