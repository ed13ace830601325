"""A command that is killed at any file operation loses nothing, and done again it ends in the same bytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def kills(*words: str) -> None:
    """In a process of its own: a fork of one that has started threads may hang."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.kills", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    sys.stdout.write(done.stdout)


def test_a_few() -> None:
    kills("--kills", "8", "--case", "extend", "--case", "pull", "--case", "review")


@pytest.mark.slow
def test_two_hundred() -> None:
    kills("--kills", "200")
