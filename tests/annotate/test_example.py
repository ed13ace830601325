"""The bundled example: pictures from installed packages, labels that fit them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from poseunion.annotate.example import LABELS, example_dataset
from poseunion.models.errors import BadFileError, MissingExtraError, install_command
from poseunion.models.files import read_json
from poseunion.models.images import image_size, read_annotated_image
from poseunion.models.skeleton import load_skeleton


def test_labels_are_mpii16_and_lie_inside_their_pictures() -> None:
    data = read_json(LABELS)
    skeleton = load_skeleton("mpii16")
    assert data["categories"][0]["keypoints"] == list(skeleton.keypoints)
    links = [tuple(skeleton.keypoints[i - 1] for i in pair) for pair in data["categories"][0]["skeleton"]]
    assert {frozenset(link) for link in links} == {frozenset(link) for link in skeleton.links}
    images = {image["id"]: image for image in data["images"]}
    assert len(images) == len(data["annotations"]) == 3
    for person in data["annotations"]:
        image = images[person["image_id"]]
        points = np.reshape(person["keypoints"], (16, 3))
        labelled = points[:, 2] > 0
        assert set(np.unique(points[:, 2])) <= {0, 1, 2}
        assert (points[~labelled] == 0).all()
        assert person["num_keypoints"] == labelled.sum()
        x, y, width, height = person["bbox"]
        assert x >= 0
        assert y >= 0
        assert x + width <= image["width"]
        assert y + height <= image["height"]
        assert (points[labelled, :2] >= [x, y]).all()
        assert (points[labelled, :2] < [x + width, y + height]).all()


def test_thorax_is_the_midpoint_of_the_shoulders_as_in_mpii() -> None:
    skeleton = load_skeleton("mpii16")
    for person in read_json(LABELS)["annotations"]:
        points = np.reshape(person["keypoints"], (16, 3))
        left, right, thorax = (points[skeleton.index(k)] for k in ("left_shoulder", "right_shoulder", "thorax"))
        np.testing.assert_allclose(thorax[:2], (left + right)[:2] / 2, atol=0.5)
        assert thorax[2] == min(left[2], right[2])


def test_pictures_are_the_labelled_ones(tmp_path: Path) -> None:
    labels, folder = example_dataset(tmp_path / "new")
    assert labels == LABELS
    for record in read_json(labels)["images"]:
        size = (record["width"], record["height"])
        assert image_size(folder / record["file_name"]) == size
        assert read_annotated_image(folder / record["file_name"], size).shape == (size[1], size[0], 3)


def test_the_png_holds_the_packages_pixels(tmp_path: Path) -> None:
    data = pytest.importorskip("skimage.data")
    _, folder = example_dataset(tmp_path)
    np.testing.assert_array_equal(read_annotated_image(folder / "astronaut.png", (512, 512)), data.astronaut())
    np.testing.assert_array_equal(read_annotated_image(folder / "camera.png", (512, 512))[..., 0], data.camera())


def test_a_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    with pytest.raises(MissingExtraError, match=re.escape(install_command("example"))):
        example_dataset(tmp_path)


def test_another_picture_than_the_labelled_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = pytest.importorskip("skimage.data")
    monkeypatch.setattr(data, "astronaut", lambda: np.zeros((10, 20, 3), np.uint8))
    with pytest.raises(BadFileError, match=r"astronaut\.png has 20x10 pixels"):
        example_dataset(tmp_path)
    assert not list(tmp_path.iterdir())
