"""The descriptions of well-known models: all can be read, and RTMPose's are those of mmpose's configurations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from poseunion.models.runtime.description import read_description
from poseunion.models.runtime.onnx import DESCRIPTIONS

GOLDEN = Path(__file__).parents[2] / "golden" / "mmpose_networks.npz"


@pytest.mark.parametrize("path", sorted(DESCRIPTIONS.glob("*.toml")), ids=lambda p: p.stem)
def test_can_be_read_and_says_where_the_model_is_from(path: Path) -> None:
    description = read_description(path)
    assert description.name == path.stem
    assert description.source
    assert description.licence
    assert len(description.resolved_skeleton) in (16, 17)


@pytest.mark.parametrize(
    ("data", "skeleton", "size_wh", "bins_wh", "sigma_bins"),
    [
        ("simcc-coco_", "coco17", (192, 256), (384, 512), (4.9, 5.66)),
        ("simcc-aic-coco_", "coco17", (192, 256), (384, 512), (4.9, 5.66)),
        ("simcc-body7_", "coco17", (192, 256), (384, 512), (4.9, 5.66)),
        ("simcc-mpii_", "mpii16", (256, 256), (512, 512), (5.66, 5.66)),
    ],
)
def test_public_rtmpose_m(
    data: str, skeleton: str, size_wh: tuple[int, int], bins_wh: tuple[int, int], sigma_bins: tuple[float, float]
) -> None:
    (path,) = DESCRIPTIONS.glob(f"rtmpose-m_{data}*.toml")
    description = read_description(path)
    assert description.skeleton == skeleton
    assert (description.input, description.layout, description.colour) == ("input", "NCHW", "RGB")
    assert description.padding == 1.25
    grid = description.grid
    assert (grid.size_wh, grid.bins_wh, grid.sigma_bins) == (size_wh, bins_wh, sigma_bins)
    # mmpose's means and deviations count to 255.
    np.testing.assert_allclose(np.multiply(description.mean, 255), [123.675, 116.28, 103.53])
    np.testing.assert_allclose(np.multiply(description.std, 255), [58.395, 57.12, 57.375])
    case = "m-16-mpii" if skeleton == "mpii16" else "m-17-coco"
    with np.load(GOLDEN) as golden:
        shapes = str(golden[f"{case}-names"]).split("\n")
    assert f"head.cls_x.weight ({bins_wh[0]}, 256)" in shapes
    assert f"head.cls_y.weight ({bins_wh[1]}, 256)" in shapes
