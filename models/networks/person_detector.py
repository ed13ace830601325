"""Person detector: RTMDet-nano (Lyu et al., RTMDet, 2022) with one class and folded batch norm.

Depthwise CSPNeXt backbone, path aggregation pyramid (PAFPN), and a head for each of the strides 8, 16 and 32, which
predicts for every cell a score and the distances to the four sides of a box. 1.0 M parameters. Layers are declared in
the order of the published graph: `export.starts.rtmdet_nano` maps one to the other by it.

Shapes: N pictures, C channels, h and w cells of a map.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  torch's own convention

from poseunion.models.errors import ModelError
from poseunion.models.inference.detector import DetectorDescription, parse_description
from poseunion.models.networks.cspnext import POOLINGS
from poseunion.models.networks.weights import NETWORK_KEY, read_tensors, write_tensors
from poseunion.models.runtime.description import METADATA_KEY

STRIDES = (8, 16, 32)
# CSPNeXt P5 at a depth of .33 and a width of .25: channels and blocks of the four stages; the last has no identities.
STEM_CHANNELS = (8, 8, 16)
STAGES = ((32, 1), (64, 2), (128, 2), (256, 1))
HEAD_CHANNELS = 64
HEAD_BLOCKS = 2


class DetectorSpec(BaseModel):
    """Specification of the network that a detector's tensors belong to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: Literal["rtmdet-nano"] = "rtmdet-nano"


class ConvSilu(nn.Conv2d):
    """Convolution with a bias, then SiLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups)

    def forward(self, x_NChw: Tensor) -> Tensor:
        """(N, C_in, h, w) -> (N, C_out, ceil(h / stride), ceil(w / stride))."""
        return F.silu(super().forward(x_NChw))


class Separable(nn.Sequential):
    """Depthwise convolution, then 1x1, each with SiLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = ConvSilu(in_channels, in_channels, kernel, stride, groups=in_channels)
        self.pointwise = ConvSilu(in_channels, out_channels)


