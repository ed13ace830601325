"""How the body of a converted network is best trained on: relative steps, batch norm put back, or plain AdamW.

    python benchmarks/training/start_steps.py --data data.yaml --start runs/branch/weights.safetensors --minutes 5

All start from the same converted weights (batch norm folded, layers equalised) and train the same people in the same
order for equal minutes of one core; printed are the PCK of held-out people (`training.data.data_file.is_held_out`).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from poseunion.models.networks.inputs import normalise
from poseunion.training.config.overrides import changed
from poseunion.training.config.recipes import find_recipe
from poseunion.training.data.arrays import cache_folder
from poseunion.training.data.data_file import read_data_file
from poseunion.training.loop.batch import draw_batch
from poseunion.training.loop.cpu_kernels import keep_freed_memory, use_fast_kernels
from poseunion.training.loop.optimizer import freeze
from poseunion.training.loop.prepare import Prepared, prepare
from poseunion.training.loop.stages import grid_of, initial_state, network_for
from poseunion.training.loop.step import Trained, losses, optimizer_for
from poseunion.training.loop.validate import held_out_pck

# Name -> share of the head's learning rate that the body gets, whether its steps are relative, and its layers normed.
WAYS = {
    "relative 1e-3": (0.5, True, False),
    "relative 3e-4": (0.15, True, False),
    "plain AdamW 1e-4": (0.05, False, False),
    "plain AdamW 2e-5": (0.01, False, False),
    "batch norm, AdamW 5e-4": (0.25, False, True),
}
CALIBRATION_PEOPLE = 64


class Normed(nn.Module):
    """A convolution with a batch norm behind it that changes nothing at first."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution, self.norm = convolution, nn.BatchNorm2d(convolution.out_channels)
        self.fitted = False

    def forward(self, x_NChw: Tensor) -> Tensor:
        y = self.convolution(x_NChw)
        if not self.fitted:
            with torch.no_grad():
                mean, std = y.mean((0, 2, 3)), y.std((0, 2, 3)).clamp_min(1e-3)
                bias = self.convolution.bias
                assert bias is not None
                self.convolution.weight /= std[:, None, None, None]
                self.norm.weight.copy_(std)
                self.norm.bias.copy_(mean)
                self.norm.running_mean.copy_((mean - bias) / std)  # type: ignore[union-attr]
                self.norm.running_var.fill_(1 - self.norm.eps)  # type: ignore[union-attr]
                self.convolution.bias, self.fitted = None, True
            return y
        return self.norm(y)


def with_norms(network: nn.Module, image_N3HW: Tensor) -> None:
    """Put a batch norm behind every convolution of the body, in place, with the statistics of these crops."""
    for parent in list(network.backbone.modules()):  # type: ignore[union-attr]
        for name, child in list(parent.named_children()):
            if type(child) is nn.Conv2d and name != "heatmap":
                setattr(parent, name, Normed(child))
    with torch.no_grad():
        network.eval()(image_N3HW)


def trained(way: str, data: Prepared, start: Path, minutes: float, frozen: tuple[str, ...]) -> dict[str, float]:
    """Train one way for some minutes; held-out PCK."""
    share, relative, normed = WAYS[way]
    recipe = changed(
        find_recipe("unified_branch", []), relative_steps=relative, backbone_lr_factor=share, start="start", lr=2e-3
    )
    grid = grid_of(recipe.stages[0])
    network = network_for(0, recipe, initial_state(recipe, start)).to(memory_format=torch.channels_last)
    if normed:
        first = draw_batch(data.train, np.random.default_rng(0), CALIBRATION_PEOPLE, grid, recipe.augmentation)
        with_norms(network, normalise(torch.from_numpy(first.image_NHW3)))
    network.train()
    use_fast_kernels(network)
    freeze(network, frozen)
    whole = Trained(network)
    optimizer = optimizer_for(whole, recipe)
    began, step, score = time.monotonic(), 0, {}
    while (spent := (time.monotonic() - began) / (60 * minutes)) < 1:
        rng = np.random.default_rng([0, 0, step])
        batch = draw_batch(data.train, rng, recipe.stages[0].batch_size, grid, recipe.augmentation)
        for group in optimizer.param_groups:
            # Up over 20 steps and down to nothing along a half cosine.
            warm = min(1, (step + 1) / 20) * 0.5 * (1 + np.cos(np.pi * spent))
            group["lr"] = recipe.optimizer.lr * group["factor"] * warm
        optimizer.zero_grad()
        losses(whole, batch, grid, recipe, torch.device("cpu"), spent)["total"].backward()
        torch.nn.utils.clip_grad_norm_(whole.parameters(), recipe.optimizer.clip_norm)
        optimizer.step()
        step += 1
    score = held_out_pck(network, grid, data.held_out)
    return {"steps": step, **score}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--start", type=Path, required=True, help="weights of recipe unified_branch")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--frozen", nargs="*", default=["backbone.stem", "backbone.to_stride_4", "backbone.stages.0"])
    args = parser.parse_args()
    keep_freed_memory()
    data = prepare(read_data_file(args.data), find_recipe("unified_branch", []), cache_folder())
    recipe = find_recipe("unified_branch", [])
    at_start = held_out_pck(
        network_for(0, recipe, initial_state(recipe, args.start)), grid_of(recipe.stages[0]), data.held_out
    )
    print("start", at_start, flush=True)
    for way in args.ways:
        print(way, trained(way, data, args.start, args.minutes, tuple(args.frozen)), flush=True)


if __name__ == "__main__":
    main()
