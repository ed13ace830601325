"""`poseunion export`: all files or none, and a manifest that says what was found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from typer.testing import CliRunner

from poseunion.export import run as pipeline
from poseunion.export.cli.main import app
from poseunion.export.manifest import manifest_path
from poseunion.export.onnx import int8
from poseunion.export.onnx.int8 import Quantised
from poseunion.export.run import ExportRequest, Labelled, export
from poseunion.models.errors import BadArgumentError, BadFileError, ModelError
from poseunion.models.files import sha256_of
from poseunion.models.inference.predictor import load_predictor
from poseunion.models.zoo import weights_path


def _run(*words: object) -> None:
    """The command, with its errors as they are."""
    result = CliRunner().invoke(app, ["export", *map(str, words)], standalone_mode=False)
    if result.exception is not None:
        raise result.exception


def _manifest(path: Path) -> dict[str, Any]:
    return dict(json.loads(manifest_path(path).read_text(encoding="utf-8")))


def test_one_command_makes_the_set(
    weights: Path, people: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8, "BUDGET_NATS", 1.0)  # a network that never learned strays far
    labels, images = people
    words: list[object] = ["--model", weights, "--format", "onnx", "--format", "onnx-int8", "--out", tmp_path / "set"]
    words += ["--calibration", labels, images, "--revision", "abc123"]
    _run(*words)
    made = sorted(path.name for path in (tmp_path / "set").iterdir())
    assert made == ["tiny-int8.manifest.json", "tiny-int8.onnx", "tiny.manifest.json", "tiny.onnx"]
    for name in ("tiny.onnx", "tiny-int8.onnx"):
        path = tmp_path / "set" / name
        facts = _manifest(path)
        assert facts["sha256"] == sha256_of(path)
        assert facts["weights_sha256"] == sha256_of(weights)
        assert facts["accuracy"] == "not measured"
        assert facts["versions"]["onnx"] == onnx.__version__
        assert load_predictor(path, threads=1).metadata.revision == "abc123"
    plain, small = (_manifest(tmp_path / "set" / name) for name in ("tiny.onnx", "tiny-int8.onnx"))
    assert [a["crops"] for a in plain["agreement"]] == ["noise", f"{labels.parent.name}/labels.json"]
    assert plain["agreement"][1]["bins_within_one"] > 0.99
    assert small["details"]["run_on_this_cpu"]["QLinearConv"] > 50
    assert small["bytes"] < plain["bytes"] * 0.7

    with pytest.raises(BadFileError, match=r"tiny.onnx exists: choose another --out, or replace it with --overwrite"):
        _run(*words)


def test_all_files_or_none(
    weights: Path, people: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> Quantised:
        raise ModelError("refused")

    monkeypatch.setattr(pipeline, "quantise", refused)
    with pytest.raises(ModelError, match="refused"):
        export(ExportRequest(weights, tmp_path / "set", ("onnx", "onnx-int8"), calibration=Labelled(*people)))
    assert not (tmp_path / "set").exists()


@pytest.mark.slow
def test_accuracy_is_measured_and_an_over_quantised_file_refused(
    people: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, images = people
    request = ExportRequest(
        weights_path("unified"), tmp_path / "set", ("onnx", "onnx-int8"), measured=(Labelled(labels, images),)
    )

    def coarse(model: onnx.ModelProto, *_: object, **__: object) -> Quantised:
        broken = onnx.ModelProto()
        broken.CopyFrom(model)
        for tensor in broken.graph.initializer:
            value = onnx.numpy_helper.to_array(tensor)
            if value.ndim == 4:
                step = abs(value).max() / 2
                rounded = ((value / step).round() * step).astype(value.dtype)
                tensor.CopyFrom(onnx.numpy_helper.from_array(rounded, tensor.name))
        return Quantised(broken, (), 0.0, ())

    monkeypatch.setattr(pipeline, "quantise", coarse)
    with pytest.raises(ModelError, match=r"unified as onnx-int8 is refused: .* AP .* --max-drop allows 0.5"):
        export(request)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "onyx"], "No format 'onyx': choose of onnx, onnx-fp32, onnx-fp16"),
        (["--format", "onnx-int8"], "onnx-int8 is made with real people before it: give --calibration"),
        (["--format", "onnx", "--format", "onnx-fp16", "--calibration", "a", "b"], "2 formats do not fit into"),
        (["--with-preprocess", "video"], "No form 'video' of preprocessing: choose crop or picture"),
        (["--annotations", "a.json"], "1 --annotations and 0 --images"),
        (["--check", "luck"], "No check 'luck'"),
    ],
)
def test_what_cannot_be_is_one_sentence(weights: Path, tmp_path: Path, words: list[str], message: str) -> None:
    with pytest.raises(BadArgumentError, match=message):
        _run("--model", weights, "--out", tmp_path / "out.onnx", *words)
    assert not list(tmp_path.iterdir())


def test_names_and_endings(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(BadArgumentError, match=r"No weights 'nobody': give a .safetensors file"):
        _run("--model", "nobody", "--out", tmp_path / "out")
    with pytest.raises(BadArgumentError, match=r"end its name in .onnx"):
        _run("--model", weights, "--out", tmp_path / "out.engine")
    with pytest.raises(BadArgumentError, match="Give --out"):
        _run("--model", weights)


@pytest.mark.data
@pytest.mark.slow
def test_the_shipped_weights_keep_the_contract(shared: Path, tmp_path: Path) -> None:
    coco = shared / "data" / "coco"
    request = ExportRequest(
        weights_path("unified"),
        tmp_path,
        ("onnx", "onnx-fp32", "onnx-fp16", "onnx-int8", "onnx-int8-symmetric"),
        twin="picture",
        measured=(Labelled(coco / "test.json", coco / "test"),),
        calibration=Labelled(coco / "train.json", coco / "train"),
    )
    for path, manifest in export(request):
        assert path.is_file()
        assert manifest.accuracy == "not measured" or manifest.accuracy[0].drop <= 0.5
