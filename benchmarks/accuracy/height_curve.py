"""Accuracy of low-resolution models by the size of a person, and thresholds for a route.

    .venv/bin/python benchmarks/accuracy/height_curve.py --model unified --model unified-64 --model unified-32 \
        --flip unified-64 --sets DIR --plot curve.png

DIR holds `coco/test.json`, `coco/test/`, and `coco/train.json`, `coco/train/`. A person's size is the longer side of
the box in pixels of the picture, the first model predicts all larger people. The curve is of the test people;
the thresholds are found on other people, those of the training pictures that no model was trained on: each student's is
the highest size below which its mean OKS is at most `--margin` points under the first model's. Prints Markdown.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from small_people import MEASURES, Scores, held_out, interval, measured, open_task

from poseunion.models.inference.predictor import load_predictor

EDGES = (0, 48, 64, 80, 96, 128, 192, 256, 10_000)
# Where a route may hand over, px.
THRESHOLDS = (48, 64, 80, 96, 128, 192, 256)
LEAST_PEOPLE = 20  # with fewer, a mean is noise


def table(side: NDArray[np.float64], scores: dict[str, Scores], measure: str) -> list[str]:
    """A row a size, a column a model."""
    lines = [f"| longer side, px | people | {' | '.join(scores)} |", "|---|---|" + "---|" * len(scores)]
    for low, high in itertools.pairwise(EDGES):
        rows = np.flatnonzero((side >= low) & (side < high))
        if not len(rows):
            continue
        cells = ["{:.1f} ({:.0f} to {:.0f})".format(*interval(one, None, measure, rows)) for one in scores.values()]
        name = f"{low}–{high}" if high < EDGES[-1] else f"from {low}"
        lines.append(f"| {name} | {len(rows)} | {' | '.join(cells)} |")
    return lines


def thresholds(side: NDArray[np.float64], scores: dict[str, Scores], margin: float) -> list[str]:
    """Each student's loss against the first model, below every threshold; what is kept is marked."""
    base, *students = scores
    lines = [f"| below, px | people | {' | '.join(students)} |", "|---|---|" + "---|" * len(students)]
    for below in THRESHOLDS:
        rows = np.flatnonzero(side < below)
        cells = []
        for name in students:
            gain = interval(scores[name], scores[base], "OKS", rows)
            cells.append("{:+.1f} ({:+.1f} to {:+.1f})".format(*gain) + (" ✓" if gain[0] >= -margin else ""))
        lines.append(f"| {below} | {len(rows)} | {' | '.join(cells)} |")
    return lines


def plot(side: NDArray[np.float64], scores: dict[str, Scores], path: Path) -> None:
    """Mean OKS against the person's size, with the bootstrap's 95 %."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7.2, 4.2), dpi=130)
    for number, (name, one) in enumerate(scores.items()):
        x, values = [], []
        for low, high in itertools.pairwise(EDGES):
            rows = np.flatnonzero((side >= low) & (side < high))
            if len(rows) >= LEAST_PEOPLE:
                x.append(float(np.exp(np.log(side[rows]).mean())) * (1 + 0.012 * number))
                values.append(interval(one, None, "OKS", rows))
        value = np.array(values)
        axes.errorbar(x, value[:, 0], np.abs(value[:, 1:] - value[:, :1]).T, marker="o", ms=4, capsize=2, label=name)
    axes.set_xscale("log")
    ticks = [edge for edge in EDGES[1:-1]] + [512]
    axes.set_xticks(ticks, [str(tick) for tick in ticks], minor=False)
    axes.minorticks_off()
    axes.set_xlabel("longer side of the person's box, pixels of the picture")
    axes.set_ylabel("mean OKS, %")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", required=True, help="the base first, then its students")
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("--flip", action="append", default=[], metavar="NAME", help="a model that flips")
    parser.add_argument("--margin", type=float, default=1.0, help="points of mean OKS a student may lose")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    predictors = [load_predictor(name, threads=1, flip=name in options.flip) for name in options.model]
    side, scores = measured(open_task(options.sets / "coco", "test"), predictors)
    print(
        f"## By the person's size\n\nThe {len(side)} people of coco/test, ground-truth boxes; 95 % in brackets.", end=""
    )
    print(f" With flip test: {', '.join(options.flip) or 'none'}.\n")
    for measure in MEASURES:
        print(f"{measure}\n\n" + "\n".join(table(side, scores, measure)), end="\n\n")
    if options.plot:
        plot(side, scores, options.plot)
    side, scores = measured(held_out(open_task(options.sets / "coco", "train")), predictors)
    print(
        f"## Where to hand over\n\nThe {len(side)} people of coco/train's held-out pictures: mean OKS against ", end=""
    )
    print(f"{options.model[0]}'s of all people below a size; ✓ loses at most {options.margin:g}.\n")
    print("\n".join(thresholds(side, scores, options.margin)))


if __name__ == "__main__":
    main()
