"""Lite-HRNet under the SimCC head; `tests/export/test_start_from_onnx.py` compares it with the published graph."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from poseunion.models.codec.heatmap import keys_matrix  # noqa: E402
from poseunion.models.codec.simcc import BETA, SimccGrid, decode  # noqa: E402
from poseunion.models.networks.build import build_network  # noqa: E402
from poseunion.models.networks.lite_hrnet import interleaved  # noqa: E402
from poseunion.models.networks.lite_hrnet_simcc import PUBLISHED, LiteHrnetPair, LiteHrnetSimcc  # noqa: E402

GRID = SimccGrid((64, 96))


def network(keypoints: int = 21, grid: SimccGrid = GRID) -> LiteHrnetSimcc:
    torch.manual_seed(0)
    built = build_network("lite-hrnet", "", keypoints, grid)
    assert isinstance(built, LiteHrnetSimcc)
    return built.eval()


def test_size() -> None:
    assert sum(p.numel() for p in network(grid=SimccGrid((192, 256))).parameters()) < 1.4e6


def test_shapes() -> None:
    with torch.no_grad():
        x, y = network()(torch.randn(3, 3, 96, 64))
    assert (x.shape, y.shape) == ((3, 21, 128), (3, 21, 192))


def test_features_then_heatmaps_then_axes_is_the_whole() -> None:
    one, image = network(), torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        heat = one.heatmaps(one.features(image))
        torch.testing.assert_close(heat, one.heatmap_logits(image))
        parts, whole = one.axes(heat), one(image)
    for a, b in zip(parts, whole, strict=True):
        torch.testing.assert_close(a, b)


def test_added_keypoints_leave_the_published_ones_alone() -> None:
    many, few, image = network(21), network(PUBLISHED), torch.randn(1, 3, 96, 64)
    few.backbone.load_state_dict(many.backbone.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(many.heatmap_logits(image)[:, :PUBLISHED], few.heatmap_logits(image))


@pytest.mark.parametrize("cell", [(5.0, 7.0), (5.5, 7.25), (3.125, 11.875)])
def test_a_gaussian_between_cells_is_decoded_there(cell: tuple[float, float]) -> None:
    """Classic alignment: cell u on input pixel 4u, bin 8u + j on cell u + j / 8."""
    one = network()
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(16.0), indexing="ij")
    heat = -((columns - cell[0]) ** 2 + (rows - cell[1]) ** 2) / (2 * 0.45**2)
    with torch.no_grad():
        x, y = one.axes(heat.expand(1, 21, 24, 16))
    xy, score = decode(x.numpy(), y.numpy(), GRID, refine=True)
    np.testing.assert_allclose(xy[0], np.tile(4 * np.array(cell), (21, 1)), atol=0.3)
    assert score.shape == (1, 21)
    assert float(torch.softmax(BETA * x[0, 0], -1).sum()) == pytest.approx(1)


def test_interleaving_is_the_same_in_both_memory_layouts() -> None:
    parts = [torch.randn(2, 3, 4, 5) for _ in range(4)]
    plain = interleaved(parts)
    assert torch.equal(plain[:, 1], parts[1][:, 0])
    assert torch.equal(plain[:, 4 * 2 + 3], parts[3][:, 2])
    last = interleaved([part.to(memory_format=torch.channels_last) for part in parts])
    assert torch.equal(plain, last)
    assert last.is_contiguous(memory_format=torch.channels_last)


def test_cubic_resampling_is_exact_at_cells_and_for_parabolas() -> None:
    matrix = keys_matrix(8 * 6, 6, 1 / 8)
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(matrix[::8], np.eye(6), atol=1e-6)
    cells = np.arange(6.0)
    inner = slice(8, 8 * 4 + 1)
    at = np.arange(48)[inner] / 8
    np.testing.assert_allclose((matrix @ (cells**2))[inner], at**2, atol=1e-4)


@pytest.mark.parametrize("keypoints", [PUBLISHED, 21])
def test_a_pair_is_the_mean_of_its_members_densities(keypoints: int) -> None:
    pair = build_network("lite-hrnet-pair", "", keypoints, GRID).eval()
    assert isinstance(pair, LiteHrnetPair)
    image, densities = torch.randn(2, 3, 96, 64), []
    for number in range(2):
        one = network(keypoints)
        state = pair.state_dict()
        for part in ("backbone", "added"):
            prefix = f"{part}.{number}."
            mine = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            if mine:
                one.get_submodule(part).load_state_dict(mine)
        with torch.no_grad():
            densities.append(one.heatmap_logits(image).flatten(2).softmax(-1))
    with torch.no_grad():
        got = pair.heatmap_logits(image).flatten(2)
        parts, whole = pair.axes(pair.heatmaps(pair.features(image))), pair(image)
    torch.testing.assert_close(got.softmax(-1), (densities[0] + densities[1]) / 2)
    for a, b in zip(parts, whole, strict=True):
        torch.testing.assert_close(a, b)
