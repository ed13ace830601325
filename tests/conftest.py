"""What all tests share: one thread each, and the way to the research data folder."""

from __future__ import annotations

import os
from pathlib import Path

# Before numpy, torch or onnxruntime start their thread pools.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import cv2  # noqa: E402
import pytest  # noqa: E402

cv2.setNumThreads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The research data folder (`data/`, `teachers/`) that `$POSEUNION_SHARED` names."""
    named = os.environ.get("POSEUNION_SHARED")
    if not named:
        pytest.skip("research data folder absent: POSEUNION_SHARED is not set")
    if not (Path(named) / "data").is_dir():
        pytest.skip(f"research data folder absent: POSEUNION_SHARED={named} has no data/ in it")
    return Path(named)
