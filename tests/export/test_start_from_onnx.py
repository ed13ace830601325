"""A public network becomes the start of a student with the same answers; anything else is refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  torch's own convention
from typer.testing import CliRunner

from poseunion.export.cli.main import app
from poseunion.export.start_from_onnx import convert_start
from poseunion.export.starts import STARTS, read_layers
from poseunion.export.starts.lite_hrnet import HEATMAP_GAIN, equalised, graph_order
from poseunion.models.errors import BadArgumentError, BadFileError, ModelError, PoseUnionError
from poseunion.models.networks.lite_hrnet import STAGES, WIDTHS
from poseunion.models.networks.lite_hrnet_simcc import LiteHrnetSimcc
from poseunion.models.networks.person_detector import PersonDetector, read_detector
from poseunion.models.networks.weights import load_network
from poseunion.models.runtime.onnx import OnnxModel

Weights = dict[str, tuple[Tensor, Tensor]]


def _random_weights() -> Weights:
    """Random layers of the published network, scaled so that its maps stay near 1, and uneven as folded norms are."""
    generator = torch.Generator().manual_seed(0)
    result: Weights = {}
    for name, shape in STARTS[0].shapes.items():
        weight = torch.randn(shape, generator=generator) * (2 / np.prod(shape[1:])) ** 0.5
        uneven = torch.exp(torch.randn(shape[0], generator=generator) * 0.5)
        result[name] = weight * uneven[:, None, None, None], torch.randn(shape[0], generator=generator) * 0.1
    return result


class Published(nn.Module):
    """The published graph, with every shuffle and its additions of a map to itself, from weights in graph order."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.weights = weights

    def conv(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight, bias = self.weights[name]
        groups = x.shape[1] if weight.shape[1] == 1 and x.shape[1] > 1 else 1
        return F.conv2d(x, weight, bias, stride, weight.shape[-1] // 2, groups=groups)

    def separable(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        return self.conv(f"{name}.pointwise", self.conv(f"{name}.depthwise", x, stride))

    def unit(self, name: str, x: Tensor) -> Tensor:
        left, right = x.chunk(2, 1)
        right = F.relu(self.separable(f"{name}.separable", F.relu(self.conv(f"{name}.expand", right))))
        return _shuffled(torch.cat([left, right], 1))

    def stem(self, image: Tensor) -> Tensor:
        left, right = F.relu(self.conv("stem.conv", image, 2)).chunk(2, 1)
        left = F.relu(self.separable("stem.left", left, 2))
        right = F.relu(self.separable("stem.right", F.relu(self.conv("stem.expand", right)), 2))
        return _shuffled(torch.cat([left, right], 1))

    def exchange(self, name: str, maps: list[Tensor]) -> list[Tensor]:
        maps, result = list(maps), []
        for to in range(len(maps)):
            total: Tensor | None = None
            for source in range(len(maps)):
                term = maps[source]
                if source > to:
                    term = self.conv(f"{name}.exchange.up.{source}_to_{to}", term)
                    term = F.interpolate(term, scale_factor=float(2 ** (source - to)), mode="nearest")
                for step in range(to - source):
                    path = f"{name}.exchange.down.{source}_to_{to}.{step}"
                    term = self.separable(path, term, 2)
                    term = F.relu(term) if step < to - source - 1 else term
                total = term + term if total is None else total + term
            assert total is not None
            if to == 0:
                maps[0] = total
            result.append(F.relu(total))
        return result

    def forward(self, image: Tensor) -> Tensor:
        stem = self.stem(image)
        maps = [F.relu(self.separable("to_stride_4", stem))]
        for stage, (branches, modules) in enumerate(STAGES):
            maps.append(F.relu(self.separable(f"begin.{stage}", stem if stage == 0 else maps[-1], 2)))
            for number in range(modules):
                name = f"stages.{stage}.{number}"
                for unit in ("first", "second"):
                    maps = [self.unit(f"{name}.branches.{b}.{unit}", maps[b]) for b in range(branches)]
                maps = self.exchange(name, maps)
        x = maps[-1]
        for step in range(4):
            if step:
                x = maps[-1 - step] + F.interpolate(
                    x, size=maps[-1 - step].shape[-2:], mode="bilinear", align_corners=True
                )
            x = F.relu(self.separable(f"top_down.steps.{step}", x))
        return self.conv("heatmap", x)


def _shuffled(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def _save(path: Path, weights: Weights) -> Path:
    """A file that holds these layers in order; how they are connected is not read."""
    nodes, constants = [], []
    for number, (weight, bias) in enumerate(weights.values()):
        constants += [
            numpy_helper.from_array(weight.numpy(), f"w{number}"),
            numpy_helper.from_array(bias.numpy(), f"b{number}"),
        ]
        nodes.append(helper.make_node("Conv", ["x", f"w{number}", f"b{number}"], [f"y{number}"]))
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [], [], constants)), path)
    return path


@pytest.fixture(scope="module")
def weights() -> Weights:
    return _random_weights()


@pytest.fixture(scope="module")
def converted(weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    convert_start(_save(folder / "public.onnx", weights), folder / "start")
    return folder / "start.onnx"


def test_the_published_heatmaps_come_over_exactly(weights: Weights, converted: Path) -> None:
    network, description = load_network(converted.with_suffix(".safetensors"))
    assert isinstance(network, LiteHrnetSimcc)
    torch.manual_seed(1)
    image = torch.randn(2, 3, 256, 192)
    with torch.no_grad():
        want, got = Published(weights)(image), network.heatmap_logits(image) / HEATMAP_GAIN
        last = network.to(memory_format=torch.channels_last).heatmap_logits(image.to(memory_format=torch.channels_last))
    scale = float(want.abs().max())
    assert float((got[:, :17] - want).abs().max()) < 1e-4 * scale
    assert float((last / HEATMAP_GAIN - got).abs().max()) < 1e-4 * scale
    assert "untrained" in description.source
    assert description.licence == STARTS[0].licence


def test_the_exported_graph_has_no_shuffle_left(converted: Path) -> None:
    graph = onnx.load(converted).graph
    modules = sum(count for _, count in STAGES)
    assert modules == 8
    assert not [n for n in graph.node if n.op_type == "Transpose" and len(n.attribute[0].ints) > 3]
    pairs = sum(branches * count for branches, count in STAGES)
    five_axes = [n for n in graph.node if n.op_type == "Concat" and len(n.input) == 4]
    assert len(five_axes) == pairs


def test_conversion_repeats_to_the_byte(weights: Weights, converted: Path, tmp_path: Path) -> None:
    again = _save(tmp_path / "public.onnx", weights)
    convert_start(again, tmp_path / "start")
    assert (tmp_path / "start.onnx").read_bytes() == converted.read_bytes()


@settings(max_examples=5)
@given(st.integers(0, 2**16))
def test_equalising_keeps_the_function_and_evens_the_scales(seed: int) -> None:
    rng = np.random.default_rng(seed)
    state: dict[str, NDArray[np.float32]] = {}
    for name, shape in (("a.depthwise", (6, 1, 3, 3)), ("a.pointwise", (4, 6, 1, 1))):
        state[f"{name}.weight"] = (rng.normal(size=shape) * 10 ** rng.uniform(-2, 2, (shape[0], 1, 1, 1))).astype("f4")
        state[f"{name}.bias"] = rng.normal(size=shape[0]).astype("f4")
    even = equalised(state)
    image = torch.from_numpy(rng.normal(size=(1, 6, 8, 8)).astype("f4"))

    def run(values: dict[str, NDArray[np.float32]]) -> Tensor:
        w, b, v, c = (torch.from_numpy(one) for one in values.values())
        return F.conv2d(F.conv2d(image, w, b, padding=1, groups=6), v, c)

    want = run(state)
    torch.testing.assert_close(run(even), want, rtol=1e-3, atol=1e-3 * float(want.abs().max()))
    rows = np.abs(even["a.depthwise.weight"]).max((1, 2, 3))
    columns = np.abs(even["a.pointwise.weight"]).max((0, 2, 3))
    np.testing.assert_allclose(rows, columns, rtol=1e-3)


def test_the_names_in_graph_order_are_those_of_the_network() -> None:
    network = LiteHrnetSimcc(21, _grid())
    own = {name.removesuffix(".weight") for name, _ in network.backbone.named_parameters() if name.endswith("weight")}
    assert set(graph_order()) == own
    assert len(graph_order()) == len(own)


def _grid():  # type: ignore[no-untyped-def]
    from poseunion.models.codec.simcc import SimccGrid

    return SimccGrid((192, 256))


def _changed(weights: Weights, what: str) -> Weights:
    changed = dict(weights)
    name = graph_order()[10]
    weight, bias = changed[name]
    if what == "shape":
        changed[name] = torch.zeros(3, *weight.shape[1:]), torch.zeros(3)
    elif what == "one less":
        del changed[graph_order()[-1]]
    elif what == "not finite":
        changed[name] = torch.full_like(weight, torch.nan), bias
    return changed


@pytest.mark.parametrize(
    ("what", "message"),
    [("shape", "convolution 11 has weights of"), ("one less", "where there are"), ("not finite", "not finite")],
)
def test_another_network_is_refused(weights: Weights, what: str, message: str, tmp_path: Path) -> None:
    file = _save(tmp_path / "other.onnx", _changed(weights, what))
    with pytest.raises(ModelError, match=message):
        convert_start(file, tmp_path / "start")
    assert [path.name for path in tmp_path.iterdir()] == ["other.onnx"]


def test_files_that_are_no_networks_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("not a network, but long enough to be read as something")
    with pytest.raises(PoseUnionError, match=r"text\.onnx"):
        read_layers(tmp_path / "text.onnx")
    with pytest.raises(BadFileError, match=r"gone\.onnx"):
        read_layers(tmp_path / "gone.onnx")


def test_a_skeleton_that_begins_otherwise_is_refused(weights: Weights, tmp_path: Path) -> None:
    file = _save(tmp_path / "public.onnx", weights)
    with pytest.raises(ModelError, match="does not begin with these keypoints"):
        convert_start(file, tmp_path / "start", "mpii16")


def test_the_command_writes_both_files_once(weights: Weights, tmp_path: Path) -> None:
    file = _save(tmp_path / "public.onnx", weights)
    command = ["convert", str(file), "--out", str(tmp_path / "start")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert OnnxModel(tmp_path / "start.onnx").description.skeleton == "union21"
    again = CliRunner().invoke(app, command)
    assert isinstance(again.exception, PoseUnionError)
    assert "exists" in str(again.exception)
    assert len(WIDTHS) == len(STAGES) + 1


def test_a_public_detector_becomes_ours_and_reads_rgb(tmp_path: Path) -> None:
    torch.manual_seed(2)
    network = PersonDetector().eval()
    layers = {
        name: (one.weight.detach(), one.bias.detach())
        for name, one in network.named_modules()
        if isinstance(one, torch.nn.Conv2d) and one.bias is not None
    }
    stem = next(iter(layers))
    file = _save(tmp_path / "public.onnx", {**layers, stem: (layers[stem][0].flip(1), layers[stem][1])})
    done = CliRunner().invoke(app, ["convert", str(file), "--out", str(tmp_path / "start")])
    assert done.exit_code == 0, done.output
    assert "person detector" in done.output
    for ending in (".onnx", ".safetensors"):
        read, description = read_detector(tmp_path / f"start{ending}")
        assert torch.equal(read.state_dict()[f"{stem}.weight"], layers[stem][0])
        assert "OpenMMLab" in description.licence
    with pytest.raises(BadArgumentError, match="predicts boxes"):
        convert_start(file, tmp_path / "again", "union21")
