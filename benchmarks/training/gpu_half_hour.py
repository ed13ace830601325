"""Half an hour of a CUDA GPU, used fully: a check of a minute, then `unified`, RTMPose-t and RTMPose-s in short pieces.

    python benchmarks/training/gpu_half_hour.py check --data data.yaml --out runs/half-hour
    python benchmarks/training/gpu_half_hour.py train --data data.yaml --out runs/half-hour --seconds 530  # repeat
    python benchmarks/training/gpu_half_hour.py back  --runs runs/half-hour --to OUT

`data.yaml` names a set that `poseunion pack unified` wrote: `datasets: [{packed: packed}]`. `train` goes on where the
last call stopped, run after run in the order of `PLAN`, and ends before `--seconds` are over, so that it fits into a
machine's longest command; it prints what is left. `back` writes each run's averaged weights in half precision, its log
and the accuracy on held-out people. See gpu_half_hour.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from poseunion.models.zoo import weights_path
from poseunion.training.config.overrides import changed
from poseunion.training.config.recipe import Recipe
from poseunion.training.config.recipes import find_recipe
from poseunion.training.data.arrays import cache_folder
from poseunion.training.data.data_file import read_data_file
from poseunion.training.loop.checkpoint import load_checkpoint
from poseunion.training.loop.prepare import prepare
from poseunion.training.loop.stages import initial_state, origin_of
from poseunion.training.loop.train import fit

# Run, minutes of the half hour, and what differs from the recipe. The learning rates go with the square root of the
# batch, 8 and 4 times the CPU's.
GPU = {"augment_on": "device", "precision": "bf16-mixed", "checkpoint_minutes": 1.0, "validate_minutes": 3.0}
PLAN: tuple[tuple[str, float, dict[str, Any], int], ...] = (
    ("unified", 9.0, {"lr": 4e-3, "warmup_steps": 100}, 256),
    ("unified_t", 8.0, {"lr": 4e-3, "betas": (("coco17", 0.6), ("union21", 0.4))}, 512),
    ("unified_s", 8.0, {"lr": 4e-3, "betas": (("coco17", 0.6), ("union21", 0.4))}, 512),
)
CHECK_SECONDS = 60.0
# A piece needs this long to stop on a signal: a step, a checkpoint, a validation.
STOPPING_SECONDS = 25.0
MOST_BACK_BYTES = 16_000_000


def recipe_of(name: str, minutes: float, changes: dict[str, Any], batch: int, *, on_gpu: bool) -> Recipe:
    """The plan's recipe; on a CPU without what only a GPU has."""
    base = find_recipe(name, [])
    stages = tuple(dataclasses.replace(stage, batch_size=batch) for stage in base.stages)
    common = GPU if on_gpu else {"augment_on": "device", "checkpoint_minutes": 0.02, "validate_minutes": 1e6}
    return changed(base, minutes=minutes, stages=stages, **common, **changes)


class Stop(Exception):  # noqa: N818  not an error: the piece is over
    """The piece's time is over."""


def run(recipe: Recipe, data: Path, out: Path, seconds: float) -> bool:
    """Go on with a run for so long; True where it is finished. What its last checkpoint has is kept."""

    def stop(number: int, frame: object) -> None:
        raise Stop

    prepared = prepare(read_data_file(data), recipe, cache_folder())
    begun = (out / "last.ckpt").exists()
    start = initial_state(recipe, weights_path(recipe.student.start)) if recipe.student.start and not begun else None
    origin = origin_of(weights_path(recipe.student.start)) if recipe.student.start and not begun else None
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(1.0, seconds))
    try:
        fit(recipe, prepared, out, init=start, origin=origin, resume=begun)
        return True
    except Stop:
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def done_minutes(out: Path) -> float:
    """Of a run, minutes that its checkpoint has."""
    return float(load_checkpoint(out / "last.ckpt")["seconds"]) / 60 if (out / "last.ckpt").exists() else 0.0


def rates(out: Path) -> list[float]:
    """People a second at every row of a run's log."""
    rows = (json.loads(line) for line in (out / "log.jsonl").read_text().splitlines())
    return [row["people_per_s"] for row in rows if "people_per_s" in row]


