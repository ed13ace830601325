"""A review in the real FiftyOne: what its dataset holds, what its App shows, what comes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fiftyone_app import app_page, tag

from poseunion.annotate.review.fiftyone import database
from poseunion.annotate.review.fiftyone.pull import unpulled
from poseunion.models.errors import install_command
from poseunion.models.images import read_annotated_image, read_image
from poseunion.models.skeleton import load_skeleton

NAMES = load_skeleton("union21").keypoints
PATIENCE_S = 600  # for a busy machine; the longest takes a quiet one ten seconds


def proposals_of(dataset: Any) -> dict[tuple[str, str], Any]:
    """(annotation, keypoint) -> the label."""
    dataset.reload()
    return {(s.annotation, label.label): label for s in dataset for label in s.proposals.keypoints}


def set_tags(dataset: Any, annotation: str, keypoint: str, tags: list[str]) -> None:
    """Tag one proposal without the App."""
    for sample in dataset.match({"annotation": annotation}):
        for label in sample.proposals.keypoints:
            if label.label == keypoint:
                label.tags = tags
        sample.save()


def test_people_are_samples_worst_first(dataset: Any) -> None:
    assert dataset.values("annotation") == ["7", "6", "5"]
    assert dataset.values("gain") == sorted(dataset.values("gain"), reverse=True)
    assert dataset.count("proposals.keypoints") == 15
    assert all(len(label.points) == 1 for label in proposals_of(dataset).values())


def test_what_people_labelled_is_one_skeleton(dataset: Any) -> None:
    assert dataset.skeletons["human"].labels == list(NAMES)
    for sample in dataset:
        (human,) = sample.human.keypoints
        known = [name for name, (x, _) in zip(NAMES, human.points, strict=True) if x == x]
        assert set(known) == {n for n in NAMES if n.endswith(("shoulder", "hip", "knee", "upper_neck", "head_top"))}
        assert {label.label for label in sample.derived.keypoints} == {"pelvis", "thorax"}


def test_points_lie_on_the_same_pixels_as_in_the_file(opened: Any, dataset: Any) -> None:
    # Of the turned picture the file means the upright frame, and that is what the App gets.
    colours = 0
    for record in opened.of.document["annotations"]:
        (sample,) = dataset.match({"annotation": str(record["id"])})
        picture = read_annotated_image(opened.of.images / sample.picture, (400, 300))
        shown = read_image(sample.filepath)
        assert shown.shape[:2] == (sample.metadata.height, sample.metadata.width)
        for proposal in record["proposals"]:
            label = next(k for k in sample.proposals.keypoints if k.label == proposal["name"])
            x, y = np.multiply(label.points[0], [shown.shape[1], shown.shape[0]]) - 0.5
            expected = picture[round(proposal["y"]), round(proposal["x"])].astype(int)
            assert np.abs(shown[round(y), round(x)] - expected).max() <= 12  # JPEG, and half a pixel
            colours += 1
    assert colours == 15


def test_a_view_holds_only_what_it_asks_for(dataset: Any) -> None:
    views = dataset.list_saved_views()
    assert views[:5] == ["doubtful", "swap suspects", "audit sample", "not accepted", "without a tag"]
    assert set(views[5:]) == {"nose", "left_eye", "right_eye", "left_elbow", "right_elbow"}
    noses = dataset.load_saved_view("nose")
    assert set(noses.values("proposals.keypoints.label", unwind=True)) == {"nose"}
    audited = dataset.load_saved_view("audit sample")
    assert audited.values("proposals.keypoints.state", unwind=True) == ["accepted by threshold"] * 2
    left_out = dataset.load_saved_view("not accepted")
    assert set(left_out.values("proposals.keypoints.label", unwind=True)) == {"left_elbow", "right_elbow"}
    doubtful = dataset.load_saved_view("doubtful").values("proposals.keypoints.uncertainty", unwind=True)
    rest = set(dataset.values("proposals.keypoints.uncertainty", unwind=True)) - set(doubtful)
    assert min(doubtful) > max(rest)


def test_a_tag_becomes_a_decision_once(opened: Any, dataset: Any, pull: Callable[..., dict[str, Any]]) -> None:
    before = opened.of.document
    set_tags(dataset, "5", "right_elbow", ["accept"])
    set_tags(dataset, "5", "left_elbow", ["needs-fix"])
    assert unpulled(dataset) == 2
    assert pull()["recorded"] == {"accept": 1, "needs-fix": 1}
    entries = opened.of.entries()
    (accepted,), (to_fix,) = entries[5, "right_elbow"], entries[5, "left_elbow"]
    assert accepted["from"] == [138, 160, 0]
    assert accepted["to"] == [138, 160, 2]
    assert (accepted["reviewer"], accepted["source"]) == ("ann", "proposed")
    assert to_fix["to"] == [0, 0, 0]
    after = opened.of.document
    for old, new in zip(before["annotations"], after["annotations"], strict=True):
        assert {k: v for k, v in new.items() if k != "review"} == {k: v for k, v in old.items() if k != "review"}

    content = opened.of.file.read_bytes()
    again = pull("bob")
    assert (again["recorded"], again["known"], again["to_fix"]) == ({}, 2, 1)
    assert opened.of.file.read_bytes() == content
    dataset.reload()
    assert unpulled(dataset) == 0

    set_tags(dataset, "5", "right_elbow", ["reject"])
    assert pull("bob")["recorded"] == {"reject": 1}
    history = opened.of.entries()[5, "right_elbow"]
    assert [(e["decision"], e["reviewer"]) for e in history] == [("accept", "ann"), ("reject", "bob")]


def test_what_says_nothing_clear_is_listed_not_recorded(
    opened: Any, dataset: Any, pull: Callable[..., dict[str, Any]]
) -> None:
    set_tags(dataset, "6", "nose", ["accept", "reject"])
    set_tags(dataset, "6", "left_eye", ["looks odd"])
    sample = dataset.match({"annotation": "6"}).first()
    sample.tags = ["accept"]
    sample.save()
    said = pull()
    assert [(r["annotation"], r["keypoint"]) for r in said["refused"]] == [(6, "nose")]
    assert said["people_tagged"] == 1
    assert not any(annotation == 6 for annotation, _ in opened.of.entries())
    set_tags(dataset, "6", "nose", [])
    sample.tags = []
    sample.save()


def test_tags_given_in_the_app_come_back(
    opened: Any, dataset: Any, pull: Callable[..., dict[str, Any]], chromium: Any
) -> None:
    page = app_page(chromium)
    elsewhere: list[str] = []
    page.on("response", lambda answer: elsewhere.append(answer.url) if "127.0.0.1" not in answer.url else None)

    # One point, clicked on its person's picture: the first one's nose is rejected.
    page.goto(opened.url)
    page.locator("[data-cy=looker]").first.click()
    canvas = page.locator("[data-cy=modal-looker-container] canvas[canvas-loaded=true]")
    canvas.wait_for()
    x, y = position_on_screen(canvas.bounding_box(), dataset.first(), "nose")
    beside_pointer = page.get_by_text("nose", exact=True)
    for _ in range(2 * PATIENCE_S):  # points are drawn some time after the picture
        page.mouse.move(x - 30, y)
        page.mouse.move(x, y)
        page.wait_for_timeout(500)
        if beside_pointer.is_visible():
            break
    page.mouse.click(x, y)
    page.locator("[data-cy=action-manage-selected]", has_text="1").last.wait_for()
    tag(page, "reject")
    page.keyboard.press("Escape")

    # All points of one view at once: every right eye is accepted.
    page.goto(f"{opened.url}?view=right-eye")
    page.locator("[data-cy=looker]").first.wait_for()
    tag(page, "accept")
    page.close()

    said = pull("carl")
    assert said["recorded"] == {"accept": 3, "reject": 1}
    entries = opened.of.entries()
    assert {key for key, found in entries.items() if found[-1]["reviewer"] == "carl"} == {
        (7, "nose"),
        *((annotation, "right_eye") for annotation in (5, 6, 7)),
    }
    assert entries[7, "nose"][-1]["decision"] == "reject"
    assert elsewhere == []


def position_on_screen(box: dict[str, float], sample: Any, keypoint: str) -> tuple[float, float]:
    """Where a proposal is drawn: the App fits the picture into its canvas and centres it."""
    label = next(k for k in sample.proposals.keypoints if k.label == keypoint)
    width, height = sample.metadata.width, sample.metadata.height
    scale = min(box["width"] / width, box["height"] / height)
    (x, y) = label.points[0]
    return (
        box["x"] + box["width"] / 2 + (x - 0.5) * width * scale,
        box["y"] + box["height"] / 2 + (y - 0.5) * height * scale,
    )


def test_only_this_machine_can_ask(opened: Any) -> None:
    import urllib.error
    import urllib.request

    def status(**headers: str) -> int:
        request = urllib.request.Request(opened.url, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                assert "default-src 'self'" in answer.headers["content-security-policy"]
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert status() == 200
    assert status(Host="example.com") == 403  # a name that somebody let point to this machine
    assert status(Origin="http://example.com") == 403


def test_tag_menus_count_and_tag_proposals_only(opened: Any, dataset: Any) -> None:
    """Asked as the App does, for all label fields that it draws: these are more."""
    import urllib.request

    root = opened.url.split("/datasets/")[0]
    drawn = ["human", "derived", "proposals"]

    def post(route: str, **more: Any) -> Any:
        asked = {"dataset": dataset.name, "target_labels": True, "label_fields": drawn, "filters": {}, "view": []}
        request = urllib.request.Request(f"{root}/{route}", json.dumps({**asked, **more}).encode())
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.loads(answer.read())

    dataset.reload()
    proposals = dataset.count("proposals.keypoints")
    assert proposals < sum(dataset.count(f"{field}.keypoints") for field in drawn)
    assert post("tagging")["count"] == proposals
    post("tag", changes={"checked": True})
    dataset.reload()
    tagged = [dataset.count_values(f"{field}.keypoints.tags").get("checked", 0) for field in drawn]
    assert tagged == [0, 0, proposals]
    post("tag", changes={"checked": False})


def test_a_second_review_of_the_file_waits(opened: Any) -> None:
    second = opened.of.annotate("review", str(opened.of.file), "--images", str(opened.of.images), "--no-browser")
    assert second.returncode == 2
    assert "is open in another annotate review" in second.stderr


TAGGED = """
import sys
from pathlib import Path
from poseunion.annotate.review.decisions import read_extended
from poseunion.annotate.review.fiftyone import database
from poseunion.annotate.review.fiftyone.dataset import build
from poseunion.annotate.review.fiftyone.slice import choose
file, images = map(Path, sys.argv[1:])
annotations = read_extended(file)
folder = database.folder_of(file)
fo = database.load(folder)
build(fo, annotations, choose(annotations, top=1, audit=0), images, folder / "pictures")
dataset = fo.load_dataset(database.DATASET)
dataset.tag_labels("accept", label_fields="proposals")
print(len(dataset), dataset.count_label_tags())
"""


def start_and_tag(reviewed: Any) -> str:
    """Make a review of one person and accept all his proposals, in a process of its own; returns what it holds."""
    words = (sys.executable, "-c", TAGGED, str(reviewed.file), str(reviewed.images))
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=PATIENCE_S).stdout.strip()


def test_two_reviews_do_not_meet(opened: Any, dataset: Any, extended: Any) -> None:
    before = dataset.count_label_tags()
    assert start_and_tag(extended) == "1 {'accept': 5}"
    dataset.reload()
    assert dataset.values("annotation") == ["7", "6", "5"]
    assert dataset.count_label_tags() == before


@pytest.mark.slow
def test_a_review_goes_on_with_tags_that_were_not_pulled(extended: Any, fiftyone: None) -> None:
    start_and_tag(extended)
    words = ["review", str(extended.file), "--images", str(extended.images), "--no-browser"]
    process = subprocess.Popen(
        [sys.executable, "-m", "poseunion.annotate.cli.main", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert b"http://" in process.stdout.readline()
    process.terminate()
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert b"5 tags of it are not pulled yet" in errors
    assert process.returncode == 0
    said = extended.annotate("pull", str(extended.file), "--json")
    assert json.loads(said.stdout)["recorded"] == {"accept": 5}


def test_without_fiftyone_one_sentence_says_what_to_install(extended: Any) -> None:
    script = "import sys; sys.modules['fiftyone'] = None; from poseunion.annotate.cli.main import main; main()"
    words = ["review", str(extended.file), "--images", str(extended.images), "--no-browser"]
    done = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=PATIENCE_S, env={**os.environ}
    )
    assert done.returncode == 2
    assert done.stderr == f"Error: This needs fiftyone, which is not installed: {install_command('review')}.\n"


def test_settings_name_only_the_files_own_folder(tmp_path: Path) -> None:
    folder = database.folder_of(tmp_path / "a.json")
    settings = database.settings(folder)
    assert folder != database.folder_of(tmp_path / "b.json")
    for name in (
        "FIFTYONE_DATABASE_DIR",
        "FIFTYONE_CONFIG_PATH",
        "FIFTYONE_DEFAULT_DATASET_DIR",
    ):
        assert Path(settings[name]).is_relative_to(folder)
    assert settings["FIFTYONE_DO_NOT_TRACK"] == "true"
    assert Path(settings["FIFTYONE_PLUGINS_DIR"]) == database.PLUGINS
