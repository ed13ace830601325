"""Anchor-free person detector after RTMDet and NanoDet: lite0 backbone, two-way pyramid, shared head.

For every cell of three maps (strides 8, 16, 32) it predicts a score and the distances to the four sides of a box.

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

from poseunion.models.errors import BadArgumentError, ModelError
from poseunion.models.inference.detector import DetectorDescription, parse_description
from poseunion.models.networks.backbones import build_backbone
from poseunion.models.networks.equivariant import EquivariantSimcc, SeparableBlock
from poseunion.models.networks.weights import NETWORK_KEY, read_tensors, write_tensors
from poseunion.models.runtime.description import METADATA_KEY

STRIDES = (8, 16, 32)
# Stages of efficientnet_lite0 after which its maps have these strides; the last stage (320 channels, a fifth of all
# parameters) is left out, and of the one before it half of the residual blocks.
STAGE_OF_STRIDE = (2, 4, 5)
DEEPEST_BLOCKS = 2
CHANNELS = 64
# A score that starts at 1 %: background cells are a thousand to one (Lin et al., Focal Loss, section 4.1).
SCORE_BIAS = -4.6
# Distances start at e^1 strides: half the height of a person that is assigned to the level.
DISTANCE_BIAS = 1.0
# Distances are at most e^5 strides, so that no step early in training makes them infinite.
LARGEST_LOG_DISTANCE = 5.0


class DetectorSpec(BaseModel):
    """Specification of the network that a detector's tensors belong to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: Literal["person-detector"] = "person-detector"
    backbone: Literal["efficientnet_lite0"] = "efficientnet_lite0"


class LiteBackbone(nn.Module):
    """Backbone of the detector: efficientnet_lite0 without its last stages."""

    channels = (40, 112, 192)

    def __init__(self) -> None:
        super().__init__()
        whole = build_backbone("efficientnet_lite0")
        # Named as in the whole network, so that its weights load.
        self.conv_stem: nn.Module = whole.get_submodule("conv_stem")
        self.bn1: nn.Module = whole.get_submodule("bn1")
        stages = [whole.get_submodule(f"blocks.{i}") for i in range(STAGE_OF_STRIDE[-1] + 1)]
        deepest = nn.Sequential(*list(stages[-1].children())[:DEEPEST_BLOCKS])
        self.blocks = nn.ModuleList([*stages[:-1], deepest])

    def in_order(self) -> list[nn.Module]:
        """Layers from the input on: stem and blocks."""
        return [self.conv_stem, self.bn1, *(block for stage in self.blocks for block in stage.children())]

    def forward(self, image_N3HW: Tensor) -> list[Tensor]:
        """Maps of strides 8, 16, 32 from (N, 3, H, W) normalised."""
        x = self.bn1(self.conv_stem(image_N3HW))
        maps = []
        for i, stage in enumerate(self.blocks):
            x = stage(x)
            if i in STAGE_OF_STRIDE:
                maps.append(x)
        return maps


class Down(nn.Module):
    """Downsampling to half the resolution: 5x5 depthwise of stride 2, then 1x1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 5, stride=2, padding=2, groups=channels, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x_NChw: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h/2, w/2)."""
        return self.norm2(self.pointwise(F.relu(self.norm1(self.depthwise(x_NChw)), inplace=True)))


