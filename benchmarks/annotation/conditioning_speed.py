"""Time of the conditioning step: CPU milliseconds a person of `fuse`, on people of an annotation file.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/annotation/conditioning_speed.py --data DIR

DIR holds `coco/test.json` and `coco/test/`. The network runs once, outside the timing; then `fuse` runs on the batches
that `extend` makes, several rounds: of the keypoints that it writes by default, and of all missing ones. CPU time
counts, and the best round: other programs on the machine slow it down.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from poseunion.annotate.extend.chunks import cut_task, task_of
from poseunion.annotate.extend.image_reader import Pictures
from poseunion.annotate.extend.plan import plan
from poseunion.annotate.extend.requested_keypoints import Asked
from poseunion.annotate.formats import read_annotations
from poseunion.export.timing import commit, machine
from poseunion.models.conditioning.fusion import fuse
from poseunion.models.inference.conditioned import ConditionedPredictor
from poseunion.models.inference.predictor import load_predictor


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="unified", help="shipped model or described .onnx file")
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    start = machine()
    predictor = ConditionedPredictor(load_predictor(given.model, threads=1))
    annotations = read_annotations(given.data / "coco" / "test.json")
    planned, pictures = plan(annotations, limit=given.people), Pictures(given.data / "coco" / "test")
    batches = []
    for chunk in range(planned.chunks):
        task = task_of(
            annotations, chunk, planned.chunk(chunk), predictor.skeleton, Asked(), predictor.calibration_part.labelling
        )
        cut = cut_task(task, pictures, predictor)
        for first in range(0, len(cut.pixels), predictor.batch_size):
            part = slice(first, first + predictor.batch_size)
            labels = np.stack([label for label in cut.labels[part] if label is not None])
            size_wh = np.array(cut.size_wh[part], np.float64)
            wanted = np.stack([mask for mask in cut.wanted[part] if mask is not None]) & (labels[..., 2] <= 0)
            outputs = predictor.outputs(np.stack(cut.pixels[part]))
            batches.append((outputs, cut.crops[part], labels, size_wh, wanted))
    people = sum(len(crops) for _, crops, *_ in batches)
    print(f"{start}; commit {commit()}; {people} people")
    for arm in ("written by default", "all missing"):
        taken, count = [], 0
        for _ in range(given.rounds):
            before, count = time.process_time(), 0
            for outputs, crops, labels, size_wh, written in batches:
                wanted = written if arm == "written by default" else labels[..., 2] <= 0
                count += int(wanted.sum())
                fuse(
                    outputs[0], outputs[1], predictor.metadata.grid, crops, labels[..., :2], labels[..., 2] > 0,
                    predictor.prior,
                    skeleton=predictor.skeleton, tempering=predictor.calibration.tempering, image_wh_N2=size_wh,
                    wanted_NK=wanted,
                )  # fmt: skip
            taken.append((time.process_time() - before) * 1e3 / people)
        print(
            f"{arm}, {count / people:.1f} keypoints a person: CPU ms a person {min(taken):.2f} (best), "
            f"{np.median(taken):.2f} (median of {given.rounds})"
        )


if __name__ == "__main__":
    main()
