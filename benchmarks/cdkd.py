"""What does each part of paper B bring to a student of 64x64 pixels? (Tables III and V to VIII in shape)

    .venv/bin/python benchmarks/cdkd.py --data data.yaml --sets DIR --seeds 0 1 2 > benchmarks/$(date +%F)-cdkd.md

`data.yaml` names training datasets (docs/train.md); its teachers are not asked, the one teacher is the shipped
`unified` at 256x256. DIR holds `coco/test.json`, `coco/test/`, `lspet/test.json` and `lspet/test/`. Every row gets the
same optimiser steps from the same start, in a process of one thread, two at a time. Runs that `--out` holds already are
not repeated, interrupted ones go on. Prints a Markdown note: mean and standard deviation over the seeds, then what each
row gains over the baseline, seed by seed, with the standard error of that gain: below two of them it is noise.
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

# `run` and MEASURES are the unification tax's: one way to start a command and to name what it measured.
from tax import KINDS, MEASURES, Scores, run

ONLY_FEATURES, ONLY_CLASSES = "cdkd.classes=off", "cdkd.features=off"
FIXED, LEARNED = "cdkd.learned=", "cdkd.learned=tau"
# Row: recipe and what is changed in it.
MAIN: dict[str, tuple[str, ...]] = {
    "baseline": ("cdkd_64", ONLY_FEATURES, ONLY_CLASSES, FIXED),
    "III projector": ("cdkd_64", ONLY_FEATURES, FIXED, "cdkd.features=projectors", "cdkd.projectors=1"),
    "III ensemble": ("cdkd_64", ONLY_FEATURES, FIXED, "cdkd.features=projectors"),
    "III ensemble + SAU": ("cdkd_64", ONLY_FEATURES, FIXED),
    "III CCA without ETHT": ("cdkd_64", ONLY_CLASSES, FIXED),
    "III CCA": ("cdkd_64", ONLY_CLASSES, LEARNED),
    "III all": ("cdkd_64",),
}
MORE: dict[str, tuple[str, ...]] = {
    "V features: strided convolution": ("cdkd_64", ONLY_FEATURES, FIXED, "cdkd.features=conv"),
    "V features: fully connected": ("cdkd_64", ONLY_FEATURES, FIXED, "cdkd.features=linear"),
    "V classes: same number": ("cdkd_same_classes",),
    "V classes: fully connected": ("cdkd_64", ONLY_CLASSES, FIXED, "cdkd.classes=linear"),
    "VI 1 projector": ("cdkd_64", "cdkd.projectors=1"),
    "VI 2 projectors": ("cdkd_64", "cdkd.projectors=2"),
    "VI 4 projectors": ("cdkd_64", "cdkd.projectors=4"),
    "VI 5 projectors": ("cdkd_64", "cdkd.projectors=5"),
    "VII 3, 5, 7": ("cdkd_64", "cdkd.kernels=1,1,1,0"),
    "VII 3, 3, 5, 7": ("cdkd_64", "cdkd.kernels=2,1,1,0"),
    "VII 3, 3, 3, 5, 7": ("cdkd_64", "cdkd.kernels=3,1,1,0"),
    "VII 3, 5, 5, 7": ("cdkd_64", "cdkd.kernels=1,2,1,0"),
    "VII 3, 5, 7, 9": ("cdkd_64", "cdkd.kernels=1,1,1,1"),
    "VIII nothing learned": ("cdkd_64", FIXED),
    "VIII tau, alpha": ("cdkd_64", "cdkd.learned=tau,alpha"),
    "VIII tau, alpha, beta": ("cdkd_64", "cdkd.learned=tau,alpha,beta"),
    "naive: RTMPose-t, stride 32": ("rtmpose_t_64",),
    "RTMPose's head at stride 8": ("rtmcc_64",),
}
ROWS = {**MAIN, **MORE}


def slug(row: str) -> str:
    """A folder's name."""
    return "-".join("".join(c if c.isalnum() else " " for c in row).split()).lower()


def measured(row: str, seed: int, options: argparse.Namespace) -> Scores:
    """Train, export and evaluate one student, or read what an earlier call measured."""
    folder = options.out / f"{slug(row)}-{seed}"
    result = folder / "scores.json"
    if not result.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        log, (recipe, *changes) = folder / "stderr.log", ROWS[row]
        train = ["train", recipe, f"seed={seed}", "validate_minutes=1e9", *changes, *options.set]
        train += [f"steps={options.steps}"] if options.steps else []
        again = ["--resume"] if (folder / "last.ckpt").is_file() else []
        run([*train, "--data", str(options.data), "--out", str(folder), *again], log)
        student = str(folder / "student.onnx")
        run(["export", "--model", str(folder / "weights.safetensors"), "--out", student, "--overwrite"], log)
        sets = [f"--{kind}={options.sets / name / f'test{end}'}" for name in ("coco", "lspet") for kind, end in KINDS]
        scores = json.loads(run(["evaluate", "--model", student, *sets, "--flip", "--json"], log))
        by_set = {name: values[0] for name, values in zip(("coco", "lspet"), scores.values(), strict=True)}
        part = result.with_suffix(".part")
        part.write_text(json.dumps(by_set))
        part.rename(result)
        print(f"{row}, seed {seed}: done", file=sys.stderr)
    return json.loads(result.read_text())  # type: ignore[no-any-return]


Values = dict[str, dict[str, list[float]]]


def table(values: Values, *, gain: bool) -> list[str]:
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


def gains(values: Values) -> Values:
    """Row minus baseline, seed by seed."""
    base = values.get("baseline", {})
    return {
        row: {
            name: [ours - plain for ours, plain in zip(of, base.get(name, []), strict=False)]
            for name, of in by_measure.items()
        }
        for row, by_measure in values.items()
        if row != "baseline"
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data file of the training")
    parser.add_argument("--sets", type=Path, required=True, help="folder of the test sets")
    parser.add_argument("--out", type=Path, default=Path("runs/cdkd"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=0, help="optimiser steps of each run (default: the recipe's)")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="overrides for every row")
    parser.add_argument("--at-once", type=int, default=2, help="runs beside each other")
    parser.add_argument(
        "--rows", nargs="+", choices=list(ROWS), default=list(MAIN), metavar="ROW", help=", ".join(ROWS)
    )
    options = parser.parse_args()

    # Seed by seed, so that a first look at all rows comes early.
    runs = [(row, seed) for seed in options.seeds for row in options.rows]
    with ThreadPoolExecutor(options.at_once) as pool:
        everything = list(pool.map(lambda one: measured(*one, options), runs))
    values: Values = {row: {} for row in options.rows}
    for (row, _), scores in zip(runs, everything, strict=True):
        for name, (dataset, group, key) in MEASURES.items():
            if key in scores[dataset].get(group, {}):
                values[row].setdefault(name, []).append(scores[dataset][group][key])

    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    print(f"# Paper B's parts at 64x64\n\nDate: {datetime.date.today()}  ")
    print(f"Command: `{' '.join(sys.argv)}`  ")
    print(f"Machine: {platform.processor() or platform.machine()}, {os.cpu_count()} cores  \nCommit: {commit}\n")
    print(f"Mean ± standard deviation over the seeds {options.seeds}, ground-truth boxes, flip test.\n")
    print("\n".join(table(values, gain=False)))
    if "baseline" in values and len(values) > 1:
        print("\nGain over the baseline, mean over the seeds ± its standard error.\n")
        print("\n".join(table(gains(values), gain=True)))


if __name__ == "__main__":
    main()
