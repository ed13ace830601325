"""Fuzzing: seeded mutations of every readable file, tried in limited children; a table, and exit code 1 at any fault.

python -m tests.fuzz --inputs 2000 --seed 1            # the same numbers give the same inputs
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import random
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

# Before anything loads a library that starts threads: they do not survive a fork.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

from poseunion.export.timing import commit, machine  # noqa: E402
from tests.fuzz.children import Fault, Tried, tried  # noqa: E402
from tests.fuzz.kinds import Kind, kinds  # noqa: E402
from tests.samples import scratch  # noqa: E402


def drawn(known: list[Kind], count: int, seed: int) -> list[tuple[Kind, int]]:
    """(kind, seed) of `count` inputs; every kind has its share."""
    rng = random.Random(seed)
    total = sum(kind.weight for kind in known)
    inputs = [(kind, seed * 1_000_000 + i) for kind in known for i in range(max(1, round(count * kind.weight / total)))]
    rng.shuffle(inputs)
    return inputs


def warm() -> None:
    """Load what commands load, without starting a session or a thread."""
    import cv2
    import onnxruntime  # noqa: F401
    import scipy.io  # noqa: F401

    import poseunion.annotate.cli.main
    import poseunion.app.cli_predict
    import poseunion.export.cli.main
    import poseunion.training.cli.main  # noqa: F401

    cv2.setNumThreads(1)


def table(results: list[Tried], seconds: float, command: str, where: str) -> str:
    """The note."""
    by_kind: dict[str, list[Tried]] = defaultdict(list)
    for one in results:
        by_kind[one.kind].append(one)
    head = ("inputs", "commands", "exit 0", "exit 2", "tracebacks", "hangs", "crashes", "other", "peak MB")
    lines = [f"| kind | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
    for name, of_it in [*sorted(by_kind.items()), ("all", results)]:
        codes = [code for one in of_it for code in one.codes]
        faults = [fault.what for one in of_it for fault in one.faults]
        known = [faults.count(what) for what in ("traceback", "hang", "crash")]
        row = [len(of_it), len(codes), codes.count(0), codes.count(2), *known, len(faults) - sum(known)]
        lines.append(f"| {name} | {' | '.join(map(str, row))} | {max(one.peak_mb for one in of_it):.0f} |")
    return (
        f"# Fuzzing\n\n- date: {datetime.date.today()}\n- command: `{command}`\n- machine: {where}\n"
        f"- commit: {commit()}\n- time: {seconds:.0f} s\n\n"
        "Peak MB: resident memory of one input beyond the warm process. Other: exit codes but 0 and 2, partial "
        "outputs, more than 1,000 MB.\n\n" + "\n".join(lines) + "\n"
    )


def told(fault: Fault) -> str:
    """A fault for whoever mends it."""
    last = "\n    ".join(fault.text.strip().splitlines()[-12:])
    return f"{fault.what} of {fault.kind}, seed {fault.seed}: {' '.join(fault.command)}\n    {last}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", action="append", help="only these kinds")
    parser.add_argument("--keep", type=Path, help="folder for the inputs that lead to faults")
    given = parser.parse_args()
    started, where = time.perf_counter(), machine()
    warm()
    with tempfile.TemporaryDirectory(dir=scratch()) as temporary:
        known = [k for k in kinds(Path(temporary) / "seeds") if not given.kind or k.name in given.kind]
        inputs, results = drawn(known, given.inputs, given.seed), []
        with contextlib.suppress(KeyboardInterrupt):  # the kinds are mixed: what was tried so far is a sample of all
            for one in tried(inputs, given.keep or Path(temporary) / "inputs"):
                results.append(one)
                for fault in one.faults:
                    print(told(fault), file=sys.stderr, flush=True)
    command = " ".join(["python -m tests.fuzz", *sys.argv[1:]])
    print(table(results, time.perf_counter() - started, command, where))
    if len(results) < len(inputs):
        print(f"Interrupted after {len(results)} of {len(inputs)} inputs.")
    return int(any(one.faults for one in results) or len(results) < len(inputs))


if __name__ == "__main__":
    sys.exit(main())
