"""Is one model better than another on the same people? Paired bootstrap over people.

    .venv/bin/python benchmarks/accuracy/paired.py --model unified --model other.onnx --sets DIR coco/test lspet/test

The first model is compared with each further one, with ground-truth boxes and the flip test; OKS where the set has
COCO's keypoints. Each of DIR's sets is a file `NAME.json` and the pictures in `NAME/`. Prints Markdown.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from small_people import MEASURES, held_out, interval, measured, open_task

from poseunion.models.inference.predictor import load_predictor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", required=True, help="shipped model or described file; repeat it")
    parser.add_argument("--sets", nargs="+", required=True, metavar=("DIR", "NAME"), help="folder, and sets in it")
    parser.add_argument("--held-out", action="store_true", help="the held-out people of training sets alone")
    options = parser.parse_args()
    folder, *names = options.sets
    predictors = [load_predictor(model, flip=True, threads=1) for model in options.model]
    labels = [Path(model).stem for model in options.model]
    for name in names:
        task = open_task(Path(folder) / Path(name).parent, Path(name).name)
        if options.held_out:
            task = held_out(task)
        # By place, since two files may hold models of one name.
        scores = [next(iter(measured(task, [one])[1].values())) for one in predictors]
        rows = np.flatnonzero(np.isfinite(scores[0].oks))
        shown = MEASURES if name.startswith("coco") else MEASURES[1:]
        print(f"\n{name}, {len(rows)} people\n\n| | {' | '.join(shown)} |\n|---|{'---|' * len(shown)}")
        for label, one in zip(labels, scores, strict=True):
            print(f"| {label} | {' | '.join(f'{one.mean(measure, rows):.1f}' for measure in shown)} |")
        for label, one in zip(labels[1:], scores[1:], strict=True):
            gains = (interval(one, scores[0], measure, rows) for measure in shown)
            cells = " | ".join("{:+.1f} ({:+.1f} to {:+.1f})".format(*gain) for gain in gains)
            print(f"| {label} less {labels[0]} | {cells} |")


if __name__ == "__main__":
    main()
