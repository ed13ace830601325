"""`annotate extend` killed at any moment, then resumed, writes the bytes of a run that nobody stopped."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from poseunion.annotate.extend import journal_path, run_path

PEOPLE = 2_000


def command(folder: Any, model: Path, *words: str) -> list[str]:
    where = ["--annotations", str(folder.file), "--images", str(folder.images), "--out", str(folder.out)]
    return [sys.executable, "-m", "poseunion.annotate.cli", "extend", *where, "--model", str(model), *words]


def wait_for_journal(process: subprocess.Popen[bytes], journal: Path) -> float:
    """When the work began: before it, a process has only imported and read."""
    while not journal.exists() and process.poll() is None:
        time.sleep(0.001)
    return time.monotonic()


def killed_and_resumed(folder: Any, model: Path, moments: int, seed: int) -> None:
    journal, rng = journal_path(folder.out), random.Random(seed)
    whole = []
    for workers in ("1", "2"):  # also: two runs are identical
        process = subprocess.Popen(command(folder, model, "--workers", workers), stdout=subprocess.DEVNULL)
        began = wait_for_journal(process, journal)
        assert process.wait() == 0
        lasts = time.monotonic() - began
        whole.append(folder.out.read_bytes())
        folder.out.unlink()
        run_path(folder.out).unlink()
    assert whole[0] == whole[1]
    at_work = 0
    for number in range(moments):
        process = subprocess.Popen(command(folder, model, "--workers", str(1 + number % 2)), stdout=subprocess.DEVNULL)
        wait_for_journal(process, journal)
        time.sleep(rng.uniform(0, lasts))
        process.send_signal(signal.SIGKILL)
        at_work += process.wait() == -signal.SIGKILL
        if folder.out.exists():  # whole or absent
            assert folder.out.read_bytes() == whole[0]
        subprocess.run(command(folder, model, "--resume"), check=True, stdout=subprocess.DEVNULL)
        assert folder.out.read_bytes() == whole[0]
        left = {"images", "in.json", "out.json", "out.json.run.json"}
        assert {p.name for p in folder.root.iterdir()} == left
        folder.out.unlink()
        run_path(folder.out).unlink()
    assert at_work >= moments / 2  # the rest ended before their moment


def test_killed_at_three_moments(folder: Any, coco: Any, tiny_model: Path) -> None:
    folder.write(coco(PEOPLE, per_image=50))
    killed_and_resumed(folder, tiny_model, 3, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("style", ["coco", "mpii"])
def test_killed_at_twenty_moments(style: str, folder: Any, request: pytest.FixtureRequest, tiny_model: Path) -> None:
    make = request.getfixturevalue(style)
    folder.write(make(PEOPLE, per_image=50) if style == "coco" else make(PEOPLE))
    killed_and_resumed(folder, tiny_model, 20, seed=1)


@pytest.mark.slow
def test_a_killed_ray_job_goes_on(folder: Any, coco: Any, tiny_model: Path) -> None:
    pytest.importorskip("ray")
    folder.write(coco(PEOPLE, per_image=50))
    subprocess.run(command(folder, tiny_model), check=True, stdout=subprocess.DEVNULL)
    expected = folder.out.read_bytes()
    folder.out.unlink()
    run_path(folder.out).unlink()
    ray = ("--engine", "ray", "--workers", "2")
    process = subprocess.Popen(command(folder, tiny_model, *ray), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal, deadline = journal_path(folder.out), time.monotonic() + 60
    while time.monotonic() < deadline and (not journal.exists() or journal.read_bytes().count(b"\n") < 4):
        assert process.poll() is None
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not folder.out.exists()
    subprocess.run(command(folder, tiny_model, "--resume", *ray), check=True, stdout=subprocess.DEVNULL)
    assert folder.out.read_bytes() == expected
