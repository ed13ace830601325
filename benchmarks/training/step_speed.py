"""What do `training.loop.cpu_kernels` and mixed precision save of a training step on a CPU?

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/training/step_speed.py --recipe unified --stage 1
    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/training/step_speed.py --recipe unified_t --stage 1 \\
        --precision bf16-mixed

Steps of the recipe's network as torch has it and as `use_fast_kernels` leaves it take turns in one process, on one
batch of noise with the recipe's teachers; then the same again with `keep_freed_memory`, and beside them with
`--precision`. CPU time of the process, so that a busy machine disturbs little: median over the rounds. Reading pictures
is not part of it (`train_throughput.py`). Prints a table.
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.networks.build import build_network
from poseunion.training.config.recipes import Recipe, find_recipe
from poseunion.training.loop.batch import Batch, TeacherTarget
from poseunion.training.loop.cpu_kernels import keep_freed_memory, use_fast_kernels
from poseunion.training.loop.stages import grid_of
from poseunion.training.loop.step import Trained, losses, optimizer_for


def noise(people: int, grid: SimccGrid, teachers: list[str]) -> Batch:
    """A batch of random pictures, labels and teachers' answers."""
    rng = np.random.default_rng(0)
    (w, h), (bins_x, bins_y) = grid.size_wh, grid.bins_wh
    x, y = (rng.random((people, 21, bins)).astype(np.float32) for bins in (bins_x, bins_y))
    target = TeacherTarget(
        x / x.sum(-1, keepdims=True), y / y.sum(-1, keepdims=True), np.ones((people, 21), np.float32)
    )
    points = (rng.random((people, 21, 2)) * (w, h)).astype(np.float32)
    pixels = rng.integers(0, 256, (people, h, w, 3), dtype=np.uint8)
    known, flipped, dataset = np.ones((people, 21), np.float32), np.zeros(people, bool), np.zeros(people, np.int64)
    return Batch(pixels, points, known, flipped, dataset, dict.fromkeys(teachers, target))


def step_of(
    recipe: Recipe, grid: SimccGrid, batch: Batch, *, quick: bool, precision: Any = "32-true"
) -> Callable[[], None]:
    """One optimiser step, as the loop makes it."""
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    network = (
        build_network(recipe.student.network, recipe.student.backbone, 21, grid)
        .to(memory_format=torch.channels_last)
        .train()
    )
    if quick:
        use_fast_kernels(network)
    trained = Trained(network)
    wrapped, optimizer = fabric.setup(trained, optimizer_for(trained, recipe))

    def step() -> None:
        total = losses(wrapped, batch, grid, recipe, torch.device("cpu"), 0.0)["total"]
        optimizer.zero_grad()
        fabric.backward(total)
        fabric.clip_gradients(wrapped, optimizer, max_norm=recipe.optimizer.clip_norm, error_if_nonfinite=False)
        optimizer.step()

    return step


def cpu_s() -> np.ndarray:
    """User and system seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return np.array([used.ru_utime, used.ru_stime])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="unified")
    parser.add_argument("--stage", type=int, default=1)
    parser.add_argument("--people", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--precision", choices=["bf16-mixed"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = find_recipe(options.recipe, [])
    grid = grid_of(recipe.stages[options.stage])
    batch = noise(options.people, grid, [name for name, _ in recipe.distillation.betas])
    arms = {name: step_of(recipe, grid, batch, quick=name == "quick") for name in ("torch's layers", "quick")}

    print(
        f"{recipe.name}, {grid.size_wh[0]}x{grid.size_wh[1]}, {options.people} people a step, {options.rounds} rounds\n"
    )
    print("| | user, ms/person | system | × the first row |\n|---|---|---|---|")
    first = 0.0
    for memory in ("", ", memory kept"):
        if memory:
            keep_freed_memory()
            if mixed := options.precision:
                arms[f"quick, {mixed}"] = step_of(recipe, grid, batch, quick=True, precision=mixed)
        for step in arms.values():
            step()
        taken = np.zeros((options.rounds, len(arms), 2))
        for number in range(options.rounds):
            for i, step in enumerate(arms.values()):
                before = cpu_s()
                step()
                taken[number, i] = (cpu_s() - before) * 1000 / options.people
        for i, name in enumerate(arms):
            user, system = np.median(taken[:, i], axis=0)
            total = float(np.median(taken[:, i].sum(-1)))
            first = first or total
            print(f"| {name}{memory} | {user:.1f} | {system:.1f} | {first / total:.2f} |", flush=True)


if __name__ == "__main__":
    main()
