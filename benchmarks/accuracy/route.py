"""Does a route keep its condition: small people several times sooner, and hardly worse?

    .venv/bin/python benchmarks/accuracy/route.py --student unified-64 48 --flip unified-64 --sets DIR --write

DIR holds `coco/test.json` and `coco/test/`. `--student NAME BELOW` is given once a student, the smallest people's
first; `height_curve.py` finds the sizes, on other people than these. On the people below `--below` px: time of cropping
and networks on one thread, as a ratio to the base within each round, and what is lost, paired, with the 95 % of a
bootstrap over people. `--write` puts the route and what was found beside the shipped weights. Prints Markdown.
"""

from __future__ import annotations

import argparse
import datetime
import shlex
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from small_people import MEASURES, interval, open_task, scores_of

from poseunion.export.timing import commit, machine, measure, spread
from poseunion.models.files import write_json
from poseunion.models.images import read_annotated_image
from poseunion.models.inference.predictor import Predictor, load_predictor
from poseunion.models.inference.size_routing import Route, RoutedPredictor, Student, route_path, with_route
from poseunion.training.evaluation.evaluate import Task
from poseunion.training.evaluation.predictions import predict_people

FASTER, LOST = 3.0, 1.0  # the condition under which a route may be the default
ROUNDS = 5


def pictures_of(task: Task, below_px: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Decoded pictures and the boxes of their small people."""
    annotations, images, boxes = task.annotations, [], []
    for number, ref in enumerate(annotations.images):
        rows = [
            record.index
            for record in annotations.persons()
            if record.skip is None and annotations.image_index[record.index] == number
        ]
        box = annotations.box_xywh[rows].reshape(-1, 4)
        small = box[:, 2:].max(1) < below_px if len(box) else np.zeros(0, bool)
        if small.any():
            wh = (ref.width, ref.height) if ref.width and ref.height else None
            images.append(read_annotated_image(task.images / ref.file_name, wh))
            boxes.append(box[small])
    return images, boxes


def times(
    base: Predictor, routed: RoutedPredictor, images: list[np.ndarray], boxes: list[np.ndarray]
) -> tuple[list[float], dict[str, float]]:
    """Base over route of every round, and the median milliseconds a person."""
    people = sum(len(one) for one in boxes)
    arms = {"base": lambda: base.predict(images, boxes), "route": lambda: routed.predict(images, boxes)}
    for arm in arms.values():
        arm()
    taken = measure(arms, range(ROUNDS))
    # CPU time of one thread: what else the machine does does not count.
    ratios = [a[1] / b[1] for a, b in zip(taken["base"], taken["route"], strict=True)]
    return ratios, {name: 1000 * float(np.median([cpu for _, cpu in of])) / people for name, of in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="unified")
    parser.add_argument("--student", nargs=2, action="append", required=True, metavar=("NAME", "BELOW"))
    parser.add_argument("--flip", action="append", default=[], metavar="NAME", help="a student that flips")
    parser.add_argument("--below", type=float, default=96.0, help="size of the compared people, px")
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("--write", action="store_true", help="write the route beside the shipped weights")
    options = parser.parse_args()
    base = load_predictor(options.model, threads=1)
    students = tuple(
        Student(
            model=name,
            sha256=load_predictor(name, threads=1).sha256,
            below_px=float(below),
            flip=name in options.flip,
        )
        for name, below in options.student
    )
    # Of an absolute path its last part: the way to it is this machine's own.
    given = (Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:])
    command = shlex.join(["benchmarks/accuracy/route.py", *given])
    route = Route(model=options.model, sha256=base.sha256, students=students, how=command)
    routed = with_route(base, route, threads=1)
    print(f"# Route of {options.model}\n\nDate: {datetime.date.today()}  \nCommand: `{command}`  ")
    print(f"Machine: {machine()}  \nCommit: {commit(Path(__file__))}\n")

    task = open_task(options.sets / "coco", "test")
    images, boxes = pictures_of(task, options.below)
    who = Counter(name for one in boxes for name in (routed.models[i].name for i in routed.model_of(one)))
    alone, ours = (predict_people(one, task.annotations, task.images) for one in (base, routed))
    rows = np.flatnonzero(task.annotations.box_xywh[alone.rows, 2:].max(1) < options.below)
    ratios, per_person = times(base, routed, images, boxes)
    gains = {m: interval(scores_of(task, ours), scores_of(task, alone), m, rows) for m in MEASURES}
    print(f"{len(rows)} people of coco/test whose longer side is below {options.below:g} px; ", end="")
    print(", ".join(f"{count} go to {name}" for name, count in who.items()) + ".\n")
    print("| | base | route | |\n|---|---|---|---|")
    print(f"| crop and network, CPU ms a person | {per_person['base']:.1f} | {per_person['route']:.1f} ", end="")
    print(f"| {spread(ratios)} times faster |")
    for m, gain in gains.items():
        values = [scores_of(task, one).mean(m, rows) for one in (alone, ours)]
        print(f"| {m} | {values[0]:.1f} | {values[1]:.1f} | {{:+.1f}} ({{:+.1f}} to {{:+.1f}}) |".format(*gain))
    fast, kept = float(np.median(ratios)) >= FASTER, all(gain[0] >= -LOST for gain in gains.values())
    sure = all(gain[1] >= -LOST for gain in gains.values())
    print(f"\nAt least {FASTER:g} times faster: {'yes' if fast else 'no'}. At most {LOST:g} point lower: ", end="")
    print(("yes, clear of the interval" if sure else "yes, within the interval") if kept else "no", end=".\n")
    if options.write:
        found = {
            "people": len(rows),
            "below_px": options.below,
            "times_faster": round(float(np.median(ratios)), 2),
            **{m: [round(value, 2) for value in gain] for m, gain in gains.items()},
            "holds": bool(fast and kept),
        }
        write_json(route_path(options.model), route.model_copy(update={"found": found}).model_dump(), indent=1)


if __name__ == "__main__":
    main()