class TwoWayPyramid(nn.Module):
    """Two-way feature pyramid: top-down, then bottom-up (PANet)."""

    def __init__(self, in_channels: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, channels, 1, bias=False), nn.BatchNorm2d(channels)) for c in in_channels
        )
        self.smooth = nn.ModuleList(SeparableBlock(channels) for _ in in_channels)
        self.down = nn.ModuleList(Down(channels) for _ in in_channels[1:])
        self.again = nn.ModuleList(SeparableBlock(channels) for _ in in_channels[1:])

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps from fine to coarse -> as many, each of C channels."""
        x = self.smooth[-1](self.lateral[-1](maps[-1]))
        merged = [x]
        for i in range(len(maps) - 2, -1, -1):
            x = self.smooth[i](self.lateral[i](maps[i]) + F.interpolate(x, scale_factor=2.0, mode="nearest"))
            merged.insert(0, x)
        result = [x]
        for down, again, level in zip(self.down, self.again, merged[1:], strict=True):
            x = again(level + down(x))
            result.append(x)
        return result


class SharedBlock(nn.Module):
    """Separable block shared by all levels, with batch statistics of each level's own (RTMDet's head)."""

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm1 = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(levels))
        self.norm2 = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(levels))

    def forward(self, x_NChw: Tensor, level: int) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        y = F.relu(self.norm1[level](self.depthwise(x_NChw)), inplace=True)
        return F.relu(self.norm2[level](self.pointwise(y)), inplace=True)


class PersonDetector(nn.Module):
    """Person detector: backbone, pyramid, shared head."""

    def __init__(self, channels: int = CHANNELS) -> None:
        super().__init__()
        self.backbone = LiteBackbone()
        self.pyramid = TwoWayPyramid(self.backbone.channels, channels)
        self.score_block = SharedBlock(channels, len(STRIDES))
        self.box_block = SharedBlock(channels, len(STRIDES))
        self.score = nn.Conv2d(channels, 1, 1)
        self.distances = nn.Conv2d(channels, 4, 1)
        # Logarithm of a level's factor on distances.
        self.log_scale = nn.Parameter(torch.zeros(len(STRIDES)))
        for convolution, bias in ((self.score, SCORE_BIAS), (self.distances, DISTANCE_BIAS)):
            nn.init.normal_(convolution.weight, std=0.01)
            nn.init.constant_(convolution.bias, bias)  # type: ignore[arg-type]

    def forward(self, image_N3HW: Tensor) -> tuple[Tensor, ...]:
        """Outputs (N, cells, 5) of each stride, row by row, from (N, 3, H, W) normalised, sides multiples of 32.

        The five are the score's logit, then the distances left, top, right and bottom from the cell's upper left
        corner to the sides of its box, in input pixels: `models.inference.detector.DistanceOutput`.
        """
        answers = []
        for level, x in enumerate(self.pyramid(self.backbone(image_N3HW))):
            score = self.score(self.score_block(x, level))
            log_distance = self.distances(self.box_block(x, level)) + self.log_scale[level]
            distance = log_distance.clamp(max=LARGEST_LOG_DISTANCE).exp() * STRIDES[level]
            answers.append(torch.cat([score, distance], 1).flatten(2).transpose(1, 2))
        return tuple(answers)


def start_from_pose(detector: PersonDetector, pose: nn.Module) -> int:
    """Initialise backbone and pyramid from a pose network of ours; returns how many tensors were copied.

    Raises:
        BadArgumentError: the pose network is of another kind.
    """
    given = pose.state_dict()
    names = {
        # The pose network's pyramid has a level of stride 4 before ours; its coarsest lateral has more input channels.
        **{f"pyramid.lateral.{i}.{rest}": f"pyramid.lateral.{i + 1}.{rest}" for i in (0, 1) for rest in _LATERAL},
        **{f"pyramid.smooth.{i}.{rest}": f"pyramid.smooth.{i + 1}.0.{rest}" for i in (0, 1, 2) for rest in _BLOCK},
    }
    state = detector.state_dict()
    wanted = {name: names.get(name, name) for name in state if name.startswith("backbone.") or name in names}
    if not isinstance(pose, EquivariantSimcc) or any(
        theirs not in given or given[theirs].shape != state[ours].shape for ours, theirs in wanted.items()
    ):
        raise BadArgumentError("A detector starts from a pose network with an efficientnet_lite0 backbone only.")
    detector.load_state_dict({**state, **{ours: given[theirs] for ours, theirs in wanted.items()}})
    return len(wanted)


_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_LATERAL = ("0.weight", *(f"1.{name}" for name in _NORM))
_BLOCK = ("depthwise.weight", "pointwise.weight", *(f"norm{i}.{name}" for i in (1, 2) for name in _NORM))


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
