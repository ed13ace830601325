"""mmpose 1.3.2's own training of RTMPose-t on a COCO-style file: seconds of every iteration, one JSON line at the end.

Runs in setup_mmpose.sh's environment, called by `train_throughput.py`. Network, loss, optimiser, pipeline and loop are
those of mmpose's configuration; changed are only the pictures, the input size, the batch, and the number of iterations.
"""

from __future__ import annotations

import argparse
import importlib.machinery
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import mmpose_goldens  # stands in for mmcv's compiled operators, registers CSPNeXt
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

# The runner asks whether the operators are there: they are not.
sys.modules["mmcv._ext"].__spec__ = importlib.machinery.ModuleSpec("mmcv._ext", None)


class Stopwatch(Hook):
    """When each iteration ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.cpu: list[float] = []

    def after_train_iter(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())
        self.cpu.append(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))


def config(options: argparse.Namespace) -> Config:
    """mmpose's configuration with another size, data and budget."""
    made = Config.fromfile(mmpose_goldens.RTMPOSE / "coco" / "rtmpose-t_8xb256-420e_coco-256x192.py")
    width, height = options.size
    codec = {**made.codec, "input_size": (width, height), "simcc_split_ratio": 384 / width}
    made.model.backbone.norm_cfg = {"type": "BN"}  # SyncBN computes the same, but wants a process group
    made.model.backbone.init_cfg = None
    made.model.head.update(
        input_size=(width, height),
        in_featuremap_size=(width // 32, height // 32),
        simcc_split_ratio=384 / width,
        decoder=codec,
    )
    for step in made.train_pipeline:
        if step.type == "TopdownAffine":
            step.input_size = (width, height)
        if step.type == "GenerateTarget":
            step.encoder = codec
    loader = made.train_dataloader
    loader.update(batch_size=options.batch, num_workers=options.workers, persistent_workers=options.workers > 0)
    loader.dataset.update(
        data_root="",
        ann_file=str(options.annotations),
        data_prefix={"img": f"{options.images}/"},
        pipeline=made.train_pipeline,
    )
    made.train_cfg = {"type": "IterBasedTrainLoop", "max_iters": options.iterations, "val_interval": 10**9}
    made.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
    made.update(test_cfg=None, test_dataloader=None, test_evaluator=None)
    made.update(custom_hooks=[], param_scheduler=[made.param_scheduler[0]], auto_scale_lr=None)
    made.default_hooks.update(checkpoint=None)
    made.default_hooks.pop("visualization")
    made.visualizer = made.vis_backends = None
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--size", type=int, nargs=2, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--iterations", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        made = config(options)
        made.work_dir = folder
        with DefaultScope.overwrite_default_scope("mmpose"):
            runner = Runner.from_cfg(made)
            torch.set_num_threads(options.threads)  # after the runner, which has its own idea
            watch = Stopwatch()
            runner.register_hook(watch)
            runner.train()
    print(json.dumps({"ends": watch.ends, "cpu": watch.cpu}))


if __name__ == "__main__":
    main()
