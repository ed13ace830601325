"""Time of network calls by batch size, on one CPU thread: CPU milliseconds a person, and whether outputs are equal.

    OMP_NUM_THREADS=1 python benchmarks/runtime/batch_cpu.py

The batch sizes take turns, so that other programs on the machine slow all of them down; ratios are within a round.
Inputs are blurred noise. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import statistics
import time

import cv2
import numpy as np

from poseunion.export.timing import commit, machine
from poseunion.models.inference.predictor import load_predictor
from poseunion.models.runtime.onnx import OnnxModel

SIZES = (1, 2, 4, 8)
PEOPLE = 16


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="shipped models or described .onnx files")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    print(f"{machine()}; commit {commit()}\n")
    print(
        "| model | batch | CPU ms a person | ratio to a batch of 8 | output equals that of 8 |\n|---|--:|--:|--:|---|"
    )
    for name in given.model or ("unified", "unified-64", "unified-32"):
        predictor = load_predictor(name, threads=1)
        assert isinstance(predictor.model, OnnxModel)
        session, rng, (width, height) = predictor.model.session, np.random.default_rng(0), predictor.size_wh
        noise = rng.integers(0, 256, (PEOPLE, height, width, 3), dtype=np.uint8)
        inputs = predictor.model.normalise(np.stack([cv2.GaussianBlur(crop, (0, 0), 3) for crop in noise]))
        taken: dict[int, list[float]] = {size: [] for size in SIZES}
        outputs: dict[int, list[np.ndarray]] = {}
        for number in range(given.rounds + 1):
            for size in SIZES if number % 2 else SIZES[::-1]:
                before = time.process_time()
                parts = [
                    session.run(None, {predictor.metadata.input: inputs[start : start + size]})
                    for start in range(0, PEOPLE, size)
                ]
                if number:  # the first round warms up
                    taken[size].append((time.process_time() - before) * 1e3 / PEOPLE)
                outputs[size] = [np.concatenate(output) for output in zip(*parts, strict=True)]
        for size in SIZES:
            ratio = statistics.median(a / b for a, b in zip(taken[size], taken[SIZES[-1]], strict=True))
            far = max(float(np.abs(a - b).max()) for a, b in zip(outputs[size], outputs[SIZES[-1]], strict=True))
            equal = "yes" if far == 0 else f"to {far:.1g}"
            best, middle = min(taken[size]), statistics.median(taken[size])
            print(f"| {name} | {size} | {best:.2f} ({middle:.2f}) | {ratio:.2f} | {equal} |", flush=True)


if __name__ == "__main__":
    main()
