"""Train mmpose 1.3.2 on a released dataset as it is, with the configuration of docs/integrations/mmpose.md.

    FOLDER/bin/python benchmarks/peers/mmpose_dataset.py RELEASE PICTURES [--iterations 3]

Runs in setup_mmpose.sh's environment. The last line is a JSON object: what mmpose's dataset finds by the release's own
`mmpose_metainfo.py`, and the losses of mmengine's runner. Network, pipeline, loss and optimiser are those of mmpose's
configuration, which the page's lines extend; changed are the batch, the number of iterations, and what wants a
process group (SyncBN) or a download (the backbone's start).
"""

from __future__ import annotations

import argparse
import importlib.machinery
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import mmpose_goldens  # noqa: F401  stands in for mmcv's compiled operators, registers CSPNeXt
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpose.datasets.datasets import CocoDataset

# The runner asks whether the operators are there: they are not.
sys.modules["mmcv._ext"].__spec__ = importlib.machinery.ModuleSpec("mmcv._ext", None)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "integrations" / "mmpose.md"
BATCH = 4


class Losses(Hook):
    """The loss of each iteration."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def after_train_iter(self, *_: Any, outputs: dict[str, Any], **__: Any) -> None:
        self.values.append(round(outputs["loss"].item(), 4))


def config(release: Path, pictures: Path, iterations: int, folder: Path) -> Config:
    """The page's configuration, of this release and these pictures."""
    lines = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)[0]
    lines = lines.replace('"released/', f'"{release.resolve()}/').replace('"train/"', f'"{pictures.resolve()}/"')
    (folder / "page.py").write_text(lines, encoding="utf-8")
    made = Config.fromfile(folder / "page.py")
    made.model.backbone.update(norm_cfg={"type": "BN"}, init_cfg=None)
    made.train_dataloader.update(batch_size=BATCH, num_workers=0, persistent_workers=False)
    made.train_cfg = {"type": "IterBasedTrainLoop", "max_iters": iterations, "val_interval": 10**9}
    made.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
    made.update(test_cfg=None, test_dataloader=None, test_evaluator=None)
    made.update(custom_hooks=[], param_scheduler=[], auto_scale_lr=None, work_dir=str(folder))
    made.default_hooks.update(checkpoint=None)
    made.default_hooks.pop("visualization")
    made.visualizer = made.vis_backends = None
    return made


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


def main() -> None:
    """Read, train, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("release", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--iterations", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, DefaultScope.overwrite_default_scope("mmpose"):
        made = config(options.release, options.pictures, options.iterations, Path(folder))
        os.chdir(folder)
        runner = Runner.from_cfg(made)
        losses = Losses()
        runner.register_hook(losses)
        runner.train()
        print(json.dumps({**found_in(runner.train_dataloader.dataset), "losses": losses.values}))


if __name__ == "__main__":
    main()
