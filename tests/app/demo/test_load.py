"""Fifty visitors at once: everybody gets an answer, and the server does not grow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from poseunion.app.demo.page import MOST_SESSIONS

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "runtime" / "demo_load.py"
CLIENTS = 50
# What is remembered of visitors is bounded: once that many have come, memory stays.
FILLING = -(-MOST_SESSIONS // CLIENTS)


@pytest.mark.slow
def test_fifty_visitors_are_answered_and_memory_stays() -> None:
    command = [sys.executable, str(SCRIPT), "--json", "--clients", str(CLIENTS), "--rounds", str(FILLING + 3)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["answered"] == CLIENTS * (FILLING + 3)
    full, *later = found["memory_mb"][1 + FILLING :]
    assert max(later) - full < 40  # MB; one visitor's share is 1
