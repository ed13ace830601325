"""Steps and machine seconds from `annotate extend` to a reviewed, applied, released file, in the demo's review tab.

    python benchmarks/annotation/review_steps.py --annotations train.json --images train --people 20

A scripted Chromium presses the keys; how long a reviewer looks is not in it. Of the annotation file the first people
with labels are taken. Printed: each step, its seconds on this machine, and a line of totals. With `--budget` the way is
that of a certified release: only an audit's sample is reviewed, and `annotate certify` turns it into bounds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

WAIT_MS = 600_000
BIN = Path(sys.executable).parent


def first_people(annotations: Path, people: int, out: Path) -> None:
    """The first people with labels, and the pictures they are in."""
    document = json.loads(annotations.read_text())
    chosen = [a for a in document["annotations"] if a.get("num_keypoints", 0) > 0 and not a.get("iscrowd")][:people]
    pictures = {a["image_id"] for a in chosen}
    images = [image for image in document["images"] if image["id"] in pictures]
    out.write_text(json.dumps({**document, "annotations": chosen, "images": images}))


def command(*words: object) -> tuple[float, str]:
    """Run a command; its seconds, and what it prints."""
    start = time.perf_counter()
    done = subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True)
    return time.perf_counter() - start, done.stdout


def reviewed(file: Path, images: Path, people: int, *, audit: bool) -> tuple[float, list[float]]:
    """Seconds until the first person is seen, and of each Enter until the next one is, at last the summary.

    Args:
        audit: choose the question of the audit's sample first.
    """
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
    start = time.perf_counter()
    demo = [BIN / "poseunion", "demo", "--review", file, "--images", images, "--port", str(port)]
    server = subprocess.Popen([str(word) for word in demo], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        assert server.stderr is not None
        server.stderr.readline()  # the address
        with sync_playwright() as play:
            options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
            browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=options)
            page = browser.new_page(viewport={"width": 1366, "height": 768})
            page.set_default_timeout(WAIT_MS)
            page.goto(f"http://127.0.0.1:{port}")
            page.wait_for_selector("#review .canvas-picture[src^=data]")
            if audit:
                page.select_option("[data-filter=question]", "fix")  # none: shows that the next choice has arrived
                page.wait_for_selector(".review-summary")
                page.select_option("[data-filter=question]", "audit")
                page.wait_for_selector(f".side-person:has-text('Person 1 of {people},')")
            opened = time.perf_counter() - start
            keys = [_enter(page, number, people) for number in range(1, people + 1)]
            browser.close()
    finally:
        server.terminate()
        server.wait()
    return opened, keys


def _enter(page: Any, number: int, people: int) -> float:
    start = time.perf_counter()
    page.keyboard.press("Enter")
    after = f".side-person:has-text('Person {number + 1} of ')" if number < people else ".review-summary"
    page.wait_for_selector(after)
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", type=Path, required=True, help="COCO keypoints file")
    parser.add_argument("--images", type=Path, required=True, help="folder of its pictures")
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--budget", type=int, help="points to inspect: the way to a certified release")
    given = parser.parse_args()
    annotate, images, people = BIN / "annotate", given.images, given.people
    with tempfile.TemporaryDirectory() as folder:
        labels, extended = Path(folder) / "labels.json", Path(folder) / "extended.json"
        first_people(given.annotations, given.people, labels)
        rows = []

        def step(name: str, *words: object) -> str:
            seconds, printed = command(annotate, name, *words)
            rows.append((f"annotate {name}", 1, seconds))
            return printed

        step("extend", "--annotations", labels, "--images", images, "--out", extended)
        if given.budget:
            people = json.loads(step("audit", extended, "--budget", given.budget, "--json"))["people"]
        opened_s, keys_s = reviewed(extended, images, people, audit=bool(given.budget))
        rows.append(("poseunion demo --review, until the first person is seen", 1, opened_s))
        rows.append(("Enter, until the next person is seen", len(keys_s), sum(keys_s)))
        if given.budget:
            print(step("certify", extended).splitlines()[0])
        step("apply", extended)
        step("release", extended, "--images", images, "--out", Path(folder) / "release")
        for name, steps, seconds in rows:
            print(f"| {name} | {steps} | {seconds:.1f} |")
        print(f"| total | {sum(row[1] for row in rows)} | {sum(row[2] for row in rows):.1f} |")
        print(f"One Enter: median {sorted(keys_s)[len(keys_s) // 2]:.2f} s.")


if __name__ == "__main__":
    main()
