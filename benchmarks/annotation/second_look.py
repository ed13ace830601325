"""Recall of exchanged sides by `annotate check --model`, and its rate of false suspicions.

    .venv/bin/python benchmarks/annotation/second_look.py --sets DIR > benchmarks/notes/$(date +%F)-second-look.md

DIR holds `coco/test.json`, `coco/test/`, `lspet/test.json` and `lspet/test/`. One group of pairs at a time is exchanged
on all people; a person is found if that group is suspected.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

from poseunion.annotate.check.run import check
from poseunion.export.timing import commit, machine
from poseunion.models.inference.predictor import Predictor, load_predictor

GROUPS = {"shoulders": ("shoulder",), "hips": ("hip",), "knees and ankles": ("knee", "ankle")}
Suspicions = dict[str, set[str]]  # place of a person -> joints


def suspicions(file: Path, images: Path, model: Predictor) -> Suspicions:
    """People that the model suspects, and their pairs."""
    said = [p for p in check(file, images=images, model=model)[1] if "finds both joints" in p.text]
    return {p.place: set(p.text.removeprefix("left/right swap of ").partition("?")[0].split(", ")) for p in said}


def exchanged(document: dict[str, Any], joints: tuple[str, ...]) -> tuple[dict[str, Any], set[str]]:
    """A copy with the sides of these joints exchanged, and the places of the records that changed."""
    copy = json.loads(json.dumps(document))
    names, touched = copy["categories"][0]["keypoints"], set()
    for number, person in enumerate(copy["annotations"]):
        k = person["keypoints"]
        for joint in joints:
            left, right = (slice(3 * i, 3 * i + 3) for i in (names.index(f"{s}_{joint}") for s in ("left", "right")))
            if k[left][2] and k[right][2]:
                k[left], k[right] = k[right], k[left]
                touched.add(f"annotations[{number}] (id {person['id']})")
    return copy, touched


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("--model", default="unified")
    options = parser.parse_args()
    model = load_predictor(options.model, flip=True, threads=1)
    print(f"# A second look at left and right\n\nDate: {datetime.datetime.now(datetime.UTC).date()}  ")
    print(f"Command: `python benchmarks/annotation/second_look.py {shlex.join(sys.argv[1:])}`  ")
    print(f"Machine: {machine()}  ")
    print(f"Commit: {commit()}  \nModel: {model.name}, sha256 {model.sha256[:12]}\n")
    print(f"| people | suspected as they are | {' | '.join(f'{group} exchanged: found' for group in GROUPS)} |")
    print("|---|---|" + "---|" * len(GROUPS))
    for name in ("coco", "lspet"):
        file, images = options.sets / name / "test.json", options.sets / name / "test"
        document = json.loads(file.read_text())
        people = len(document["annotations"])
        before = suspicions(file, images, model)
        cells = [f"{name}/test, {people}", f"{len(before)} ({len(before) / people:.1%})"]
        for joints in GROUPS.values():
            changed, touched = exchanged(document, joints)
            with tempfile.NamedTemporaryFile("w", suffix=".json") as copy:
                json.dump(changed, copy)
                copy.flush()
                after = suspicions(Path(copy.name), images, model)
            found = {place for place, names in after.items() if names & set(joints)} & touched
            cells.append(f"{len(found)} of {len(touched)} ({len(found) / len(touched):.0%})")
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
