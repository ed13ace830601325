"""Fifty visitors at once: everybody gets an answer, and the server does not grow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from poseunion.app.demo.page import MOST_SESSIONS

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "runtime" / "demo_load.py"
CLIENTS = 50
# What is remembered of visitors is bounded: once that many have come, memory stays.
FILLING = -(-MOST_SESSIONS // CLIENTS)


def load(clients: int, rounds: int) -> dict[str, Any]:
    """What the benchmark measures."""
    command = [sys.executable, str(SCRIPT), "--json", "--clients", str(clients), "--rounds", str(rounds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def test_the_benchmark_uploads_and_draws_as_the_page_does() -> None:
    found = load(2, 1)
    assert found["answered"] == 2
    assert len(found["upload_ms"]) == len(found["three_boxes_ms"]) > 1


@pytest.mark.slow
def test_fifty_visitors_are_answered_and_memory_stays() -> None:
    found = load(CLIENTS, FILLING + 3)
    assert found["answered"] == CLIENTS * (FILLING + 3)
    full, *later = found["memory_mb"][1 + FILLING :]
    assert max(later) - full < 40  # MB; one visitor's share is 1
