"""MoveNet's published graph becomes ours with the same heatmaps, and the heads that are left out change nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch's own convention

from poseunion.export.start_from_onnx import convert_start
from poseunion.export.starts import read_layers
from poseunion.export.starts.movenet import MOVENET_LIGHTNING, graph_order
from poseunion.models.errors import ModelError
from poseunion.models.networks.movenet import PIXEL_SCALE, STAGES
from poseunion.models.networks.movenet_simcc import MoveNetSimcc
from poseunion.models.networks.published_simcc import PUBLISHED
from poseunion.models.networks.weights import load_network
from poseunion.models.runtime.description import IMAGENET_MEAN, IMAGENET_STD

Weights = dict[str, tuple[Tensor, Tensor]]


@pytest.fixture(scope="module")
def weights() -> Weights:
    """Random layers of the published network, scaled so that its maps stay near 1."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: (
            torch.randn(shape, generator=generator) * (2 / np.prod(shape[1:])) ** 0.5,
            torch.zeros(shape[0]) if _is_without_bias(name) else torch.randn(shape[0], generator=generator) * 0.1,
        )
        for name, shape in MOVENET_LIGHTNING.shapes.items()
    }


def _is_without_bias(name: str) -> bool:
    return name.endswith("depthwise") and not name.startswith("stages")


def _published(weights: Weights, pixels_NHW3: Tensor) -> Tensor:
    """Heatmaps as the published graph computes them, from pixels of 0 to 255."""

    def conv(name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight, bias = weights[name]
        groups = len(weight) if weight.shape[1] == 1 else 1
        x = F.pad(x, (0, 1, 0, 1)) if stride == 2 else x
        return F.conv2d(x, weight, bias, stride, weight.shape[-1] // 2 if stride == 1 else 0, groups=groups)

    def separable(name: str, x: Tensor) -> Tensor:
        return F.relu(conv(f"{name}.pointwise", conv(f"{name}.depthwise", x)))

    x = F.relu6(conv("stem", (pixels_NHW3 * PIXEL_SCALE - 1).permute(0, 3, 1, 2), 2))
    maps = []
    for stage, (expansion, _, blocks, stride) in enumerate(STAGES):
        for block in range(blocks):
            name, y = f"stages.{stage}.{block}", x
            if expansion > 1:
                y = F.relu6(conv(f"{name}.expand", y))
            y = conv(f"{name}.project", F.relu6(conv(f"{name}.depthwise", y, 1 if block else stride)))
            x = x + y if block else y
        maps.append(x)
    x = conv("lateral.3", F.relu6(conv("top", x)))
    for level, one in ((2, maps[3]), (1, maps[2]), (0, maps[1])):
        x = F.interpolate(x, scale_factor=2.0, mode="bilinear") + conv(f"lateral.{level}", one)
        x = separable(f"smooth.{level}", x)
    return conv("heatmap", separable("head", x))


def _save(path: Path, weights: Weights, **more: np.ndarray) -> Path:
    """A file of these layers, some without a bias, and more constants that an Add reads."""
    nodes, constants = [], [numpy_helper.from_array(value, name) for name, value in more.items()]
    for number, (name, (weight, bias)) in enumerate(weights.items()):
        inputs = ["x", f"w{number}", f"b{number}"][: 2 if _is_without_bias(name) else 3]
        constants += [
            numpy_helper.from_array(value.numpy(), one) for one, value in zip(inputs[1:], (weight, bias), strict=False)
        ]
        nodes.append(helper.make_node("Conv", inputs, [f"y{number}"]))
    nodes += [helper.make_node("Add", ["x", name], [f"{name}/sum"]) for name in more]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [], [], constants)), path)
    return path


def test_the_published_heatmaps_come_over_exactly(weights: Weights, tmp_path: Path) -> None:
    convert_start(_save(tmp_path / "public.onnx", weights), tmp_path / "start")
    network, description = load_network(tmp_path / "start.safetensors")
    assert isinstance(network, MoveNetSimcc)
    assert description.licence == MOVENET_LIGHTNING.licence
    pixels = torch.randint(0, 256, (2, 96, 64, 3), generator=torch.Generator().manual_seed(1)).float()
    image = ((pixels / 255 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)).permute(0, 3, 1, 2)
    with torch.no_grad():
        want, got = _published(weights, pixels), network.heatmap_logits(image) / MOVENET_LIGHTNING.gain
    assert float((got[:, :PUBLISHED] - want).abs().max()) < 1e-4 * float(want.abs().max())
    operators = [node.op_type for node in onnx.load(tmp_path / "start.onnx").graph.node]
    assert "Pad" not in operators
    assert len(graph_order()) == len(weights)


def test_weights_outside_of_the_convolutions_are_refused(weights: Weights, tmp_path: Path) -> None:
    read_layers(_save(tmp_path / "scale.onnx", weights, scale=np.ones((1, 1, 1, 3), np.float32)))
    with pytest.raises(ModelError, match="weights outside of its convolutions"):
        read_layers(_save(tmp_path / "norm.onnx", weights, norm=np.ones(16, np.float32)))
