"""Models of the Hub through the real huggingface_hub: folders, its cache, and a server on this machine."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import poseunion.models.hub
from poseunion.models.errors import BadArgumentError, BadFileError, MissingExtraError
from poseunion.models.hub_files import HUB_MANIFEST
from poseunion.models.inference.predictor import load_predictor
from poseunion.models.runtime.onnx import OnnxModel
from poseunion.models.zoo import model_path, shipped_catalogue

huggingface_hub = pytest.importorskip("huggingface_hub")
pytest.importorskip("onnxruntime")
HubPredictor: Any = pytest.importorskip("poseunion.models.hub.predictor").HubPredictor

NAME = "unified-32"  # the smallest
COMMIT = "0123456789abcdef0123456789abcdef01234567"
IMAGE = np.random.default_rng(1).integers(0, 255, (80, 60, 3), np.uint8)
BOX = [[5, 5, 40, 70]]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a shipped model."""
    folder = tmp_path_factory.mktemp("saved")
    HubPredictor(NAME).save_pretrained(folder)
    return folder


@pytest.fixture
def cached(saved: Path, cache: Path) -> Path:
    """The same in the cache, as if branch main had been fetched."""
    repository = cache / "models--owner--name"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    for number, path in enumerate(sorted(saved.iterdir())):
        blob = repository / "blobs" / str(number)
        blob.write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(Path("../../blobs") / str(number))
    found = huggingface_hub.scan_cache_dir(cache)
    assert not found.warnings
    assert [repo.repo_id for repo in found.repos] == ["owner/name"]
    return snapshot


def test_folder_and_back(saved: Path) -> None:
    names = {path.name for path in saved.iterdir()}
    assert names == {"README.md", "LICENSE", "NOTICE", HUB_MANIFEST, f"{NAME}.onnx", f"{NAME}.evidence.json"}
    back = HubPredictor.from_pretrained(saved, flip=True)
    assert back.flip
    np.testing.assert_array_equal(back(IMAGE, BOX).xy, load_predictor(NAME, flip=True)(IMAGE, BOX).xy)


def test_card_has_the_measured_accuracy(saved: Path) -> None:
    card = huggingface_hub.ModelCard.load(saved / "README.md")
    data = card.data
    assert (data.library_name, data.pipeline_tag, data.model_name) == ("poseunion", "keypoint-detection", NAME)
    found: dict[str, dict[str, float]] = {}
    for result in data.eval_results:
        found.setdefault(result.dataset_name, {})[result.metric_type] = result.metric_value
    shipped = next(model for model in shipped_catalogue() if model.name == NAME)
    assert found == shipped.accuracy
    assert shipped.licence in card.text
    assert "](../" not in card.text


def test_network_of_a_user_has_the_accuracy_of_its_export(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(model_path(NAME)))
    model.doc_string = "another file"
    path = tmp_path / "mine.onnx"
    onnx.save(model, str(path))
    assert HubPredictor(path).manifest.accuracy == {}
    row = {"file": "val.json", "people": 3, "measure": "AP", "trained": 51.0, "exported": 50.96}
    manifest = {"sha256": HubPredictor(path).sha256, "accuracy": [row]}
    path.with_suffix(".manifest.json").write_text(json.dumps(manifest))
    assert HubPredictor(path).manifest.accuracy == {"val.json": {"AP": 51.0}}
    path.with_suffix(".manifest.json").write_text(json.dumps(manifest | {"sha256": "0"}))
    assert HubPredictor(path).manifest.accuracy == {}


def test_description_beside_the_file_goes_with_it(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model, shipped = onnx.load(str(model_path(NAME))), load_predictor(NAME).metadata
    del model.metadata_props[:]
    path = tmp_path / "mine.onnx"
    onnx.save(model, str(path))
    grid = shipped.grid
    path.with_suffix(".toml").write_text(
        f'name = "my net: 32"\nskeleton = "union21"\nsize_wh = [32, 32]\n[head]\nkind = "simcc"\nsplit = {grid.split}\n'
        f"sigma_bins = {list(grid.sigma_bins)}\n"
    )
    HubPredictor(path).save_pretrained(tmp_path / "saved")
    back = HubPredictor.from_pretrained(tmp_path / "saved")
    assert (back.model.path.name, back.name) == ("my-net-32.onnx", "my net: 32")
    other = OnnxModel(path, shipped)
    with pytest.raises(BadArgumentError, match=r"mine.onnx has another description: .*mine.toml"):
        HubPredictor(other).save_pretrained(tmp_path / "other")


@pytest.mark.parametrize("reference", ["hf://owner/name", "hf://owner/name@main", f"hf://owner/name@{COMMIT}"])
def test_cache_is_read_without_a_network(cached: Path, reference: str) -> None:
    predict = load_predictor(reference)
    assert predict.model.path == cached / f"{NAME}.onnx"
    np.testing.assert_array_equal(predict(IMAGE, BOX).xy, load_predictor(NAME)(IMAGE, BOX).xy)
    assert HubPredictor.from_pretrained("owner/name", local_files_only=True).sha256 == predict.sha256


def test_what_is_not_cached_is_one_sentence(cached: Path) -> None:
    for reference, sentence in (
        ("hf://owner/other", "owner/other has no config.json in the local cache"),
        ("hf://owner/name@v2", "owner/name@v2 has no config.json in the local cache"),
    ):
        with pytest.raises(BadFileError, match=sentence):
            load_predictor(reference)
    for reference in ("hf://name", "hf://owner/name@", "hf://a/b/c", "hf://owner--x/name"):
        with pytest.raises(BadArgumentError, match=r"give (hf://)?owner/name"):
            load_predictor(reference)


def test_changed_file_is_refused(cached: Path) -> None:
    path = cached / f"{NAME}.evidence.json"
    path.resolve().write_bytes(path.read_bytes() + b" ")
    with pytest.raises(BadFileError, match=r"evidence.json is not the file that config.json names \(SHA-256\)"):
        load_predictor("hf://owner/name")


@pytest.mark.parametrize(
    "change",
    [{"files": {"../x.onnx": "0"}}, {"files": {"x.onnx": "0"}}, {"library": "timm"}, {"architectures": ["VitPose"]}],
)
def test_manifest_of_another_library_is_refused(cached: Path, change: dict[str, Any]) -> None:
    path = (cached / HUB_MANIFEST).resolve()
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BadFileError, match="not the manifest of a poseunion model"):
        load_predictor("hf://owner/name")


def test_published_in_one_commit(hub: Any, saved: Path) -> None:
    commit = HubPredictor(NAME).push_to_hub("owner/name", private=True, token="hf_none")
    assert commit.oid == COMMIT
    assert hub.repository["visibility"] == "private"
    assert set(hub.files) == {path.name for path in saved.iterdir()}
    for name in (HUB_MANIFEST, f"{NAME}.onnx", f"{NAME}.evidence.json", "NOTICE"):
        assert hub.files[name] == (saved / name).read_bytes()
    assert b'load_predictor("hf://owner/name")' in hub.files["README.md"]


def test_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for use in (lambda: load_predictor("hf://owner/name"), lambda: importlib.reload(poseunion.models.hub)):
        with pytest.raises(MissingExtraError, match=r"^This needs huggingface_hub.*pip install '\.\[hub\]'"):
            use()
