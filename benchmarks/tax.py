"""What does one student for several skeletons lose to the specialists? (the "unification tax")

    .venv/bin/python benchmarks/tax.py --data data.yaml --sets DIR --seeds 0 1 2 > benchmarks/$(date +%F)-tax.md

`data.yaml` names the datasets `coco` and `lspet` and a COCO and an MPII teacher (docs/train.md). DIR holds
`coco/test.json`, `coco/test/`, `lspet/test.json` and `lspet/test/`. Every recipe gets the same optimiser steps, in a
process of one thread, two of them at a time: what else the machine does changes how long a run takes, not what it
learns. Runs that `--out` holds already are not repeated, interrupted ones go on, so that the script can be stopped and
started. Prints a Markdown note; its first table has every recipe's mean and standard deviation over the seeds, its
second what each union loses to the specialist of the test set.

Remembered against online teachers: `--recipes union_two_teachers union_online`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SPECIALISTS = {"COCO": "coco_only", "LSPET": "lspet_only"}
RECIPES = (
    *(*SPECIALISTS.values(), "union_labels", "union_one_teacher", "union_two_teachers", "union_agreement"),
    *("union_no_offsets", "union_even_sets", "union_even_keypoints"),
)
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
MEASURES = {
    "COCO AP": ("coco", "coco", "AP"),
    "COCO mean OKS": ("coco", "coco", "mean_OKS"),
    "COCO PCK12": ("coco", "pck", "PCK12"),
    "LSPET PCK12": ("lspet", "pck", "PCK12"),
    "LSPET neck": ("lspet", "pck", "upper_neck"),
    "LSPET head_top": ("lspet", "pck", "head_top"),
}


Scores = dict[str, dict[str, dict[str, float]]]


def run(arguments: list[str], log: Path) -> str:
    """A `poseunion` command of one thread; its standard output."""
    command = [sys.executable, "-m", "poseunion.app.cli", *arguments]
    with log.open("a") as errors:
        done = subprocess.run(command, env=ONE_THREAD, stdout=subprocess.PIPE, stderr=errors, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"poseunion {arguments[0]} failed: see {log}")
    return done.stdout


def measured(recipe: str, seed: int, options: argparse.Namespace) -> Scores:
    """Train, export and evaluate one student, or read what an earlier call measured."""
    folder = options.out / f"{recipe}-{seed}"
    result = folder / "scores.json"
    if not result.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "stderr.log"
        train = ["train", recipe, f"seed={seed}", "validate_minutes=1e9", *options.set]
        train += [f"steps={options.steps}"] if options.steps else []
        again = ["--resume"] if (folder / "last.ckpt").is_file() else []
        run([*train, "--data", str(options.data), "--out", str(folder), *again], log)
        run(
            [
                "export",
                "--model",
                str(folder / "weights.safetensors"),
                "--out",
                str(folder / "student.onnx"),
                "--overwrite",
            ],
            log,
        )
        sets = [f"--{kind}={options.sets / s / f'test{end}'}" for s in ("coco", "lspet") for kind, end in KINDS]
        scores = json.loads(run(["evaluate", "--model", str(folder / "student.onnx"), *sets, "--flip", "--json"], log))
        by_set = {name: values[0] for name, values in zip(("coco", "lspet"), scores.values(), strict=True)}
        part = result.with_suffix(".part")
        part.write_text(json.dumps(by_set))
        part.rename(result)
        print(f"{recipe}, seed {seed}: done", file=sys.stderr)
    return json.loads(result.read_text())  # type: ignore[no-any-return]


def table(values: dict[str, dict[str, list[float]]]) -> list[str]:
    """Mean ± sd of every recipe."""
    lines = ["| | " + " | ".join(MEASURES) + " |", "|---|" + "---|" * len(MEASURES)]
    for recipe, row in values.items():
        cells = []
        for name in MEASURES:
            of = row.get(name, [])
            spread = f" ± {statistics.stdev(of):.1f}" if len(of) > 1 else ""
            cells.append(f"{statistics.mean(of):.1f}{spread}" if of else "–")
        lines.append(f"| {recipe} | " + " | ".join(cells) + " |")
    return lines


def taxes(values: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, list[float]]]:
    """Specialist minus union, seed by seed."""
    result: dict[str, dict[str, list[float]]] = {}
    for recipe in (r for r in values if r not in SPECIALISTS.values()):
        for name in MEASURES:
            best = values.get(SPECIALISTS[name.split()[0]], {}).get(name, [])
            pairs = zip(best, values[recipe].get(name, []), strict=False)
            result.setdefault(recipe, {})[name] = [specialist - union for specialist, union in pairs]
    return result


KINDS = (("annotations", ".json"), ("images", ""))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data file of the training")
    parser.add_argument("--sets", type=Path, required=True, help="folder of the test sets")
    parser.add_argument("--out", type=Path, default=Path("runs/tax"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=0, help="optimiser steps of each run (default: the recipe's)")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="overrides for every recipe")
    parser.add_argument("--at-once", type=int, default=2, help="runs beside each other")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    options = parser.parse_args()

    values: dict[str, dict[str, list[float]]] = {recipe: {} for recipe in options.recipes}
    # Seed by seed, so that a first look at all recipes comes early.
    runs = [(recipe, seed) for seed in options.seeds for recipe in options.recipes]
    with ThreadPoolExecutor(options.at_once) as pool:
        everything = list(pool.map(lambda one: measured(*one, options), runs))
    for (recipe, _), scores in zip(runs, everything, strict=True):
        for name, (dataset, group, key) in MEASURES.items():
            if key in scores[dataset].get(group, {}):
                values[recipe].setdefault(name, []).append(scores[dataset][group][key])

    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    print(f"# Unification tax\n\nDate: {datetime.date.today()}  ")
    print(f"Command: `{' '.join(sys.argv)}`  ")
    print(f"Machine: {platform.processor() or platform.machine()}, {os.cpu_count()} cores  \nCommit: {commit}\n")
    print(f"Mean ± standard deviation over the seeds {options.seeds}, ground-truth boxes, flip test.\n")
    print("\n".join(table(values)))
    if lost := taxes(values):
        print("\nThe tax: specialist minus union, seed by seed; below 0 the union is better.\n")
        print("\n".join(table(lost)))


if __name__ == "__main__":
    main()
