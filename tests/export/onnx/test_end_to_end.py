"""The twin gives what `Predictor` gives, from pixels and boxes alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from poseunion.export.calibration_crops import read_crops
from poseunion.export.onnx.end_to_end import FORMS, Form, ImageToKeypoints, twin_graph
from poseunion.export.onnx.end_to_end_check import check_twin
from poseunion.export.onnx.graph_export import network_graph
from poseunion.export.torch_model import TorchModel
from poseunion.models.calibration.schema import (
    EXPECTED_FEATURES,
    PICTURE_FEATURES,
    Calibration,
    KeypointLogistic,
    RiskCoverage,
)
from poseunion.models.codec.crop import ANTIALIAS_FROM, crop_from_box, cut_crop
from poseunion.models.errors import ModelError
from poseunion.models.runtime.description import METADATA_KEY, ModelDescription
from poseunion.models.runtime.onnx import CPU, OnnxModel, open_session


def _calibrated(description: ModelDescription, features: tuple[str, ...]) -> ModelDescription:
    names = description.resolved_skeleton.keypoints
    weights = np.random.default_rng(0).normal(size=(len(names), 4)).round(3)
    nobody = RiskCoverage(people=0, absent=0, threshold=(), accepted=(), wrong=(), expected=())
    part = KeypointLogistic(
        features=features, weights=tuple(map(tuple, weights.tolist())), ladders=(nobody,) * len(names)
    )
    calibration = Calibration(
        keypoints=names, size_bounds=(0.3, 3.0), people="nobody", guarantee_people="nobody", picture=part
    )
    return description.model_copy(update={"calibration": calibration})


@pytest.fixture(scope="module")
def trained(weights: Path) -> TorchModel:
    model = TorchModel(weights)
    model.description = _calibrated(model.description, EXPECTED_FEATURES)
    return model


@pytest.fixture(scope="module")
def plain(trained: TorchModel, tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    path = tmp_path_factory.mktemp("plain") / "plain.onnx"
    onnx.save(network_graph(trained.network, trained.description), path)
    return OnnxModel(path, threads=1)


@pytest.mark.parametrize("form", FORMS)
def test_the_twin_is_the_predictor(
    trained: TorchModel, plain: OnnxModel, people: tuple[Path, Path], tmp_path: Path, form: Form
) -> None:
    model = twin_graph(trained.network, trained.description, form)
    assert {p.key for p in model.metadata_props} == {METADATA_KEY, "preprocess"}
    onnx.save(model, tmp_path / "twin.onnx")
    # Labelled pictures, and generated ones with 1, 2 and 7 people, across borders and shrunk up to ten times.
    for labelled in ([people], []):
        facts = check_twin(tmp_path / "twin.onnx", form, plain, labelled)
        if form == "crop":
            assert facts["p95_crop_px"] < 0.01
            assert facts["p95_confidence_difference"] < 1e-3


def test_confidences_may_rest_on_raw_scores(trained: TorchModel, tmp_path: Path) -> None:
    description = _calibrated(trained.description, PICTURE_FEATURES)
    onnx.save(network_graph(trained.network, description), tmp_path / "plain.onnx")
    onnx.save(twin_graph(trained.network, description, "crop"), tmp_path / "twin.onnx")
    facts = check_twin(tmp_path / "twin.onnx", "crop", OnnxModel(tmp_path / "plain.onnx", threads=1), [])
    assert facts["p95_confidence_difference"] < 1e-3


def test_another_network_s_twin_is_refused(trained: TorchModel, plain: OnnxModel, tmp_path: Path) -> None:
    other = trained.description.model_copy(update={"padding": 1.6})
    onnx.save(twin_graph(trained.network, other, "picture"), tmp_path / "twin.onnx")
    with pytest.raises(ModelError, match="crop pixels from the predictor's"):
        check_twin(tmp_path / "twin.onnx", "picture", plain, [])


@pytest.mark.parametrize("shrink", [0.4, 1.0, 1.5, 2.5, 5.0, 11.0])
def test_pixels_are_those_of_cut_crop(trained: TorchModel, shrink: float) -> None:
    """Up to rounding where the picture is read as it is; where it is halved, up to where halving begins."""
    width, height = trained.description.size_wh
    side = int(width * shrink * 1.2)
    rows, columns = np.mgrid[:side, : side + 7] / shrink
    waves = [np.sin(columns / 9) * np.cos(rows / 7), np.sin((columns + rows) / 11), np.cos((columns - rows) / 13)]
    picture = (127.5 + 120 * np.stack(waves, -1)).astype(np.uint8)
    box = np.array([side * 0.2, side * 0.1, width * shrink / 1.25, height * shrink / 1.25])
    region = crop_from_box(box, trained.description.size_wh)
    assert abs(region.image_px_per_crop_px - shrink) < 1e-6
    expected = cut_crop(picture, region).astype(float)

    twin = ImageToKeypoints(trained.network, trained.description)
    scale = torch.tensor([shrink], dtype=torch.float32)
    center = torch.tensor(region.center_xy, dtype=torch.float32)
    xy = center + twin.from_middle_HW2[None] * scale[:, None, None, None]
    got = twin._sampled(torch.from_numpy(picture), xy, scale)[0].numpy()
    difference = np.abs(got - expected)
    # At the picture's edge a block of the halved picture reaches beyond it by one pixel or not at all.
    inner = difference[2:-2, 2:-2] if shrink <= ANTIALIAS_FROM else difference[8:-8, 8:-8]
    assert inner.max() <= (3 if shrink <= ANTIALIAS_FROM else 8)
    assert difference.mean() < 2


def test_pictures_too_small_to_halve_are_read(trained: TorchModel, tmp_path: Path) -> None:
    onnx.save(twin_graph(trained.network, trained.description, "picture"), tmp_path / "twin.onnx")
    session = open_session(tmp_path / "twin.onnx", [CPU], threads=1)
    for side in (1, 2, 5):
        picture = np.full((side, side, 3), 200, np.uint8)
        boxes = np.array([[0, 0, side, side], [-300, -300, 700, 700]], np.float32)
        xy, confidence = session.run(None, {"image": picture, "boxes_xywh": boxes})
        assert np.isfinite(xy).all()
        assert ((confidence >= 0) & (confidence <= 1)).all()


def test_crops_are_spread_over_the_file(people: tuple[Path, Path], trained: TorchModel) -> None:
    few = read_crops(*people, trained.description, 3)
    assert few.pixels.shape == (3, 64, 64, 3)
    assert len({region.center_xy for region in few.regions}) == 3
    assert len(read_crops(*people, trained.description, 1000)) == 36
