"""From a dataset to its certified release, as an owner walks it: the command line, and clicks in the review tab."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from poseunion.annotate.example import example_dataset
from poseunion.app.demo.review_queue import AUDIT, TO_FIX

ASKED = "nose,left_eye,right_eye"
MOVED = "right_eye"  # the first one is placed far from where it was proposed; the last of a person
PATIENCE_S = 600  # for a busy machine; a quiet one takes seconds


def annotate(*words: str | Path) -> Any:
    """JSON that the command prints."""
    command = [sys.executable, "-m", "poseunion.annotate.cli.main", *map(str, words), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def answered(page: Any, drawn: int) -> list[str]:
    """Answer the audit's sample by clicks alone: noses are rejected, one eye is moved, all else is accepted.

    Returns: the keypoints, in the order of the queue.
    """
    # By way of a question that has no points: otherwise nothing on the page shows that the sample's has arrived.
    page.select_option("[data-filter=question]", TO_FIX)
    page.wait_for_selector(".review-summary")
    page.select_option("[data-filter=question]", AUDIT)
    names: list[str] = []
    for left in range(drawn, 0, -1):
        name = wait(page, rf"Audit: {left} of {drawn} drawn points wait\. *Now ([a-z ]+):").replace(" ", "_")
        if name == MOVED and MOVED not in names:
            picture = page.locator("#review .canvas-frame").bounding_box()
            page.mouse.click(picture["x"] + 0.5 * picture["width"], picture["y"] + 0.9 * picture["height"])
            wait(page, rf"(moved).*Audit: {left - 1} of")
            page.click("#key-Enter")
            wait(page, rf"^(Audit): {left - 1} of")  # the next person: the line begins without an answer
        else:
            page.click("#key-r" if name == "nose" else "#key-a")
        names.append(name)
    page.wait_for_selector(".review-summary")
    return names


def wait(page: Any, status: str) -> str:
    """Wait until the status line matches; its first group."""
    text = page.wait_for_function(
        "pattern => document.querySelector('#review .canvas-status')?.innerText.match(new RegExp(pattern, 's'))?.[1]",
        arg=status,
    )
    return str(text.json_value())


def test_a_file_is_extended_audited_in_the_review_tab_certified_and_released(
    serve_page: Callable[..., str], tab: Callable[..., Any], tmp_path: Path
) -> None:
    labels, pictures = example_dataset(tmp_path / "pictures")
    file, out, images = tmp_path / "people_21.json", tmp_path / "released", ("--images", pictures)
    annotate("extend", "--annotations", labels, *images, "--out", file, "--keypoints", ASKED)
    drawn = annotate("audit", file, "--budget", "100")
    assert drawn["drawn"] == drawn["points"] == drawn["waiting"] > 5

    page = tab(serve_page(None, review=(file,), images=pictures, reviewer="ann"), width=1366, height=768)
    names = answered(page, drawn["drawn"])
    errors = names.count("nose") + 1
    assert errors > 1

    certificate = annotate("certify", file, "--target", "0.5")
    pooled = certificate["pooled"]
    assert (pooled["inspected"], pooled["errors"]) == (drawn["points"], errors)
    share = pytest.approx(errors / drawn["points"], abs=1e-4)  # all were inspected; bounds are rounded outwards
    assert (pooled["at_least"], pooled["at_most"]) == (share, share)

    annotate("apply", file)
    released = annotate("release", file, *images, "--out", out)
    assert "README.md" in released["files"]
    assert certificate["statement"] in (out / "README.md").read_text(encoding="utf-8")
    (written,) = out.rglob("annotations.json")
    document = json.loads(written.read_text(encoding="utf-8"))
    assert document["poseunion"]["certificate"]["pooled"] == pooled
    decisions = [(e["keypoint"], e["decision"], e["reviewer"]) for r in document["annotations"] for e in r["review"]]
    expected = [(n, "reject" if n == "nose" else "accept", "ann") for n in names]
    expected[names.index(MOVED)] = (MOVED, "fix", "ann")
    assert sorted(decisions) == sorted(expected)
    nose = document["categories"][0]["keypoints"].index("nose")
    assert {record["keypoint_source"][nose] for record in document["annotations"]} == {"none"}
    original = json.loads(labels.read_text(encoding="utf-8"))
    for before, after in zip(original["annotations"], document["annotations"], strict=True):
        assert after["bbox"] == before["bbox"]
