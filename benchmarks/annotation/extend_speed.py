"""How much time does `extend` take beyond the network itself, and beside a loop over rtmlib?

    .venv/bin/python -m pip install --no-deps --target ~/rtmlib rtmlib==0.0.16
    .venv/bin/python benchmarks/annotation/extend_speed.py --data DIR --rtmlib ~/rtmlib

DIR holds `coco/test.json`, `coco/test/`, `lspet/test.json` and `lspet/test/`. All arms see the same people, run one
after the other and again in turn, and are compared within their round, so that what else the machine does hits all of
them. Starting up (imports, loading the network, one call to warm it) is outside every arm. Prints a Markdown note.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import statistics
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from poseunion.annotate.extend.chunks import cut_task, task_of
from poseunion.annotate.extend.image_reader import Pictures
from poseunion.annotate.extend.plan import plan
from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import read_annotations
from poseunion.export.timing import commit, machine, measure
from poseunion.models.inference.predictor import Predictor, load_predictor
from poseunion.models.runtime.base import cores
from poseunion.models.runtime.onnx import OnnxModel
from poseunion.models.zoo import model_path

SETS = ("coco", "lspet")
# Two references: onnxruntime's own threads, and as many single-threaded calls side by side, as `extend` makes them.
BARE = "bare `session.run`, batches of {batch}, {threads} thread(s)"
BESIDE = "the same, {threads} at once on 1 thread each"
EXTEND = "`extend`, {workers} worker(s) of {threads} thread(s)"
RTMLIB = "rtmlib {version}: a loop over `RTMPose`, {threads} thread(s)"


def inputs_of(data: Path, predictor: Predictor) -> list[np.ndarray]:
    """The network's inputs for all people of both sets, in the batches that `extend` makes of them."""
    batches: list[np.ndarray] = []
    for name in SETS:
        annotations = read_annotations(data / name / "test.json")
        planned, pictures = plan(annotations), Pictures(data / name / "test")
        for chunk in range(planned.chunks):
            task = task_of(annotations, chunk, planned.chunk(chunk))
            pixels = cut_task(task, pictures, predictor).pixels
            for start in range(0, len(pixels), predictor.batch_size):
                batch = np.stack(pixels[start : start + predictor.batch_size])
                batches.append(predictor.model.normalise(batch))
    return batches


def session_of(predictor: Predictor) -> Any:
    """onnxruntime's session."""
    assert isinstance(predictor.model, OnnxModel)
    return predictor.model.session


def bare(predictor: Predictor, batches: list[np.ndarray], at_once: int = 1) -> Callable[[], None]:
    """Nothing but the network."""
    session, name = session_of(predictor), predictor.metadata.input

    def run() -> None:
        if at_once == 1:
            for batch in batches:
                session.run(None, {name: batch})
            return
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(lambda batch: session.run(None, {name: batch}), batches))

    return run


def extending(data: Path, predictor: Predictor, workers: int) -> Callable[[], None]:
    """The whole command but its start: read the file, decode, cut, predict, journal, write."""

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name in SETS:
                annotations = read_annotations(data / name / "test.json", lean=True)
                images, out = data / name / "test", Path(folder) / f"{name}.json"
                extend(annotations, images, predictor, out, Options(workers=workers))

    return run


def rtmlib_loop(data: Path, predictor: Predictor) -> Callable[[], None]:
    """What one writes with rtmlib: read a picture, predict its people. No annotation file is written."""
    from rtmlib import RTMPose

    with contextlib.redirect_stdout(sys.stderr):
        pose = RTMPose(str(predictor.model.path), predictor.size_wh, backend="onnxruntime", device="cpu")
    pose.session = session_of(predictor)  # the same threads
    jobs: dict[Path, list[list[float]]] = {}
    for name in SETS:
        annotations = read_annotations(data / name / "test.json")
        for index in plan(annotations).order.tolist():
            person = annotations.person(index)
            x, y, w, h = person.box_xywh.tolist()
            assert person.image is not None
            jobs.setdefault(data / name / "test" / person.image.file_name, []).append([x, y, x + w, y + h])

    def run() -> None:
        for path, boxes in jobs.items():
            pose(cv2.imread(str(path)), boxes)

    return run


def table(taken: dict[str, list[tuple[float, float]]], people: int) -> list[str]:
    """Medians, and ratios to the first arm within each round: median (least–most)."""
    reference = next(iter(taken.values()))
    rows = ["| | wall, s | people/s | × bare, wall | × bare, CPU |", "|---|---|---|---|---|"]
    for name, times in taken.items():
        wall = statistics.median(w for w, _ in times)
        ratios = []
        for axis in (0, 1):
            of = sorted(t[axis] / r[axis] for t, r in zip(times, reference, strict=True))
            ratios.append(f"{statistics.median(of):.2f} ({of[0]:.2f}–{of[-1]:.2f})")
        rows.append(f"| {name} | {wall:.2f} | {people / wall:.0f} | {ratios[0]} | {ratios[1]} |")
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="unified", help="shipped model or described .onnx file")
    parser.add_argument("--rtmlib", type=Path, help="folder rtmlib was installed into")
    parser.add_argument("--threads", type=int, default=cores(), help="of every arm, all together")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    said, threads = machine(), given.threads
    cv2.setNumThreads(1)
    if given.rtmlib is not None:
        sys.path.append(str(given.rtmlib.expanduser()))

    path = model_path(given.model)
    wide, narrow = (load_predictor(path, threads=n) for n in (threads, 1))
    batches = inputs_of(given.data, wide)
    people = sum(map(len, batches))
    arms: dict[str, Callable[[], None]] = {
        BARE.format(batch=wide.batch_size, threads=threads): bare(wide, batches),
        BESIDE.format(threads=threads): bare(narrow, batches, threads),
        EXTEND.format(workers=threads, threads=1): extending(given.data, narrow, threads),
        EXTEND.format(workers=1, threads=threads): extending(given.data, wide, 1),
    }
    try:
        arms[RTMLIB.format(version=version("rtmlib"), threads=threads)] = rtmlib_loop(given.data, wide)
    except ModuleNotFoundError:
        print("rtmlib is not installed: left out (see the top of this file)", file=sys.stderr)
    for predictor in (wide, narrow):
        session_of(predictor).run(None, {predictor.metadata.input: batches[0]})

    note: list[Any] = [
        f"Date: {datetime.date.today().isoformat()}  ",
        f"Command: `python {' '.join(sys.argv)}`  ",
        f"Machine: {said}  ",
        f"Commit: {commit(Path(__file__))}  ",
        f"Model: {wide.name} ({wide.size_wh[0]}x{wide.size_wh[1]}, sha256 {wide.sha256[:12]}); {people} people of "
        f"{' and '.join(f'{s}/test' for s in SETS)}; {given.rounds} rounds, ratios within a round: median (least–most)",
        "",
        *table(measure(arms, range(given.rounds)), people),
    ]
    print("\n".join(note))


if __name__ == "__main__":
    main()
