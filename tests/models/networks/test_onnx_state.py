"""An ONNX file that holds a network's weights: nothing is lost, and runtimes fold what is stored into what they ran."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from poseunion.export.onnx.graph_export import network_graph, packed_graph
from poseunion.export.onnx.int8 import computed_in
from poseunion.export.tensorrt.precheck import precision_of
from poseunion.models.codec.heads import HeatmapOutput, SimccOutput
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.errors import BadFileError, ModelError
from poseunion.models.networks.build import build_network
from poseunion.models.networks.onnx_state import LARGEST_HALF, is_halved, read_packed
from poseunion.models.networks.weights import NetworkSpec, load_described, read_weights
from poseunion.models.runtime.description import ModelDescription
from poseunion.models.zoo import trainable_models, weights_path
from poseunion.training.loop.losses import heatmap_output

GRID = SimccGrid.for_bins((64, 64), (128, 128))
NETWORKS = [
    ("equivariant", "efficientnet_lite0"),
    ("lite-hrnet", ""),
    ("lite-hrnet-pair", ""),
    ("rtmpose-t", ""),
    ("simcc-8", "resnet18"),
    ("heatmap-4", "hrnet_w18_small"),
]


def _described(network: str) -> ModelDescription:
    head: SimccOutput | HeatmapOutput = SimccOutput(split=GRID.split, sigma_bins=GRID.sigma_bins)
    if network.startswith("heatmap"):
        head = heatmap_output(GRID.size_wh, 4)
    return ModelDescription(name="small", skeleton="union21", size_wh=GRID.size_wh, head=head)


def _packed(path: Path, network: str, backbone: str, built: torch.nn.Module) -> Path:
    spec = NetworkSpec(network=network, backbone=backbone)
    onnx.save(packed_graph(built, spec, _described(network)), path)
    return path


@pytest.fixture
def built() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_network("lite-hrnet", "", 21, GRID).eval()


def test_values_have_short_names_and_exact_constants_are_halved(built: torch.nn.Module, tmp_path: Path) -> None:
    graph = onnx.load(_packed(tmp_path / "small.onnx", "lite-hrnet", "", built)).graph
    made = [name for node in graph.node for name in node.output]
    assert len(set(made)) == len(made)
    assert all(len(name) < 8 for name in made if name not in ("simcc_x", "simcc_y"))
    assert any("stages" in node.name for node in graph.node)
    cubic = [i for i in graph.initializer if i.name.startswith("/") and list(i.dims) == [16, 128]]
    assert {i.data_type for i in cubic} == {onnx.TensorProto.FLOAT16}


@pytest.mark.parametrize(("network", "backbone"), NETWORKS)
def test_the_whole_state_is_read_back(network: str, backbone: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    built = build_network(network, backbone, 21, GRID).eval()
    state = built.state_dict()
    for name, value in state.items():  # statistics of a run, not those of a fresh network
        if name.endswith("num_batches_tracked"):
            value.fill_(len(name))
    path = _packed(tmp_path / "m.onnx", network, backbone, built)
    read, spec, description = read_weights(path)
    assert (spec, description) == (NetworkSpec(network=network, backbone=backbone), _described(network))
    assert read.keys() == state.keys()
    assert any(is_halved(value) for value in state.values())
    for name, value in state.items():
        expected = value.half() if is_halved(value) else value
        assert read[name].dtype == expected.dtype, name
        assert torch.equal(read[name], expected), name

    loaded, *_ = load_described(path)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 3, 64, 64)).astype(np.float32))
    with torch.no_grad():
        expected_N = loaded(x)
    outputs = [expected_N] if isinstance(expected_N, torch.Tensor) else list(expected_N)
    for got, want in zip(_run(path, x.numpy()), outputs, strict=True):
        np.testing.assert_allclose(got, want.numpy(), atol=1e-4 * max(1.0, float(want.abs().max())))


def test_a_runtime_ends_at_the_graph_of_folded_weights(built: torch.nn.Module, tmp_path: Path) -> None:
    path = _packed(tmp_path / "m.onnx", "lite-hrnet", "", built)
    stored = {node.op_type for node in onnx.load(path).graph.node}
    assert {"BatchNormalization", "Cast"} <= stored
    onnx.save(network_graph(built, _described("equivariant")), tmp_path / "folded.onnx")
    assert computed_in(path) == computed_in(tmp_path / "folded.onnx")
    assert path.stat().st_size < 0.6 * (tmp_path / "folded.onnx").stat().st_size
    assert precision_of(onnx.load(path)) == "fp32"


def test_loading_it_is_silent(built: torch.nn.Module, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Other tools open it at onnxruntime's own level of messages."""
    _run(_packed(tmp_path / "m.onnx", "lite-hrnet", "", built), np.zeros((1, 3, 64, 64), "f4"))
    assert capfd.readouterr() == ("", "")


def test_what_half_precision_cannot_hold_stays_single(built: torch.nn.Module, tmp_path: Path) -> None:
    name = next(name for name, value in built.state_dict().items() if is_halved(value))
    with torch.no_grad():
        built.get_parameter(name).flatten()[0] = 2 * LARGEST_HALF
    state, _ = read_packed(_packed(tmp_path / "m.onnx", "lite-hrnet", "", built))
    assert state[name].dtype == torch.float32
    assert torch.equal(state[name], built.state_dict()[name])


def test_files_without_weights_to_train_on_are_refused(built: torch.nn.Module, tmp_path: Path) -> None:
    onnx.save(network_graph(built, _described("equivariant")), tmp_path / "folded.onnx")
    with pytest.raises(ModelError, match=r"folded.onnx does not hold the weights of a network to train on from: give"):
        read_weights(tmp_path / "folded.onnx")
    (tmp_path / "text.onnx").write_text("no protobuf")
    for name, says in (("text.onnx", "text.onnx is not an ONNX file"), ("absent.onnx", "No model file .*absent.onnx")):
        with pytest.raises(BadFileError, match=says):
            read_weights(tmp_path / name)


@pytest.mark.parametrize("name", trainable_models())
def test_the_shipped_models_are_networks(name: str) -> None:
    network, _, description = load_described(weights_path(name))
    assert description.name == name
    assert sum(value.numel() for value in network.state_dict().values()) > 5e5


def _run(path: Path, x: np.ndarray) -> list[np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [np.asarray(output) for output in session.run(None, {"input": x})]
