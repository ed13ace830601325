"""Our files run in rtmlib as they are, and the predictor says the same. Pictures are given to rtmlib as RGB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.cbook import get_sample_data
from numpy.typing import NDArray
from skimage import data
from speed_arms import RtmlibPredictor

from poseunion.models.codec.crop import affine_to_crop, apply_affine, crop_from_box
from poseunion.models.codec.heads import SimccOutput
from poseunion.models.errors import ModelError
from poseunion.models.images import read_image
from poseunion.models.inference.predictor import Predictor, load_predictor
from poseunion.models.runtime.onnx import OnnxModel
from poseunion.models.zoo import model_path, shipped_models
from poseunion.training.evaluation.evaluate import measure, read_task

pytest.importorskip("rtmlib")

STUDENTS = [name for name in shipped_models() if "-" not in name]  # the fp32 files of full resolution


def pictures() -> list[NDArray[np.uint8]]:
    grey = data.camera()
    portrait = read_image(get_sample_data("grace_hopper.jpg", asfileobj=False))
    return [data.astronaut(), np.repeat(grey[..., None], 3, 2), portrait]


def boxes_in(image: NDArray[np.uint8], number: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Boxes of all sizes and shapes, some of them over the picture's edge."""
    height, width = image.shape[:2]
    extent = rng.uniform(0.1, 0.9, (number, 2)) * [width, height]
    return np.concatenate([rng.uniform(-0.1, 1, (number, 2)) * ([width, height] - 0.8 * extent), extent], 1)


def bins(predictor: Predictor, image: NDArray[np.uint8], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, K, 2) bins of the predictor's answers."""
    xy_NK2 = predictor(image, boxes).xy
    affines = [affine_to_crop(crop_from_box(box, predictor.size_wh, predictor.padding)) for box in boxes]
    assert isinstance(predictor.metadata.head, SimccOutput)
    return (
        np.stack([apply_affine(xy, a) for xy, a in zip(xy_NK2, affines, strict=True)]) * predictor.metadata.head.split
    )


@pytest.mark.parametrize("name", STUDENTS)
def test_rtmlib_and_the_plain_predictor_find_the_same_bins(name: str) -> None:
    ours = load_predictor(name, threads=1, antialias=False, refine=False)
    theirs = RtmlibPredictor(ours)
    rng = np.random.default_rng(0)
    distance = []
    for image in pictures():
        boxes = boxes_in(image, 25, rng)
        a, b = bins(ours, image, boxes), bins(theirs, image, boxes)
        np.testing.assert_allclose(a, np.round(a), atol=0.02)
        a, b = np.round(a).astype(int), np.round(b).astype(int)
        distance.append(np.abs(a - b).ravel())
        # A float32 matrix here and float64 normalisation there: two peaks of one height may change places.
        logits = ours.outputs(np.stack([ours.cut(image, box)[0] for box in boxes]))
        for person, keypoint, axis in np.argwhere(np.abs(a - b) > 1):
            line = logits[axis][person, keypoint]
            assert line[a[person, keypoint, axis]] - line[b[person, keypoint, axis]] < 1e-3
    # On boxes of all shapes, most of them without a person, where maxima are flat.
    assert (np.concatenate(distance) == 0).mean() >= 0.99


@pytest.mark.data
@pytest.mark.parametrize("name", STUDENTS)
def test_the_default_predictor_is_no_worse_than_rtmlib(name: str, shared: Path) -> None:
    task = read_task(shared / "data" / "coco" / "test.json", shared / "data" / "coco" / "test")
    ours = load_predictor(name, threads=1)
    ap_ours, ap_theirs = (measure(p, task).scores["coco"]["AP"] for p in (ours, RtmlibPredictor(ours)))
    assert ap_ours >= ap_theirs - 0.3


def test_what_rtmlib_would_run_wrongly_is_refused() -> None:
    model = OnnxModel(model_path("unified"), threads=1)
    model.description = model.description.model_copy(update={"padding": 1.5})
    with pytest.raises(ModelError, match="rtmlib cannot run"):
        RtmlibPredictor(Predictor(model))
