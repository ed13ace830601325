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
    """The research data folder (`data/`, `teachers/`): `$POSEUNION_SHARED`, or `shared` beside the checkout."""
    named = os.environ.get("POSEUNION_SHARED")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "data").is_dir():
        where = f"POSEUNION_SHARED={named} has no data/ in it" if named else "POSEUNION_SHARED is not set"
        pytest.skip(f"research data folder absent: {where}")
    return folder
