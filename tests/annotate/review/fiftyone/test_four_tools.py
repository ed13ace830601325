"""The same decision on the same proposal is the same record, whichever tool it was made in.

CVAT (each export that comes back), Label Studio, the demo and FiftyOne against one expectation, `golden`. It lies here
because FiftyOne has an environment of its own: there the demo is left out, in the others FiftyOne is.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import read_annotations
from poseunion.annotate.formats.review_entries import last_entries
from poseunion.annotate.review import cvat, label_studio
from poseunion.annotate.review.decisions import inside, now, read_extended, save

TO = (20.25, 30.5)  # where points are moved, image px
PATIENCE_S = 600  # for a busy machine
CASES = [(state, action) for state in ("accepted", "hidden", "waiting") for action in ("accept", "reject", "fix")]
CASES += [(state, "needs-fix") for state in ("accepted", "hidden", "waiting")]
Point = tuple[int, str]  # annotation id, keypoint


@dataclass
class Reviewed:
    """An extended file, its pictures, and the point of each case: (state, action) -> annotation id, keypoint."""

    file: Path
    images: Path
    points: dict[tuple[str, str], Point]

    def actions(self, *known: str) -> dict[Point, str]:
        """What a tool that knows these actions does."""
        return {point: action for (_, action), point in self.points.items() if action in known}


@pytest.fixture
def reviewed(folder: Any, coco: Any, fake: Any) -> Reviewed:
    """A file whose proposals were accepted, accepted as hidden (v = 1), or wait."""
    folder.write(coco(12))
    extend(read_annotations(folder.file), folder.images, fake(), folder.out, Options(fill_gaps=True))
    annotations = read_extended(folder.out)
    found: dict[bool, list[tuple[int, str]]] = {True: [], False: []}
    for row, record in enumerate(annotations.records):
        for proposal in record["proposals"]:
            if inside(annotations.person(row).image, proposal["x"], proposal["y"]):
                found[proposal["accepted"]].append((row, proposal["name"]))
    document = folder.result()
    points = {}
    for state, action in CASES:
        row, keypoint = found[state != "waiting"].pop()
        record = document["annotations"][row]
        points[state, action] = (record["id"], keypoint)
        if state == "hidden":
            record["keypoints"][3 * annotations.skeleton.index(keypoint) + 2] = 1
    folder.out.write_text(json.dumps(document))
    return Reviewed(folder.out, folder.images, points)


def golden(reviewed: Reviewed, state: str, action: str) -> dict[str, Any]:
    """The record of a decision, without its time: from what the file had, to what stands."""
    annotation, keypoint = reviewed.points[state, action]
    record = next(r for r in read_extended(reviewed.file).records if r["id"] == annotation)
    proposal = next(p for p in record["proposals"] if p["name"] == keypoint)
    xy = [proposal["x"], proposal["y"]]
    v = {"accepted": 2, "hidden": 1, "waiting": 0}[state]
    to = {"accept": [*xy, v or 2], "fix": [*TO, v or 2]}.get(action, [0, 0, 0])
    return {
        "keypoint": keypoint,
        "decision": action,
        "reviewer": "ann",
        "from": [*xy, v],
        "to": to,
        "source": "proposed",
    }


def in_cvat(reviewed: Reviewed, write: Callable[[dict[str, Any], Path], Path]) -> None:
    """Moved, deleted, and the rest accepted as it came back."""
    actions = reviewed.actions("accept", "reject", "fix")
    sent = reviewed.file.with_name("slice.zip")
    annotations = read_extended(reviewed.file)
    cvat.export_slice(annotations, list(range(len(annotations))), sent)
    with zipfile.ZipFile(sent) as archive:
        document = json.loads(archive.read(cvat.INSIDE))
    names = [label["name"] for label in document["categories"]["label"]["labels"]]
    for item in document["items"]:
        for person in item["annotations"]:
            annotation = person["attributes"]["annotation_id"]
            chosen = {e["label_id"]: actions.get((annotation, names[e["label_id"]])) for e in person["elements"]}
            person["elements"] = [e for e in person["elements"] if chosen[e["label_id"]] != "reject"]
            for element in person["elements"]:
                if chosen[element["label_id"]] == "fix":
                    element["points"] = list(TO)
    back = write(document, reviewed.file.with_name("back.zip"))
    came = cvat.read_back(read_extended(reviewed.file), sent, back, "ann", now(), accept_unmoved=True)
    assert came.lost == []
    assert save(reviewed.file, came.decisions).refused == []


def as_datumaro(document: dict[str, Any], back: Path) -> Path:
    with zipfile.ZipFile(back, "w") as archive:
        archive.writestr(cvat.INSIDE, json.dumps(document))
    return back


def people_of(document: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any], int, dict[str, tuple[float, ...]]]]:
    """(number of the picture, picture, annotation id, keypoint -> x, y, v) of each skeleton."""
    names = [label["name"] for label in document["categories"]["label"]["labels"]]
    for number, item in enumerate(document["items"]):
        for person in item["annotations"]:
            points = {names[e["label_id"]]: (*e["points"], e["visibility"][0]) for e in person["elements"]}
            yield number, item["image"], person["attributes"]["annotation_id"], points


def as_xml(document: dict[str, Any], back: Path) -> Path:
    """CVAT for images 1.1: every point of a skeleton, those without a place outside."""
    root = ElementTree.Element("annotations")
    images: dict[int, ElementTree.Element] = {}
    names = [label["name"] for label in document["categories"]["label"]["labels"]][1:]
    for number, image, annotation, points in people_of(document):
        if number not in images:
            height, width = image["size"]
            stated = {"id": str(number), "name": image["path"], "width": str(width), "height": str(height)}
            images[number] = ElementTree.SubElement(root, "image", stated)
        person = ElementTree.SubElement(images[number], "skeleton", {"label": "person", "source": "manual"})
        ElementTree.SubElement(person, "attribute", {"name": "annotation_id"}).text = str(annotation)
        for name in names:
            x, y, v = points.get(name, (0.0, 0.0, 0))
            outside, occluded = str(int(v == 0)), str(int(v == 1))
            place = {"label": name, "outside": outside, "occluded": occluded, "points": f"{x:.2f},{y:.2f}"}
            ElementTree.SubElement(person, "points", place)
    with zipfile.ZipFile(back, "w") as archive:
        archive.writestr("annotations.xml", ElementTree.tostring(root))
        archive.writestr("images/a.jpg", b"")
    return back


def as_coco(document: dict[str, Any], back: Path) -> Path:
    """COCO Keypoints 1.0, whose records keep a skeleton's attributes."""
    names = [label["name"] for label in document["categories"]["label"]["labels"]][1:]
    images: dict[int, dict[str, Any]] = {}
    records: list[dict[str, Any]] = []
    for number, image, annotation, points in people_of(document):
        height, width = image["size"]
        images[number] = {"id": number + 1, "file_name": image["path"], "width": width, "height": height}
        flat = [float(v) for name in names for v in points.get(name, (0, 0, 0))]
        records.append(
            {
                "id": len(records) + 1,
                "image_id": number + 1,
                "category_id": 1,
                "keypoints": [int(v) if k % 3 == 2 else round(v, 2) for k, v in enumerate(flat)],
                "num_keypoints": len(points),
                "bbox": [4.5, 3, 40.25, 38],
                "area": 1529.5,
                "iscrowd": 0,
                "attributes": {"occluded": False, "annotation_id": str(annotation)},
            }
        )
    category = {"id": 1, "name": "person", "keypoints": names, "skeleton": []}
    content = {"images": list(images.values()), "categories": [category], "annotations": records}
    with zipfile.ZipFile(back, "w") as archive:
        archive.writestr("annotations/person_keypoints_default.json", json.dumps(content))
    return back


