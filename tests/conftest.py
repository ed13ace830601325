"""What all tests share: one thread each, and the way to the research data folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before numpy, torch or onnxruntime start their thread pools.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import cv2  # noqa: E402
import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

cv2.setNumThreads(1)
# How long an example takes, or the making of one, is what else the machine does.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

pytest_plugins = ["annotate_fixtures", "format_fixtures"]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The research data folder (`data/`, `teachers/`) that `$POSEUNION_SHARED` names."""
    named = os.environ.get("POSEUNION_SHARED")
    if not named:
        pytest.skip("research data folder absent: POSEUNION_SHARED is not set")
    if not (Path(named) / "data").is_dir():
        pytest.skip(f"research data folder absent: POSEUNION_SHARED={named} has no data/ in it")
    return Path(named)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A Playwright browser: the system's Chromium (Debian: apt-get install chromium), or the one Playwright brought."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no browser: pip install playwright")
    with playwright.sync_playwright() as play:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or play.chromium.executable_path
        if not Path(path).exists():
            pytest.skip("no browser: apt-get install chromium, or playwright install chromium")
        browser = play.chromium.launch(
            executable_path=path,
            timeout=300_000,  # ms: patience for a busy machine
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"],
        )
        yield browser
        browser.close()
