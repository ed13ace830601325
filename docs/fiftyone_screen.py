"""The picture of docs/integrations/fiftyone.md: the operators of the plugin in FiftyOne's App.

.venv-review/bin/python docs/fiftyone_screen.py EXTENDED.json IMAGES     # writes docs/integrations/fiftyone.webp

The file: annotate extend --dataset example --fill-gaps --out EXTENDED.json, whose pictures are in IMAGES.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import review_screens
from PIL import Image


def visit(browser: Any, address: str) -> None:
    """One keypoint of all people, and the operators that decide on it."""
    page = browser.new_page(viewport={"width": 1000, "height": 560})
    page.set_default_timeout(review_screens.PATIENCE_MS)
    page.add_init_script("window.IS_PLAYWRIGHT = true")  # no advertisement over the page
    page.goto(f"{address}?view=nose")
    page.locator("[data-cy=looker]").first.wait_for()
    page.wait_for_timeout(3000)
    page.keyboard.press("`")
    page.get_by_placeholder("Search").last.fill("poseunion")
    page.get_by_text("poseunion: Accept proposals").first.wait_for()
    page.wait_for_timeout(2000)
    picture = Image.open(io.BytesIO(page.screenshot()))
    picture.convert("RGB").save(Path(__file__).parent / "integrations" / "fiftyone.webp", quality=80, method=6)


if __name__ == "__main__":
    review_screens.visit = visit
    review_screens.main()
