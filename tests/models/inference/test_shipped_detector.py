"""The detector that is shipped finds the people of the pictures that are shipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from poseunion.annotate.example import example_dataset
from poseunion.models.files import read_json
from poseunion.models.images import read_image
from poseunion.models.inference.detector import load_detector, shipped_detectors

pytest.importorskip("onnxruntime")
pytest.importorskip("skimage", reason="the pictures need scikit-image (extra `example`)")


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[:2] + a[2:], b[:2] + b[2:])
    common = np.clip(high - low, 0, None).prod()
    return float(common / (a[2:].prod() + b[2:].prod() - common))


def test_everybody_in_the_example_is_found_once(tmp_path: Path) -> None:
    labels, pictures = example_dataset(tmp_path)
    document, detect = read_json(labels), load_detector(threads=1)
    assert detect.name == "person"
    for picture in document["images"]:
        box, score = detect(read_image(pictures / picture["file_name"]))
        person = np.array([a["bbox"] for a in document["annotations"] if a["image_id"] == picture["id"]], np.float64)
        assert overlap(box[0], person[0]) > 0.6, picture["file_name"]
        assert sum(overlap(b, person[0]) > 0.5 for b in box) == 1
        assert (np.diff(score) <= 0).all()


def test_an_empty_room_is_empty() -> None:
    detect = load_detector(threads=1)
    for grey in (0, 114, 255):
        assert len(detect(np.full((240, 320, 3), grey, np.uint8))[0]) == 0


def test_it_is_small_and_says_what_it_is() -> None:
    assert "person" in shipped_detectors()
    detect = load_detector("person", threads=1)
    assert detect.path.stat().st_size < 6e6
    assert detect.description.licence
    assert "RTMDet-nano" in detect.description.source
