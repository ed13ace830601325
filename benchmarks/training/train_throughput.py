"""How many people a second does training take in, beside mmpose 1.3.2, data loading included?

    benchmarks/peers/setup_mmpose.sh ~/mmpose-1.3.2      # once
    .venv/bin/python benchmarks/training/train_throughput.py --data DIR --mmpose ~/mmpose-1.3.2/bin/python

DIR holds `coco/train.json` and `coco/train/`. Both sides train RTMPose-t with 17 keypoints from scratch on the same
people with their own loop, augmentation (RTMPose's), optimiser (AdamW) and batch: mmpose decodes each picture when it
needs it, this project has cut people out once before (`CropStore`), which is not counted. `--threads` are those of
torch; mmpose also gets as many worker processes for its data (0 on one core, so that they do not compete), this project
its one thread that draws ahead. Every arm is a process of its own, the arms take turns, ratios are formed within a
round. The CPU time is that of the training process; mmpose's workers, where it has any, are not in it. Pin it with
`taskset -c 0` for one core. Prints a Markdown note.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from poseunion.export.timing import commit

# Iterations before the clock starts: caches fill, threads start, mmpose's loader begins.
WARM_UP = 3
SIZES = ((192, 256), (96, 128))

OURS = """
import json, sys, torch, resource
from pathlib import Path
from poseunion.training.loop import train as loop
from poseunion.training.data.arrays import cache_folder
from poseunion.training.data.data_file import DataFile, DatasetEntry
from poseunion.training.loop.prepare import prepare
from poseunion.training.config.recipes import Recipe, Stage
annotations, images, out, width, height, batch, steps, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
recipe = changed(
    Recipe("throughput"), skeleton="coco17", network="rtmpose-t", pretrained=False, steps=int(steps), lr=4e-3,
    weight_decay=0.0, stages=(Stage((int(width), int(height)), 384 / int(width), 1.0, int(batch)),), pseudo_weight=0.0,
    heatmap_weight=0.0, ema_decay=0.0, log_every=1, checkpoint_minutes=1e9, validate_minutes=1e9,
)
cpu, trained = [], loop.RunLog.trained
def noting(self, *values, **more):
    cpu.append(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
    return trained(self, *values, **more)
loop.RunLog.trained = noting
entry = DatasetEntry(name="coco", annotations=Path(annotations), images=Path(images))
loop.fit(recipe, prepare(DataFile(datasets=[entry]), recipe, cache_folder()), Path(out), accelerator="cpu")
rows = [json.loads(line) for line in (Path(out) / "log.jsonl").read_text().splitlines()]
print(json.dumps({"ends": [row["seconds"] for row in rows], "cpu": cpu}))
"""


def ours(options: argparse.Namespace, size: tuple[int, int]) -> tuple[float, float]:
    """Wall and CPU milliseconds a person of this project."""
    with tempfile.TemporaryDirectory() as out:
        words = [*paths(options), out, *map(str, size), str(options.batch), str(options.iterations + WARM_UP)]
        return timed([sys.executable, "-c", OURS, *words, str(options.threads)], options)


def theirs(options: argparse.Namespace, size: tuple[int, int]) -> tuple[float, float]:
    """The same of mmpose."""
    script = Path(__file__).parents[1] / "peers" / "mmpose_train.py"
    annotations, images = paths(options)
    words = ["--annotations", annotations, "--images", images, "--size", *map(str, size), "--batch", str(options.batch)]
    words += ["--iterations", str(options.iterations + WARM_UP), "--threads", str(options.threads)]
    words += ["--workers", str(options.threads if options.threads > 1 else 0)]
    return timed([str(options.mmpose), str(script), *words], options)


def paths(options: argparse.Namespace) -> tuple[str, str]:
    """Annotations and pictures."""
    return str((options.data / "coco" / "train.json").resolve()), str((options.data / "coco" / "train").resolve())


def timed(command: list[str], options: argparse.Namespace) -> tuple[float, float]:
    """Run an arm; its last line has the time at which each iteration ended."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    times = json.loads(done.stdout.splitlines()[-1])
    people = options.iterations * options.batch
    wall, cpu = (1000 * (times[of][-1] - times[of][WARM_UP - 1]) / people for of in ("ends", "cpu"))
    return wall, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--mmpose", type=Path, required=True, help="python of mmpose's environment")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    load = Path("/proc/loadavg").read_text().split()[0] if Path("/proc/loadavg").exists() else "unknown"
    print(f"Date: {datetime.date.today()}  \nCommand: `python {' '.join(sys.argv)}`  ")
    print(f"Machine: {len(os.sched_getaffinity(0))} of {os.cpu_count()} cores, load {load} at the start  ")
    print(f"Commit: {commit()}\n\nRTMPose-t, batch {options.batch}, {options.threads} thread(s)\n")
    print(
        "| input | ours, people/s | mmpose, people/s | wall, mmpose/ours | CPU of the training process, mmpose/ours |"
    )
    print("|---|---|---|---|---|", flush=True)
    for size in SIZES:
        rounds = []
        for number in range(options.rounds):
            arms = (ours, theirs) if number % 2 == 0 else (theirs, ours)
            taken = {arm.__name__: arm(options, size) for arm in arms}
            print(f"{size}, round {number + 1}: {taken}", file=sys.stderr, flush=True)
            rounds.append((taken["ours"], taken["theirs"]))
        rates = [1000 / statistics.median(r[side][0] for r in rounds) for side in (0, 1)]
        cells = []
        for axis in (0, 1):
            of = sorted(mmpose[axis] / mine[axis] for mine, mmpose in rounds)
            cells.append(f"{statistics.median(of):.2f} ({of[0]:.2f}–{of[-1]:.2f})")
        print(f"| {size[0]}x{size[1]} | {rates[0]:.1f} | {rates[1]:.1f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
