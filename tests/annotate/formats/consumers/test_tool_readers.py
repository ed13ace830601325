"""Datumaro and CVAT's SDK read the written skeletons, Label Studio's SDK the written tasks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from poseunion.annotate.formats import read_annotations
from poseunion.annotate.formats.tools.label_studio_write import labelling_config
from poseunion.annotate.review import cvat

Write = Callable[[str, str], Any]
REASON = "make test-consumers brings it"


def test_cvat_sdk_takes_the_labels(write: Write) -> None:
    models = pytest.importorskip("cvat_sdk.models", reason=REASON)
    skeleton = write("coco", "coco").coco.skeleton
    for label in cvat.labels(skeleton, np.full((len(skeleton), 2), 50.0)):
        taken = models.PatchedLabelRequest._from_openapi_data(**label, _spec_property_naming=True)
        assert len(taken.sublabels) == len(skeleton)
        assert taken.type == "skeleton"


def test_label_studio_sdk(write: Write, name: str) -> None:
    interface = pytest.importorskip("label_studio_sdk.label_interface", reason=REASON)
    written = write(name, "label-studio")
    tasks = json.loads(written.path.read_text())
    classes = tuple(dict.fromkeys(written.coco.names.values())) or ("person",)
    if name == "label-studio":
        pytest.skip("it keeps the interface of the project that it came from")
    config = interface.LabelInterface(labelling_config(written.coco.skeleton, classes))
    config.validate()
    people = points = 0
    for task in tasks:
        assert config.validate_task({"data": task["data"]})
        for annotation in task["annotations"]:
            faults = [config.validate_region(r, return_errors=True) for r in annotation["result"]]
            assert [fault for fault in faults if fault] == []
            people += sum(r["type"] == "rectanglelabels" for r in annotation["result"])
            points += sum(r["type"] == "keypointlabels" for r in annotation["result"])
    assert len(tasks) == written.pictures
    assert (people, points) == (written.people, written.points)


@pytest.mark.parametrize("output", ["label-studio", "datumaro"])
def test_what_we_write_we_read(write: Write, name: str, output: str) -> None:
    written = write(name, output)
    after = read_annotations(written.path, None, written.coco.skeleton)
    assert (len(after.images), len(after)) == (written.pictures, written.people)
    assert int((after.visibility > 0).sum()) == written.points
