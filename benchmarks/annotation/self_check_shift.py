"""Alarm rates of `extend --self-check` on honest and on shifted pictures of people that nothing was fitted on.

Each labelled person becomes a picture of its own, shown in several settings: `honest`; `dark`, a tenth of the light
with sensor noise; `blurred`; `upside down`; `24 px`, shrunk until the person is 24 px high and enlarged again; `edges`,
a drawing by an edge filter. Its labels are hidden and predicted again once a setting; draws of 100 people then give the
alarm rates.

    python benchmarks/annotation/self_check_shift.py --annotations coco/test.json --images coco/test

A setting counts as shifted where the points accepted at `--risk` hold more gross errors than it guarantees.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from poseunion.annotate.audit.self_check import compare, mask
from poseunion.annotate.extend.acceptance import acceptance_rule
from poseunion.annotate.formats import AnnotationSet, read_annotations
from poseunion.models.images import read_image
from poseunion.models.inference.conditioned import ConditionedPredictor
from poseunion.models.inference.predictor import load_predictor
from poseunion.models.picture_paths import picture_path
from poseunion.models.progress import track

GROWN = 1.6  # of the box: more than the network's crop
SMALL_PX = 24

Pixels = NDArray[np.uint8]
Shift = Callable[[Pixels, float, np.random.Generator], Pixels]


def dark(image: Pixels, height: float, rng: np.random.Generator) -> Pixels:
    """A tenth of the light, with the noise of a sensor."""
    return np.clip(image * 0.1 + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def blurred(image: Pixels, height: float, rng: np.random.Generator) -> Pixels:
    """Out of focus: a Gaussian of a fortieth of the person's height."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), height / 40), np.uint8)


def small(image: Pixels, height: float, rng: np.random.Generator) -> Pixels:
    """Shrunk until the person is `SMALL_PX` high, and enlarged again."""
    h, w = image.shape[:2]
    scale = min(1.0, SMALL_PX / height)
    size = max(1, round(w * scale)), max(1, round(h * scale))
    shrunk = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (w, h), interpolation=cv2.INTER_LINEAR), np.uint8)


def edges(image: Pixels, height: float, rng: np.random.Generator) -> Pixels:
    """Black lines on white (Canny)."""
    found = cv2.Canny(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), 80, 160)
    return np.repeat(255 - found[..., None], 3, 2).astype(np.uint8)


SHIFTS: dict[str, Shift] = {
    "honest": lambda image, height, rng: image,
    "dark": dark,
    "blurred": blurred,
    "upside down": lambda image, height, rng: np.ascontiguousarray(image[::-1, ::-1]),
    f"{SMALL_PX} px": small,
    "edges": edges,
}


def write_people(annotations: AnnotationSet, images: Path, folder: Path) -> None:
    """A folder a setting, of a picture a person, and `people.json` of it."""
    names = list(annotations.skeleton.keypoints)
    category = {"id": 1, "name": "person", "keypoints": names, "skeleton": []}
    documents = {s: {"images": [], "annotations": [], "categories": [category]} for s in SHIFTS}  # type: ignore[var-annotated]
    people = [p for p in annotations.persons() if p.skip is None and p.image is not None]
    for number, person in enumerate(track(people, "people")):
        assert person.image is not None
        image = read_image(picture_path(images, person.image.file_name), exif=False)
        x, y, w, h = person.box_xywh
        low = np.maximum(0, np.floor([x + w / 2 - GROWN * w / 2, y + h / 2 - GROWN * h / 2])).astype(int)
        high = np.ceil([x + w / 2 + GROWN * w / 2, y + h / 2 + GROWN * h / 2]).astype(int)
        part = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
        size = np.array(part.shape[1::-1])
        visible = person.visibility > 0
        for setting, shift in SHIFTS.items():
            xy, box = person.xy - low, np.array([x - low[0], y - low[1], w, h])
            if setting == "upside down":
                xy, box = size - 1 - xy, np.array([size[0] - box[0] - w, size[1] - box[1] - h, w, h])
            values = np.where(visible[:, None], np.column_stack([xy, person.visibility]), 0)
            record = annotations.records[person.index]
            documents[setting]["images"].append(
                {"id": number, "file_name": f"{number}.png", "width": int(size[0]), "height": int(size[1])}
            )
            documents[setting]["annotations"].append(
                {
                    "id": number,
                    "image_id": number,
                    "category_id": 1,
                    "iscrowd": 0,
                    "bbox": box.tolist(),
                    "area": record.get("area", w * h),
                    "num_keypoints": int(visible.sum()),
                    "keypoints": values.ravel().tolist(),
                }
            )
            target = folder / setting
            target.mkdir(exist_ok=True)
            Image.fromarray(shift(part, h, np.random.default_rng(number))).save(target / f"{number}.png")
    for setting, document in documents.items():
        (folder / setting / "people.json").write_text(json.dumps(document))


def main() -> None:
    """Print a row a setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="unified")
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--risk", type=float, default=0.05)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--people", type=int, default=100, help="of a draw")
    options = parser.parse_args()
    predictor = ConditionedPredictor(load_predictor(options.model, threads=1))
    rule = acceptance_rule(predictor, risk=options.risk)
    print("| setting | people | hidden keypoints | errors | predicted | accepted | errors of accepted | alarms |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_people(read_annotations(options.annotations), options.images, folder)
        for setting in SHIFTS:
            found = mask(read_annotations(folder / setting / "people.json"), folder / setting, predictor, 10_000)
            taken = found.confidence >= rule.threshold_K[found.keypoint]
            people = np.unique(found.person)
            rng = np.random.default_rng(0)
            alarms = 0
            for _ in range(options.draws):
                drawn = np.isin(found.person, rng.choice(people, min(options.people, len(people)), replace=False))
                fields = {name: getattr(found, name)[drawn] for name in ("person", "keypoint", "confidence", "wrong")}
                alarms += compare(dataclasses.replace(found, **fields), rule).alarm
            wrong = f"{found.wrong[taken].mean():.1%}" if taken.any() else "–"
            print(
                f"| {setting} | {len(people)} | {len(found.wrong)} | {found.wrong.mean():.1%} "
                f"| {(1 - found.confidence).mean():.1%} | {taken.mean():.1%} | {wrong} "
                f"| {alarms / options.draws:.1%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
