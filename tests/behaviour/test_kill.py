"""`annotate extend` killed at any moment, then resumed, writes the bytes of an uninterrupted run.

All that a killed process leaves is what it has written, so a moment is a number of file operations, not of seconds: the
process counts them and kills itself (SIGKILL) in place of the next one, halfway through it where it writes bytes.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from poseunion.annotate.extend.plan import CHUNK
from poseunion.annotate.extend.run import journal_path, run_path

OPERATIONS = ("write", "fsync", "chmod", "replace", "unlink")
A_LINE = 2  # operations of a line of the journal: write, fsync
LAST = 8  # at the end of a run: fsync, chmod, replace of the file and of FILE.run.json, unlink of the lock, the journal

SCRIPT = """
import os, signal, sys
from poseunion.annotate.cli.main import main

moment, names, words = int(sys.argv[1]), sys.argv[2].split(","), sys.argv[3:]
done = 0

def counted(name):
    real = getattr(os, name)
    def operation(*args, **more):
        global done
        if done == moment:
            if name == "write":
                real(args[0], args[1][: len(args[1]) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        done += 1
        return real(*args, **more)
    setattr(os, name, operation)

for name in names:
    counted(name)
sys.argv = ["annotate", *words]
try:
    main()
finally:
    print("operations:", done, file=sys.stderr)
"""


def extend(folder: Any, model: Path, *words: str, moment: int = -1, operations: tuple[str, ...] = OPERATIONS) -> int:
    """Run `annotate extend`; returns how many operations it took. With a `moment`, it has to die of it."""
    where = ["--annotations", str(folder.file), "--images", str(folder.images), "--out", str(folder.out)]
    script = [sys.executable, "-c", SCRIPT, str(moment), ",".join(operations), "extend", *where]
    done = subprocess.run([*script, "--model", str(model), *words], capture_output=True, text=True, check=False)
    assert done.returncode == (0 if moment < 0 else -signal.SIGKILL), done.stderr
    return int(done.stderr.rpartition("operations:")[2]) if moment < 0 else moment


def whole(folder: Any, model: Path, *words: str) -> tuple[bytes, int]:
    """The bytes of an uninterrupted run, which are removed again, and its operations."""
    operations = extend(folder, model, *words)
    content: bytes = folder.out.read_bytes()
    folder.out.unlink()
    run_path(folder.out).unlink()
    return content, operations


def goes_on(folder: Any, model: Path, expected: bytes) -> None:
    if folder.out.exists():  # whole or absent
        assert folder.out.read_bytes() == expected
    extend(folder, model, "--resume")
    assert folder.out.read_bytes() == expected
    assert {p.name for p in folder.root.iterdir()} == {"images", "in.json", "out.json", "out.json.run.json"}
    folder.out.unlink()
    run_path(folder.out).unlink()


def test_killed_amid_a_line_of_the_journal(folder: Any, coco: Any, tiny_model: Path) -> None:
    chunks = 5
    folder.write(coco(chunks * CHUNK, per_image=50))
    expected, operations = whole(folder, tiny_model)
    assert operations == A_LINE * (1 + chunks) + LAST
    extend(folder, tiny_model, "--workers", "2", moment=A_LINE * 3)
    lines = journal_path(folder.out).read_bytes().splitlines(keepends=True)
    assert [line.endswith(b"\n") for line in lines] == [True, True, True, False]
    goes_on(folder, tiny_model, expected)


@pytest.mark.slow
@pytest.mark.parametrize("style", ["coco", "mpii"])
def test_killed_at_twenty_moments(style: str, folder: Any, request: pytest.FixtureRequest, tiny_model: Path) -> None:
    people = 30 * CHUNK
    make = request.getfixturevalue(style)
    folder.write(make(people, per_image=50) if style == "coco" else make(people))
    expected, operations = whole(folder, tiny_model, "--workers", "1")
    assert whole(folder, tiny_model, "--workers", "2") == (expected, operations)
    moments = random.Random(1).sample(range(operations - LAST), 20 - LAST) + list(range(operations - LAST, operations))
    for number, moment in enumerate(moments):
        extend(folder, tiny_model, "--workers", str(1 + number % 2), moment=moment)
        goes_on(folder, tiny_model, expected)


@pytest.mark.slow
def test_a_killed_ray_job_goes_on(folder: Any, coco: Any, tiny_model: Path) -> None:
    pytest.importorskip("ray")
    folder.write(coco(30 * CHUNK, per_image=50))
    expected, _ = whole(folder, tiny_model)
    ray = ("--engine", "ray", "--workers", "2")
    extend(folder, tiny_model, *ray, moment=4, operations=("fsync",))  # Ray's own writes are not counted
    assert journal_path(folder.out).read_bytes().count(b"\n") >= 4
    assert not folder.out.exists()
    extend(folder, tiny_model, "--resume", *ray)
    assert folder.out.read_bytes() == expected
