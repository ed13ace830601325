"""The pictures of docs/review.md: FiftyOne's App with the bundled example under review.

.venv-review/bin/python docs/review_screens.py EXTENDED.json IMAGES     # writes docs/review_*.webp; needs Chromium

The file: annotate extend --dataset example --fill-gaps --out EXTENDED.json, whose pictures are in IMAGES.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parent
PATIENCE_MS = 600_000


def keep(page: Any, name: str) -> None:
    """What is seen, as WebP."""
    page.wait_for_timeout(3000)
    picture = Image.open(io.BytesIO(page.screenshot()))
    picture.convert("RGB").save(DOCS / f"review_{name}.webp", quality=80, method=6)


def _red(page: Any, box: dict[str, float]) -> tuple[float, float]:
    """Middle of the red point that is drawn some time after its picture, which is grey: the first person's nose."""
    while True:
        page.wait_for_timeout(1000)
        pixels = np.asarray(Image.open(io.BytesIO(page.screenshot(clip=box))).convert("RGB")).astype(int)
        rows, columns = np.nonzero(pixels[..., 0] - pixels[..., 1:].max(-1) > 100)
        if len(rows):
            return box["x"] + float(np.median(columns)), box["y"] + float(np.median(rows))


def visit(browser: Any, address: str) -> None:
    """The list of views beside the people; one proposal selected, and a tag typed."""
    page = browser.new_page(viewport={"width": 1000, "height": 520})
    page.set_default_timeout(PATIENCE_MS)
    page.add_init_script("window.IS_PLAYWRIGHT = true")  # no advertisement over the page
    page.goto(address)
    page.locator("[data-cy=looker]").first.wait_for()
    page.locator("[data-cy=saved-views-selection]").click()
    keep(page, "grid")
    page.keyboard.press("Escape")

    page.set_viewport_size({"width": 1200, "height": 760})
    page.goto(f"{address}?view=nose")
    page.locator("[data-cy=looker]").first.click()
    canvas = page.locator("[data-cy=modal-looker-container] canvas[canvas-loaded=true]")
    canvas.wait_for()
    page.mouse.click(*_red(page, canvas.bounding_box()))
    page.locator("[data-cy=action-manage-selected]", has_text="1").last.wait_for()
    page.locator("[data-cy=action-tag-sample-labels]").last.click()
    page.locator("[data-cy=tagger-switch-label]").last.click()
    page.locator("[data-cy=label-tag-input]").fill("accept")
    keep(page, "tag")


def main() -> None:
    words = ["-m", "poseunion.annotate.cli.main", "review", sys.argv[1], "--images", sys.argv[2], "--no-browser"]
    review = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True)
    try:
        assert review.stdout is not None
        address = next(line.split()[0] for line in review.stdout if "http://" in line)
        with sync_playwright() as play:
            path = shutil.which("chromium") or play.chromium.executable_path
            flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
            browser = play.chromium.launch(executable_path=path, args=flags, timeout=PATIENCE_MS)
            visit(browser, address)
            browser.close()
    finally:
        review.terminate()


if __name__ == "__main__":
    main()
