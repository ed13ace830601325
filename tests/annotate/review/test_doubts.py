"""Doubts about proposals: each kind from the numbers of the file that state it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from poseunion.annotate.review.decisions import read_extended
from poseunion.annotate.review.doubts import Doubt, doubts, hopeless
from poseunion.annotate.review.priority import queue
from poseunion.models.skeleton import load_skeleton

CALM = {"name": "nose", "x": 250.0, "y": 250.0, "confidence": 0.97, "accepted": True}


def doubts_about(tmp_path: Path, proposal: dict[str, Any], bbox: list[float]) -> tuple[dict[Doubt, str], bool]:
    """Doubts about the nose of a person in a picture of 500 x 500, and whether it is hopeless."""
    record = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "bbox": bbox,
        "area": bbox[2] * bbox[3],
        "keypoints": [0] * 63,
        "keypoint_source": ["none"] * 21,
        "keypoint_confidence": [None] * 21,
        "proposals": [proposal],
    }
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 500, "height": 500}],
        "categories": [{"id": 1, "name": "person", "keypoints": list(load_skeleton("union21").keypoints)}],
        "annotations": [record],
        "poseunion": {"thresholds": {"nose": 0.5}},
    }
    path = tmp_path / "extended.json"
    path.write_text(json.dumps(document))
    annotations = read_extended(path)
    (person,) = queue(annotations, decided=True)
    (candidate,) = person.candidates
    return doubts(annotations, candidate), hopeless(annotations, candidate)


BOX = [100.0, 100.0, 300.0, 300.0]  # its OKS-.5 radius is 18 px for sigma .026


@pytest.mark.parametrize(
    ("more", "bbox", "kind", "why"),
    [
        ({"disagreement": 2.34}, BOX, Doubt.DISAGREEMENT, "predictions 2.3 tolerances apart"),
        ({"sd_px": 40.0}, BOX, Doubt.SPREAD, "spread 40 px"),
        ({"confidence": 0.6}, BOX, Doubt.CONFIDENCE, "low confidence (0.60)"),
        ({"confidence": 0.42, "accepted": False, "reason": "confidence"}, BOX, Doubt.CONFIDENCE, "0.42 below 0.50"),
        ({"accepted": False, "reason": "sides"}, BOX, Doubt.SWAP, "exchanged"),
        ({"labelled": 0.08}, BOX, Doubt.UNLABELLED, "annotators label 8% of such"),
        ({"x": 3.0}, [0.0, 100.0, 300.0, 300.0], Doubt.BORDER, "3 px from the picture's border"),
        ({"x": 450.0}, BOX, Doubt.BOX, "outside the person's box"),
    ],
)
def test_a_doubt_has_its_reason(more: dict[str, Any], bbox: list[float], kind: Doubt, why: str, tmp_path: Path) -> None:
    found, _ = doubts_about(tmp_path, {**CALM, **more}, bbox)
    assert list(found) == [kind]
    assert why in found[kind]


def test_nothing_is_doubted_without_a_reason(tmp_path: Path) -> None:
    assert doubts_about(tmp_path, CALM, BOX) == ({}, False)


@pytest.mark.parametrize(
    ("confidence", "accepted", "bbox", "expected"),
    [
        (0.01, False, [0, 100, 300, 300], True),
        (0.01, False, [100, 100, 300, 398], True),
        (0.01, False, BOX, False),
        (0.2, False, [0, 100, 300, 300], False),
        (0.01, True, [0, 100, 300, 300], False),
    ],
)
def test_only_improbable_joints_of_cut_off_people_are_hopeless(
    confidence: float, accepted: bool, bbox: list[float], expected: bool, tmp_path: Path
) -> None:
    assert doubts_about(tmp_path, {**CALM, "confidence": confidence, "accepted": accepted}, bbox)[1] == expected
