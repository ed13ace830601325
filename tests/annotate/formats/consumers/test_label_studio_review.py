"""Label Studio's SDK takes the tasks with predictions, and reads what a reviewer made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import read_annotations
from poseunion.annotate.review.decisions import read_extended
from poseunion.annotate.review.label_studio import CHOICES, export_tasks, interface_path, read_back

sdk = pytest.importorskip("label_studio_sdk.label_interface", reason="make test-consumers brings it")


@pytest.fixture
def tasks(folder: Any, coco: Any, fake: Any, tmp_path: Path) -> Path:
    folder.write(coco(6))
    extend(read_annotations(folder.file), folder.images, fake(), folder.out, Options(fill_gaps=True))
    assert export_tasks(read_extended(folder.out), list(range(6)), tmp_path / "tasks.json") == 6
    return tmp_path / "tasks.json"


def test_predictions_fit_the_interface(tasks: Path) -> None:
    interface = sdk.LabelInterface(interface_path(tasks).read_text())
    interface.validate()
    for task in json.loads(tasks.read_text()):
        assert interface.validate_task({"data": task["data"]})
        for prediction in task["predictions"]:
            assert interface.validate_prediction(prediction, return_errors=True) == []
        assert interface.load_task(task)
    assert set(interface.get_control("decision").labels) == set(CHOICES)


def test_the_converter_keeps_a_review(folder: Any, tasks: Path, tmp_path: Path) -> None:
    """Its JSON decides nothing that was not decided; its COCO, which joins a picture's people, has each rectangle."""
    converter = pytest.importorskip("label_studio_sdk.converter").Converter
    document = json.loads(tasks.read_text())
    people = 0
    for number, task in enumerate(document):
        (prediction,) = task.pop("predictions")
        people += sum(region["type"] == "rectanglelabels" for region in prediction["result"])
        task |= {"id": number, "annotations": [{"id": number, "completed_by": 1, "result": prediction["result"]}]}
    back = tmp_path / "project.json"
    back.write_text(json.dumps(document))
    made = converter(interface_path(tasks).read_text(), project_dir=str(tmp_path), download_resources=False)
    for kind in ("JSON", "COCO"):
        made.convert(str(back), str(tmp_path / kind), kind, is_dir=False)
    came = read_back(read_extended(folder.out), tasks, tmp_path / "JSON" / "result.json")
    assert (came.people, came.decisions, came.lost) == (people, [], [])
    coco = json.loads((tmp_path / "COCO" / "result.json").read_text())
    assert sum("keypoints" not in annotation for annotation in coco["annotations"]) == people
