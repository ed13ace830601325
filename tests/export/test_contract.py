"""The contract must catch what goes wrong in exports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from poseunion.export.contract import AccuracyContract, agreement, check_exact, main_score
from poseunion.export.onnx.graph import described
from poseunion.export.onnx.graph_export import network_graph, prove
from poseunion.export.torch_model import TorchModel
from poseunion.models.errors import ModelError
from poseunion.models.runtime.description import METADATA_KEY
from poseunion.models.runtime.onnx import OnnxModel
from poseunion.models.zoo import WEIGHTS
from poseunion.training.evaluation.evaluate import read_task


@pytest.fixture(scope="module")
def trained(weights: Path) -> TorchModel:
    return TorchModel(weights)


def _noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)


def _saved(model: onnx.ModelProto, path: Path) -> OnnxModel:
    onnx.save(model, path)
    return OnnxModel(path, threads=1)


def test_a_faithful_export_passes(trained: TorchModel, tmp_path: Path) -> None:
    exported = _saved(network_graph(trained.network, trained.description), tmp_path / "m.onnx")
    assert prove(trained, exported) < 1e-4
    found = agreement(trained, exported, _noise(), "crops")
    check_exact(found, "tiny")
    assert found.equal_bins == 1
    assert found.moved == 0


@pytest.mark.parametrize(
    "wrong", [{"mean": (0.5, 0.5, 0.5)}, {"std": (0.5, 0.5, 0.5)}, {"colour": "BGR"}], ids=["mean", "std", "colour"]
)
def test_a_file_that_describes_its_input_wrongly_is_refused(
    trained: TorchModel, tmp_path: Path, wrong: dict[str, object]
) -> None:
    model = network_graph(trained.network, trained.description)
    lie = trained.description.model_copy(update=wrong)
    exported = _saved(described(model, {METADATA_KEY: lie.model_dump_json()}), tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="differs from torch"):
        prove(trained, exported)
    with pytest.raises(ModelError, match="refused"):
        check_exact(agreement(trained, exported, _noise(), "noise"), "tiny")


def test_swapped_axes_are_refused(trained: TorchModel, tmp_path: Path) -> None:
    model = network_graph(trained.network, trained.description)
    names = {"simcc_x": "simcc_y", "simcc_y": "simcc_x"}
    for node in model.graph.node:
        node.output[:] = [names.get(name, name) for name in node.output]
    exported = _saved(model, tmp_path / "m.onnx")
    assert [o.name for o in exported.session.get_outputs()] == ["simcc_x", "simcc_y"]
    with pytest.raises(ModelError, match="differs from torch"):
        prove(trained, exported)


def test_logits_alone_do_not_make_an_export_exact(trained: TorchModel, tmp_path: Path) -> None:
    found = agreement(trained, trained, _noise(), "crops")
    check_exact(found, "tiny")
    with pytest.raises(ModelError, match="of its bins"):
        check_exact(found.model_copy(update={"equal_bins": 0.99}), "tiny")
    check_exact(found.model_copy(update={"equal_bins": 0.99, "crops": "noise"}), "tiny")
    # As large logits are, so large may the difference be that single precision leaves.
    check_exact(found.model_copy(update={"logit_difference": 5e-4, "logit_range": 10.0}), "tiny")
    with pytest.raises(ModelError, match="logits differ"):
        check_exact(found.model_copy(update={"logit_difference": 5e-4, "logit_range": 1.0}), "tiny")


def test_an_over_quantised_network_is_refused(people: tuple[Path, Path], tmp_path: Path) -> None:
    shipped = WEIGHTS / "unified.onnx"
    task = read_task(*people, dataset="coco")
    judge = AccuracyContract(OnnxModel(shipped, threads=1), [task], ["labels.json"], max_drop=0.5)
    (same,) = judge.accuracy(OnnxModel(shipped, threads=1), "unified")
    assert (same.measure, same.drop) == ("AP", 0)
    assert same.trained > 95  # it labelled them itself

    coarse = onnx.load(shipped)
    for tensor in coarse.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.ndim == 4:  # four levels a layer
            step = np.abs(value).max() / 2
            tensor.CopyFrom(numpy_helper.from_array((np.round(value / step) * step).astype(np.float32), tensor.name))
    with pytest.raises(ModelError, match=r"unified as onnx-int8 is refused: on labels.json it has AP"):
        judge.accuracy(_saved(coarse, tmp_path / "coarse.onnx"), "unified as onnx-int8")


def test_each_data_set_has_its_own_measure() -> None:
    assert main_score({"coco": {"AP": 30.0}, "pck": {"PCK": 60.0}}) == ("AP", 30.0)
    assert main_score({"pckh": {"PCKh@.5": 70.0}, "pck": {"PCK": 60.0}}) == ("PCKh@.5", 70.0)
    assert main_score({"pck": {"PCK": 60.0}}) == ("PCK@.2", 60.0)
    with pytest.raises(ModelError, match="Nothing could be measured"):
        main_score({"dataset": "lsp", "pck": {}})
