"""The exported detector answers as the trained one, in the reader that everybody else uses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from shipped_manifests import detectors

from poseunion.export.detector import export_detector
from poseunion.models.errors import BadArgumentError, BadFileError, ModelError
from poseunion.models.inference.detector import OnnxDetector, load_detector
from poseunion.models.networks.person_detector import Head, PersonDetector, read_detector, save_detector
from poseunion.models.zoo import check_shipped, detector_catalogue, weights_path
from poseunion.training.detector.validate import describe, detect


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that says something everywhere: its head is random."""
    path: Path = tmp_path_factory.mktemp("detector") / "weights.safetensors"
    torch.manual_seed(1)
    network = PersonDetector()
    for head in network.heads:
        assert isinstance(head, Head)
        assert head.distances.bias is not None
        torch.nn.init.normal_(head.score.weight, std=2e3)  # an untrained network's maps hardly vary
        torch.nn.init.normal_(head.distances.bias, mean=2.0)
    save_detector(path, network.state_dict(), describe("random", 96, "a test"))
    return path


def test_onnx_equals_torch(weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "random.onnx"
    description = export_detector(weights, out, score_threshold=0.5, revision="abc")
    onnx = load_detector(out, threads=1)
    assert onnx.description == description
    assert (description.score_threshold, description.revision) == (0.5, "abc")
    network, same = read_detector(out)
    assert [path.name for path in tmp_path.iterdir()] == ["random.onnx"]
    assert same == description
    total = 0
    for seed, shape in enumerate([(96, 96), (50, 130), (300, 200)]):
        image = np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)
        (box, score), (wanted, theirs) = onnx(image), detect(network, image, description)
        np.testing.assert_allclose(box, wanted, atol=0.05)
        np.testing.assert_allclose(score, theirs, atol=1e-4)
        total += len(box)
    assert total > 10


def test_another_side_is_the_same_network(weights: Path, tmp_path: Path) -> None:
    export_detector(weights, tmp_path / "large.onnx", side=160)
    detector = OnnxDetector(tmp_path / "large.onnx", threads=1)
    assert detector.description.size_wh == (160, 160)
    assert detector(np.zeros((90, 160, 3), np.uint8))[0].shape[1] == 4


def test_what_cannot_be_written_is_one_sentence(weights: Path, tmp_path: Path) -> None:
    for out, side, says in (("a.bin", None, r"\.onnx"), ("a.onnx", 100, "multiple of 32")):
        with pytest.raises(BadArgumentError, match=says):
            export_detector(weights, tmp_path / out, side=side)
    (tmp_path / "there.onnx").write_text("")
    with pytest.raises(BadFileError, match="--overwrite"):
        export_detector(weights, tmp_path / "there.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["there.onnx"]
    with pytest.raises(ModelError, match="does not hold a person detector"):
        export_detector(weights_path("unified"), tmp_path / "pose.onnx")


def test_the_list_of_detectors_is_that_of_the_files() -> None:
    """If this fails: python benchmarks/maintenance/shipped_manifests.py."""
    assert detector_catalogue() == detectors()
    check_shipped(detector_catalogue())
    assert all(detector.licence and detector.accuracy for detector in detector_catalogue())
