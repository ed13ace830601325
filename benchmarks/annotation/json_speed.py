"""How fast are annotation files read and written, beside a bare JSON decoder and encoder?

python benchmarks/annotation/json_speed.py --mb 300 --labels 60000

The file is COCO keypoints json of random people with all that COCO's own hold. Each measurement is its own process,
so that its peak memory is its own; times are of the process's CPU, as other work on the machine would else be measured,
too, with the wall clock beside it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

PEOPLE_PER_MB = 870  # of the file made here


def make_coco(path: Path, megabytes: float) -> int:
    """Write a COCO json of about `megabytes`; returns the people in it."""
    from poseunion.models.skeleton import load_skeleton

    rng = np.random.default_rng(0)
    names = list(load_skeleton("coco17").keypoints)
    people = int(megabytes * PEOPLE_PER_MB)
    images = [
        {
            "license": 1,
            "file_name": f"{i:012d}.jpg",
            "coco_url": f"http://images.cocodataset.org/train2017/{i:012d}.jpg",
            "height": 480,
            "width": 640,
            "date_captured": "2013-11-14 16:28:13",
            "id": i,
        }
        for i in range(people // 3 + 1)
    ]
    with path.open("w") as file:
        file.write('{"images": ' + json.dumps(images) + ', "annotations": [')
        for i in range(people):
            xy = rng.integers(0, 480, (17, 2))
            v = rng.integers(0, 3, 17)
            triples = np.where(v[:, None] > 0, np.column_stack([xy, v]), 0).ravel().tolist()
            outline = rng.uniform(0, 480, 90).round(2).tolist()
            box = rng.uniform(20, 200, 4).round(2).tolist()
            record = {"segmentation": [outline], "num_keypoints": int((v > 0).sum()), "area": box[2] * box[3]}
            record |= {"iscrowd": 0, "keypoints": triples, "image_id": i // 3, "bbox": box, "category_id": 1, "id": i}
            file.write((", " if i else "") + json.dumps(record))
        category = {"supercategory": "person", "id": 1, "name": "person", "keypoints": names, "skeleton": [[1, 2]]}
        file.write('], "categories": ' + json.dumps([category]) + "}")
    return people


def make_yolo(root: Path, files: int) -> None:
    """Write a YOLO-pose dataset of `files` label files of two people each; the pictures are one small one, linked."""
    from PIL import Image

    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    picture = root / "one.png"
    Image.new("RGB", (64, 48)).save(picture)
    line = "0 .5 .5 .8 .8 " + " ".join(f"{0.2 + 0.03 * k:.6f} {0.3 + 0.02 * k:.6f} 2" for k in range(17)) + "\n"
    for i in range(files):
        (root / f"images/{i:06d}.png").hardlink_to(picture)
        (root / f"labels/{i:06d}.txt").write_text(line * 2)
    (root / "data.yaml").write_text("train: images\nval: images\nkpt_shape: [17, 3]\nnames: [person]\n")


def _bare_read(path: Path) -> Any:
    import msgspec

    return msgspec.json.decode(path.read_bytes())


def _bare_write(path: Path) -> Callable[[], Any]:
    import msgspec

    document = _bare_read(path)
    return lambda: path.with_suffix(".out").write_bytes(msgspec.json.encode(document))


def _ours_write(path: Path) -> Callable[[], Any]:
    """Writes the extended file of people without added points; reading and predicting are not timed."""
    from poseunion.annotate.formats import read_annotations
    from poseunion.annotate.formats.coco import coco_json_write as coco_write
    from poseunion.annotate.formats.extension import Completion, Extension, Origin
    from poseunion.annotate.formats.skeleton_match import skeleton_to_json
    from poseunion.models.files import atomic_writer

    annotations = read_annotations(path, lean=True)

    def rows(start: int, stop: int) -> Completion:
        labelled = annotations.visibility[start:stop] > 0
        shape = labelled.shape
        origin = np.where(labelled, Origin.HUMAN, Origin.NONE).astype(np.int8)
        return Completion(start, origin, np.zeros((*shape, 2)), np.zeros(shape, np.int8), np.full(shape, np.nan))

    block = {"skeleton": skeleton_to_json(annotations.skeleton)}
    extension = Extension(annotations.skeleton, block, lambda _: None, rows)

    def write() -> None:
        with atomic_writer(path.with_suffix(".out")) as file:
            coco_write.write(file, annotations, extension)

    return write


def _ours_read(path: Path) -> Any:
    from poseunion.annotate.formats import read_annotations

    return read_annotations(path, lean=True)


def _job(name: str, path: Path) -> Callable[[], Any]:
    if name == "msgspec decode":
        return lambda: _bare_read(path)
    if name == "msgspec encode":
        return _bare_write(path)
    return _ours_write(path) if name == "ours, written" else lambda: _ours_read(path)


JOBS = ("msgspec decode", "ours, read", "msgspec encode", "ours, written")


def measured(name: str, path: Path) -> dict[str, float]:
    """CPU and wall seconds and peak memory of one job, in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--job", name, "--file", str(path)], capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout))


def main() -> None:
    """Make the files, measure, print a Markdown table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mb", type=float, default=300)
    options.add_argument("--labels", type=int, default=60000)
    options.add_argument("--job")
    options.add_argument("--file", type=Path)
    given = options.parse_args()
    if given.job:
        import poseunion.annotate.formats  # noqa: F401  imports are not measured

        job = _job(given.job, given.file)
        cpu, wall = time.process_time(), time.perf_counter()
        kept = job()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(json.dumps({"cpu_s": cpu, "wall_s": wall, "peak_gb": peak, "kept": kept is not None}))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coco.json"
        people = make_coco(path, given.mb)
        print(
            f"{path.stat().st_size / 1e6:.0f} MB, {people} people\n\n| | CPU s | wall s | peak GB |\n|---|--:|--:|--:|"
        )
        cpu_s = {}
        for name in JOBS:
            m = measured(name, path)
            cpu_s[name] = m["cpu_s"]
            print(f"| {name} | {m['cpu_s']:.1f} | {m['wall_s']:.1f} | {m['peak_gb']:.2f} |", flush=True)
        if given.labels:
            make_yolo(Path(folder) / "yolo", given.labels)
            m = measured("ours, read", Path(folder) / "yolo/data.yaml")
            print(f"| {given.labels} YOLO label files | {m['cpu_s']:.1f} | {m['wall_s']:.1f} | {m['peak_gb']:.2f} |")
        read, written = (cpu_s[ours] / cpu_s[bare] for bare, ours in zip(JOBS[::2], JOBS[1::2], strict=True))
        print(f"\nread {read:.2f} times the decoder's CPU time, written {written:.2f} times the encoder's")


if __name__ == "__main__":
    main()
