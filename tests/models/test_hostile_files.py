"""Files that would hang, crash or fill memory: one sentence, at once."""

from __future__ import annotations

import json
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import onnx
import pytest

from poseunion.annotate.formats.yolo.yaml_file import load_yaml
from poseunion.models import files
from poseunion.models.conditioning.prior import load_prior
from poseunion.models.errors import BadFileError, ModelError, PoseUnionError, SkeletonError
from poseunion.models.files import atomic_folder, read_json, read_regular, read_toml, write_bytes
from poseunion.models.inference.detector import parse_description as parse_detector
from poseunion.models.inference.predictor import load_predictor
from poseunion.models.onnx_file import read_onnx
from poseunion.models.runtime import description as metadata
from poseunion.models.runtime.description import METADATA_KEY, parse_description
from poseunion.models.runtime.onnx import OnnxModel
from poseunion.models.runtime.write_calibration import stamp
from poseunion.models.skeleton import Skeleton
from poseunion.models.zoo import model_path
from poseunion.training.loop.checkpoint import load_checkpoint


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def test_a_fifo_never_hangs_and_a_device_is_refused(fifo: Path) -> None:
    for read in (read_json, read_toml, load_yaml, read_regular, read_onnx, load_checkpoint, load_prior):
        with pytest.raises(BadFileError, match="is a pipe"):
            read(fifo)
        with pytest.raises(BadFileError, match="is a device"):
            read(Path("/dev/zero"))


