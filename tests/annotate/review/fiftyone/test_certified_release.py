"""From a dataset to its certified release, as an owner walks it: the command line, and clicks in FiftyOne's App."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fiftyone_app import app_page, people_seen, tag

from poseunion.annotate.example import example_dataset

ASKED = "nose,left_eye,right_eye"


def test_a_file_is_extended_audited_in_the_app_certified_and_released(
    extended: Any, serve: Callable[..., Any], chromium: Any, tmp_path: Path
) -> None:
    def run(*words: str) -> Any:
        done = extended.annotate(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    labels, extended.images = example_dataset(tmp_path / "pictures")
    extended.file, out = tmp_path / "people_21.json", tmp_path / "released"
    images = ("--images", str(extended.images))
    run("extend", "--annotations", str(labels), *images, "--out", str(extended.file), "--keypoints", ASKED)
    drawn = run("audit", str(extended.file), "--budget", "100")
    assert drawn["drawn"] == drawn["points"] == drawn["waiting"] > 5

    with serve(extended, "--top", "1") as review:
        page = app_page(chromium)
        page.goto(f"{review.url}?view=audit-sample")
        people_seen(page)
        people = page.locator("[data-cy=looker]").count()
        assert people == drawn["people"]
        for view, word in (("nose", "reject"), ("left-eye", "accept"), ("right-eye", "accept")):
            page.goto(f"{review.url}?view={view}")
            people_seen(page)
            tag(page, word)
        page.close()
        pulled = run("pull", str(extended.file), "--reviewer", "ann")
    noses = sum(k == "nose" for _, k in accepted(extended.document))
    assert pulled["recorded"]["reject"] >= noses > 0
    assert pulled["open"] == 0

    certificate = run("certify", str(extended.file), "--target", "0.5")
    pooled = certificate["pooled"]
    assert (pooled["inspected"], pooled["errors"]) == (drawn["points"], noses)
    share = pytest.approx(noses / drawn["points"], abs=1e-4)  # all were inspected; bounds are rounded outwards
    assert (pooled["at_least"], pooled["at_most"]) == (share, share)

    run("apply", str(extended.file))
    released = run("release", str(extended.file), *images, "--out", str(out))
    assert "README.md" in released["files"]
    card = (out / "README.md").read_text(encoding="utf-8")
    assert certificate["statement"] in card
    (file,) = out.rglob("annotations.json")
    document = json.loads(file.read_text(encoding="utf-8"))
    assert document["poseunion"]["certificate"]["pooled"] == pooled
    nose = document["categories"][0]["keypoints"].index("nose")
    assert {record["keypoint_source"][nose] for record in document["annotations"]} == {"none"}
    original = json.loads(labels.read_text(encoding="utf-8"))
    for before, after in zip(original["annotations"], document["annotations"], strict=True):
        assert after["bbox"] == before["bbox"]


def accepted(document: dict[str, Any]) -> set[tuple[Any, str]]:
    """(annotation, keypoint) of the accepted proposals of an extended file."""
    return {(r["id"], p["name"]) for r in document["annotations"] for p in r["proposals"] if p["accepted"]}
