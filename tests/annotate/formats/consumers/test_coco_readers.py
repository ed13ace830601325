"""pycocotools, FiftyOne and sleap-io read the extended COCO-style files whole."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Write = Callable[[str, str], Any]


def test_pycocotools(write: Write, name: str) -> None:
    coco = pytest.importorskip("pycocotools.coco", reason="make test-consumers brings it")
    written = write(name, "coco")
    found = coco.COCO(str(written.path))
    people = found.loadAnns(found.getAnnIds())
    assert len(found.getImgIds()) == written.pictures
    assert len(people) == written.people
    assert sum(v > 0 for person in people for v in person["keypoints"][2::3]) == written.points
    names = found.loadCats(found.getCatIds())[0]["keypoints"]
    assert {len(person["keypoints"]) for person in people} == {3 * len(names)}


def test_pycocotools_scores_the_file_against_itself_with_100(write: Write) -> None:
    coco = pytest.importorskip("pycocotools.coco", reason="make test-consumers brings it")
    from pycocotools.cocoeval import COCOeval

    truth = coco.COCO(str(write("mpii", "coco").path))
    results = [
        {key: person[key] for key in ("image_id", "category_id", "keypoints")} | {"score": 1.0}
        for person in truth.loadAnns(truth.getAnnIds())
    ]
    evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
    evaluation.params.kpt_oks_sigmas = np.full(21, 0.1)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == 1.0


def test_sleap_io(write: Write, name: str) -> None:
    sleap = pytest.importorskip("sleap_io", reason="make test-consumers brings it")
    written = write(name, "coco")
    labels = sleap.load_coco(str(written.path), dataset_root=str(written.images))
    instances = [instance for frame in labels for instance in frame.instances]
    assert len(instances) == written.people
    assert sum(int(np.isfinite(i.numpy()).all(-1).sum()) for i in instances) == written.points
    named = [node.name for node in labels.skeletons[0].nodes]
    assert named == json.loads(written.path.read_text())["categories"][0]["keypoints"]


def test_fiftyone(write: Write, name: str, tmp_path: Path) -> None:
    pytest.importorskip("ultralytics", reason="make test-consumers runs it")  # FiftyOne alone is .venv-review's matter
    os.environ.setdefault("FIFTYONE_DATABASE_DIR", str(tmp_path / "db"))
    os.environ |= {"FIFTYONE_DATABASE_VALIDATION": "false", "FIFTYONE_DO_NOT_TRACK": "true"}
    importers = pytest.importorskip("fiftyone.utils.coco")
    written = write(name, "coco")
    importer = importers.COCODetectionDatasetImporter(
        data_path=str(written.images), labels_path=str(written.path), label_types=["keypoints"]
    )
    with importer:
        samples = list(importer)
    assert len(samples) == written.pictures
    found = [k for *_, label in samples if label is not None for k in getattr(label, "keypoints", [])]
    assert len(found) == written.people
    assert sum(np.isfinite(np.array(k.points)).all(-1).sum() for k in found) == written.points


def test_pycocotools_takes_written_results(write: Write, name: str) -> None:
    coco = pytest.importorskip("pycocotools.coco", reason="make test-consumers brings it")
    written = write(name, "coco-results")
    results = json.loads(written.path.read_text())
    truth = coco.COCO(str(written.coco.source.path))
    if isinstance(results[0]["image_id"], str):  # formats that know pictures by their names alone
        ids = {image["file_name"]: image["id"] for image in truth.dataset["images"]}
        results = [{**r, "image_id": ids[r["image_id"]]} for r in results]
    taken = truth.loadRes(results)
    assert len(taken.getAnnIds()) == written.people
