"""What do students of few pixels see in pictures that have no more, beside larger networks on the same pixels?

    .venv/bin/python benchmarks/accuracy/low_resolution.py --side 64 --sets DIR --model unified-64 \
        --model runs/labels_64.onnx --model unified --model teachers/tinypose-256x192.onnx

DIR holds `coco/test.json`, `coco/test/`, `lspet/test.json`, `lspet/test/`. Of every person's padded square only
`--side` pixels are left, averaged over areas as a sensor does; a model that reads more gets them enlarged. Prints a
Markdown table a set: ground-truth boxes, no flip test.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from small_people import held_out, open_task

from poseunion.app.demo.downscale import reduce_resolution
from poseunion.models.codec.crop import crop_from_box
from poseunion.models.inference.predictor import Predictor, load_predictor
from poseunion.models.poses.batch import PoseBatch
from poseunion.training.evaluation.evaluate import measure
from poseunion.training.evaluation.report_table import markdown_table


class FromAfar(Predictor):
    """A predictor whose people are so far away that their padded square has `side_px` pixels a side."""

    def __init__(self, predictor: Predictor, side_px: int) -> None:
        super().__init__(predictor.model, batch_size=predictor.batch_size)
        self.side_px = side_px

    def predict(
        self,
        images: Sequence[NDArray[np.uint8]],
        boxes_xywh: Sequence[ArrayLike],
        labels: Sequence[NDArray[np.floating]] | None = None,
        wanted: Sequence[NDArray[np.bool_]] | None = None,
    ) -> list[PoseBatch]:
        """As `Predictor.predict`, one person at a time: each has a picture of their own."""
        found = []
        for image, boxes in zip(images, boxes_xywh, strict=True):
            people = []
            for box in np.asarray(boxes, np.float64).reshape(-1, 4):
                x, y, w, h = (float(v) for v in box)
                # The same square for every model, whatever its own padding and aspect.
                far = reduce_resolution(image, crop_from_box((x, y, w, h), (self.side_px, self.side_px)), self.side_px)
                people += super().predict([far], [box])
            found.append(PoseBatch.concatenate(people) if people else PoseBatch.empty(self.skeleton))
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--side", type=int, required=True, help="pixels of a person's padded square")
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("--held-out", action="store_true", help="train.json's held-out people, to choose a student on")
    parser.add_argument("--json", action="store_true", help="scores a set and model as JSON, instead of tables")
    options = parser.parse_args()
    split = "train" if options.held_out else "test"
    predictors = [FromAfar(load_predictor(name, threads=1), options.side) for name in options.model]
    scores = {}
    for name in ("coco", "lspet"):
        task = open_task(options.sets / name, split)
        task = held_out(task) if options.held_out else task
        scores[name] = [measure(predictor, task).scores for predictor in predictors]
        if not options.json:
            title = f"{name}/{split}.json, {options.side}x{options.side} pixels a person"
            print(f"{title}\n\n{markdown_table(scores[name])}\n")
    if options.json:
        print(json.dumps(scores))


if __name__ == "__main__":
    main()
