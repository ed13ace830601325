"""FiftyOne's App of `annotate review`, opened and driven by Playwright: for tests, and for counting its steps."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE_S = 600  # for a busy machine; the longest takes a quiet one ten seconds
ANNOTATE = (sys.executable, "-m", "poseunion.annotate.cli.main")


@contextmanager
def served(file: Path, images: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The App's address and its process, opened through the command line."""
    words = ("review", str(file), "--images", str(images), "--no-browser", *options)
    process = subprocess.Popen([*ANNOTATE, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    said = []
    while "http://" not in (line := process.stdout.readline()):
        said.append(line)
        assert process.poll() is None, "".join(said) + process.stderr.read()
    try:
        yield line.split()[0], process
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def app_page(chromium: Any) -> Any:
    """A page of the browser, without an advertisement over the App."""
    page = chromium.new_page(viewport={"width": 1300, "height": 900})
    page.set_default_timeout(PATIENCE_S * 1000)
    page.add_init_script("window.IS_PLAYWRIGHT = true")
    return page


def people_seen(page: Any) -> None:
    """Wait until people are in the grid."""
    page.locator("[data-cy=looker]").first.wait_for()


def choose_view(page: Any, name: str) -> None:
    """Choose a saved view, in two clicks, and wait for its people; not one whose name has an underscore (`?view=`)."""
    page.locator("[data-cy=saved-views-selection]").click()
    page.locator(f"[data-cy=saved-views-{name.replace(' ', '-')}-selection-option]").click()
    page.wait_for_url(f"**view={name.replace(' ', '-')}**")
    people_seen(page)


def tag(page: Any, name: str) -> None:
    """Tag the selected labels, or all that the view shows: three clicks and a word."""
    page.locator("[data-cy=action-tag-sample-labels]").last.click()
    page.locator("[data-cy=tagger-switch-label]").last.click()
    field = page.locator("[data-cy=label-tag-input]")
    field.fill(name)
    field.press("Enter")
    page.get_by_text("Apply", exact=True).last.click()
    field.wait_for(state="detached")
