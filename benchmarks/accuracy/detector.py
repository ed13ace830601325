"""Recall and time of the shipped person detector beside RTMDet-nano.

    .venv/bin/python benchmarks/accuracy/detector.py --data DIR --against rtmdet-nano.onnx \\
        > benchmarks/notes/$(date +%F)-detector.md

DIR holds `coco/test.json` and `coco/test/`. Prints a Markdown note. With `--held-out` it is the pictures of
`coco/train.json` that training left out, which the shipped threshold was chosen on.

Some people in these pictures have no box, so precision is a lower bound, and recall is compared at the same number of
boxes a picture: each detector's threshold is put where it gives that many.

Shapes: P pictures, G people of all pictures, N boxes of one picture.
"""

from __future__ import annotations

import argparse
import datetime
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from poseunion.export.timing import commit, machine, measure, spread
from poseunion.models.files import sha256_of
from poseunion.models.images import read_annotated_image
from poseunion.models.inference.detector import OnnxDetector, load_detector
from poseunion.training.data.data_file import DatasetEntry
from poseunion.training.data.splits import is_held_out
from poseunion.training.detector.pictures import BoxedPicture, overlaps, read_pictures

FOUND_IOU = 0.5
LOWEST_SCORE = 0.02
SMALLEST_PX = 48
# What RTMDet-nano gives at .25, and numbers around it.
BOXES_A_PICTURE = (3.0, 4.0, 5.8, 8.0, 12.0)
HEIGHTS_PX = ((32, 64), (64, 128), (128, np.inf))
# Pictures whose time is taken, and rounds of them.
TIMED, ROUNDS = 20, 5


@dataclass(frozen=True)
class Answers:
    """What a detector said of all pictures.

    Attributes:
        score: (N,) of all boxes together.
        right: (N,) whether a box is a labelled person's, and no box of a higher score is.
        best: (G,) score of the surest box on each person; 0 where there is none.
    """

    score: NDArray[np.float64]
    right: NDArray[np.bool_]
    best: NDArray[np.float64]

    def threshold(self, boxes: int) -> float:
        """The score above which lie so many boxes."""
        return float(np.sort(self.score)[::-1][boxes]) if boxes < len(self.score) else 0.0


def asked(path: str | None, pictures: Sequence[BoxedPicture], images: Sequence[NDArray[np.uint8]]) -> Answers:
    """Every box that a detector sees, however unsure it is."""
    detector = load_detector(path, threads=1)
    detector.description = detector.description.model_copy(update={"score_threshold": LOWEST_SCORE})
    scores, rights, bests = [], [], []
    for picture, image in zip(pictures, images, strict=True):
        box, score = detector(image)
        fits = overlaps(box.astype(np.float64), picture.box_N4) >= FOUND_IOU
        taken = np.zeros(len(picture.box_N4), bool)
        right = np.zeros(len(box), bool)
        for i, row in enumerate(fits):  # best first
            free = np.flatnonzero(row & ~taken)
            if len(free):
                right[i] = taken[free[0]] = True
        scores.append(score.astype(np.float64))
        rights.append(right)
        bests.append(np.where(fits, score[:, None], 0.0).max(0, initial=0.0))
    return Answers(np.concatenate(scores), np.concatenate(rights), np.concatenate(bests))


def share(found: NDArray[np.bool_]) -> str:
    """Percent and how many of how many."""
    return f"{100 * found.mean():.1f} ({found.sum()} of {len(found)})" if len(found) else "–"


def row(name: str, answers: Answers, threshold: float, height_G: NDArray[np.float64], pictures: int) -> str:
    """A line of the table."""
    found = answers.best > threshold
    shown = answers.score > threshold
    groups = [height_G >= SMALLEST_PX, *((height_G >= low) & (height_G < high) for low, high in HEIGHTS_PX)]
    recalls = " | ".join(share(found[group]) for group in groups)
    precision = 100 * answers.right[shown].mean() if shown.any() else float("nan")
    return f"| {name} | {threshold:.3f} | {shown.sum() / pictures:.2f} | {recalls} | {precision:.1f} |"


