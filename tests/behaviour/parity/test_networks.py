"""RTMPose equals mmpose's: every parameter's name and shape, and the logits from the same weights and input."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from poseunion.models.codec.simcc import SimccGrid  # noqa: E402
from poseunion.models.networks.rtmpose import RTMPose  # noqa: E402

CASES = [(size, k, "coco") for size in "tsm" for k in (17, 21)] + [("m", 16, "mpii")]


@pytest.mark.parametrize(("size", "k", "data"), CASES)
def test_names_shapes_and_logits(
    size: str, k: int, data: str, recipe: ModuleType, mmpose_networks: Mapping[str, NDArray[Any]]
) -> None:
    size_wh, sigma = recipe.GRIDS[data]
    network = RTMPose(size, k, SimccGrid(size_wh, 2.0, sigma)).eval()
    shapes = [f"{n} {tuple(v.shape)}" for n, v in network.state_dict().items()]
    case = f"{size}-{k}-{data}"
    assert sorted(shapes) == sorted(str(mmpose_networks[f"{case}-names"]).split("\n"))

    state = {n: torch.from_numpy(recipe.weights(n, tuple(v.shape))) for n, v in network.state_dict().items()}
    network.load_state_dict(state, strict=True)
    with torch.no_grad():
        out = network(torch.from_numpy(recipe.network_input(size_wh)))
    assert 1 < float(out.simcc_x.abs().max()) < 10  # otherwise 1e-5 would mean little
    bins = slice(None, -2)  # the last two columns are sums over hundreds of bins
    for logit, axis in ((out.simcc_x, "x"), (out.simcc_y, "y")):
        got, expected = recipe.thinned(logit.numpy()), mmpose_networks[f"{case}-{axis}"]
        # Single precision of sums over hundreds of channels: processors without AVX-512 differ by up to 1.5e-5 from the
        # one that mmpose ran on.
        np.testing.assert_allclose(got[:, bins], expected[:, bins], rtol=0, atol=3e-5)
        np.testing.assert_allclose(got[:, -2:], expected[:, -2:], rtol=1e-5, atol=1e-3)