def test_outputs_go_through_a_link_and_into_no_device(fifo: Path, tmp_path: Path) -> None:
    real, link = tmp_path / "deeper" / "real", tmp_path / "link"
    link.symlink_to("deeper/real")
    for content in (b"first", b"second"):  # there is nothing yet, then something
        write_bytes(link, content)
        assert link.is_symlink()
        assert real.read_bytes() == content
    for path in (fifo, Path("/dev/null")):
        with pytest.raises(BadFileError, match=r"a pipe|a device"):
            write_bytes(path, b"x")
    assert fifo.is_fifo()
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("content", ["a = " + "[" * 5000, "a = " + "9" * 5000, "a = 1" + " " * 1_000_001])
def test_toml(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(content)
    with pytest.raises(BadFileError, match=r"a\.toml"):
        read_toml(tmp_path / "a.toml")


BOMB = "a: &a [x]\n" + "".join(f"b{i}: &a{i} [{', '.join([f'*a{i - 1 if i else str()}'] * 10)}]\n" for i in range(9))
ODD_YAML = ("a: " + "[" * 5000, "a: " + "9" * 5000, "a: 2024-99-99", "a: !!bool x", "a: !!int x", "{[]: 1}: 2", BOMB)


@pytest.mark.parametrize("content", ODD_YAML)
def test_yaml(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(BadFileError, match=r"a\.yaml"):
        load_yaml(tmp_path / "a.yaml")


def test_json_of_more_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert files.MOST_JSON_BYTES > 300_000_000  # the annotations of COCO's training set are of that size
    path = tmp_path / "a.json"
    path.write_text(json.dumps(["x" * 1000] * 3))
    monkeypatch.setattr(files, "MOST_JSON_BYTES", 2000)
    with pytest.raises(BadFileError, match=r"a\.json has 0\.0 MB, more than"):
        read_json(path)


def test_an_archive_that_would_unpack_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weight0.npy", bytes(3_000_000))
    with pytest.raises(BadFileError, match=r"is not a prior"):
        load_prior(path)
    monkeypatch.setattr(files.check_unpacked, "__defaults__", (1_000_000,))
    for read in (load_prior, load_checkpoint):
        with pytest.raises(BadFileError, match=r"bomb\.npz would unpack to 0\.0 GB"):
            read(path)


def test_a_folder_goes_through_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "deeper" / "real", tmp_path / "link"
    link.symlink_to("deeper/real")
    for overwrite in (False, True):  # there is nothing yet, then something
        with atomic_folder(link, overwrite=overwrite) as folder:
            (folder / "a").write_text(str(overwrite))
        assert link.is_symlink()
        assert (real / "a").read_text() == str(overwrite)
    with pytest.raises(BadFileError, match="--overwrite"), atomic_folder(link):
        pass
    assert {p.name for p in tmp_path.iterdir()} == {"deeper", "link"}


WRONG: list[tuple[str, Any]] = [
    *(("size_wh", value) for value in ([0, 256], [192, -1], [192, 10**9], [192], "big", [1.5, 2])),
    *(("std", value) for value in ([0, 1, 1], [1, 1, float("nan")], [-1, 1, 1], [1, 1, float("inf")])),
    *(("mean", value) for value in ([float("inf"), 0, 0], [1e30, 0, 0])),
    *(("padding", value) for value in (0, -1, 1e9, float("nan"), float("inf"))),
    *(("skeleton", value) for value in ("", "nothing", "/dev/zero", "../../etc/passwd", "a\0b")),
    *(("keypoints", value) for value in ([], ["nose", "nose"], ["left_eye"], ["x"])),
    ("score_threshold", float("nan")),
    ("calibration", {}),
    ("head", {"kind": "simcc", "split": 1e30}),
    ("head", {"kind": "simcc", "split": float("inf")}),
    ("head", {"kind": "simcc", "sigma_bins": [0, 1]}),
    ("head", {"kind": "heatmap", "output": "x", "size_wh": [0, 0], "alignment": "classic"}),
    ("head", {"kind": "heatmap", "output": "x", "size_wh": [48, 64], "alignment": "classic", "blur_px": float("nan")}),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_a_description_with_a_value_that_cannot_be(field: str, value: Any) -> None:
    described = {"name": "x", "skeleton": "coco17", "size_wh": [192, 256], "head": {"kind": "simcc"}}
    assert parse_description(described, "m").name == "x"
    for given in ({**described, field: value}, json.dumps({**described, field: value})):
        with pytest.raises(PoseUnionError):
            parse_description(given, "m.onnx")


@pytest.mark.parametrize(("field", "value"), [*WRONG[:13], ("head", {"kind": "yolox", "strides": [0]})])
def test_a_detector_description_with_a_value_that_cannot_be(field: str, value: Any) -> None:
    described = {"name": "x", "size_wh": [320, 320], "head": {"kind": "yolox"}}
    assert parse_detector(described, "m").name == "x"
    with pytest.raises(ModelError, match=r"m\.onnx"):
        parse_detector({**described, field: value}, "m.onnx")


def test_a_skeleton_of_infinite_sigma() -> None:
    with pytest.raises(SkeletonError, match="one positive sigma"):
        Skeleton("x", ("nose",), (), (float("inf"),))


@pytest.mark.parametrize("text", ["[" * 100_000, "{" * 10, "x", '{"name":' + "9" * 5000 + "}", " " * 4_000_001])
def test_metadata_of_an_onnx_file(text: str, tmp_path: Path) -> None:
    model = onnx.load(str(model_path("unified-64")))
    next(e for e in model.metadata_props if e.key == METADATA_KEY).value = text
    onnx.save(model, str(tmp_path / "m.onnx"))
    with pytest.raises(ModelError, match=r"m\.onnx"):
        OnnxModel(tmp_path / "m.onnx")
    assert len(text) <= metadata.MOST_DESCRIPTION_CHARS + 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 50) + b"{}",
        *(
            struct.pack("<Q", len(head)) + head
            for head in (b"[]", b"1", b"[" * 100_000, b'{"__metadata__": 1}', b'{"__metadata__": {"poseunion": "["}}')
        ),
    ],
)
def test_the_head_of_a_safetensors_file(content: bytes, tmp_path: Path) -> None:
    path, out = tmp_path / "w.safetensors", tmp_path / "out.safetensors"
    path.write_bytes(content)
    description = load_predictor("unified-64").metadata
    assert description.calibration is not None
    with pytest.raises(PoseUnionError, match=r"w\.safetensors"):
        stamp(path, out, description.calibration, description)
    assert not out.exists()
