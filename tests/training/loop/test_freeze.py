"""Frozen parts stay as they are, statistics included; all others learn."""

from __future__ import annotations

import pytest
import torch

from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.errors import BadArgumentError
from poseunion.models.networks.build import build_network
from poseunion.training.config.recipe import Recipe
from poseunion.training.loop.cpu_kernels import use_fast_kernels
from poseunion.training.loop.freeze import freeze
from poseunion.training.loop.step import Trained, optimizer_for

GRID = SimccGrid.for_bins((64, 64), (128, 128))
FIRST = ("backbone.conv_stem", "backbone.bn1", "backbone.blocks.0")


@pytest.fixture
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_network("equivariant", "efficientnet_lite0", 3, GRID, pretrained=False).train()


def test_what_is_frozen_stays_and_the_rest_learns(network: torch.nn.Module) -> None:
    use_fast_kernels(network)
    freeze(network, FIRST)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    optimizer = optimizer_for(Trained(network), Recipe("frozen"))
    x, y, *_ = network(torch.rand(2, 3, 64, 64))
    (x.square().mean() + y.square().mean()).backward()
    optimizer.step()
    changed = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert not any(k.startswith(FIRST) for k in changed)
    assert {"backbone.blocks.1.0.conv_pw.weight", "backbone.blocks.1.0.bn1.running_mean", "heatmap.weight"} <= changed


def test_a_prefix_is_a_whole_name(network: torch.nn.Module) -> None:
    with pytest.raises(BadArgumentError, match=r"'backbone\.bn'"):
        freeze(network, ["backbone.bn"])
