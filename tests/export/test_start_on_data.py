"""The published file itself, on the research data: heatmaps as onnxruntime has them, and the accuracy they had."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from poseunion.export.start_from_onnx import convert_start
from poseunion.export.starts.lite_hrnet import HEATMAP_GAIN
from poseunion.models.inference.predictor import load_predictor
from poseunion.models.networks.lite_hrnet_simcc import PUBLISHED
from poseunion.models.networks.person_detector import STRIDES, read_detector
from poseunion.models.networks.weights import load_network
from poseunion.training.evaluation.evaluate import evaluate

pytestmark = pytest.mark.data


@pytest.fixture(scope="module", params=["tinypose-256x192", "tinypose-2022-256x192"])
def published(request: pytest.FixtureRequest, shared: Path) -> Path:
    return shared / "teachers" / f"{request.param}.onnx"


def test_heatmaps_equal_the_published_network_s(published: Path, tmp_path: Path) -> None:
    convert_start(published, tmp_path / "start")
    network, _ = load_network(tmp_path / "start.safetensors")
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 3, 256, 192)).astype(np.float32))
    with torch.no_grad():
        got = network.heatmap_logits(image)[:, :PUBLISHED] / HEATMAP_GAIN  # type: ignore[operator]
    session = onnxruntime.InferenceSession(str(published), providers=["CPUExecutionProvider"])
    (want,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    np.testing.assert_allclose(got.numpy(), want, rtol=0, atol=1e-4)


def test_untrained_it_has_the_published_accuracy(shared: Path, tmp_path: Path) -> None:
    """AP 67.1 by SimCC marginals, 66.9 by its heatmaps: another alignment costs points."""
    convert_start(shared / "teachers" / "tinypose-256x192.onnx", tmp_path / "start")
    predictor = load_predictor(tmp_path / "start.onnx", flip=True, threads=1)
    coco = shared / "data" / "coco"
    scores = evaluate(predictor, coco / "test.json", coco / "test")
    assert scores["people"] == 360
    assert scores["coco"]["AP"] >= 66.0


def test_boxes_equal_the_published_detector_s(shared: Path, tmp_path: Path) -> None:
    published = shared / "teachers" / "rtmdet-nano.onnx"
    convert_start(published, tmp_path / "start")
    network, _ = read_detector(tmp_path / "start.safetensors")
    image = np.random.default_rng(0).normal(size=(1, 3, 320, 320)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(published), providers=["CPUExecutionProvider"])
    wanted = session.run(None, {"image": image[:, ::-1].copy()})
    with torch.no_grad():
        got = network(torch.from_numpy(image))
    for want, own, stride in zip(wanted, got, STRIDES, strict=True):
        np.testing.assert_allclose(own.numpy(), want.reshape(own.shape), rtol=0, atol=1e-3 * stride)
