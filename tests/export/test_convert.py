"""mmpose's checkpoints come over with the same outputs; anything else is refused in one sentence."""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from poseunion.annotate.extend.proposer import load_proposer
from poseunion.annotate.formats.skeleton_match import output_skeleton
from poseunion.export.cli.main import app
from poseunion.export.convert import convert, network_of
from poseunion.export.mmpose_checkpoint import read_checkpoint
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.errors import BadArgumentError, BadFileError, ModelError, PoseUnionError
from poseunion.models.networks.rtmpose import RTMPose
from poseunion.models.networks.weights import load_network
from poseunion.models.runtime.onnx import OnnxModel
from poseunion.models.skeleton import load_skeleton

GRID = SimccGrid.for_bins((64, 96), (128, 192))


def _network(size: str = "t", keypoints: int = 17, grid: SimccGrid = GRID) -> RTMPose:
    torch.manual_seed(0)
    return RTMPose(size, keypoints, grid).eval()


@pytest.fixture(scope="module")
def network() -> RTMPose:
    return _network()


def _save(path: Path, state: dict[str, Tensor], **beside: Any) -> Path:
    torch.save({"state_dict": state, **beside}, path)
    return path


def test_the_files_hold_the_same_network(network: RTMPose, tmp_path: Path) -> None:
    meta = {"dataset_meta": {"sigmas": np.full(17, 0.1), "colours": np.zeros((17, 3), np.uint8), "f": np.float32(1)}}
    checkpoint = _save(tmp_path / "a.pth", OrderedDict(network.state_dict()), meta=meta, optimizer={"lr": 4e-3})
    description = convert(checkpoint, tmp_path / "v1.2", "coco17", network="rtmpose-t", licence="Apache-2.0")
    assert description.size_wh == (64, 96)
    assert description.grid.bins_wh == (128, 192)

    loaded, described = load_network(tmp_path / "v1.2.safetensors")
    assert described == description
    runtime = OnnxModel(tmp_path / "v1.2.onnx", threads=1)
    assert runtime.description == description
    assert "a.pth" in description.source
    pixels = np.random.default_rng(0).integers(0, 256, (2, 96, 64, 3), np.uint8)
    image = torch.from_numpy(runtime.normalise(pixels))
    with torch.no_grad():
        expected, again = network(image), loaded(image)
    for logit, same, onnx in zip(expected, again, runtime.run(pixels), strict=True):
        assert torch.equal(logit, same)
        np.testing.assert_allclose(onnx, logit.numpy(), atol=1e-5)


def test_what_mmengine_keeps_beside_the_weights_is_left_behind(network: RTMPose, tmp_path: Path) -> None:
    # As mmengine's HistoryBuffer pickles itself: numpy curves, and its own methods by name.
    class HistoryBuffer:
        def __getstate__(self) -> dict[str, Any]:
            return {"_log_history": np.array([1.0, 0.5]), "statistics_methods": {"min": HistoryBuffer.minimum}}

        def minimum(self) -> None: ...

    module = ModuleType("mmengine.logging.history_buffer")
    HistoryBuffer.__module__ = module.__name__
    HistoryBuffer.__qualname__ = "HistoryBuffer"
    HistoryBuffer.minimum.__module__ = module.__name__
    HistoryBuffer.minimum.__qualname__ = "HistoryBuffer.minimum"
    module.__dict__["HistoryBuffer"] = HistoryBuffer
    with pytest.MonkeyPatch.context() as patch:
        for name in ("mmengine", "mmengine.logging"):
            patch.setitem(sys.modules, name, ModuleType(name))
        patch.setitem(sys.modules, module.__name__, module)
        checkpoint = _save(tmp_path / "a.pth", network.state_dict(), message_hub={"loss": HistoryBuffer()})
    state = read_checkpoint(checkpoint)
    assert state.keys() == network.state_dict().keys()


class _Harmful:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.path),)


