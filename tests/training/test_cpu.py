"""The layers that are faster on a CPU compute what torch's own do."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from poseunion.models.networks.build import build_network
from poseunion.models.simcc import SimccGrid
from poseunion.training.cpu import QuickDepthwise, QuickReLU6, keep_freed_memory, quicken

GRID = SimccGrid((32, 64), 4.0)


@pytest.mark.parametrize("side", [1, 3, 5, 7])
@pytest.mark.parametrize("size", [(5, 9), (2, 1)])
def test_depthwise_gradients(side: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 3, side, padding=side // 2, groups=3, bias=False).double()
    quick = QuickDepthwise(convolution)
    x = torch.randn(2, 3, *size, dtype=torch.double, requires_grad=True)
    assert torch.equal(quick(x), convolution(x))
    assert torch.autograd.gradcheck(lambda x, w: torch.func.functional_call(quick, {"weight": w}, x), (x, quick.weight))


def test_relu6_gradients() -> None:
    x = torch.tensor([-3.0, -1e-9, 0.0, 1e-9, 2.0, 5.999, 6.0, 6.001, 9.0], dtype=torch.double)
    theirs, ours = x.clone().requires_grad_(), x.clone().requires_grad_()
    expected, got = nn.ReLU6()(theirs * 1), QuickReLU6()(ours * 1)
    assert torch.equal(expected, got)
    expected.square().sum().backward()
    got.square().sum().backward()
    assert theirs.grad is not None
    assert ours.grad is not None
    assert torch.equal(theirs.grad, ours.grad)


@pytest.mark.parametrize(
    ("network", "backbone", "exchanged"),
    [("equivariant", "efficientnet_lite0", {QuickReLU6, QuickDepthwise}), ("rtmpose-t", "", {QuickDepthwise})],
)
def test_a_quickened_network_has_the_same_state_and_learns_the_same(
    network: str, backbone: str, exchanged: set[type]
) -> None:
    torch.manual_seed(0)
    plain = build_network(network, backbone, 5, GRID).to(memory_format=torch.channels_last).train()
    quick = copy.deepcopy(plain)
    quicken(quick)
    assert {type(m) for m in quick.modules()} - {type(m) for m in plain.modules()} == exchanged
    assert list(plain.state_dict()) == list(quick.state_dict())
    assert [n for n, _ in plain.named_parameters()] == [n for n, _ in quick.named_parameters()]
    image = torch.randn(4, 3, 64, 32).to(memory_format=torch.channels_last)
    for one in (plain, quick):
        x, y = one(image)
        (x.square().mean() + y.square().mean()).backward()
    for (name, mine), theirs in zip(quick.named_parameters(), plain.parameters(), strict=True):
        assert mine.grad is not None, name
        assert theirs.grad is not None, name
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=2e-3, atol=1e-6 + 2e-4 * float(theirs.grad.abs().max()))
    torch.testing.assert_close(quick.state_dict(), plain.state_dict())


def test_keeping_memory_is_harmless() -> None:
    keep_freed_memory()
    assert torch.ones(10).sum() == 10
