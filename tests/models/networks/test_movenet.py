"""MoveNet as a SimCC network; `tests/export/test_start_from_movenet.py` compares it with the published graph."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from poseunion.models.codec.simcc import SimccGrid, decode, unflip_x  # noqa: E402
from poseunion.models.networks.build import build_network  # noqa: E402
from poseunion.models.networks.movenet import HalvingConv  # noqa: E402
from poseunion.models.networks.movenet_simcc import MoveNetSimcc  # noqa: E402

GRID = SimccGrid((64, 96))


def network() -> MoveNetSimcc:
    torch.manual_seed(0)
    built = build_network("movenet", "", 21, GRID)
    assert isinstance(built, MoveNetSimcc)
    return built.eval()


def test_size() -> None:
    assert sum(p.numel() for p in network().parameters()) < 2.4e6


def test_halving_pads_below_and_to_the_right() -> None:
    one = HalvingConv(1, 1)
    torch.nn.init.ones_(one.weight)
    torch.nn.init.zeros_(one.bias)
    with torch.no_grad():
        sums = one(torch.ones(1, 1, 6, 4))[0, 0]
    assert sums.tolist() == [[9, 6], [9, 6], [6, 4]]


@pytest.mark.parametrize("cell", [(5.0, 7.0), (5.5, 7.25), (3.125, 11.875)])
def test_a_gaussian_between_cells_is_decoded_there(cell: tuple[float, float]) -> None:
    """Pixel centres: cell u covers pixels 4u to 4u + 3."""
    one = network()
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(16.0), indexing="ij")
    heat = -((columns - cell[0]) ** 2 + (rows - cell[1]) ** 2) / (2 * 0.45**2)
    with torch.no_grad():
        x, y = one.axes(torch.stack([heat, heat.flip(1)]).expand(21, 2, 24, 16).transpose(0, 1))
    xy, _ = decode(x.numpy(), y.numpy(), GRID, refine=True)
    np.testing.assert_allclose(xy[0], np.tile(4 * np.array(cell) + 1.5, (21, 1)), atol=0.3)
    mirrored, _ = decode(unflip_x(x[1:].numpy(), GRID), y[1:].numpy(), GRID, refine=True)
    np.testing.assert_allclose(mirrored[0], xy[0], atol=1e-3)