class _Attribute:
    """Would fetch an attribute, of one of the few classes that are let in; only a placeholder comes of it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (np.ndarray, "tofile")


def test_pickled_objects_are_refused_and_not_run(network: RTMPose, tmp_path: Path) -> None:
    harmful = tmp_path / "harmful.pth"
    _save(harmful, network.state_dict(), meta=_Harmful(str(tmp_path / "ran")))
    with pytest.raises(BadFileError, match=r"harmful\.pth is refused: it holds a pickled .+ run its code"):
        read_checkpoint(harmful)
    _save(tmp_path / "getattr.pth", network.state_dict(), meta=_Attribute())
    assert read_checkpoint(tmp_path / "getattr.pth").keys() == network.state_dict().keys()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a checkpoint"),
        (b"not a checkpoint", "refused|is not a checkpoint"),
        (b"PK\x03\x04 cut short", "is not a checkpoint"),
    ],
)
def test_files_that_are_no_checkpoints(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(BadFileError, match=message):
        read_checkpoint(tmp_path / "a.pth")
    with pytest.raises(BadFileError, match="Cannot read"):
        read_checkpoint(tmp_path / "absent.pth")


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": {}}, {"state_dict": {"a": 1}}, torch.zeros(2), {"a": "b"}])
def test_checkpoints_without_a_network(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(BadFileError, match="holds no network"):
        read_checkpoint(tmp_path / "a.pth")


def _without(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {n: v for n, v in state.items() if n != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: _without(s, "head.cls_x.weight"), "is not an RTMPose: it has no head.cls_x.weight"),
        (lambda s: _without(s, "head.gau.ln.g"), "lacks head.gau.ln.g"),
        (lambda s: {**s, "neck.weight": torch.zeros(1)}, "one too many, neck.weight"),
        (lambda s: {**s, "head.gau.gamma": torch.zeros(2, 64)}, r"head.gau.gamma of \(2, 64\), .* \(2, 128\)"),
        (lambda s: {**s, "backbone.stem.0.conv.weight": torch.zeros(40, 3, 3, 3)}, "stem has 40 channels"),
        (lambda s: {**s, "head.cls_x.weight": torch.zeros(200, 256)}, "does not fit an input of 100x96"),
        (
            lambda s: {**s, "head.mlp.0.g": torch.tensor([float("nan")])},
            "head.mlp.0.g holds .* not finite",
        ),
    ],
)
def test_other_networks_are_refused(change: Any, message: str, network: RTMPose, tmp_path: Path) -> None:
    checkpoint = _save(tmp_path / "a.pth", change(network.state_dict()))
    with pytest.raises(PoseUnionError, match=message):
        convert(checkpoint, tmp_path / "out", "coco17")
    assert [p.name for p in tmp_path.iterdir()] == ["a.pth"]


def test_arguments_that_contradict_the_file(network: RTMPose, tmp_path: Path) -> None:
    checkpoint = _save(tmp_path / "a.pth", network.state_dict())
    for arguments, message in [
        ({"skeleton": "union21"}, "predicts 17 keypoints, but skeleton union21 has 21"),
        ({"skeleton": "coco17", "network": "rtmpose-m"}, "is an rtmpose-t, not rtmpose-m"),
        ({"skeleton": "coco17", "size_wh": (96, 64)}, "does not fit an input of 96x64"),
        ({"skeleton": "coco17", "size_wh": (128, 192)}, "has 6 cells"),
    ]:
        with pytest.raises(ModelError, match=message):
            convert(checkpoint, tmp_path / "out", **arguments)  # type: ignore[arg-type]
    assert [p.name for p in tmp_path.iterdir()] == ["a.pth"]


@pytest.mark.parametrize("size", "tsml")
def test_every_size_is_known_by_its_shapes(size: str, tmp_path: Path) -> None:
    with torch.device("meta"):
        state = RTMPose(size, 16, SimccGrid((256, 256))).state_dict()
    found, keypoints, grid = network_of(state, tmp_path)
    assert (found, keypoints, grid.size_wh, grid.bins_wh) == (size, 16, (256, 256), (512, 512))
    assert network_of(state, tmp_path, (225, 225))[2].split == pytest.approx(512 / 225)


@pytest.mark.parametrize(("skeleton", "keypoints"), [("coco17", 17), ("halpe26", 26), ("wholebody133", 133)])
def test_public_keypoint_sets_are_proposers(skeleton: str, keypoints: int, tmp_path: Path) -> None:
    """Converted, a network of mmpose's 17, 26 or 133 keypoints proposes those that a dataset lacks, by name."""
    checkpoint = _save(tmp_path / "a.pth", _network("t", keypoints).state_dict())
    convert(checkpoint, tmp_path / "public", skeleton)
    mpii = load_skeleton("mpii16")
    proposer = load_proposer([str(tmp_path / "public.onnx")], lambda _: None, threads=1)
    output = output_skeleton(mpii, proposer.skeleton)
    assert set(output.keypoints) == {*load_skeleton(skeleton).keypoints, *mpii.keypoints}
    image = np.random.default_rng(0).integers(0, 256, (120, 80, 3), np.uint8)
    poses = proposer.predict([image], [[[5, 5, 60, 100]]])[0]
    assert poses.xy.shape == (1, keypoints, 2)
    assert np.isfinite(poses.keypoint("left_eye")).all()


def test_the_command(network: RTMPose, tmp_path: Path) -> None:
    checkpoint = _save(tmp_path / "rtm.pth", network.state_dict())
    command = ["convert", str(checkpoint), "--out", str(tmp_path), "--skeleton", "coco17"]
    first = CliRunner().invoke(app, [*command, "--size", "64x96"])
    assert first.exit_code == 0, first.output
    assert "coco17, input 64x96, bins 128x192" in first.output.replace("\n", " ")
    assert {p.name for p in tmp_path.iterdir()} == {"rtm.pth", "rtm.onnx", "rtm.safetensors"}
    with pytest.raises(BadFileError, match=r"exists: choose another --out, or replace it with --overwrite\.$"):
        CliRunner().invoke(app, command, catch_exceptions=False)
    with pytest.raises(BadArgumentError, match="192x256 for example"):
        CliRunner().invoke(app, [*command, "--overwrite", "--size", "64"], catch_exceptions=False)
