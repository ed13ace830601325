"""The equivariant SimCC network keeps what it knows when its input doubles or halves."""

from __future__ import annotations

from typing import TypeVar

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")

from torch import nn  # noqa: E402

from poseunion.models.codec.simcc import SimccGrid  # noqa: E402
from poseunion.models.networks.backbones import build_backbone  # noqa: E402
from poseunion.models.networks.equivariant import AxisUpsampler, EquivariantSimcc  # noqa: E402

M = TypeVar("M", bound=nn.Module)
BIG = SimccGrid((64, 128), 2.0, (4.0, 5.0))


def trained(module: M) -> M:
    """The module with random numbers everywhere, as if it had been trained: fresh ones have layers of zeros."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return module.eval()


def test_growing_undoes_shrinking() -> None:
    network = trained(EquivariantSimcc(build_backbone("mobilenetv4_conv_small_050"), 5, BIG, channels=16))
    back = network.shrunk().grown()
    assert back.grid == BIG
    state, restored = network.state_dict(), back.state_dict()
    assert list(state) == list(restored)
    assert all(torch.equal(state[k], restored[k]) for k in state)


def test_a_shrunken_network_has_the_same_bins_of_a_smaller_crop() -> None:
    small = trained(EquivariantSimcc(build_backbone("mobilenetv4_conv_small_050"), 5, BIG, channels=16)).shrunk().eval()
    assert (small.grid.size_wh, small.grid.split) == ((32, 64), 4.0)
    assert small.grid.bins_wh == BIG.bins_wh
    assert small.grid.sigma_bins == BIG.sigma_bins
    with torch.no_grad():
        x, y = small(torch.zeros(1, 3, 64, 32))
    assert (x.shape, y.shape) == ((1, 5, 128), (1, 5, 256))


@pytest.mark.parametrize("cells", [3, 12])
def test_halving_gives_the_means_of_pairs_of_bins(cells: int) -> None:
    upsampler = trained(AxisUpsampler(8))
    logp = torch.log_softmax(torch.randn(2, 3, cells), -1)
    with torch.no_grad():
        fine, coarse = upsampler(logp), upsampler.halve()(logp)
    torch.testing.assert_close(coarse, fine.unflatten(-1, (-1, 2)).mean(-1), atol=1e-5, rtol=1e-4)


def test_doubling_repeats_what_was_learned() -> None:
    upsampler = trained(AxisUpsampler(4))
    logp = torch.log_softmax(torch.randn(2, 3, 12), -1)
    with torch.no_grad():
        twice = upsampler.double()
        torch.testing.assert_close(twice.halve()(logp), upsampler(logp))
        # Only the interpolation is finer: pairs of bins average to the old ones.
        torch.testing.assert_close(twice(logp).unflatten(-1, (-1, 2)).mean(-1), upsampler(logp), atol=1e-5, rtol=1e-4)