def timed(detectors: dict[str, OnnxDetector], images: Sequence[NDArray[np.uint8]]) -> list[str]:
    """Milliseconds a picture, and the ratio within each round."""
    runs = {name: (lambda d=d: [d(image) for image in images[:TIMED]]) for name, d in detectors.items()}
    taken = measure(runs, range(ROUNDS))
    (first, ours), *others = taken.items()
    lines = ["| detector | ms a picture | CPU ms a picture | times as long as ours |", "|---|--:|--:|--:|"]
    for name, rounds in ((first, ours), *others):
        wall, cpu = (spread([1000 * r[i] / TIMED for r in rounds], 1) for i in (0, 1))
        lines.append(
            f"| {name} | {wall} | {cpu} | {spread([r[0] / o[0] for r, o in zip(rounds, ours, strict=True)])} |"
        )
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of coco/")
    parser.add_argument("--detector", help="shipped detector's name or an .onnx file; default: the shipped one")
    parser.add_argument("--against", required=True, help="RTMDet-nano's .onnx, or any described detector")
    parser.add_argument("--held-out", action="store_true", help="the held-out pictures of coco/train instead")
    given = parser.parse_args()
    said, where = machine(), commit(Path(__file__))
    cv2.setNumThreads(1)
    split = "train" if given.held_out else "test"
    folder = given.data / "coco"
    entry = DatasetEntry(name="coco", annotations=folder / f"{split}.json", images=folder / split)
    pictures = [p for p in read_pictures(entry) if not given.held_out or is_held_out(str(p.path))]
    images = [read_annotated_image(picture.path, picture.wh) for picture in pictures]
    detectors = {d.name: d for d in (load_detector(path, threads=1) for path in (given.detector, given.against))}
    answers = {d.name: asked(str(d.path), pictures, images) for d in detectors.values()}
    height = np.concatenate([picture.box_N4[:, 3] for picture in pictures])
    note = [
        "# The person detector",
        "",
        f"Date: {datetime.date.today().isoformat()}  ",
        f"Command: `{shlex.join(['python', *sys.argv])}`  ",
        f"Machine: {said}  ",
        f"Commit: {where}  ",
        *(
            f"Detector: {d.name}, sha256 {sha256_of(d.path)[:12]}, {d.path.stat().st_size / 1e6:.1f} MB, input "
            f"{'x'.join(map(str, d.description.size_wh))}  "
            for d in detectors.values()
        ),
        f"Pictures: {len(pictures)} of coco/{split}, {len(height)} people with a box, "
        f"{(height >= SMALLEST_PX).sum()} of them at least {SMALLEST_PX} px high.",
        "",
        f"Recall in percent at an IoU of {FOUND_IOU:g}. Crowds and many bystanders have no box here, so that a box on "
        "them counts as wrong: precision is a lower bound, for comparison only.",
        "",
        "## As it is shipped",
        "",
        *_head(),
        *(row(n, answers[n], d.description.score_threshold, height, len(pictures)) for n, d in detectors.items()),
    ]
    for boxes in BOXES_A_PICTURE:
        note += ["", f"## At {boxes:g} boxes a picture", "", *_head()]
        for name, said_of in answers.items():
            threshold = said_of.threshold(int(boxes * len(pictures)))
            note.append(row(name, said_of, threshold, height, len(pictures)))
    note += [
        "",
        f"## Time, one thread, {TIMED} pictures in {ROUNDS} rounds, taking turns",
        "",
        "Resizing, network, and the choice among its boxes; the picture is decoded already.",
        "",
        *timed(detectors, images),
    ]
    print("\n".join(note))


def _head() -> list[str]:
    groups = [
        f"≥ {SMALLEST_PX} px",
        *(f"{low}–{high:g} px" for low, high in HEIGHTS_PX[:-1]),
        f"≥ {HEIGHTS_PX[-1][0]} px",
    ]
    return [
        f"| detector | threshold | boxes a picture | {' | '.join(groups)} | precision |",
        f"|---|--:|--:|{'--:|' * len(groups)}--:|",
    ]


if __name__ == "__main__":
    main()
