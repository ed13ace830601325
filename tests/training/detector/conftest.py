"""Pictures of bright rectangles: people, as far as a detector is concerned."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from poseunion.training.data.data_file import DatasetEntry
from poseunion.training.detector.pictures import read_pictures
from poseunion.training.detector.store import PictureStore, open_pictures

PICTURES = 8


@pytest.fixture(scope="session")
def rectangles(tmp_path_factory: pytest.TempPathFactory) -> DatasetEntry:
    """A data set whose people are white rectangles on black, two in a picture, one of them in a crowd's place."""
    folder = tmp_path_factory.mktemp("rectangles")
    rng = np.random.default_rng(3)
    images, annotations = [], []
    for i in range(PICTURES):
        picture = np.zeros((150, 200, 3), np.uint8)
        images.append({"id": i, "file_name": f"r{i}.png", "width": 200, "height": 150})
        for side in (0, 1):
            w, h = (int(v) for v in rng.integers([30, 50], [60, 100]))
            x, y = int(rng.integers(0, 95 - w)) + 100 * side, int(rng.integers(0, 150 - h))
            cv2.rectangle(picture, (x, y), (x + w - 1, y + h - 1), (255, 255, 255), -1)
            annotations.append(
                {"id": 2 * i + side, "image_id": i, "category_id": 1, "bbox": [x, y, w, h], "area": w * h, "iscrowd": 0}
                | {"keypoints": [x, y, 2] * 17, "num_keypoints": 17}
            )
        cv2.imwrite(str(folder / f"r{i}.png"), picture)
    category = {"id": 1, "name": "person"}
    document = {"images": images, "annotations": annotations, "categories": [category]}
    (folder / "coco.json").write_text(json.dumps(document))
    return DatasetEntry(name="rectangles", annotations=folder / "coco.json", images=folder, skeleton="coco17")


@pytest.fixture(scope="session")
def store(rectangles: DatasetEntry, tmp_path_factory: pytest.TempPathFactory) -> PictureStore:
    """The same, decoded."""
    return open_pictures("rectangles", read_pictures(rectangles), [], tmp_path_factory.mktemp("cache"))


@pytest.fixture
def data_file(rectangles: DatasetEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data file of this data set alone."""
    monkeypatch.setenv("POSEUNION_CACHE", str(tmp_path / "cache"))
    path: Path = tmp_path / "data.yaml"
    entry = f"{{name: r, annotations: {rectangles.annotations}, images: {rectangles.images}, skeleton: coco17}}"
    path.write_text(f"datasets: [{entry}]\n")
    return path
