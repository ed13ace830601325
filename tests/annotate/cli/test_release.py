"""The commands around a review, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from poseunion.annotate.cli.main import app
from poseunion.annotate.review.decisions import read_extended
from poseunion.annotate.review.priority import queue
from poseunion.models.errors import PoseUnionError


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_from_file_to_dataset_through_cvat(extended: Path, folder: Any) -> None:
    slice_ = folder.root / "slice.zip"
    assert run("cvat-export", extended, "--out", slice_, "--top", 3).exit_code == 0
    came = run("cvat-import", extended, slice_, "--exported", slice_, "--accept-unmoved", "--reviewer", "ann", "--json")
    said = json.loads(came.stdout)
    assert said["people"] == 3
    assert said["decisions"] == said["unmoved"] > 3
    again = run("cvat-import", extended, slice_, "--exported", slice_, "--reviewer", "ann")
    assert "0 decisions" in again.output
    unapplied = run("release", extended, "--images", folder.images, "--out", folder.root / "release")
    assert isinstance(unapplied.exception, PoseUnionError)
    applied = json.loads(run("apply", extended, "--json").stdout)
    assert applied["people"] == 3
    released = run("release", extended, "--images", folder.images, "--out", folder.root / "release", "--json")
    proof = json.loads(released.stdout)["proof"]
    assert proof["faults"] == []
    assert proof["identical"] == proof["human_points"] > 0
    assert (folder.root / "release" / "README.md").is_file()


def test_next_follows_the_queue_and_leaves_out_what_is_decided(extended: Path, folder: Any) -> None:
    said = json.loads(run("next", extended, "--budget", 2, "--json").stdout)
    annotations = read_extended(extended)
    waiting = queue(annotations)
    assert said["waiting"] == len(waiting)
    assert [p["annotation"] for p in said["people"]] == [annotations.records[p.row]["id"] for p in waiting[:2]]
    assert said["expected_changes"] <= said["of"]
    slice_ = folder.root / "slice.zip"
    run("cvat-export", extended, "--out", slice_, "--top", 2)
    run("cvat-import", extended, slice_, "--exported", slice_, "--accept-unmoved")
    later = json.loads(run("next", extended, "--json").stdout)
    assert not {p["annotation"] for p in said["people"]} & {p["annotation"] for p in later["people"]}
    assert "people that wait" in run("next", extended).output
    with_another = [run("next", extended, option, extended, "--json").stdout for option in ("--alternative", "--voice")]
    assert with_another[0] == with_another[1] != ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("next", "FILE", "--budget", 0),
        ("cvat-export", "FILE", "--out", "slice.json"),
        ("cvat-export", "FILE", "--out", "slice.zip", "--top", -1),
        ("cvat-import", "FILE", "nowhere.zip", "--exported", "nowhere.zip"),
        ("next", "nowhere.json"),
        ("apply", "ORIGINAL"),
        ("apply", "FILE", "--from", "ORIGINAL"),
    ],
)
def test_wrong_arguments_are_one_sentence_and_write_nothing(
    extended: Path, folder: Any, monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...]
) -> None:
    monkeypatch.chdir(folder.root)
    before = {p: p.read_bytes() for p in folder.root.rglob("*") if p.is_file()}
    named = {"FILE": extended, "ORIGINAL": folder.file}
    result = run(*(named.get(str(a), a) for a in arguments))
    assert isinstance(result.exception, PoseUnionError)
    assert result.exception.exit_code == 2
    assert "\n" not in str(result.exception)
    assert before == {p: p.read_bytes() for p in folder.root.rglob("*") if p.is_file()}


def test_from_file_to_a_certified_release_through_cvat(extended: Path, folder: Any) -> None:
    slice_ = folder.root / "sample.zip"
    assert isinstance(run("next", extended, "--audit").exception, PoseUnionError)
    drawn = json.loads(run("audit", extended, "--budget", 4, "--json").stdout)
    listed = json.loads(run("next", extended, "--audit", "--json").stdout)
    assert sum(len(p["keypoints"]) for p in listed["people"]) == drawn["waiting"] == 4
    assert run("cvat-export", extended, "--out", slice_, "--audit").exit_code == 0
    run("cvat-import", extended, slice_, "--exported", slice_, "--accept-unmoved", "--reviewer", "ann")
    certified = json.loads(run("certify", extended, "--json").stdout)
    assert certified["pooled"]["inspected"] == 4
    assert certified["waiting"] == certified["errors_in_all"] == 0
    run("apply", extended)
    assert run("release", extended, "--images", folder.images, "--out", folder.root / "release").exit_code == 0
    card = (folder.root / "release" / "README.md").read_text()
    assert certified["statement"] in card
    again = json.loads(run("certify", extended, "--json").stdout)
    assert again == certified  # decisions that are applied count as before
