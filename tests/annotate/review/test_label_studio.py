"""Out to Label Studio and back: predictions with parents and scores; what was touched or chosen is a decision."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from poseunion.annotate.formats.review_entries import last_entries
from poseunion.annotate.review.apply import apply
from poseunion.annotate.review.decisions import Decision, read_extended, save
from poseunion.annotate.review.label_studio import export_tasks, interface_path, read_back
from poseunion.annotate.review.returned import Returned
from poseunion.models.errors import BadFileError

Change = Callable[[int, dict[str, Any]], None]  # (annotation id, region): changed in place
TIME = "2026-01-31T12:00:00.000+00:00"


@pytest.fixture
def tasks(extended: Path, tmp_path: Path) -> Path:
    assert export_tasks(read_extended(extended), list(range(6)), tmp_path / "tasks.json") == 6
    return tmp_path / "tasks.json"


def exported(tasks: Path, *changes: Change | None, by: Any = 7) -> Path:
    """Label Studio's export: an annotation of each task's prediction for each of `changes`; `deleted` regions go."""
    document = json.loads(tasks.read_text())
    for number, task in enumerate(document):
        task["id"] = 50 + number
        (prediction,) = task.pop("predictions")
        task["predictions"] = []
        task["annotations"] = []
        for change in changes:
            regions = copy.deepcopy(prediction["result"])
            people = {r["id"]: r["meta"]["annotation_id"] for r in regions if r["type"] == "rectanglelabels"}
            more: list[dict[str, Any]] = []
            for region in regions:
                region["origin"] = "prediction"
                if change is not None and region["type"] == "keypointlabels":
                    change(people[region["parentID"]], region)
                if choice := region.pop("chosen", None):
                    head = {k: v for k, v in region.items() if k not in ("type", "from_name", "value")}
                    value = {"x": region["value"]["x"], "y": region["value"]["y"], "choices": [choice]}
                    more.append({**head, "type": "choices", "from_name": "decision", "value": value})
            task["annotations"].append(
                {
                    "id": 900 + number,
                    "completed_by": by,
                    "was_cancelled": False,
                    "updated_at": "2026-01-31T12:00:00.000000Z",
                    "result": [r for r in regions if not r.get("deleted")] + more,
                }
            )
    back = tasks.with_name("project.json")
    back.write_text(json.dumps(document))
    return back


def returned(extended: Path, tasks: Path, back: Path, reviewer: str | None = "ann", **options: Any) -> Returned:
    return read_back(read_extended(extended), tasks, back, reviewer, **options)


def on(annotation: int, **actions: Callable[[dict[str, Any]], None]) -> Change:
    def change(person: int, region: dict[str, Any]) -> None:
        if person == annotation and (action := actions.get(region["value"]["keypointlabels"][0])):
            action(region)

    return change


def delete(region: dict[str, Any]) -> None:
    region["deleted"] = True


def choose(choice: str) -> Callable[[dict[str, Any]], None]:
    return lambda region: region.update(chosen=choice)


def move(x: float, y: float) -> Callable[[dict[str, Any]], None]:
    def to(region: dict[str, Any]) -> None:
        region["value"] |= {"x": x / region["original_width"] * 100, "y": y / region["original_height"] * 100}

    return to


def test_people_are_predictions_with_parents_and_scores(extended: Path, tasks: Path) -> None:
    annotations = read_extended(extended)
    records = {r["id"]: r for r in annotations.records}
    people = 0
    for task in json.loads(tasks.read_text()):
        assert "annotations" not in task
        (prediction,) = task["predictions"]
        assert 0 <= prediction["score"] <= 1
        boxes = {r["id"]: r for r in prediction["result"] if r["type"] == "rectanglelabels"}
        assert list(boxes) == [r["id"] for r in prediction["result"]][-len(boxes) :]  # they would catch the clicks
        people += len(boxes)
        for region in prediction["result"]:
            if region["type"] != "keypointlabels":
                continue
            record = records[boxes[region["parentID"]]["meta"]["annotation_id"]]
            k = annotations.skeleton.index(region["value"]["keypointlabels"][0])
            human = record["keypoint_source"][k] == "human"
            assert region.get("readonly", False) == human
            assert region.get("score") == (None if human else record["keypoint_confidence"][k])
    assert people == len(annotations)
    assert interface_path(tasks).read_text().startswith("<View>")


def test_pictures_are_named_below_the_root_of_local_files(extended: Path, tmp_path: Path) -> None:
    """Label Studio serves no picture that lies in its root itself."""
    file = tmp_path / "served.json"
    export_tasks(read_extended(extended), list(range(6)), file, folder="my set")
    names = {image.file_name for image in read_extended(extended).images}
    assert {task["data"]["image"] for task in json.loads(file.read_text())} <= {
        f"/data/local-files/?d=my%20set/{quote(name)}" for name in names
    }
    came = returned(extended, file, exported(file, on(7000, head_top=delete)))
    assert [(d.annotation_id, d.keypoint, d.decision) for d in came.decisions] == [(7000, "head_top", "reject")]


def test_nothing_touched_decides_nothing(extended: Path, tasks: Path) -> None:
    before = extended.read_bytes()
    came = returned(extended, tasks, exported(tasks, None))
    assert (came.people, came.decisions, came.human, came.lost) == (6, [], [], [])
    assert came.unmoved > 20
    assert not save(extended, came.decisions).added
    assert extended.read_bytes() == before
    looked_at = returned(extended, tasks, exported(tasks, None), accept_unmoved=True)
    assert {d.decision for d in looked_at.decisions} == {"accept"}
    assert len(looked_at.decisions) == came.unmoved


def test_changes_and_choices_are_decisions(extended: Path, tasks: Path) -> None:
    change = on(
        7000,
        head_top=move(20.25, 30.5),
        upper_neck=delete,
        pelvis=choose("accept"),
        thorax=choose("needs-fix"),
    )
    came = returned(extended, tasks, exported(tasks, change))
    decided = {d.keypoint: d for d in came.decisions}
    assert {name: d.decision for name, d in decided.items()} == {
        "head_top": "fix",
        "upper_neck": "reject",
        "pelvis": "accept",
        "thorax": "needs-fix",
    }
    assert decided["head_top"].to_xyv == (20.25, 30.5, 2)
    assert {(d.reviewer, d.time, d.from_xyv) for d in came.decisions} == {("ann", TIME, None)}
    assert save(extended, came.decisions).added == 4
    apply(extended)
    assert not returned(extended, tasks, exported(tasks, change)).decisions  # read again: nothing new


def test_a_decision_can_be_withdrawn(extended: Path, tasks: Path) -> None:
    save(extended, [Decision(7000, "head_top", "reject", "ann", "2026-01-30T12:00:00+00:00")])
    back = exported(tasks, on(7000, head_top=choose("withdraw")))
    came = returned(extended, tasks, back)
    assert save(extended, came.decisions).added == 1
    assert last_entries(read_extended(extended).records[0]) == {}
    assert not returned(extended, tasks, back).decisions


def test_each_annotator_is_a_reviewer(extended: Path, tasks: Path) -> None:
    back = exported(tasks, on(7000, head_top=delete), on(7000, head_top=choose("accept")))
    document = json.loads(back.read_text())
    for task in document:
        task["annotations"][1]["completed_by"] = {"id": 8, "email": "bob@example.org"}
    back.write_text(json.dumps(document))
    came = returned(extended, tasks, back, None)
    assert [(d.reviewer, d.decision) for d in came.decisions] == [("user 7", "reject"), ("bob@example.org", "accept")]
    for task in document:
        task["annotations"][0]["was_cancelled"] = True
    document[1]["annotations"] = []
    back.write_text(json.dumps(document))
    came = returned(extended, tasks, back, None)
    assert {d.reviewer for d in came.decisions} <= {"bob@example.org"}
    assert came.people < 6
    assert came.lost == []  # not reviewed is not lost


def test_human_points_stay(extended: Path, tasks: Path) -> None:
    came = returned(extended, tasks, exported(tasks, on(7000, nose=delete)))
    assert not came.decisions
    assert came.human == [(7000, "nose")]


def test_people_are_found_without_their_region(extended: Path, tasks: Path) -> None:
    back = exported(tasks, None)
    back.write_text(re.sub(r'"p(\d)', r'"q\1', back.read_text()))
    assert returned(extended, tasks, back).people == 6


def test_files_that_are_no_export(extended: Path, tasks: Path, tmp_path: Path) -> None:
    back = exported(tasks, None)
    with pytest.raises(BadFileError, match="label-studio-export"):
        returned(extended, back, back)
    wrong = tmp_path / "wrong.json"
    wrong.write_text("{}")
    with pytest.raises(BadFileError, match=r"wrong\.json is not Label Studio's json"):
        returned(extended, tasks, wrong)
    odd = exported(tasks, on(7000, head_top=choose("perhaps")))
    with pytest.raises(BadFileError, match=r"'perhaps', chosen for head_top, is none of accept"):
        returned(extended, tasks, odd)
