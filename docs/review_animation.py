"""The moving picture of the README: a review in the demo, by keyboard and mouse, with the bundled example.

.venv/bin/python docs/review_animation.py      # writes docs/review.webp; needs Chromium
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from demo_screens import served
from PIL import Image

OUT = Path(__file__).resolve().parent / "review.webp"
SIZE = {"width": 1120, "height": 650}
SHOWN_PX = 960  # width of the picture: what a README shows
# What is pressed, its text in the corner, and how long the result is shown.
START = (("", "A person under review: proposals in red, labels in white", 2600),)
FIRST = (
    ("2", "2: fit the head", 1400),
    ("a", "A: accept, on to the next keypoint", 1100),
    ("a", "A: accept", 900),
    ("r", "R: reject", 1300),
    ("u", "U: undo", 1300),
    ("ArrowUp", "Arrows: move", 350),
    ("ArrowUp", "Arrows: move", 350),
    ("ArrowRight", "Arrows: move", 1100),
    ("1", "1: fit the person", 1200),
    ("Enter", "Enter: confirm the others as shown, on to the next person", 2000),
)
SECOND = (("Enter", "Enter", 1800), ("Enter", "Enter: every proposal is decided", 3200))
LABEL = """text => {
  let label = document.getElementById("pressed");
  if (!label) {
    label = document.createElement("div");
    label.id = "pressed";
    label.style = "position: fixed; left: 50%; top: 10px; transform: translateX(-50%); z-index: 99; " +
      "padding: 7px 16px; border-radius: 8px; " +
      "background: #0f766e; color: #fff; font: 600 16px system-ui; white-space: nowrap";
    document.body.append(label);
  }
  label.textContent = text;
}"""


class Film:
    """Frames of a page, each with its milliseconds."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.frames: list[Image.Image] = []
        self.ms: list[int] = []

    def shoot(self, text: str, ms: int) -> None:
        """What is seen, with a text."""
        self.page.evaluate(LABEL, text)
        self.page.wait_for_timeout(300)
        frame = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        size = SHOWN_PX, round(frame.height * SHOWN_PX / frame.width)
        self.frames.append(frame.resize(size, Image.Resampling.LANCZOS))
        self.ms.append(ms)

    def press(self, steps: tuple[tuple[str, str, int], ...]) -> None:
        """Press keys, each once the page has answered the one before."""
        for key, text, ms in steps:
            if key:
                before = self.page.inner_text("#review")
                self.page.keyboard.press(key)
                if key not in ("1", "2"):  # the browser's own
                    self.page.wait_for_function("t => document.querySelector('#review').innerText !== t", arg=before)
            self.shoot(text, ms)

    def drag(self, text: str, ms: int) -> None:
        """Move the selected keypoint with the mouse."""
        box = self.page.locator("#review .canvas-ring").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + 6, y - 5, steps=3)
        self.page.mouse.up()
        self.page.wait_for_selector("#review .canvas-status:has-text(': moved.')")
        self.shoot(text, ms)


def main() -> None:
    with served() as (browser, address):
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(300_000)
        page.goto(address)
        page.wait_for_selector("#review .canvas-picture[src^=data]")
        page.wait_for_timeout(2000)
        film = Film(page)
        film.press(START + FIRST)
        film.drag("Drag: place a keypoint", 1500)
        film.press(SECOND)
    first, *others = film.frames
    first.save(OUT, save_all=True, append_images=others, duration=film.ms, loop=0, quality=72, method=6)
    print(f"{OUT}: {len(film.frames)} frames, {sum(film.ms) / 1000:.1f} s, {OUT.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
