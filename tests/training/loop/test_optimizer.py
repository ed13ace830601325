"""Frozen parts stay, all others learn; relative steps move each row by a share of its own size."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.errors import BadArgumentError
from poseunion.models.networks.build import build_network
from poseunion.training.config.groups import Optimizer
from poseunion.training.config.recipe import Recipe
from poseunion.training.loop.cpu_kernels import use_fast_kernels
from poseunion.training.loop.optimizer import LEAST_OF_TENSOR, RelativeAdamW, adamw, freeze, row_scale
from poseunion.training.loop.step import Trained, optimizer_for

GRID = SimccGrid.for_bins((64, 64), (128, 128))
FIRST = ("backbone.conv_stem", "backbone.bn1", "backbone.blocks.0")


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return build_network("equivariant", "efficientnet_lite0", 3, GRID, pretrained=False).train()


def test_frozen_parts_stay_and_the_rest_learns(network: nn.Module) -> None:
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


def test_a_prefix_is_a_whole_name(network: nn.Module) -> None:
    with pytest.raises(BadArgumentError, match=r"'backbone\.bn'"):
        freeze(network, ["backbone.bn"])


def stepped(weight: Tensor, gradient: Tensor, *, relative: bool, lr: float = 1e-2) -> Tensor:
    parameter = nn.Parameter(weight.clone())
    parameter.grad = gradient
    RelativeAdamW([{"params": [parameter], "relative": relative}], lr=lr, weight_decay=0.0).step()
    return parameter.detach()


def test_each_row_moves_by_the_same_share_of_its_size() -> None:
    rows = torch.tensor([1e-1, 1.0, 30.0])[:, None, None, None]
    weight = torch.randn(3, 4, 3, 3, generator=torch.Generator().manual_seed(0)).sign() * rows
    moved = (stepped(weight, torch.randn_like(weight) * rows.flip(0), relative=True) - weight).abs().flatten(1).mean(1)
    want = 1e-2 * torch.tensor([LEAST_OF_TENSOR * float(weight.square().mean().sqrt()), 1.0, 30.0])
    want[1] = max(float(want[1]), float(want[0]))
    torch.testing.assert_close(moved, want, rtol=1e-3, atol=0)


def test_without_relative_steps_it_is_adamw() -> None:
    weight, gradient = torch.randn(4, 3), torch.randn(4, 3)
    parameter = nn.Parameter(weight.clone())
    parameter.grad = gradient.clone()
    torch.optim.AdamW([parameter], lr=1e-2, weight_decay=0.0).step()
    torch.testing.assert_close(stepped(weight, gradient, relative=False), parameter.detach())


def test_scaling_a_tensor_scales_its_steps() -> None:
    weight, gradient = torch.randn(5, 6), torch.randn(5, 6)
    one, ten = (stepped(s * weight, gradient / s, relative=True) - s * weight for s in (1.0, 10.0))
    torch.testing.assert_close(ten, 10 * one, rtol=1e-3, atol=1e-5)


def test_a_bias_is_one_row() -> None:
    assert row_scale(torch.tensor([3.0, 4.0])).shape == ()
    assert row_scale(torch.zeros(2, 3, 1, 1)).shape == (2, 1, 1, 1)


def test_only_the_backbone_of_a_recipe_has_relative_steps() -> None:
    named = [("backbone.a", nn.Parameter(torch.ones(2, 2))), ("head.a", nn.Parameter(torch.ones(2, 2)))]
    groups = adamw(named, Optimizer(backbone_lr_factor=0.5), relative="backbone.").param_groups
    assert {group["factor"]: group["relative"] for group in groups} == {0.5: True, 1.0: False}