def in_label_studio(reviewed: Reviewed) -> None:
    """Moved, deleted, and chosen."""
    actions = reviewed.actions("accept", "reject", "fix", "needs-fix")
    sent = reviewed.file.with_name("tasks.json")
    annotations = read_extended(reviewed.file)
    label_studio.export_tasks(annotations, list(range(len(annotations))), sent)
    document = json.loads(sent.read_text())
    for number, task in enumerate(document):
        (prediction,) = task.pop("predictions")
        people = {r["id"]: r["meta"]["annotation_id"] for r in prediction["result"] if "parentID" not in r}
        result = []
        for region in prediction["result"]:
            action = actions.get((people.get(region.get("parentID"), 0), region["id"].partition("-")[2]))
            if action == "reject":
                continue
            if action == "fix":
                width, height = region["original_width"], region["original_height"]
                region["value"] |= {"x": TO[0] / width * 100, "y": TO[1] / height * 100}
            result.append(region)
            if action in ("accept", "needs-fix") and region["type"] == "keypointlabels":
                choice = {**region, "type": "choices", "from_name": "decision", "value": {"choices": [action]}}
                result.append(choice)
        task |= {"id": number, "annotations": [{"id": number, "completed_by": 1, "result": result}]}
    back = reviewed.file.with_name("project.json")
    back.write_text(json.dumps(document))
    came = label_studio.read_back(read_extended(reviewed.file), sent, back, "ann")
    assert came.lost == []
    assert save(reviewed.file, came.decisions).refused == []


