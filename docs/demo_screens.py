"""The pictures of docs/demo.md: the page as it comes, with the bundled example.

.venv/bin/python docs/demo_screens.py      # writes docs/demo-*.webp; needs Chromium
"""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from poseunion.annotate.example import example_dataset
from poseunion.annotate.extend.run import extend
from poseunion.annotate.formats import read_annotations
from poseunion.app.demo.inference import PoseEstimator
from poseunion.app.demo.page import PageSettings, build, serve
from poseunion.models import load_predictor
from poseunion.models.inference.conditioned import ConditionedPredictor, supports_labels
from poseunion.models.inference.detector import load_detector
from poseunion.models.zoo import shipped_models

DOCS = Path(__file__).resolve().parent
DESK = {"width": 1160, "height": 860}
PHONE = {"width": 390, "height": 844}


def shoot(page: Any, name: str, *, whole: bool = True) -> None:
    """Keep what is seen."""
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(600)
    picture = Image.open(io.BytesIO(page.screenshot(full_page=whole)))
    picture.convert("RGB").save(DOCS / f"demo-{name}.webp", quality=70, method=6)


def visit(browser: Any, address: str, size: dict[str, int], name: str) -> None:
    """Every tab once."""
    page = browser.new_page(viewport=size, device_scale_factor=1.5 if size is PHONE else 1)
    page.goto(address)
    page.get_by_role("tab", name="Try it").click()  # with --review the page opens on the review
    page.wait_for_selector("#result .canvas-picture[src^=data]")
    shoot(page, f"try-{name}")
    page.get_by_role("tab", name="Compare").click()
    page.wait_for_selector("#tiles figure")
    shoot(page, f"compare-{name}")
    page.get_by_role("tab", name="Review").click()
    page.wait_for_selector("#review .canvas-picture[src^=data]")
    page.keyboard.press("a")
    page.wait_for_selector("#keypoints .decided")
    shoot(page, f"review-{name}")
    page.close()


@contextlib.contextmanager
def served() -> Iterator[tuple[Any, str]]:
    """A browser, and the address of a demo that has the example under review."""
    # In the folder, so that the commands at a review's end show names and no temporary path.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), sync_playwright() as play:
        labels, images = example_dataset(Path("images"))
        out = Path("extended.json")
        predictor = load_predictor()
        extend(
            read_annotations(labels),
            images,
            ConditionedPredictor(predictor) if supports_labels(predictor) else predictor,
            out,
        )
        settings = PageSettings(port=0, review=(out,), images=images, reviewer="ann")
        page = build(PoseEstimator(shipped_models(), load_detector()), settings)
        address = serve(page, settings)
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        yield browser, address
        browser.close()
        page.close(verbose=False)


def main() -> None:
    with served() as (browser, address):
        visit(browser, address, DESK, "desk")
        visit(browser, address, PHONE, "phone")


if __name__ == "__main__":
    main()
