"""Memory of `extend` on a large file: bound by the file, not by its pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from poseunion.models.skeleton import load_skeleton

PEOPLE = 100_000
FILES = 2_000
# Allowed are 300 MB + 4 times the file; measured were 223 MB for 59.
BASE_MB = 150
PER_FILE_MB = 3

# Transparent huge pages set to `always` double what the kernel counts (445 MB): the system's choice, not ours, so the
# measured process declines them (prctl PR_SET_THP_DISABLE). Its peak is VmHWM: getrusage's ru_maxrss outlives exec, and
# begins with what the test session held when it forked.
SCRIPT = """
import ctypes, json, sys
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)
from pathlib import Path
from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import read_annotations
from poseunion.models.inference.predictor import load_predictor

file, images, out, model, workers = *map(Path, sys.argv[1:5]), int(sys.argv[5])
predictor = load_predictor(model, threads=1)
report = extend(read_annotations(file, lean=True), images, predictor, out, Options(workers=workers))
(peak_kB,) = [int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:")]
print(json.dumps({"peak_MB": peak_kB / 1024, "predicted": report.predicted, "seconds": report.seconds}))
"""


def write_pictures(folder: Path, size: int) -> None:
    """`FILES` small pictures of noise."""
    import cv2

    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(FILES):
        cv2.imwrite(str(folder / f"{number:04d}.png"), rng.integers(0, 255, (size, size, 3), dtype=np.uint8))


def write_people(path: Path, people: int, images: int, used: int, size: int) -> None:
    """A COCO file with `people` records in the first `used` of `images` image entries, which share `FILES` pictures."""
    names = list(load_skeleton("coco17").keypoints)
    rng = np.random.default_rng(1)
    with path.open("w") as file:
        category = {"id": 1, "name": "person", "keypoints": names}
        file.write(f'{{"categories": {json.dumps([category])}, "images": [')
        for i in range(images):
            entry = {"id": i, "file_name": f"{i % FILES:04d}.png", "width": size, "height": size}
            file.write((", " if i else "") + json.dumps(entry))
        file.write('], "annotations": [')
        for i in range(people):
            xy = rng.uniform(0, size, (17, 2)).round(3).tolist()
            v = rng.choice([0, 1, 2], 17, p=[0.2, 0.3, 0.5]).tolist()
            v[0] = 2
            record = {
                "id": i,
                "image_id": i * used // people,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": rng.uniform(1, size / 2, 4).round(2).tolist(),
                "area": 512.5,
                "num_keypoints": sum(s > 0 for s in v),
                "keypoints": [n for (x, y), s in zip(xy, v, strict=True) for n in ((x, y, s) if s else (0, 0, 0))],
                "segmentation": [rng.uniform(0, size, 24).round(2).tolist()],
            }
            file.write((", " if i else "") + json.dumps(record))
        file.write("]}")


def measure(file: Path, images: Path, model: Path, workers: int) -> dict[str, float]:
    out = file.with_suffix(".out.json")
    command = [sys.executable, "-c", SCRIPT, *map(str, (file, images, out, model, workers))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, float] = json.loads(done.stdout)
    return result


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scale") / "images"
    write_pictures(folder, 64)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_memory_is_bound_by_the_file(workers: int, tmp_path: Path, pictures: Path, tiny_model: Path) -> None:
    file = tmp_path / "in.json"
    write_people(file, PEOPLE, FILES, FILES, 64)
    file_MB = file.stat().st_size / 2**20
    result = measure(file, pictures, tiny_model, workers)
    print(f"{file_MB:.0f} MB of annotations: {result}")
    assert result["predicted"] == PEOPLE
    assert result["peak_MB"] <= BASE_MB + PER_FILE_MB * file_MB


@pytest.mark.slow
def test_memory_does_not_grow_with_the_pictures(tmp_path: Path, pictures: Path, tiny_model: Path) -> None:
    peaks = []
    for used in (100, 20_000):
        file = tmp_path / f"{used}.json"
        write_people(file, 20_000, 20_000, used, 64)
        peaks.append(measure(file, pictures, tiny_model, workers=2)["peak_MB"])
    print(f"100 and 20,000 pictures: {peaks}")
    assert abs(peaks[1] - peaks[0]) < 15
