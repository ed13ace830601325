"""MoveNet as a SimCC network, with a branch for added keypoints."""

from __future__ import annotations

from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.networks.movenet import MoveNet
from poseunion.models.networks.published_simcc import PUBLISHED, Branch, PublishedSimcc

# From stride 4 on, a branch of one block of 48 channels took a tenth of the network's time.
BRANCH = Branch(stride=8, channels=48, blocks=(2, 1, 1))
UPSAMPLER_CHANNELS = 12


class MoveNetSimcc(PublishedSimcc):
    """MoveNet SimCC network, see `PublishedSimcc`."""

    def __init__(self, keypoints: int, grid: SimccGrid) -> None:
        super().__init__(MoveNet(min(keypoints, PUBLISHED)), keypoints, grid, BRANCH, UPSAMPLER_CHANNELS)
