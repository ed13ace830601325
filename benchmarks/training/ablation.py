"""What ablations share: many short trainings, each measured on the test sets, and tables of mean and spread.

Every run is a process of one thread that trains a student, exports it and evaluates it. What `--out` holds already is
not done again; an interrupted run goes on.
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
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from poseunion.export.timing import commit

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
POSEUNION = Path(__file__).with_name("ablation_recipes.py")
FROM_AFAR = Path(__file__).parents[1] / "accuracy/low_resolution.py"
KINDS = (("annotations", ".json"), ("images", ""))
MEASURES = {
    "COCO AP": ("coco", "coco", "AP"),
    "COCO mean OKS": ("coco", "coco", "mean_OKS"),
    "COCO PCK12": ("coco", "pck", "PCK12"),
    "LSPET PCK12": ("lspet", "pck", "PCK12"),
    "LSPET neck": ("lspet", "pck", "upper_neck"),
    "LSPET head_top": ("lspet", "pck", "head_top"),
}

Scores = dict[str, dict[str, dict[str, float]]]
Values = dict[str, dict[str, list[float]]]  # row -> measure -> one value a seed


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        folder: its runs' folders are called so, with the seed.
        recipe: and `changes` of it, `key=value`.
    """

    folder: str
    recipe: str
    changes: tuple[str, ...] = ()


def slug(row: str) -> str:
    """A folder's name."""
    return "-".join("".join(c if c.isalnum() else " " for c in row).split()).lower()


def run(arguments: list[str], log: Path, script: Path = POSEUNION) -> str:
    """A command of one thread; its standard output."""
    command = [sys.executable, str(script), *arguments]
    with log.open("a") as errors:
        done = subprocess.run(command, env=ONE_THREAD, stdout=subprocess.PIPE, stderr=errors, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{script.name} {arguments[0]} failed: see {log}")
    return done.stdout


def scores_of(student: str, options: argparse.Namespace, log: Path) -> Scores:
    """Scores of both test sets, ground-truth boxes, flip test."""
    sets = [f"--{kind}={options.sets / s / f'test{end}'}" for s in ("coco", "lspet") for kind, end in KINDS]
    scores = json.loads(run(["evaluate", "--model", student, *sets, "--flip", "--json"], log))
    return {name: values[0] for name, values in zip(("coco", "lspet"), scores.values(), strict=True)}


def far_scores(student: str, options: argparse.Namespace, log: Path) -> Scores:
    """Scores of both test sets, of whose people `--side` pixels are left; ground-truth boxes, no flip test."""
    arguments = ["--model", student, "--side", str(options.side), "--sets", str(options.sets), "--json"]
    scores = json.loads(run(arguments, log, FROM_AFAR))
    return {name: values[0] for name, values in scores.items()}


def measured(name: str, row: Row, seed: int, options: argparse.Namespace) -> Scores:
    """Train, export and evaluate one student, or read what an earlier call measured."""
    folder = options.out / f"{row.folder}-{seed}"
    result = folder / "scores.json"
    train = ["train", row.recipe, f"seed={seed}", "validate_minutes=1e9", *row.changes, *options.set]
    train += [f"steps={options.steps}"] if options.steps else []
    train += ["--init", str(options.init)] if options.init else []
    check_same(folder, train)
    if not result.is_file():
        log, student = folder / "stderr.log", str(folder / "student.onnx")
        again = ["--resume"] if (folder / "last.ckpt").is_file() else []
        run([*train, "--data", str(options.data), "--out", str(folder), *again], log)
        run(["export", "--model", str(folder / "weights.safetensors"), "--out", student, "--overwrite"], log)
        by_set = far_scores(student, options, log) if options.side else scores_of(student, options, log)
        part = result.with_suffix(".part")
        part.write_text(json.dumps(by_set))
        part.rename(result)
        print(f"{name}, seed {seed}: done", file=sys.stderr)
    scores: Scores = json.loads(result.read_text())
    return scores


def check_same(folder: Path, train: list[str]) -> None:
    """Leaves the words of a training in its folder; stops where others are there already: they do not compare."""
    path, words = folder / "training.txt", " ".join(train)
    folder.mkdir(parents=True, exist_ok=True)
    if path.is_file() and path.read_text() != words:
        raise SystemExit(f"{folder} holds `{path.read_text()}`, wanted is `{words}`: choose another --out.")
    path.write_text(words)


def arguments(said: str | None, out: Path) -> argparse.ArgumentParser:
    """The options that every ablation has; `said` is its docstring."""
    parser = argparse.ArgumentParser(description=said, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data file of the training")
    parser.add_argument("--sets", type=Path, required=True, help="folder of the test sets")
    parser.add_argument("--out", type=Path, default=out)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=0, help="optimiser steps of each run (default: the recipe's)")
    parser.add_argument("--init", type=Path, help="weights that every run starts from (default: the recipe's)")
    parser.add_argument("--side", type=int, default=0, help="pixels left of a person's square (default: all)")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="overrides for every run")
    parser.add_argument("--at-once", type=int, default=2, help="runs beside each other")
    return parser


def measure_all(rows: Mapping[str, Row], options: argparse.Namespace) -> Values:
    """Every row with every seed."""
    # Seed by seed, so that a first look at all rows comes early.
    runs = [(name, seed) for seed in options.seeds for name in rows]
    with ThreadPoolExecutor(options.at_once) as pool:
        everything = list(pool.map(lambda one: measured(one[0], rows[one[0]], one[1], options), runs))
    values: Values = {name: {} for name in rows}
    for (row, _), scores in zip(runs, everything, strict=True):
        for name, (dataset, group, key) in MEASURES.items():
            if key in scores[dataset].get(group, {}):
                values[row].setdefault(name, []).append(scores[dataset][group][key])
    return values


def table(values: Values, *, gain: bool = False) -> list[str]:
    """Mean ± standard deviation of every row, or of its gain ± standard error."""
    lines = ["| | " + " | ".join(MEASURES) + " |", "|---|" + "---|" * len(MEASURES)]
    for row, by_measure in values.items():
        cells = []
        for name in MEASURES:
            of = by_measure.get(name, [])
            spread = statistics.stdev(of) / (len(of) ** 0.5 if gain else 1) if len(of) > 1 else None
            mean = f"{statistics.mean(of):{'+' if gain else ''}.1f}" if of else "–"
            cells.append(mean if spread is None else f"{mean} ± {spread:.1f}")
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return lines


def print_head(title: str, seeds: Sequence[int]) -> None:
    """What a dated note begins with."""
    print(f"# {title}\n\nDate: {datetime.date.today()}  ")
    print(f"Command: `{' '.join(sys.argv)}`  ")
    print(f"Machine: {platform.processor() or platform.machine()}, {os.cpu_count()} cores  \nCommit: {commit()}\n")
    print(f"Mean ± standard deviation over the seeds {seeds}, ground-truth boxes.\n")
