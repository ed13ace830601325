"""Steps and machine seconds from `annotate extend` to a reviewed, applied, released file: review tab, or FiftyOne.

    python benchmarks/annotation/review_steps.py --annotations train.json --images train --people 20
    .venv-review/bin/python benchmarks/annotation/review_steps.py --fiftyone --extend-with .venv/bin/python …

A scripted Chromium presses the keys and the buttons; how long a reviewer looks is not in it. Of the annotation file the
first people with labels are taken. Printed: each step, its seconds on this machine, a line of totals, and the machine's
load. With `--budget` the way is that of a certified release: only an audit's sample is reviewed, and `annotate certify`
turns it into bounds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fiftyone_app
from playwright.sync_api import sync_playwright

WAIT_MS = 600_000
ANNOTATE = ("-m", "poseunion.annotate.cli.main")
# (view, tag) that leave every proposal of FiftyOne's review as it is shown.
REVIEWED = (("not accepted", "reject"), ("without a tag", "accept"))


@dataclass(frozen=True)
class Row:
    """One step: how often what was done (`clicks`: 5), and the seconds until it was finished."""

    name: str
    steps: dict[str, int]
    seconds: float

    def __str__(self) -> str:
        counted = ", ".join(f"{n} {unit if n > 1 else unit.removesuffix('s')}" for unit, n in self.steps.items())
        return f"| {self.name} | {counted} | {self.seconds:.1f} |"


def first_people(annotations: Path, people: int, out: Path) -> None:
    """The first people with labels, and the pictures they are in."""
    document = json.loads(annotations.read_text())
    chosen = [a for a in document["annotations"] if a.get("num_keypoints", 0) > 0 and not a.get("iscrowd")][:people]
    pictures = {a["image_id"] for a in chosen}
    images = [image for image in document["images"] if image["id"] in pictures]
    out.write_text(json.dumps({**document, "annotations": chosen, "images": images}))


def command(*words: object, python: str = sys.executable) -> tuple[float, str]:
    """Run a command; its seconds, and what it prints."""
    start = time.perf_counter()
    done = subprocess.run([python, *map(str, words)], check=True, stdout=subprocess.PIPE, text=True)
    return time.perf_counter() - start, done.stdout


@contextmanager
def browser() -> Iterator[Any]:
    """The system's Chromium."""
    with sync_playwright() as play:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
        opened = play.chromium.launch(executable_path=shutil.which("chromium"), args=options, timeout=WAIT_MS)
        yield opened
        opened.close()


def in_the_review_tab(file: Path, images: Path, people: int, *, audit: bool) -> Iterator[Row]:
    """Press Enter until the summary is seen.

    Args:
        audit: choose the question of the audit's sample first.
    """
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
    start = time.perf_counter()
    demo = [sys.executable, "-m", "poseunion", "demo", "--review", file, "--images", images, "--port", port]
    server = subprocess.Popen([str(word) for word in demo], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        assert server.stderr is not None
        server.stderr.readline()  # the address
        with browser() as opened:
            page = opened.new_page(viewport={"width": 1366, "height": 768})
            page.set_default_timeout(WAIT_MS)
            page.goto(f"http://127.0.0.1:{port}")
            page.wait_for_selector("#review .canvas-picture[src^=data]")
            steps, first = {"commands": 1}, "the first person"
            if audit:
                page.select_option("[data-filter=question]", "fix")  # none: shows that the next choice has arrived
                page.wait_for_selector(".review-summary")
                page.select_option("[data-filter=question]", "audit")
                page.wait_for_selector(f".side-person:has-text('Person 1 of {people},')")
                steps, first = {**steps, "choices": 1}, "the first person of the question *Audit sample*"
            yield Row(f"`poseunion demo --review`, until {first} is seen", steps, time.perf_counter() - start)
            keys = [_enter(page, number, people) for number in range(1, people + 1)]
            yield Row("Enter, until the next person is seen", {"keys": people}, sum(keys))
            print(f"One Enter: median {sorted(keys)[people // 2]:.2f} s.")
    finally:
        server.terminate()
        server.wait()


def _enter(page: Any, number: int, people: int) -> float:
    start = time.perf_counter()
    page.keyboard.press("Enter")
    after = f".side-person:has-text('Person {number + 1} of ')" if number < people else ".review-summary"
    page.wait_for_selector(after)
    return time.perf_counter() - start


def in_fiftyone(file: Path, images: Path, *, audit: bool) -> Iterator[Row]:
    """Tag as shown: what was not accepted is rejected in its view, all that is left then is accepted.

    Args:
        audit: accept the audit's sample, and nothing else.
    """
    start = time.perf_counter()
    with fiftyone_app.served(file, images) as (address, _), browser() as opened:
        page = fiftyone_app.app_page(opened)
        page.goto(address)
        fiftyone_app.people_seen(page)
        yield Row("`annotate review`, until the first people are seen", {"commands": 1}, time.perf_counter() - start)
        for view, word in (("audit sample", "accept"),) if audit else REVIEWED:
            start = time.perf_counter()
            fiftyone_app.choose_view(page, view)
            fiftyone_app.tag(page, word)
            seconds = time.perf_counter() - start
            yield Row(f"view *{view}*, tag `{word}`, until it is stored", {"clicks": 5, "words": 1}, seconds)
        seconds, printed = command(*ANNOTATE, "pull", file)
        yield Row("`annotate pull`", {"commands": 1}, seconds)
        print(printed.strip())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", type=Path, required=True, help="COCO keypoints file")
    parser.add_argument("--images", type=Path, required=True, help="folder of its pictures")
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--budget", type=int, help="points to inspect: the way to a certified release")
    parser.add_argument("--fiftyone", action="store_true", help="review in FiftyOne's App, not in the review tab")
    parser.add_argument(
        "--extend-with",
        default=sys.executable,
        metavar="PYTHON",
        help="interpreter of `annotate extend`: FiftyOne's environment has OpenCV 4, not 5",
    )
    given = parser.parse_args()
    images, people = given.images, given.people
    before = os.getloadavg()
    with tempfile.TemporaryDirectory() as folder:
        labels, extended = Path(folder) / "labels.json", Path(folder) / "extended.json"
        first_people(given.annotations, given.people, labels)
        rows: list[Row] = []

        def step(name: str, *words: object, python: str = sys.executable) -> str:
            seconds, printed = command(*ANNOTATE, name, *words, python=python)
            rows.append(Row(f"`annotate {name}`", {"commands": 1}, seconds))
            return printed

        step("extend", "--annotations", labels, "--images", images, "--out", extended, python=given.extend_with)
        if given.budget:
            people = json.loads(step("audit", extended, "--budget", given.budget, "--json"))["people"]
        if given.fiftyone:
            rows += in_fiftyone(extended, images, audit=bool(given.budget))
        else:
            rows += in_the_review_tab(extended, images, people, audit=bool(given.budget))
        if given.budget:
            print(step("certify", extended).splitlines()[0])
        print(step("apply", extended).strip().splitlines()[-1])
        step("release", extended, "--images", images, "--out", Path(folder) / "release")
    total: Counter[str] = Counter()
    for row in rows:
        total.update(row.steps)
        print(row)
    print(Row("total", dict(total), sum(row.seconds for row in rows)))
    loads = [" ".join(f"{load:.1f}" for load in when) for when in (before, os.getloadavg())]
    print(f"{os.cpu_count()} cores, load {loads[0]} at the beginning, {loads[1]} at the end.")


if __name__ == "__main__":
    main()