def check(args: argparse.Namespace) -> None:
    """Is there a GPU, and how many people a second does a step take, in single precision, bf16, and compiled?"""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA GPU"
    print(f"{name}; torch {torch.__version__}; Python {sys.version.split()[0]}")
    variants: dict[str, dict[str, Any]] = {
        "32-true": {"precision": "32-true"},
        "bf16-mixed": {},
        "compiled": {"compiled": True},
    }
    for variant, changes in variants.items():
        what, _, own, batch = args.plan[0]
        recipe = recipe_of(what, 1000.0, own | {"log_every": 1}, batch, on_gpu=torch.cuda.is_available())
        recipe = changed(recipe, **changes)
        out = args.out / f"check-{variant}"
        shutil.rmtree(out, ignore_errors=True)
        try:
            run(recipe, args.data, out, args.check_seconds / len(variants))
            found = rates(out)
            print(
                f"{variant}: {max(found[1:] or found or [0]):.0f} people/s at best in {len(found)} steps, batch {batch}"
            )
        except Exception as error:  # a variant that does not run here is a finding
            print(f"{variant}: does not run here: {type(error).__name__}: {str(error).splitlines()[0][:200]}")


def train(args: argparse.Namespace) -> None:
    """Go on with the plan's first unfinished run, then the next, until the time is over."""
    end = time.monotonic() + args.seconds
    for name, minutes, changes, batch in args.plan:
        out = args.out / name
        if (out / "weights.safetensors").exists():
            continue
        left = end - time.monotonic() - STOPPING_SECONDS
        if left < 1:
            break
        finished = run(recipe_of(name, minutes, changes, batch, on_gpu=torch.cuda.is_available()), args.data, out, left)
        print(f"{name}: {'finished' if finished else f'{done_minutes(out):.1f} of {minutes:g} minutes'}", flush=True)
    unfinished = [name for name, *_ in args.plan if not (args.out / name / "weights.safetensors").exists()]
    print(f"Left: {', '.join(unfinished)}: run the same command again." if unfinished else "All runs are finished.")


def back(args: argparse.Namespace) -> None:
    """Write what travels back: weights in half precision, logs, a table of the last validation."""
    args.to.mkdir(parents=True, exist_ok=True)
    for path in sorted(args.runs.glob("*/weights.safetensors")):
        name = path.parent.name
        with safe_open(path, "pt") as file:
            facts = file.metadata()
            half = {k: t.half() if t.is_floating_point() else t for k in file.keys() for t in (file.get_tensor(k),)}  # noqa: SIM118
        target = args.to / f"{name}.safetensors"
        save_file(half, target, facts)
        if target.stat().st_size > MOST_BACK_BYTES:
            print(
                f"{name}: {target.stat().st_size / 1e6:.1f} MB, more than {MOST_BACK_BYTES / 1e6:g}: it may not travel."
            )
        log = path.parent / "log.jsonl"
        shutil.copy(log, args.to / f"{name}.log.jsonl")
        measured = [row for row in map(json.loads, log.read_text().splitlines()) if "total" not in row]
        print(name, measured[-1] if measured else "not validated")


def main(words: list[str] | None = None, plan: tuple[tuple[str, float, dict[str, Any], int], ...] = PLAN) -> None:
    """The command line; `plan` is another one in tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for one in (check, train):
        sub = commands.add_parser(one.__name__, help=one.__doc__)
        sub.add_argument("--data", type=Path, required=True)
        sub.add_argument("--out", type=Path, required=True)
        sub.add_argument("--seconds", type=float, default=530.0, help="of this call")
        sub.add_argument("--check-seconds", type=float, default=CHECK_SECONDS)
        sub.set_defaults(command=one)
    sub = commands.add_parser("back", help=back.__doc__)
    sub.add_argument("--runs", type=Path, required=True)
    sub.add_argument("--to", type=Path, required=True)
    sub.set_defaults(command=back)
    args = parser.parse_args(words)
    args.plan = plan
    args.command(args)


if __name__ == "__main__":
    main()
