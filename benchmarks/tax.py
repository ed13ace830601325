"""What does one student for several skeletons lose to the specialists? (the "unification tax")

    .venv/bin/python benchmarks/tax.py --data data.yaml --sets DIR --seeds 0 1 2 > benchmarks/$(date +%F)-tax.md

`data.yaml` names the datasets `coco` and `lspet` and a COCO and an MPII teacher (docs/train.md). DIR holds
`coco/test.json`, `coco/test/`, `lspet/test.json` and `lspet/test/`. Every recipe gets the same minutes. Runs that are
already in `--out` are not repeated, so that the script can be stopped and started again. Prints a Markdown note.
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
from pathlib import Path

RECIPES = ("coco_only", "lspet_only", "union_labels", "union_one_teacher", "union_two_teachers", "union_agreement")
MEASURES = {
    "COCO AP": ("coco", "coco", "AP"),
    "COCO mean OKS": ("coco", "coco", "mean_OKS"),
    "COCO PCK12": ("coco", "pck", "PCK12"),
    "LSPET PCK12": ("lspet", "pck", "PCK12"),
    "LSPET neck": ("lspet", "pck", "upper_neck"),
    "LSPET head_top": ("lspet", "pck", "head_top"),
}


def run(arguments: list[str], log: Path) -> str:
    """A `poseunion` command; its standard output."""
    command = [sys.executable, "-m", "poseunion.app.cli", *arguments]
    with log.open("a") as errors:
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=errors, text=True).stdout


def measured(recipe: str, seed: int, options: argparse.Namespace) -> dict[str, dict[str, dict[str, float]]]:
    """Train, export and evaluate one student, or read what an earlier call measured."""
    folder = options.out / f"{recipe}-{seed}"
    result = folder / "scores.json"
    if not result.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "stderr.log"
        train = ["train", recipe, f"seed={seed}", f"minutes={options.minutes}", "validate_minutes=1e9"]
        where = ["--data", str(options.data), "--out", str(folder), "--devices", str(options.devices)]
        again = ["--resume"] if (folder / "last.ckpt").is_file() else []
        run([*train, *where, *again], log)
        run(["export", str(folder / "weights.safetensors"), "--out", str(folder / "student.onnx")], log)
        sets = [f"--{kind}={options.sets / s / f'test{end}'}" for s in ("coco", "lspet") for kind, end in KINDS]
        scores = json.loads(run(["evaluate", "--model", str(folder / "student.onnx"), *sets, "--flip", "--json"], log))
        by_set = {name: values[0] for name, values in zip(("coco", "lspet"), scores.values(), strict=True)}
        result.write_text(json.dumps(by_set))
    return json.loads(result.read_text())  # type: ignore[no-any-return]


KINDS = (("annotations", ".json"), ("images", ""))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data file of the training")
    parser.add_argument("--sets", type=Path, required=True, help="folder of the test sets")
    parser.add_argument("--out", type=Path, default=Path("runs/tax"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    options = parser.parse_args()

    table: dict[str, dict[str, list[float]]] = {}
    for seed in options.seeds:
        for recipe in options.recipes:
            scores = measured(recipe, seed, options)
            for name, (dataset, group, key) in MEASURES.items():
                if key in scores[dataset].get(group, {}):
                    table.setdefault(recipe, {}).setdefault(name, []).append(scores[dataset][group][key])

    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    print(
        f"# Unification tax\n\n{datetime.date.today()}, commit {commit}, {platform.processor() or platform.machine()},"
    )
    print(f"{os.cpu_count()} cores; seeds {options.seeds}, {options.minutes:g} minutes a run, mean ± sd.\n")
    print(f"```\n{' '.join(sys.argv)}\n```\n")
    print("| | " + " | ".join(MEASURES) + " |\n|---|" + "---|" * len(MEASURES))
    for recipe, row in table.items():
        cells = []
        for name in MEASURES:
            values = row.get(name, [])
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.1f}{spread}" if values else "–")
        print(f"| {recipe} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
