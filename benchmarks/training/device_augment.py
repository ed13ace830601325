"""People a second of augmentation alone and of a whole training step: the CPU's pipeline beside the device's.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/training/device_augment.py --sets DIR

DIR holds `coco/train.json` and `coco/train/`. Both arms draw the same number of the same people from memory with the
recipe's augmentation, one store and no teachers: `augment_on=cpu` person by person with OpenCV, and
`augment_on=device` a batch at a time with torch, on a CUDA GPU where there is one, else on the CPU. A whole step is
drawing, as far ahead as the loop does it (`--draw-ahead`), and an optimiser step of the recipe's network. The arms take
turns; rates are medians over the rounds, ratios are formed within a round and printed with the least and the most. CPU
time is the process's, so that other work on the machine disturbs it little. Prints Markdown.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import os
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from lightning_fabric import Fabric

from poseunion.export.timing import commit, machine
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.networks.build import build_network
from poseunion.training.config.overrides import changed
from poseunion.training.config.recipe import Recipe
from poseunion.training.config.recipes import find_recipe
from poseunion.training.data.data_file import DataFile, DatasetEntry
from poseunion.training.loop.batch import Batch, draw_batch
from poseunion.training.loop.cpu_kernels import keep_freed_memory, use_fast_kernels
from poseunion.training.loop.device_batch import DeviceBatch, DeviceStore
from poseunion.training.loop.prepare import prepare
from poseunion.training.loop.stages import grid_of
from poseunion.training.loop.step import Trained, losses, optimizer_for

# Batches before the clock starts: memory is touched, kernels are chosen.
WARM_UP = 2
# To draw from: more would only take longer to load.
PEOPLE = 512
Draw: TypeAlias = Callable[[int], Batch | DeviceBatch]
# Wall and CPU seconds of all batches of a round.
Taken: TypeAlias = tuple[float, float]


def drawing(people: Path, recipe: Recipe, grid: SimccGrid, count: int, device: torch.device, cache: Path) -> list[Draw]:
    """How the CPU's pipeline and the device's draw batch number `step`."""
    entry = DatasetEntry(name="coco", annotations=people / "coco/train.json", images=people / "coco/train")
    stores = prepare(DataFile(datasets=[entry]), recipe, cache).train
    stores = [dataclasses.replace(one, rows=one.rows[:PEOPLE]) for one in stores]
    resident = DeviceStore(stores, device)

    def on_cpu(step: int) -> Batch:
        return draw_batch(stores, np.random.default_rng([0, step]), count, grid, recipe.augmentation)

    def on_device(step: int) -> DeviceBatch:
        return resident.draw(np.random.default_rng([0, step]), count, grid, recipe.augmentation)

    return [on_cpu, on_device]


def stepping(recipe: Recipe, grid: SimccGrid, fabric: Fabric) -> Callable[[Batch | DeviceBatch], None]:
    """One optimiser step, as the loop makes it."""
    network = (
        build_network(recipe.student.network, recipe.student.backbone, 21, grid)
        .to(memory_format=torch.channels_last)
        .train()
    )
    if fabric.device.type == "cpu":
        use_fast_kernels(network)
    trained = Trained(network)
    wrapped, optimizer = fabric.setup(trained, optimizer_for(trained, recipe))

    def step(batch: Batch | DeviceBatch) -> None:
        total = losses(wrapped, batch, grid, recipe, fabric.device, 0.0)["total"]
        optimizer.zero_grad()
        fabric.backward(total)
        fabric.clip_gradients(wrapped, optimizer, max_norm=recipe.optimizer.clip_norm, error_if_nonfinite=False)
        optimizer.step()

    return step


def timed(draw: Draw, step: Callable[[Batch | DeviceBatch], None], batches: int, ahead: int, device: str) -> Taken:
    """Draw so many batches, up to `ahead` beside the step of another."""
    start = 0.0, 0.0
    with ThreadPoolExecutor(ahead) as pool:
        pending = deque(pool.submit(draw, i) for i in range(ahead))
        for number in range(WARM_UP + batches):
            if number == WARM_UP:
                if device == "cuda":
                    torch.cuda.synchronize()
                start = time.perf_counter(), time.process_time()
            batch = pending.popleft().result()
            if number + ahead < WARM_UP + batches:
                pending.append(pool.submit(draw, number + ahead))
            step(batch)
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start[0], time.process_time() - start[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("--recipe", default="unified")
    parser.add_argument("--stage", type=int, default=-1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--batches", type=int, default=8, help="of a round, steps half as many")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--draw-ahead", type=int, default=1)
    parser.add_argument("--cache", type=Path, help="Folder for the crops; else one that is deleted afterwards.")
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        keep_freed_memory()
    recipe = changed(find_recipe(args.recipe, []), alpha=1.0, betas=(), pseudo_weight=0.0, mend_sides=False, start="")
    grid = grid_of(recipe.stages[args.stage])
    fabric = Fabric(
        accelerator=device, devices=1, precision=recipe.student.precision if device == "cuda" else "32-true"
    )
    step = stepping(recipe, grid, fabric)
    print(f"Date: {datetime.datetime.now(tz=datetime.timezone.utc).date()}  ")
    print(f"Command: `OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', '')} python {' '.join(sys.argv)}`  ")
    gpu = f", {torch.cuda.get_device_name()}" if device == "cuda" else ""
    print(f"Machine: {machine()}{gpu}; {torch.get_num_threads()} thread(s) of torch  ")
    print(f"Commit: {commit()}\n")
    print(
        f"`{recipe.name}` at {grid.size_wh[0]}x{grid.size_wh[1]}, batch {args.batch}, device {device}, "
        f"median of {args.rounds} rounds\n"
    )
    print("| | CPU's pipeline, people/s | device's, people/s | faster by | CPU time a person, ms | less by |")
    print("|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        draws = drawing(args.sets, recipe, grid, args.batch, fabric.device, args.cache or Path(folder))
        rows: tuple[tuple[str, Callable[[Batch | DeviceBatch], None], int], ...] = (
            ("augmentation alone", lambda batch: None, args.batches),
            ("whole step", step, max(1, args.batches // 2)),
        )
        for label, use, batches in rows:
            rounds: list[list[Taken]] = []
            for number in range(args.rounds):
                order = (0, 1) if number % 2 == 0 else (1, 0)
                taken = {i: timed(draws[i], use, batches, args.draw_ahead, device) for i in order}
                rounds.append([taken[0], taken[1]])
            people = batches * args.batch
            rate = [people / statistics.median(r[arm][0] for r in rounds) for arm in (0, 1)]
            cpu_ms = [1000 * statistics.median(r[arm][1] for r in rounds) / people for arm in (0, 1)]
            ratios = []
            for of in (0, 1):
                each = sorted(r[0][of] / max(r[1][of], 1e-9) for r in rounds)
                ratios.append(f"{statistics.median(each):.2f} ({each[0]:.2f}–{each[-1]:.2f})")
            print(
                f"| {label} | {rate[0]:.0f} | {rate[1]:.0f} | {ratios[0]} | {cpu_ms[0]:.2f} and {cpu_ms[1]:.2f} "
                f"| {ratios[1]} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
