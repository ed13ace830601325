"""The layers that are faster on a CPU compute what torch's own do."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.networks.build import build_network
from poseunion.training.loop.cpu_kernels import (
    FastDepthwise,
    FastReLU6,
    WideConvolution,
    keep_freed_memory,
    use_fast_kernels,
)

GRID = SimccGrid((32, 64), 4.0)


@pytest.mark.parametrize("side", [1, 3, 5, 7])
@pytest.mark.parametrize("size", [(5, 9), (2, 1)])
def test_depthwise_gradients(side: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 3, side, padding=side // 2, groups=3, bias=False).double()
    quick = FastDepthwise(convolution)
    x = torch.randn(2, 3, *size, dtype=torch.double, requires_grad=True)
    assert torch.equal(quick(x), convolution(x))
    assert torch.autograd.gradcheck(lambda x, w: torch.func.functional_call(quick, {"weight": w}, x), (x, quick.weight))


def test_depthwise_under_autocast() -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(8, 8, 5, padding=2, groups=8, bias=False)
    quick = FastDepthwise(copy.deepcopy(plain))
    answers, gradients = [], []
    for one in (plain, quick):
        x = torch.randn(2, 8, 9, 7, generator=torch.Generator().manual_seed(1)).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            y = one(x)
        y.float().square().mean().backward()
        answers.append(y)
        assert x.grad is not None
        gradients += [x.grad, *(p.grad for p in one.parameters())]
    assert torch.equal(*answers)
    assert answers[1].dtype == torch.bfloat16
    for theirs, mine in zip(gradients[:2], gradients[2:], strict=True):
        assert theirs is not None
        assert mine is not None
        assert mine.dtype == torch.float32
        # A few units in the last of bfloat16's eight places.
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0.02 * float(theirs.abs().max()))


@pytest.mark.parametrize("cells", [(2, 2), (1, 2), (3, 4)])
def test_wide_convolutions_have_whole_gradients_under_autocast(cells: tuple[int, int]) -> None:
    torch.manual_seed(0)
    wide = nn.Conv2d(64, 5, 7, padding=3)
    network = nn.Sequential(wide)
    names = list(network.state_dict())
    use_fast_kernels(network)
    assert list(network.state_dict()) == names
    x = torch.randn(2, 64, *cells)
    expected = torch.autograd.grad(network(x).square().sum(), wide.weight)[0]
    for _ in range(5):
        # What is freed here is what a gradient's memory holds before it is written.
        freed = [torch.full((5, 64, 7, 7), float("nan")) for _ in range(20)]
        del freed
        with torch.autocast("cpu", torch.bfloat16):
            loss = network(x).square().sum()
        assert torch.equal(torch.autograd.grad(loss, wide.weight)[0], expected)


def test_relu6_gradients() -> None:
    x = torch.tensor([-3.0, -1e-9, 0.0, 1e-9, 2.0, 5.999, 6.0, 6.001, 9.0], dtype=torch.double)
    theirs, ours = x.clone().requires_grad_(), x.clone().requires_grad_()
    expected, got = nn.ReLU6()(theirs * 1), FastReLU6()(ours * 1)
    assert torch.equal(expected, got)
    expected.square().sum().backward()
    got.square().sum().backward()
    assert theirs.grad is not None
    assert ours.grad is not None
    assert torch.equal(theirs.grad, ours.grad)


@pytest.mark.parametrize(
    ("network", "backbone", "exchanged"),
    [
        ("equivariant", "efficientnet_lite0", {FastReLU6, FastDepthwise}),
        ("rtmpose-t", "", {FastDepthwise, WideConvolution}),
    ],
)
def test_a_changed_network_has_the_same_state_and_learns_the_same(
    network: str, backbone: str, exchanged: set[type]
) -> None:
    torch.manual_seed(0)
    plain = build_network(network, backbone, 5, GRID).to(memory_format=torch.channels_last).train()
    quick = copy.deepcopy(plain)
    use_fast_kernels(quick)
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