class Block(nn.Module):
    """CSPNeXt block, depthwise: 3x3 and 5x5 separable convolutions, identity where `identity`."""

    def __init__(self, channels: int, identity: bool) -> None:
        super().__init__()
        self.first = Separable(channels, channels)
        self.second = Separable(channels, channels, 5)
        self.identity = identity

    def forward(self, x_NChw: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        y = self.second(self.first(x_NChw))
        return y + x_NChw if self.identity else y


class CspLayer(nn.Module):
    """Cross-stage partial layer: half of the channels go through the blocks, half around them.

    Args:
        attention: channel attention before the last convolution, as in the backbone.
    """

    def __init__(
        self, in_channels: int, out_channels: int, blocks: int, *, identity: bool = False, attention: bool = False
    ) -> None:
        super().__init__()
        half = out_channels // 2
        self.short = ConvSilu(in_channels, half)
        self.main = ConvSilu(in_channels, half)
        self.blocks = nn.Sequential(*(Block(half, identity) for _ in range(blocks)))
        self.attention = nn.Conv2d(out_channels, out_channels, 1) if attention else None
        self.final = ConvSilu(out_channels, out_channels)

    def forward(self, x_NChw: Tensor) -> Tensor:
        """(N, C_in, h, w) -> (N, C_out, h, w)."""
        both = torch.cat([self.blocks(self.main(x_NChw)), self.short(x_NChw)], 1)
        if self.attention is not None:
            both = both * F.hardsigmoid(self.attention(both.mean((2, 3), keepdim=True)))
        return self.final(both)


class Pooling(nn.Module):
    """Spatial pyramid pooling: the map beside its maxima over three windows."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = ConvSilu(channels, channels // 2)
        self.merge = ConvSilu(channels // 2 * (1 + len(POOLINGS)), channels)

    def forward(self, x_NChw: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        x = self.reduce(x_NChw)
        return self.merge(torch.cat([x, *(F.max_pool2d(x, k, stride=1, padding=k // 2) for k in POOLINGS)], 1))


class Backbone(nn.Module):
    """CSPNeXt of depthwise convolutions: a stem of stride 2 and four stages of stride 2."""

    def __init__(self) -> None:
        super().__init__()
        ins = (3, *STEM_CHANNELS)
        self.stem = nn.Sequential(
            *(ConvSilu(a, b, 3, stride=1 if i else 2) for i, (a, b) in enumerate(zip(ins, STEM_CHANNELS, strict=False)))
        )
        self.stages = nn.ModuleList()
        before = STEM_CHANNELS[-1]
        for channels, blocks in STAGES:
            last = channels == STAGES[-1][0]
            pooling = [Pooling(channels)] if last else []
            layer = CspLayer(channels, channels, blocks, identity=not last, attention=True)
            self.stages.append(nn.Sequential(Separable(before, channels, stride=2), *pooling, layer))
            before = channels

    def forward(self, image_N3HW: Tensor) -> list[Tensor]:
        """Maps of strides 8, 16, 32 from (N, 3, H, W) normalised."""
        x = self.stem(image_N3HW)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps[1:]


class TopDownStep(nn.Module):
    """Top-down step: reduce the coarser map, enlarge it, merge it with the finer one."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.reduce = ConvSilu(coarse, fine)
        self.merge = CspLayer(2 * fine, fine, 1)


class BottomUpStep(nn.Module):
    """Bottom-up step: shrink the finer map, merge it with the coarser one."""

    def __init__(self, fine: int, coarse: int) -> None:
        super().__init__()
        self.down = Separable(fine, fine, stride=2)
        self.merge = CspLayer(2 * fine, coarse, 1)


class Pyramid(nn.Module):
    """Path aggregation pyramid: top-down, then bottom-up, then all maps at `HEAD_CHANNELS`."""

    def __init__(self, channels: tuple[int, int, int]) -> None:
        super().__init__()
        fine, middle, coarse = channels
        self.top_down = nn.ModuleList([TopDownStep(coarse, middle), TopDownStep(middle, fine)])
        self.bottom_up = nn.ModuleList([BottomUpStep(fine, middle), BottomUpStep(middle, coarse)])
        self.out = nn.ModuleList(Separable(c, HEAD_CHANNELS) for c in channels)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps from fine to coarse -> as many, each of `HEAD_CHANNELS`."""
        x = maps[-1]
        reduced: list[Tensor] = []
        for step, finer in zip(self.top_down, maps[-2::-1], strict=True):
            assert isinstance(step, TopDownStep)
            reduced.insert(0, step.reduce(x))
            x = step.merge(torch.cat([F.interpolate(reduced[0], scale_factor=2.0, mode="nearest"), finer], 1))
        merged = [x]
        for step, coarser in zip(self.bottom_up, reduced, strict=True):
            assert isinstance(step, BottomUpStep)
            merged.append(step.merge(torch.cat([step.down(merged[-1]), coarser], 1)))
        return [out(x) for out, x in zip(self.out, merged, strict=True)]


class Head(nn.Module):
    """Head of one stride: score logit, and distances in units of the stride."""

    def __init__(self) -> None:
        super().__init__()
        self.score_blocks = nn.Sequential(*(Separable(HEAD_CHANNELS, HEAD_CHANNELS) for _ in range(HEAD_BLOCKS)))
        self.score = nn.Conv2d(HEAD_CHANNELS, 1, 1)
        self.box_blocks = nn.Sequential(*(Separable(HEAD_CHANNELS, HEAD_CHANNELS) for _ in range(HEAD_BLOCKS)))
        self.distances = nn.Conv2d(HEAD_CHANNELS, 4, 1)


class PersonDetector(nn.Module):
    """Person detector: backbone, pyramid, heads."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        (fine, _), (middle, _), (coarse, _) = STAGES[1:]
        self.pyramid = Pyramid((fine, middle, coarse))
        self.heads = nn.ModuleList(Head() for _ in STRIDES)

    def forward(self, image_N3HW: Tensor) -> tuple[Tensor, ...]:
        """Outputs (N, cells, 5) of each stride, row by row, from (N, 3, H, W) normalised, sides multiples of 32.

        The five are the score's logit, then the distances left, top, right and bottom from the cell's upper left
        corner to the sides of its box, in input pixels: `models.inference.detector.DistanceOutput`.
        """
        answers = []
        for head, stride, x in zip(self.heads, STRIDES, self.pyramid(self.backbone(image_N3HW)), strict=True):
            assert isinstance(head, Head)
            score = head.score(head.score_blocks(x))
            distance = head.distances(head.box_blocks(x)) * stride
            answers.append(torch.cat([score, distance], 1).flatten(2).transpose(1, 2))
        return tuple(answers)


def save_detector(path: Path, state: Mapping[str, Tensor], description: DetectorDescription) -> None:
    """Write a detector's weights as safetensors, atomically."""
    write_tensors(path, state, DetectorSpec(), description)


def read_detector(path: Path) -> tuple[PersonDetector, DetectorDescription]:
    """Read a trained detector, in evaluation mode, and its description.

    Raises:
        BadFileError: neither ONNX nor safetensors. ModelError: it holds no detector.
    """
    state, facts = read_tensors(path)
    try:
        DetectorSpec.model_validate(json.loads(facts[NETWORK_KEY]))
        description = parse_description(facts[METADATA_KEY], str(path))
    except (KeyError, ValueError, ValidationError) as error:
        raise ModelError(
            f"{path} does not hold a person detector: train one with `poseunion train-detector`."
        ) from error
    detector = PersonDetector()
    try:
        detector.load_state_dict({k: v.float() if v.dtype.is_floating_point else v for k, v in state.items()})
    except RuntimeError as error:
        raise ModelError(f"{path} does not hold a detector's weights: {str(error).splitlines()[0]}") from error
    return detector.eval(), description
