"""Small networks and labelled people that need no data folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from poseunion.models.codec.heads import SimccOutput
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.images import read_image
from poseunion.models.inference.predictor import load_predictor
from poseunion.models.networks.build import build_network
from poseunion.models.networks.equivariant import EquivariantSimcc
from poseunion.models.networks.weights import NetworkSpec, save_weights
from poseunion.models.runtime.description import ModelDescription
from poseunion.models.skeleton import load_skeleton

# Square, so that shapes do not tell the axes apart.
SIZE_WH = (64, 64)
BOXES_A_PICTURE = 12


def small_weights(path: Path, network: str = "equivariant", backbone: str = "efficientnet_lite0") -> Path:
    """An untrained network whose answers are nevertheless sure of themselves, as a weights file."""
    torch.manual_seed(0)
    grid = SimccGrid.for_bins(SIZE_WH, (128, 128))
    built = build_network(network, backbone, 21, grid)
    if isinstance(built, EquivariantSimcc):
        with torch.no_grad():
            built.heatmap.weight *= 20
    head = SimccOutput(split=grid.split, sigma_bins=grid.sigma_bins)
    description = ModelDescription(name="tiny", skeleton="union21", size_wh=SIZE_WH, head=head)
    save_weights(path, built.state_dict(), NetworkSpec(network=network, backbone=backbone), description)
    return path


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_weights(tmp_path_factory.mktemp("weights") / "weights.safetensors")


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A COCO file of 36 boxes on three pictures, labelled by the shipped student itself, and the pictures' folder."""
    from poseunion.annotate.example import example_dataset

    folder = tmp_path_factory.mktemp("people")
    labels, images = example_dataset(folder / "images")
    predictor, skeleton = load_predictor("unified", threads=1), load_skeleton("coco17")
    order = [predictor.skeleton.index(name) for name in skeleton.keypoints]
    document = json.loads(labels.read_text(encoding="utf-8"))
    rng = np.random.default_rng(0)
    found: list[dict[str, object]] = []
    for record, labelled in zip(document["images"], document["annotations"], strict=True):
        x, y, w, h = labelled["bbox"]
        moved = rng.uniform(-0.1, 0.1, (BOXES_A_PICTURE, 2)) * [w, h] + [x, y]
        boxes = np.concatenate([moved, np.tile([w, h], (BOXES_A_PICTURE, 1))], 1)
        poses = predictor(read_image(images / record["file_name"]), boxes)
        for box, xy in zip(boxes, poses.xy[:, order], strict=True):
            keypoints = np.column_stack([xy, np.full(len(order), 2)]).ravel().tolist()
            found.append(
                {
                    "id": len(found) + 1,
                    "image_id": record["id"],
                    "category_id": 1,
                    "bbox": box.tolist(),
                    "area": w * h / 2,
                    "iscrowd": 0,
                    "keypoints": keypoints,
                    "num_keypoints": len(order),
                }
            )
    document["annotations"] = found
    document["categories"] = [{"id": 1, "name": "person", "keypoints": list(skeleton.keypoints), "skeleton": []}]
    (folder / "labels.json").write_text(json.dumps(document), encoding="utf-8")
    return folder / "labels.json", images