def in_the_demo(reviewed: Reviewed) -> None:
    """Keys and a drag."""
    pytest.importorskip("gradio", reason="make test has the demo's environment")
    from poseunion.app.demo.review_actions import ReviewActions, ReviewState

    actions = ReviewActions([reviewed.file], reviewed.images)
    review = actions.file(0)
    row_of = {record["id"]: row for row, record in enumerate(review.annotations.records)}
    for (annotation, keypoint), action in reviewed.actions("accept", "reject", "fix").items():
        state = ReviewState(rows=(row_of[annotation],), selected=keypoint)
        if action == "fix":
            actions.move(state, keypoint, TO, "ann", human=False)
        else:
            actions.key(state, action[0], "ann", human=False)
    review.saver.finish()


IN_FIFTYONE = """
import json, sys
from pathlib import Path
from poseunion.annotate.review.decisions import read_extended
from poseunion.annotate.review.fiftyone import database
from poseunion.annotate.review.fiftyone.dataset import build, existing
from poseunion.annotate.review.fiftyone.pull import pull
from poseunion.annotate.review.fiftyone.slice import choose
file, images = Path(sys.argv[1]), Path(sys.argv[2])
tags = {(annotation, keypoint): tag for annotation, keypoint, tag in json.loads(sys.argv[3])}
folder, annotations = database.folder_of(file), read_extended(file)
fo = database.load(folder)
build(fo, annotations, choose(annotations, top=100, audit=0), images, folder / "pictures")
dataset = existing(fo)
for sample in dataset:
    for label in sample.proposals.keypoints:
        if tag := tags.get((int(sample.annotation), label.label)):
            label.tags = [tag]
    sample.save()
print(pull(dataset, file, "ann").refused)
"""


def in_fiftyone(reviewed: Reviewed) -> None:
    """Tags: the App cannot move a point. FiftyOne opens one database a process, so in one of its own."""
    if importlib.util.find_spec("fiftyone") is None:  # to import it here would open the user's own database
        pytest.skip("make test-review")
    tags = [(*point, tag) for point, tag in reviewed.actions("accept", "reject", "needs-fix").items()]
    command = [sys.executable, "-c", IN_FIFTYONE, str(reviewed.file), str(reviewed.images), json.dumps(tags)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("[]")


@pytest.mark.parametrize(
    ("decide", "actions"),
    [
        pytest.param(lambda r: in_cvat(r, as_datumaro), ("accept", "reject", "fix"), id="cvat-datumaro"),
        pytest.param(lambda r: in_cvat(r, as_xml), ("accept", "reject", "fix"), id="cvat-xml"),
        pytest.param(lambda r: in_cvat(r, as_coco), ("accept", "reject", "fix"), id="cvat-coco"),
        pytest.param(in_label_studio, ("accept", "reject", "fix", "needs-fix"), id="label-studio"),
        pytest.param(in_the_demo, ("accept", "reject", "fix"), id="demo"),
        pytest.param(in_fiftyone, ("accept", "reject", "needs-fix"), id="fiftyone"),
    ],
)
def test_the_same_decision_is_the_same_record(
    decide: Callable[[Reviewed], None], actions: tuple[str, ...], reviewed: Reviewed
) -> None:
    cases = [case for case in CASES if case[1] in actions]
    expected = {case: golden(reviewed, *case) for case in cases}
    decide(reviewed)
    records = {record["id"]: record for record in read_extended(reviewed.file).records}
    for case in cases:
        annotation, keypoint = reviewed.points[case]
        entry = dict(last_entries(records[annotation])[keypoint])
        assert entry.pop("time")
        assert entry == expected[case], case
        assert len([e for e in records[annotation]["review"] if e["keypoint"] == keypoint]) == 1
