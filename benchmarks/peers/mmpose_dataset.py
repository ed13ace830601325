"""Read a released dataset with mmpose 1.3.2 as it is, and train RTMPose-t on it for some iterations.

    FOLDER/bin/python benchmarks/peers/mmpose_dataset.py RELEASE PICTURES [--iterations 3]

Runs in setup_mmpose.sh's environment. Prints one JSON object: what `parse_pose_metainfo` and `CocoDataset` find, and
the losses. The metainfo is the release's own `mmpose_metainfo.py`; network, codec, pipeline and loss are those of
mmpose's configuration.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import mmpose_goldens  # stands in for mmcv's compiled operators, registers CSPNeXt
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmpose.datasets.datasets import CocoDataset
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.models import build_pose_estimator
from mmpose.registry import TRANSFORMS

CONFIG = mmpose_goldens.RTMPOSE / "coco" / "rtmpose-t_8xb256-420e_coco-256x192.py"
BATCH = 4


def dataset_of(release: Path, pictures: Path) -> CocoDataset:
    """The released people, top-down."""
    return CocoDataset(
        ann_file=str(release / "annotations.json"),
        data_prefix={"img": f"{pictures}/"},
        data_mode="topdown",
        metainfo={"from_file": str(release / "mmpose_metainfo.py")},
        pipeline=[],
    )


def found_in(dataset: CocoDataset) -> dict[str, Any]:
    """Counts of what mmpose read."""
    people = [dataset.get_data_info(i) for i in range(len(dataset))]
    return {
        "people": len(people),
        "pictures": len({person["img_path"] for person in people}),
        "keypoints": int(sum((person["keypoints_visible"] > 0).sum() for person in people)),
        "names": list(dataset.metainfo["keypoint_id2name"].values()),
        "flip_indices": list(map(int, dataset.metainfo["flip_indices"])),
        "links": len(dataset.metainfo["skeleton_links"]),
        "sigmas": [round(float(sigma), 4) for sigma in dataset.metainfo["sigmas"]],
    }


def train(dataset: CocoDataset, iterations: int) -> list[float]:
    """Losses of a network of the released keypoints, from random weights."""
    made = Config.fromfile(CONFIG)
    made.model.backbone.norm_cfg = {"type": "BN"}  # SyncBN computes the same, but wants a process group
    made.model.backbone.init_cfg = None
    made.model.head.out_channels = len(dataset.metainfo["keypoint_id2name"])
    network = build_pose_estimator(made.model).train()
    steps = [TRANSFORMS.build(step) for step in made.train_pipeline if step.type != "Albumentation"]
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3)
    losses = []
    for iteration in range(iterations):
        batch = []
        for position in range(iteration * BATCH, (iteration + 1) * BATCH):
            person = dataset.get_data_info(position % len(dataset))
            person |= {key: dataset.metainfo[key] for key in ("flip_indices", "upper_body_ids", "lower_body_ids")}
            for step in steps:
                person = step(person)
            batch.append(person)
        found = network.loss(**network.data_preprocessor(pseudo_collate(batch), training=True))
        optimizer.zero_grad()
        found["loss_kpt"].backward()
        optimizer.step()
        losses.append(round(found["loss_kpt"].item(), 4))
    return losses


def main() -> None:
    """Read, train, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("release", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--iterations", type=int, default=3)
    options = parser.parse_args()
    with DefaultScope.overwrite_default_scope("mmpose"):
        parse_pose_metainfo({"from_file": str(options.release / "mmpose_metainfo.py")})
        dataset = dataset_of(options.release, options.pictures)
        print(json.dumps({**found_in(dataset), "losses": train(dataset, options.iterations)}))


if __name__ == "__main__":
    main()
