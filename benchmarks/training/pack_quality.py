"""What packing costs: bytes a person, and the OKS that a teacher loses on the packed crops, at several qualities.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/training/pack_quality.py --model tinypose-256x192.onnx --sets DIR

DIR holds `coco/train.json` and `coco/train/`. People of held-out pictures with at least ten labelled keypoints; the
model reads each once, without flip, on the uncompressed crop of the store and on the packed one, from the same box. The
interval is that of the mean of paired differences (two standard errors). Bytes are those of the model's whole shard.
Prints Markdown.
"""

from __future__ import annotations

import argparse
import datetime
import io
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.export.timing import machine
from poseunion.models.inference.predictor import Predictor, load_predictor
from poseunion.models.metrics import area_from_box, oks
from poseunion.models.skeleton import load_skeleton
from poseunion.training.data.crop_store import CropStore, open_store
from poseunion.training.data.data_file import DatasetEntry
from poseunion.training.data.read_people import read_people
from poseunion.training.data.splits import is_held_out
from poseunion.training.densities.peaks import Peaks
from poseunion.training.shards.samples import Sample, cut_sample, decode, encode, write_shard
from poseunion.training.teachers.cached_targets import predict_peaks

PEOPLE, LABELLED = 200, 10
# Height of the box in px, quality.
SETTINGS = ((192, 50), (192, 80), (192, 65), (192, 30), (160, 65), (160, 50))
HEAD = """\
| box px | quality | picture, kB | shard, kB a person | mean OKS | OKS lost | OKS of answers against those as stored |
|---|---|---|---|---|---|---|"""


def answers(network: Predictor, samples: list[Sample]) -> NDArray[np.float64]:
    """(N, K, 2) px of the whole picture."""
    points = []
    for start in range(0, len(samples), network.batch_size):
        some = samples[start : start + network.batch_size]
        boxes = [
            np.concatenate([(s.box_xywh[:2] - s.origin_xy + 0.5) / s.scale - 0.5, s.box_xywh[2:] / s.scale])
            for s in some
        ]
        found = network.predict([s.pixels for s in some], [box[None] for box in boxes])
        points += [s.origin_xy + (one.xy[0] + 0.5) * s.scale - 0.5 for s, one in zip(some, found, strict=True)]
    return np.stack(points)


def as_stored(store: CropStore, modes: Peaks, index: int) -> Sample:
    """The whole stored crop, uncompressed."""
    sample = cut_sample(store, index, [modes], 10_000, "")
    scale = float(store.image_px_per_store_px[index])
    fields = {"pixels": store.pixels(index), "scale": scale, "origin_xy": store.origin_xy[index]}
    return Sample(**{**vars(sample), **fields})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--sets", type=Path, required=True)
    args = parser.parse_args()
    skeleton = load_skeleton("coco17")
    entry = DatasetEntry(name="coco", annotations=args.sets / "coco/train.json", images=args.sets / "coco/train")
    everyone = read_people(entry, skeleton)
    people = [one for one in everyone if is_held_out(one.image.name) and (one.visibility > 0).sum() >= LABELLED]
    network = load_predictor(args.model, flip=False, threads=1)
    with tempfile.TemporaryDirectory() as folder:
        store = open_store("coco", people[:PEOPLE], skeleton, Path(folder))
        modes = predict_peaks(store, network, skeleton, Path(folder)).modes
        truth = np.stack([store.to_image(i, store.xy[i]) for i in range(len(store))])
        whole = [as_stored(store, modes, i) for i in range(len(store))]
        area = area_from_box(np.stack([s.box_xywh for s in whole]))

        def scored(xy: NDArray[np.float64]) -> NDArray[np.float64]:
            return 100 * oks(xy, truth, store.visibility, area, np.array(skeleton.sigmas))

        before = answers(network, whole)
        today = datetime.datetime.now(tz=datetime.timezone.utc).date()
        print(f"Date: {today}  \nMachine: {machine()}  \n{len(store)} people\n\n{HEAD}")
        print(f"| as stored | – | – | – | {scored(before).mean():.2f} | – | – |")
        for height_px, quality in SETTINGS:
            files = [
                encode(cut_sample(store, i, [modes], height_px, f"{i:012d}.jpg"), quality) for i in range(len(store))
            ]
            shard = io.BytesIO()
            write_shard(shard, ((f"{i:07d}", one) for i, one in enumerate(files)))
            after = answers(network, [decode(one, len(skeleton), 1) for one in files])
            lost = scored(before) - scored(after)
            same = 100 * oks(after, before, store.visibility, area, np.array(skeleton.sigmas))
            print(
                f"| {height_px} | {quality if quality < 100 else 'lossless'} "
                f"| {np.mean([len(one['webp']) for one in files]) / 1e3:.2f} | {shard.tell() / len(store) / 1e3:.2f} "
                f"| {scored(after).mean():.2f} | {lost.mean():+.2f} ± {2 * lost.std() / len(lost) ** 0.5:.2f} "
                f"| {same.mean():.2f} ± {2 * same.std() / len(same) ** 0.5:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
