"""Eight bits and half precision: what becomes small, what stays float, and why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from poseunion.export.calibration_crops import read_crops
from poseunion.export.contract import agreement
from poseunion.export.onnx import int8
from poseunion.export.onnx.fp16 import halve
from poseunion.export.onnx.graph import with_global_pooling
from poseunion.export.onnx.graph_export import network_graph
from poseunion.export.onnx.int8 import computed_in, layer_groups, quantise
from poseunion.export.torch_model import TorchModel
from poseunion.models.codec.heads import SimccOutput
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.errors import BadArgumentError
from poseunion.models.networks.build import build_network
from poseunion.models.runtime.description import ModelDescription
from poseunion.models.runtime.onnx import OnnxModel

GRID = SimccGrid.for_bins((64, 64), (128, 128))
DESCRIPTION = ModelDescription(name="small", skeleton="union21", size_wh=(64, 64), head=SimccOutput(split=2.0))


class Small(nn.Module):
    """Four layers and a head in the log domain; one channel of the second layer is `loud` times the others."""

    def __init__(self, loud: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.wide = nn.Conv2d(8, 8, 1)
        self.narrow = nn.Conv2d(8, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 8, 1)
        self.heatmap = nn.Conv2d(8, 21, 1)
        with torch.no_grad():
            self.heatmap.weight *= 100
            self.wide.weight[0] *= loud
            self.wide.bias[0] = loud  # type: ignore[index]
            self.narrow.weight[:, 0] /= loud

    def forward(self, image_N3HW: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, 64, 64) -> logits (N, 21, 128) twice."""
        y = torch.relu(self.narrow(torch.relu(self.wide(torch.relu(self.stem(image_N3HW))))))
        heat = self.heatmap(torch.relu(self.last(y)))
        logp = heat - torch.logsumexp(heat.flatten(2), -1)[..., None, None]
        axes = [torch.logsumexp(logp, axis).repeat_interleave(8, -1) for axis in (2, 3)]
        return (axes[0] - axes[0].mean(-1, keepdim=True)) / 10, (axes[1] - axes[1].mean(-1, keepdim=True)) / 10


@pytest.fixture(scope="module")
def crops(people: tuple[Path, Path]) -> np.ndarray:
    return read_crops(*people, DESCRIPTION, 40).pixels


def _saved(model: onnx.ModelProto, path: Path) -> OnnxModel:
    onnx.save(model, path)
    return OnnxModel(path, threads=1)


