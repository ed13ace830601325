"""Kills: every command that writes, killed at counted file operations and done again; a table, exit code 1 at a loss.

python -m tests.kills --kills 200 --seed 1
"""

from __future__ import annotations

import argparse
import datetime
import os
import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

# Before anything loads a library that starts threads: they do not survive a fork.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

from poseunion.export.timing import commit, machine  # noqa: E402
from tests.kills.cases import Case, cases  # noqa: E402
from tests.kills.killing import killed_at, operations_of  # noqa: E402
from tests.samples import scratch  # noqa: E402


@dataclass
class Row:
    """Outcome of one case."""

    name: str
    operations: int
    kills: int = 0
    outlived: int = 0
    lost: int = 0
    unequal: int = 0


def moments(operations: int, count: int, rng: random.Random) -> list[int]:
    """The first and the last operations, where files change hands, and others by lot."""
    ends = [*range(operations - count // 3, operations), *range(count // 6)]
    rest = [m for m in range(operations) if m not in ends]
    return sorted({m for m in ends if m >= 0} | set(rng.sample(rest, min(len(rest), max(0, count - len(ends))))))


def tried(case: Case, count: int, rng: random.Random, scratch: Path) -> Row:
    """Kill the command `count` times, each time in a fresh folder."""
    base, ended = scratch / case.name / "base", scratch / case.name / "ended"
    base.mkdir(parents=True)
    case.prepare(base)
    shutil.copytree(base, ended)
    row = Row(case.name, operations_of(lambda: case.do(ended)))
    expected = case.result(ended)
    for moment in moments(row.operations, count, rng):
        folder = scratch / case.name / "killed"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(base, folder)
        died = killed_at(lambda folder=folder: case.do(folder), moment)  # type: ignore[misc]
        row.kills += died
        row.outlived += not died  # threads: this time it had fewer operations
        try:
            case.holds(folder, ended)
        except Exception as error:
            row.lost += 1
            print(f"{case.name}, killed at operation {moment}: {error!r}", file=sys.stderr)
        try:
            operations_of(lambda folder=folder: case.do(folder))  # type: ignore[misc]
            assert case.result(folder) == expected, "the result is another one"
        except Exception as error:
            row.unequal += 1
            print(f"{case.name}, killed at operation {moment}, done again: {error!r}", file=sys.stderr)
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", action="append", help="only these")
    given = parser.parse_args()
    started, rows, where = time.perf_counter(), [], machine()
    with tempfile.TemporaryDirectory(dir=scratch()) as temporary:
        known = [case for case in cases() if not given.case or case.name in given.case]
        total = sum(case.share for case in known)
        for case in known:
            count = max(1, round(given.kills * case.share / total))
            rows.append(tried(case, count, random.Random(f"{given.seed} {case.name}"), Path(temporary)))
    command = " ".join(["python -m tests.kills", *sys.argv[1:]])
    print(f"# Kills\n\n- date: {datetime.date.today()}\n- command: `{command}`\n- machine: {where}")
    print(f"- commit: {commit()}\n- time: {time.perf_counter() - started:.0f} s\n")
    print("| command | file operations | killed | outlived | lost or broken | other bytes in the end |")
    print("|---|--:|--:|--:|--:|--:|")
    for row in rows:
        print(f"| {row.name} | {row.operations} | {row.kills} | {row.outlived} | {row.lost} | {row.unequal} |")
    print(f"| all | | {sum(r.kills for r in rows)} | {sum(r.outlived for r in rows)} | ", end="")
    print(f"{sum(r.lost for r in rows)} | {sum(r.unequal for r in rows)} |")
    return int(any(row.lost or row.unequal for row in rows))


if __name__ == "__main__":
    sys.exit(main())
