"""Out to CVAT and back: nothing touched decides nothing; what was touched, and nothing else, is a decision."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poseunion.annotate.formats import read_annotations
from poseunion.annotate.review.apply import apply
from poseunion.annotate.review.cvat import INSIDE, export_slice, labels_path, read_back
from poseunion.annotate.review.decisions import now, read_extended, save
from poseunion.annotate.review.returned import Returned
from poseunion.models.errors import BadFileError


@pytest.fixture
def slice_(extended: Path, tmp_path: Path) -> Path:
    assert export_slice(read_extended(extended), list(range(6)), tmp_path / "slice.zip") == 6
    return tmp_path / "slice.zip"


def content(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(INSIDE))


def as_cvat(path: Path, change: Callable[[dict[str, Any], str, dict[str, Any]], None] | None = None) -> Path:
    """What CVAT gives back: two digits, other ids, another order; `change` is called with (person, name, element)."""
    document = content(path)
    names = [label["name"] for label in document["categories"]["label"]["labels"]]
    rng = random.Random(0)
    for item in document["items"]:
        rng.shuffle(item["annotations"])
        for number, person in enumerate(item["annotations"]):
            person["id"] = 100 + number
            rng.shuffle(person["elements"])
            for element in person["elements"]:
                element["points"] = [float(np.around(v, 2)) for v in element["points"]]
                if change is not None:
                    change(person, names[element["label_id"]], element)
            person["elements"] = [e for e in person["elements"] if not e.get("deleted")]
    rng.shuffle(document["items"])
    document.pop("poseunion", None)
    back = path.with_name("back.zip")
    with zipfile.ZipFile(back, "w") as archive:
        archive.writestr(INSIDE, json.dumps(document))
    return back


def returned(extended: Path, slice_: Path, back: Path, **options: Any) -> Returned:
    return read_back(read_extended(extended), slice_, back, "ann", now(), **options)


def test_names_and_numbers_survive_and_nothing_touched_decides_nothing(extended: Path, slice_: Path) -> None:
    annotations = read_extended(extended)
    out = read_annotations(_unzipped(slice_))
    assert out.skeleton.keypoints == annotations.skeleton.keypoints
    for row, record in enumerate(out.records):
        number = next(i for i, r in enumerate(annotations.records) if r["id"] == record["attributes"]["annotation_id"])
        human = np.array([s == "human" for s in annotations.records[number]["keypoint_source"]])
        np.testing.assert_array_equal(out.xy[row, human], annotations.xy[number, human])
        np.testing.assert_array_equal(out.visibility[row, human], annotations.visibility[number, human])
    before = extended.read_bytes()
    came = returned(extended, slice_, as_cvat(slice_))
    assert (came.people, came.decisions, came.human, came.lost) == (6, [], [], [])
    assert came.unmoved > 20
    assert not save(extended, came.decisions).added
    assert extended.read_bytes() == before


def _unzipped(path: Path) -> Path:
    file = path.with_suffix(".json")
    file.write_text(json.dumps(content(path)))
    return file


def test_moved_deleted_and_hidden_points_are_decisions(extended: Path, slice_: Path) -> None:
    def change(person: dict[str, Any], name: str, element: dict[str, Any]) -> None:
        if person["attributes"]["annotation_id"] != 7000:
            return
        if name == "head_top":
            element["points"] = [20.25, 30.5]
        elif name == "upper_neck":
            element["deleted"] = True
        elif name == "pelvis":
            element["visibility"] = [1]

    annotations = read_extended(extended)
    sources = dict(zip(annotations.skeleton.keypoints, annotations.records[0]["keypoint_source"], strict=True))
    came = returned(extended, slice_, as_cvat(slice_, change))
    assert {d.annotation_id for d in came.decisions} == {7000}
    assert {d.keypoint: d.decision for d in came.decisions}.items() >= {
        "head_top": "fix",
        "upper_neck": "reject",
    }.items()
    assert not save(extended, came.decisions).refused
    apply(extended)
    after = read_extended(extended)
    points = dict(zip(after.skeleton.keypoints, zip(after.xy[0], after.visibility[0], strict=True), strict=True))
    assert points["head_top"][0].tolist() == [20.25, 30.5]
    assert points["upper_neck"][1] == 0
    if sources["pelvis"] != "human":
        assert points["pelvis"][1] == 1
    for k, source in enumerate(after.records[0]["keypoint_source"]):
        if source == "human":
            assert (
                after.records[0]["keypoints"][3 * k : 3 * k + 3]
                == annotations.records[0]["keypoints"][3 * k : 3 * k + 3]
            )


def test_human_points_move_only_when_asked(extended: Path, slice_: Path) -> None:
    def change(person: dict[str, Any], name: str, element: dict[str, Any]) -> None:
        if name == "nose":  # a human's, in every person
            element["points"] = [1.5, 2.5]

    back = as_cvat(slice_, change)
    came = returned(extended, slice_, back)
    assert not came.decisions
    assert len(came.human) == 6
    asked = returned(extended, slice_, back, human=True)
    assert len(asked.decisions) == 6
    assert not save(extended, asked.decisions).refused
    assert len(apply(extended).human) == 6


def test_what_was_looked_at_can_be_accepted(extended: Path, slice_: Path) -> None:
    came = returned(extended, slice_, as_cvat(slice_), accept_unmoved=True)
    assert came.unmoved == len(came.decisions)
    assert {d.decision for d in came.decisions} == {"accept"}
    assert not save(extended, came.decisions).refused
    apply(extended)
    decided = {(d.annotation_id, d.keypoint) for d in came.decisions}
    after = read_extended(extended)
    for record in after.records:
        for k, name in enumerate(after.skeleton.keypoints):
            if (record["id"], name) in decided:
                assert record["keypoints"][3 * k + 2] > 0


def test_people_are_found_without_their_id_and_lost_ones_are_listed(extended: Path, slice_: Path) -> None:
    def forget(person: dict[str, Any], name: str, element: dict[str, Any]) -> None:
        person["attributes"] = {}

    assert returned(extended, slice_, as_cvat(slice_, forget)).people == 6

    def one_is_gone(person: dict[str, Any], name: str, element: dict[str, Any]) -> None:
        if person["attributes"].get("annotation_id") == 7000 - 3:
            element["deleted"] = True

    back = as_cvat(slice_, one_is_gone)
    document = content(back)
    for item in document["items"]:
        item["annotations"] = [p for p in item["annotations"] if p["elements"]]
    with zipfile.ZipFile(back, "w") as archive:
        archive.writestr(INSIDE, json.dumps(document))
    came = returned(extended, slice_, back)
    assert came.people == 5
    assert [name for name, _ in came.lost] == [7000 - 3]
    assert not came.decisions


def test_a_decision_made_meanwhile_is_not_undone(extended: Path, slice_: Path) -> None:
    back = as_cvat(slice_)
    from poseunion.annotate.review.decisions import Decision

    save(extended, [Decision(7000, "head_top", "reject", "bob", now())])
    apply(extended)
    assert not returned(extended, slice_, back).decisions


def test_labels_for_the_project(slice_: Path) -> None:
    (person,) = json.loads(labels_path(slice_).read_text())
    assert person["type"] == "skeleton"
    assert len(person["sublabels"]) == 21
    assert person["svg"].count("<circle") == 21
    assert all(f'data-label-name="{s["name"]}"' in person["svg"] for s in person["sublabels"])
    assert "nan" not in person["svg"]


def test_files_that_are_no_export(extended: Path, slice_: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.zip"
    wrong.write_bytes(b"no zip")
    with pytest.raises(BadFileError, match=r"wrong\.zip"):
        returned(extended, slice_, wrong)
    back = as_cvat(slice_, lambda person, name, element: person["attributes"].clear())
    with pytest.raises(BadFileError, match="cvat-export"):
        returned(extended, back, slice_)
    with zipfile.ZipFile(wrong, "w") as archive:
        archive.writestr("annotations/a.txt", "")
    with pytest.raises(BadFileError, match="Datumaro"):
        returned(extended, slice_, wrong)