def _quantised_nodes(model: onnx.ModelProto) -> set[str]:
    """Nodes whose output is quantised."""
    quantised = {n.input[0] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    return {n.name for n in model.graph.node if set(n.output) & quantised and n.op_type != "DequantizeLinear"}


def test_eight_bits_where_they_pay_and_nowhere_else(crops: np.ndarray, tmp_path: Path) -> None:
    model = network_graph(Small(1), DESCRIPTION)
    result = quantise(model, DESCRIPTION, crops)
    found = _saved(result.model, tmp_path / "int8.onnx")
    run = computed_in(found.path)
    assert run["QLinearConv"] == 3  # the stem sees three channels, the heatmap makes the logits
    assert run["Conv"] + run["FusedConv"] == 2
    assert result.float_layers == ()
    assert found.description == DESCRIPTION
    figures = agreement(_saved(model, tmp_path / "float.onnx"), found, crops, "crops")
    assert 0 < figures.logit_difference < 0.2
    assert figures.bins_within_one > 0.8
    for batch in (1, 2, 7):
        assert found.run(crops[:batch])[0].shape == (batch, 21, 128)


def test_the_costliest_layers_stay_float(crops: np.ndarray) -> None:
    """A loud channel takes all 256 levels, so the others are lost, both for who makes and for who reads them."""
    result = quantise(network_graph(Small(3000), DESCRIPTION), DESCRIPTION, crops)
    assert set(result.float_layers) == {"/wide/Conv", "/narrow/Conv"}
    assert {cost.layer for cost in result.costs[:2]} == set(result.float_layers)
    assert result.nats <= int8.BUDGET_NATS < result.costs[0].nats
    assert not _quantised_nodes(result.model) & {"/wide/Conv", "/narrow/Conv"}


def test_the_report_has_every_layer_the_costliest_first(crops: np.ndarray) -> None:
    model = network_graph(Small(1), DESCRIPTION)
    costs = quantise(model, DESCRIPTION, crops, sensitivity=True).costs
    assert {cost.layer for cost in costs} == set(layer_groups(model)) == {"/wide/Conv", "/narrow/Conv", "/last/Conv"}
    assert [c.nats for c in costs] == sorted((c.nats for c in costs), reverse=True)


def test_symmetric_means_signed_and_zero_at_zero(crops: np.ndarray, tmp_path: Path) -> None:
    result = quantise(network_graph(Small(1), DESCRIPTION), DESCRIPTION, crops, symmetric=True)
    zeros = {n.input[2] for n in result.model.graph.node if n.op_type == "QuantizeLinear"}
    values = {i.name: numpy_helper.to_array(i) for i in result.model.graph.initializer}
    assert zeros
    for name in zeros:
        assert values[name].dtype == np.int8
        assert not values[name].any()
    # TensorRT wants no eight-bit or 32-bit bias.
    assert not [i.name for i in result.model.graph.initializer if i.data_type == onnx.TensorProto.INT32]
    assert _saved(result.model, tmp_path / "s8.onnx").run(crops[:2])[0].shape == (2, 21, 128)


def test_silu_networks_are_quantised_with_their_activations(crops: np.ndarray, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_network("rtmpose-t", "", 21, GRID).eval()
    model = network_graph(network, DESCRIPTION)
    groups = layer_groups(with_global_pooling(model))
    ops = {nodes[0].op_type for nodes in groups.values()}
    assert {"Conv", "Sigmoid", "Mul", "Concat", "MaxPool", "GlobalAveragePool"} <= ops
    assert not [layer for layer in groups if layer.startswith("/head")]
    run = computed_in(_saved(quantise(model, DESCRIPTION, crops).model, tmp_path / "int8.onnx").path)
    silus = sum(isinstance(module, nn.SiLU) for module in network.modules())
    # The two before the picture has many channels, and the one of the attention unit, are float.
    assert run["QLinearSigmoid"] >= silus - 3
    assert run["QLinearMul"] >= run["QLinearSigmoid"]


def test_too_few_people_are_refused(crops: np.ndarray) -> None:
    with pytest.raises(BadArgumentError, match="31 people are too few"):
        quantise(network_graph(Small(1), DESCRIPTION), DESCRIPTION, crops[:31])


def test_half_precision_keeps_the_logarithms_and_the_borders_single(
    weights: Path, crops: np.ndarray, tmp_path: Path
) -> None:
    trained = TorchModel(weights)
    single = _saved(network_graph(trained.network, trained.description), tmp_path / "fp32.onnx")
    result = halve(onnx.load(single.path), trained.description, single, crops[:4])
    assert result.too_large == ()
    assert 0 < result.largest < 65504
    found = _saved(result.model, tmp_path / "fp16.onnx")
    assert {v.type for v in [*found.session.get_inputs(), *found.session.get_outputs()]} == {"tensor(float)"}
    halves = [i for i in result.model.graph.initializer if i.data_type == onnx.TensorProto.FLOAT16]
    assert len(halves) > 50
    types = {
        v.name: v.type.tensor_type.elem_type for v in onnx.shape_inference.infer_shapes(result.model).graph.value_info
    }
    assert {types[n.output[0]] for n in result.model.graph.node if n.op_type in ("Exp", "Log")} == {
        onnx.TensorProto.FLOAT
    }
    assert agreement(single, found, crops, "crops").bins_within_one > 0.95


def test_a_layer_beyond_half_precision_stays_single(crops: np.ndarray, tmp_path: Path) -> None:
    single = _saved(network_graph(Small(1e6), DESCRIPTION), tmp_path / "fp32.onnx")
    result = halve(onnx.load(single.path), DESCRIPTION, single, crops)
    assert result.largest > 65504
    assert "/wide/Conv" in result.too_large
    found = _saved(result.model, tmp_path / "fp16.onnx")
    assert agreement(single, found, crops, "crops").bins_within_one > 0.95
