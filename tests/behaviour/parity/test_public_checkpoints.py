"""mmpose's networks of 26 and 133 keypoints: their .pth through `convert`, equal to mmpose, and `extend --model`.

The checkpoints that mmpose publishes cannot be had here. These have its own parameter names and shapes, of the networks
built from the configurations that those were trained with, and the recipe's weights.
"""

from __future__ import annotations

import ast
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

from poseunion.annotate.cli.main import app as annotate  # noqa: E402
from poseunion.annotate.example import LABELS  # noqa: E402
from poseunion.export.cli.main import app as export  # noqa: E402
from poseunion.models.files import read_json, sha256_of  # noqa: E402
from poseunion.models.runtime.onnx import OnnxModel  # noqa: E402
from poseunion.models.skeleton import load_skeleton  # noqa: E402


@pytest.fixture(params=["halpe26", "wholebody133"])
def skeleton(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def checkpoint(skeleton: str, recipe: ModuleType, mmpose_public: Mapping[str, NDArray[Any]], tmp_path: Path) -> Path:
    """The .pth as mmengine publishes it: metadata with numpy's arrays, and the weights."""
    state = OrderedDict()
    for line in str(mmpose_public[f"{skeleton}-names"]).split("\n"):
        name, shape = line.split(" ", 1)
        state[name] = torch.from_numpy(recipe.weights(name, ast.literal_eval(shape)))
    keypoints = recipe.PUBLIC[skeleton][0]
    meta = {"dataset_meta": {"num_keypoints": keypoints, "sigmas": np.full(keypoints, 0.05, np.float32)}}
    path = tmp_path / f"rtmpose-m_{skeleton}.pth"
    torch.save({"meta": meta, "state_dict": state}, path)
    return path


def test_the_converted_file_computes_what_mmpose_does_and_proposes(
    checkpoint: Path, skeleton: str, recipe: ModuleType, mmpose_public: Mapping[str, NDArray[Any]], tmp_path: Path
) -> None:
    command = ["convert", str(checkpoint), "--skeleton", skeleton, "--network", "rtmpose-m", "--out", str(tmp_path)]
    CliRunner().invoke(export, command, catch_exceptions=False)
    onnx = checkpoint.with_suffix(".onnx")

    model = OnnxModel(onnx, threads=1)
    assert model.description.size_wh == recipe.GRIDS["coco"][0]
    logits = model.session.run(["simcc_x", "simcc_y"], {"input": recipe.network_input(model.description.size_wh)})
    for logit, axis in zip(logits, "xy", strict=True):
        got, expected = recipe.thinned(logit), mmpose_public[f"{skeleton}-{axis}"]
        bins = slice(None, -2)  # the last two columns are sums over hundreds of bins
        assert 1 < np.abs(expected[:, bins]).max() < 10  # otherwise 3e-5 would mean little
        np.testing.assert_allclose(got[:, bins], expected[:, bins], rtol=0, atol=3e-5)
        np.testing.assert_allclose(got[:, -2:], expected[:, -2:], rtol=1e-5, atol=1e-3)

    out = tmp_path / "extended.json"
    command = ["extend", "--dataset", "example", "--model", str(onnx), "--out", str(out)]
    CliRunner().invoke(annotate, command, catch_exceptions=False)
    extended = read_json(out)
    assert extended["poseunion"]["model"]["sha256"] == sha256_of(onnx)
    names = extended["categories"][0]["keypoints"]
    labelled, predicted = load_skeleton("mpii16").keypoints, load_skeleton(skeleton).keypoints
    assert set(names) == {*labelled, *predicted}
    for person, before in zip(extended["annotations"], read_json(LABELS)["annotations"], strict=True):
        points = dict(zip(names, np.reshape(person["keypoints"], (-1, 3)).tolist(), strict=True))
        human = dict(zip(labelled, np.reshape(before["keypoints"], (-1, 3)).tolist(), strict=True))
        assert all(points[name] == point for name, point in human.items() if point[2])
        assert {proposal["name"] for proposal in person["proposals"]} == {*predicted} - {*labelled}
