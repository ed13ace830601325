"""An arm of `benchmarks/runtime/speed.py`: mmpose's RTMPose-t on the same pictures and boxes, by `inference_topdown`.

    python benchmarks/runtime/speed.py \\
        --beside "mmpose's RTMPose-t=~/mmpose-1.3.2/bin/python benchmarks/peers/mmpose_speed.py"

Weights are random: the time does not depend on them. Runs in setup_mmpose.sh's environment.
"""

from __future__ import annotations

# ruff: noqa: I001  the stub for mmcv's operators, which mmpose_goldens puts in place, has to be there first
import json
import sys
import warnings
from pathlib import Path

from mmpose_goldens import RTMPOSE, build

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpose.apis import inference_topdown
from mmpose.datasets.datasets.utils import parse_pose_metainfo

CONFIG = RTMPOSE / "coco" / "rtmpose-t_8xb256-420e_coco-256x192.py"


def main() -> None:
    """Work once for each line on standard input."""
    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    warnings.simplefilter("ignore")  # its own, at every call
    DefaultScope.get_instance("mmpose", scope_name="mmpose")
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    model = build(CONFIG, 17)
    model.cfg = Config.fromfile(CONFIG)
    model.dataset_meta = parse_pose_metainfo({"from_file": str(RTMPOSE.parents[1] / "_base_/datasets/coco.py")})
    boxes = [np.array(b, np.float32) for b in json.loads((folder / "boxes.json").read_text())]
    for xywh in boxes:
        xywh[:, 2:] += xywh[:, :2]  # inference_topdown takes corners
    for _ in sys.stdin:
        for number, corners in enumerate(boxes):
            inference_topdown(model, cv2.imread(str(folder / f"{number}.jpg")), corners)
        print("done", flush=True)


if __name__ == "__main__":
    main()
