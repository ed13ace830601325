"""Published heatmap network as a SimCC network: marginals of its heatmaps, and a branch for added keypoints.

The published keypoints stay the rows of the published last layer, so that a converted network predicts the same as
before; the others have convolutions of their own on the body's maps. As further rows of the last layer they would
depend on features that were never trained for them.

Shapes: N people, C channels, h and w cells, K keypoints.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  torch's own convention

from poseunion.models.codec.heads import Alignment
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.networks.equivariant import STRIDE, AxisUpsampler, MarginalSimcc, Pyramid

PUBLISHED = 17  # COCO's keypoints, the first of a skeleton


class HeatmapBody(nn.Module):
    """Base class of published heatmap networks.

    Attributes:
        alignment: where heatmap cell u sits on the input.
        widths: channels of the maps of `pyramid`.
        heatmap: last layer.
    """

    alignment: Alignment
    widths: tuple[int, ...]
    heatmap: nn.Conv2d

    def pyramid(self, image_N3HW: Tensor) -> list[Tensor]:
        """Maps of strides 4, 8, 16 and 32, from (N, 3, H, W) normalised; the first is what `heatmaps` reads."""
        raise NotImplementedError

    def heatmaps(self, map_NChw: Tensor) -> Tensor:
        """Heatmaps (N, K, H/4, W/4) from the first map of `pyramid`."""
        return self.heatmap(map_NChw)

    def forward(self, image_N3HW: Tensor) -> Tensor:
        """Heatmaps (N, K, H/4, W/4) from (N, 3, H, W) normalised, sides divisible by 32."""
        return self.heatmaps(self.pyramid(image_N3HW)[0])


@dataclass(frozen=True)
class Branch:
    """Size of the branch for added keypoints.

    Attributes:
        stride: 4 or 8, of its finest map; at 8, four neighbouring cells of stride 4 share one of its cells.
        channels, blocks: see `Pyramid`.
    """

    stride: int
    channels: int
    blocks: tuple[int, ...]


class AddedKeypoints(nn.Module):
    """Heatmap branch for added keypoints, from the body's maps of strides 4 (or 8) to 32.

    Args:
        widths: channels of the body's maps.
    """

    def __init__(self, keypoints: int, widths: tuple[int, ...], branch: Branch) -> None:
        super().__init__()
        self.factor = branch.stride // STRIDE
        read = widths[self.factor - 1 :]
        self.pyramid = Pyramid(list(read), branch.channels, branch.blocks)
        self.heatmap = nn.Conv2d(branch.channels // self.factor**2, keypoints, 1)

    def features(self, maps: list[Tensor]) -> Tensor:
        """Map that `heatmap` reads, (N, C, H/4, W/4), from the body's maps."""
        return F.pixel_shuffle(self.pyramid(maps[self.factor - 1 :]), self.factor)


@dataclass(frozen=True)
class Member:
    """Body and branch of one network, as functions of the image.

    Attributes:
        added: None where the body has all keypoints.
    """

    body: HeatmapBody
    added: AddedKeypoints | None

    def features(self, image_N3HW: Tensor) -> Tensor:
        """Last maps of body and branch, concatenated, (N, C, H/4, W/4), from (N, 3, H, W) normalised."""
        maps = self.body.pyramid(image_N3HW)
        return maps[0] if self.added is None else torch.cat([maps[0], self.added.features(maps)], 1)

    def heatmaps(self, features_NChw: Tensor) -> Tensor:
        """Heatmaps (N, K, h, w) from the map of `features`."""
        if self.added is None:
            return self.body.heatmaps(features_NChw)
        own, added = features_NChw.split([self.body.widths[0], self.added.heatmap.in_channels], 1)
        return torch.cat([self.body.heatmaps(own), self.added.heatmap(added)], 1)


class PublishedSimcc(MarginalSimcc):
    """SimCC network of a published heatmap network: body, its heatmaps and those of added keypoints, marginals.

    Args:
        body: with up to `PUBLISHED` heatmaps.
        keypoints: K, of which the first `PUBLISHED` are the body's own.
        grid: the bins of the output; bins per cell must be a whole number, the input's sides divisible by 32.
        hidden: channels of the upsamplers.
    """

    def __init__(self, body: HeatmapBody, keypoints: int, grid: SimccGrid, branch: Branch, hidden: int = 24) -> None:
        super().__init__()
        self.grid = grid
        self.alignment = body.alignment
        self.backbone = body
        further = keypoints - PUBLISHED
        self.added = AddedKeypoints(further, body.widths, branch) if further > 0 else None
        # Bin b is pixel b / split, which lies on cell (pixel + 1/2) / stride - 1/2 where cells tile the input.
        first = 0.0 if body.alignment is Alignment.CLASSIC else 0.5 / STRIDE - 0.5
        self.upsample_x, self.upsample_y = (
            AxisUpsampler(round(grid.split * STRIDE), hidden, cubic_cells=side // STRIDE, first=first)
            for side in grid.size_wh
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
        own = self.backbone.heatmaps(maps[0])
        return own if self.added is None else torch.cat([own, self.added.heatmap(self.added.features(maps))], 1)
