"""Write an RTMPose checkpoint as mmengine writes it while training: metadata, message hub, optimiser, schedulers.

    ~/mmpose-1.3.2/bin/python benchmarks/peers/mmpose_checkpoint.py FILE.pth [coco|mpii|halpe26|wholebody133]

Random weights (recipe.py). `poseunion convert` must take it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import recipe
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope
from mmengine.runner.checkpoint import save_checkpoint, weights_to_cpu
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose_goldens import CONFIGS, RTMPOSE, build

# Keypoints, configuration, and mmpose's description of the data set.
CASES = {
    "coco": (17, RTMPOSE / "coco" / "rtmpose-m_8xb256-420e_coco-256x192.py", "coco"),
    "mpii": (16, RTMPOSE / "mpii" / "rtmpose-m_8xb64-210e_mpii-256x256.py", "mpii"),
    **{
        case: (keypoints, CONFIGS / config, {"wholebody133": "coco_wholebody"}.get(case, case))
        for case, (keypoints, config) in recipe.PUBLIC.items()
    },
}


def main(path: Path, data: str = "coco") -> None:
    """Write the checkpoint."""
    DefaultScope.get_instance("mmpose", scope_name="mmpose")
    keypoints, config, description = CASES[data]
    network = build(config, keypoints)
    hub = MessageHub.get_instance("training")
    for step in range(3):
        hub.update_scalar("train/loss", 1.0 / (step + 1))
    hub.update_info("epoch", 3)
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3)
    pixels = torch.zeros(2, 3, 256, 256 if data == "mpii" else 192)
    network.train()(pixels, None, mode="tensor")[0].sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer)
    meta = {
        "cfg": Config.fromfile(config).pretty_text,
        "dataset_meta": parse_pose_metainfo({"from_file": str(CONFIGS / "_base_" / "datasets" / f"{description}.py")}),
        "epoch": 3,
        "seed": 0,
        "time": "20260101_000000",
    }
    save_checkpoint(
        {
            "meta": meta,
            "state_dict": weights_to_cpu(network.state_dict()),
            "message_hub": hub.state_dict(),
            "optimizer": optimizer.state_dict(),
            "param_schedulers": [schedule.state_dict()],
        },
        str(path),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
