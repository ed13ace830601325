"""A small extended file with its pictures, and a review of it that is open in FiftyOne."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import fiftyone_app
import numpy as np
import pytest
from fiftyone_app import ANNOTATE, PATIENCE_S
from PIL import Image

from poseunion.models.skeleton import load_skeleton

WIDTH, HEIGHT = 400, 300
UPRIGHT_TAG, TURNED = 0x0112, 6  # EXIF: the stored picture has to be turned by 90 degrees to the right

# What people labelled, in px: a standing person, facing the camera.
HUMAN = {
    "left_shoulder": (230, 110),
    "right_shoulder": (170, 110),
    "left_hip": (220, 200),
    "right_hip": (180, 200),
    "left_knee": (222, 245),
    "right_knee": (178, 245),
    "upper_neck": (200, 95),
    "head_top": (200, 40),
}
DERIVED = {"pelvis": (200, 200), "thorax": (200, 110)}
# name -> x, y, confidence, accepted
PROPOSALS: dict[str, tuple[float, float, float, bool]] = {
    "nose": (200.25, 68.5, 0.95, True),
    "left_eye": (222, 55, 0.6, True),
    "right_eye": (178.5, 55, 0.9, True),
    "left_elbow": (262, 160, 0.2, False),
    "right_elbow": (138, 160, 0.45, False),
}


@dataclass
class Reviewed:
    """An extended file and its pictures."""

    file: Path
    images: Path

    @property
    def document(self) -> dict[str, Any]:
        """The file as it is now."""
        return dict(json.loads(self.file.read_text(encoding="utf-8")))

    def entries(self) -> dict[tuple[Any, str], list[dict[str, Any]]]:
        """(annotation id, keypoint) -> decisions, oldest first."""
        found: dict[tuple[Any, str], list[dict[str, Any]]] = {}
        for record in self.document["annotations"]:
            for entry in record.get("review", []):
                found.setdefault((record["id"], entry["keypoint"]), []).append(entry)
        return found

    def annotate(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the command line."""
        return subprocess.run([*ANNOTATE, *words], capture_output=True, text=True, timeout=PATIENCE_S)


def record(number: int, image_id: int, shift: float, confidence: float) -> dict[str, Any]:
    """One person; `shift` px to the right, all confidences times `confidence`."""
    names = load_skeleton("union21").keypoints
    keypoints, sources = [], []
    for name in names:
        x, y, v, source = 0.0, 0.0, 0, "none"
        if name in HUMAN:
            (x, y), v, source = HUMAN[name], 2, "human"
        elif name in DERIVED:
            (x, y), v, source = DERIVED[name], 2, "derived"
        elif name in PROPOSALS and PROPOSALS[name][3]:
            x, y, v, source = *PROPOSALS[name][:2], 2, "proposed"
        keypoints += [x + shift if v else 0, y, v]
        sources.append(source)
    proposals = [
        {"name": n, "x": x + shift, "y": y, "confidence": round(c * confidence, 4), "accepted": accepted}
        for n, (x, y, c, accepted) in PROPOSALS.items()
    ]
    given = {p["name"]: p["confidence"] for p in proposals}
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [120.0 + shift, 30, 160, 240],
        "area": 12000,
        "keypoints": keypoints,
        "num_keypoints": sum(v > 0 for v in keypoints[2::3]),
        "keypoint_source": sources,
        "keypoint_confidence": [given.get(n) for n in names],
        "proposals": proposals,
    }


def write_pictures(images: Path) -> None:
    """Two smooth pictures; of the second the stored pixels lie on their side, as its EXIF says."""
    images.mkdir()
    for number, name in enumerate(("plain.png", "turned.jpg")):
        small = np.random.default_rng(number).integers(0, 255, (6, 8, 3), dtype=np.uint8)
        upright = Image.fromarray(cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR))
        if name == "plain.png":
            upright.save(images / name)
            continue
        exif = Image.Exif()
        exif[UPRIGHT_TAG] = TURNED
        upright.transpose(Image.Transpose.ROTATE_90).save(images / name, quality=95, exif=exif)


def write_extended(root: Path) -> Reviewed:
    """Three people in two pictures; the third, annotation 7, is the most doubtful, then the second."""
    write_pictures(root / "images")
    document = {
        "images": [
            {"id": 1, "file_name": "plain.png", "width": WIDTH, "height": HEIGHT},
            {"id": 2, "file_name": "turned.jpg", "width": WIDTH, "height": HEIGHT},
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(load_skeleton("union21").keypoints)}],
        "annotations": [record(5, 1, 0.0, 1.0), record(6, 1, 60.0, 0.8), record(7, 2, -30.0, 0.5)],
        "poseunion": {"version": "test"},
    }
    file = root / "extended.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    return Reviewed(file, root / "images")


@pytest.fixture
def extended(tmp_path: Path) -> Reviewed:
    return write_extended(tmp_path)


@pytest.fixture(scope="session")
def fiftyone() -> None:
    """Skips where FiftyOne is not installed."""
    if importlib.util.find_spec("fiftyone") is None:
        pytest.skip("fiftyone is not installed: make test-review")


@dataclass
class Open:
    """A review whose App is being served."""

    of: Reviewed
    url: str
    process: subprocess.Popen[str]


@pytest.fixture(scope="session")
def opened(fiftyone: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    """One review, opened through the command line, for all tests here: starting one takes several seconds."""
    with served(write_extended(tmp_path_factory.mktemp("review")), "--audit", "2") as review:
        yield review


@contextmanager
def served(reviewed: Reviewed, *options: str) -> Iterator[Open]:
    """A review, opened through the command line."""
    with fiftyone_app.served(reviewed.file, reviewed.images, *options) as (url, process):
        yield Open(reviewed, url, process)


@pytest.fixture
def serve(fiftyone: None) -> Callable[..., AbstractContextManager[Open]]:
    """Opens a review of any extended file."""
    return served


@pytest.fixture(scope="session")
def dataset(opened: Open) -> Any:
    """The review's FiftyOne dataset, opened beside the App in this process."""
    from poseunion.annotate.review.fiftyone import database
    from poseunion.annotate.review.fiftyone.dataset import existing

    return existing(database.load(database.folder_of(opened.of.file)))


@pytest.fixture
def pull(opened: Open) -> Callable[..., dict[str, Any]]:
    """`annotate pull --json` of the open review, by ann unless said otherwise."""

    def run(reviewer: str = "ann") -> dict[str, Any]:
        done = opened.of.annotate("pull", str(opened.of.file), "--reviewer", reviewer, "--json")
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    return run
