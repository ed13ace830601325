from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file

from poseunion.export.onnx.graph_export import export_onnx
from poseunion.models.errors import BadFileError, ModelError
from poseunion.models.inference.predictor import load_predictor
from poseunion.models.runtime.description import METADATA_KEY


def test_the_file_describes_itself_and_runs(weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "tiny.onnx"
    export_onnx(weights, out, revision="abc123")
    model = onnx.load(out)
    assert [i.name for i in model.graph.input] == ["input"]
    assert [o.name for o in model.graph.output] == ["simcc_x", "simcc_y"]
    described = json.loads({p.key: p.value for p in model.metadata_props}[METADATA_KEY])
    assert described["revision"] == "abc123"
    assert described["skeleton"] == "union21"

    predictor = load_predictor(out, threads=1)
    picture = np.random.default_rng(0).integers(0, 256, (120, 90, 3), np.uint8)
    poses = predictor(picture, [[10, 10, 50, 80], [5, 20, 60, 70], [30, 30, 40, 60]])
    assert poses.xy.shape == (3, 21, 2)
    assert np.isfinite(poses.xy).all()
    assert predictor.provider == "CPUExecutionProvider"


def test_batches_do_not_change_results(weights: Path, tmp_path: Path) -> None:
    export_onnx(weights, tmp_path / "tiny.onnx")
    picture = np.random.default_rng(1).integers(0, 256, (120, 90, 3), np.uint8)
    boxes = [[5 * i, 4 * i, 40, 60] for i in range(5)]
    together = load_predictor(tmp_path / "tiny.onnx", threads=1)(picture, boxes)
    alone = load_predictor(tmp_path / "tiny.onnx", threads=1, batch_size=1)(picture, boxes)
    np.testing.assert_allclose(together.xy, alone.xy, atol=1e-2)


def test_an_export_that_differs_from_the_training_is_refused(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from poseunion.models.runtime.onnx import OnnxModel

    right = OnnxModel.run
    monkeypatch.setattr(OnnxModel, "run", lambda self, crops: [o + 1e-3 for o in right(self, crops)])
    with pytest.raises(ModelError, match="differs from torch"):
        export_onnx(weights, tmp_path / "broken.onnx")
    assert not (tmp_path / "broken.onnx").exists()


def test_weights_of_unknown_origin_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match="poseunion train"):
        export_onnx(tmp_path / "w.safetensors", tmp_path / "w.onnx")
    (tmp_path / "text.safetensors").write_text("not tensors")
    with pytest.raises(BadFileError, match="not a safetensors file"):
        export_onnx(tmp_path / "text.safetensors", tmp_path / "w.onnx")
