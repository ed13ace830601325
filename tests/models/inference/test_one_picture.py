"""A predictor called on a picture as a caller in Python has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from poseunion.models import BadArgumentError, ItemError, Predictor, load_predictor

skimage_data = pytest.importorskip("skimage.data")


@pytest.fixture(scope="module")
def predict() -> Predictor:
    return load_predictor("unified-64", threads=1)


@pytest.fixture(scope="module")
def astronaut() -> NDArray[np.uint8]:
    image: NDArray[np.uint8] = skimage_data.astronaut()
    return image


def test_people_are_found_without_boxes(predict: Predictor, astronaut: NDArray[np.uint8]) -> None:
    people = predict(astronaut)
    assert people.image is not None
    np.testing.assert_array_equal(people.image, astronaut)
    x, y, w, h = people[0].box_xywh
    assert x < 224 < x + w  # the face
    assert y < 120 < y + h
    assert people[0]["head_top"].y < people[0]["nose"].y < people[0]["upper_neck"].y


def test_a_file_an_image_and_an_array_are_the_same(
    predict: Predictor, astronaut: NDArray[np.uint8], tmp_path: Path
) -> None:
    file = tmp_path / "astronaut.png"
    Image.fromarray(astronaut).save(file)
    box = [[0, 0, 400, 500]]
    expected = predict(astronaut, box)
    for picture in (file, str(file), Image.fromarray(astronaut), astronaut / np.float32(255)):
        np.testing.assert_array_equal(predict(picture, box).xy, expected.xy)


def test_what_is_no_picture_is_refused(predict: Predictor, astronaut: NDArray[np.uint8], tmp_path: Path) -> None:
    with pytest.raises(ItemError, match="does not exist"):
        predict(tmp_path / "none.jpg")
    with pytest.raises(BadArgumentError, match="from 0 to 255"):
        predict(astronaut.astype(np.float32))
    with pytest.raises(BadArgumentError, match="give their boxes"):
        predict(astronaut, labels_NK3=np.zeros((1, 21, 3)))


def test_no_people_is_an_empty_batch(predict: Predictor) -> None:
    people = predict(np.full((96, 128, 3), 127, np.uint8))
    assert len(people) == 0
    assert repr(people) == "PoseBatch(0 people, union21: 21 keypoints)"
