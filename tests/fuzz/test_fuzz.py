"""No input ends in a traceback, a hang, another exit code than 0 and 2, half an output or more than a gigabyte."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.mutate import mutate_bytes, mutate_document, mutate_xml

ROOT = Path(__file__).parents[2]


def test_the_same_seed_gives_the_same_input() -> None:
    document = {"images": [{"id": 1, "file_name": "a.png"}] * 3, "annotations": [{"id": 1, "keypoints": [1, 2, 2]}]}
    for seed in range(50):
        first, second = (mutate_document(document, random.Random(seed)) for _ in range(2))
        assert repr(first) == repr(second)
        assert mutate_bytes(bytes(100), random.Random(seed)) == mutate_bytes(bytes(100), random.Random(seed))
        text = '<a><b c="1">x</b><b c="2"/></a>'
        assert mutate_xml(text, random.Random(seed)) == mutate_xml(text, random.Random(seed))


@pytest.mark.slow
def test_two_hundred_inputs() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--inputs", "200", "--seed", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    sys.stdout.write(done.stdout)
