"""Network factory: builds a pose network from its name in a recipe or a weights file."""

from __future__ import annotations

from torch import nn

from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.errors import BadArgumentError
from poseunion.models.networks.backbones import build_backbone, imagenet_lite0
from poseunion.models.networks.equivariant import EquivariantSimcc


def build_network(
    network: str, backbone: str, keypoints: int, grid: SimccGrid, *, pretrained: bool = False
) -> nn.Module:
    """Build `lite-hrnet`, `rtmpose-t` …, or on a backbone `equivariant` or one map's head: `simcc-8` …

    Args:
        pretrained: start the backbone from ImageNet (efficientnet_lite0 only: its weights come in a package).
    """
    if network == "equivariant":
        if pretrained and backbone != "efficientnet_lite0":
            raise BadArgumentError(
                f"No ImageNet weights for {backbone}: only efficientnet_lite0 has them as a package."
            )
        return EquivariantSimcc(imagenet_lite0() if pretrained else build_backbone(backbone), keypoints, grid)
    if network == "lite-hrnet":
        from poseunion.models.networks.lite_hrnet_simcc import LiteHrnetSimcc

        return LiteHrnetSimcc(keypoints, grid)
    if network == "lite-hrnet-pair":
        from poseunion.models.networks.lite_hrnet_simcc import LiteHrnetPair

        return LiteHrnetPair(keypoints, grid)
    if network.startswith("rtmpose-"):
        from poseunion.models.networks.rtmpose import RTMPose

        return RTMPose(network.removeprefix("rtmpose-"), keypoints, grid)
    head, _, stride = network.partition("-")
    if stride.isdecimal():
        from poseunion.models.networks.stride_heads import EarlyNetwork

        return EarlyNetwork(head, backbone, int(stride), keypoints, grid)
    raise BadArgumentError(
        f"No network {network!r}: give equivariant, lite-hrnet, lite-hrnet-pair, rtmpose-t, -s, -m or -l, or "
        "simcc-8, heatmap-4 …."
    )
