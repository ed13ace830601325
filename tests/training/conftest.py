"""A tiny data set of drawn people: enough for every part of training to have something real to chew on."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from poseunion.models.skeleton import load_skeleton
from poseunion.training.data.crop_store import open_store
from poseunion.training.data.data_file import DatasetEntry
from poseunion.training.data.read_people import read_people
from poseunion.training.loop.batch import LabelledStore
from poseunion.training.loop.prepare import Prepared

PEOPLE = 12


@pytest.fixture(scope="session")
def drawn_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with `coco.json` (COCO-17) and `lsp.json` (LSP-14) over pictures whose keypoints are bright dots."""
    return draw_dataset(tmp_path_factory.mktemp("drawn"))


def draw_dataset(folder: Path) -> Path:
    """See `drawn_dataset`."""
    rng = np.random.default_rng(5)
    for name in ("coco17", "lsp14"):
        skeleton = load_skeleton(name)
        images, annotations = [], []
        for i in range(PEOPLE):
            picture = np.full((200, 160, 3), 40, np.uint8)
            xy = rng.uniform([30, 30], [130, 170], (len(skeleton), 2)).round(1)
            for x, y in xy:
                cv2.circle(picture, (round(x), round(y)), 2, (255, 255, 255), -1)
            file_name = f"{name}-{i}.png"
            cv2.imwrite(str(folder / file_name), picture)
            keypoints = np.column_stack([xy, np.full(len(xy), 2)]).ravel().tolist()
            images.append({"id": i, "file_name": file_name, "width": 160, "height": 200})
            annotations.append(
                {"id": i, "image_id": i, "category_id": 1, "bbox": [20, 20, 120, 160], "area": 9000.0, "iscrowd": 0}
                | {"keypoints": keypoints, "num_keypoints": len(xy)}
            )
        names = list(skeleton.keypoints)
        category = {"id": 1, "name": "person", "keypoints": names, "skeleton": []}
        content = {"images": images, "annotations": annotations, "categories": [category]}
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="session")
def prepared(drawn_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Both drawn data sets, ready to be trained on, without teachers."""
    return prepare(drawn_dataset, tmp_path_factory.mktemp("prepared"))


def prepare(drawn_dataset: Path, cache: Path) -> Prepared:
    """See `prepared`."""
    union = load_skeleton("union21")
    result = []
    for name in ("coco17", "lsp14"):
        entry = DatasetEntry(name=name, annotations=drawn_dataset / f"{name}.json", images=drawn_dataset)
        store = open_store(name, read_people(entry, union), union, cache)
        result.append(LabelledStore(store, store.xy, store.weight, np.arange(len(store)), 1.0))
    return Prepared(result, [], [])
