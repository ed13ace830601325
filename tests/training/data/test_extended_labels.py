"""Files that `annotate extend` wrote, as training sees them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from poseunion.annotate.formats import read_annotations
from poseunion.annotate.review.apply import applied
from poseunion.models.errors import BadFileError
from poseunion.models.skeleton import load_skeleton
from poseunion.training.data.crop_store import open_store
from poseunion.training.data.data_file import DatasetEntry
from poseunion.training.data.labels import TrainingPerson
from poseunion.training.data.read_people import read_people
from poseunion.training.teachers.pseudo_labels import complete

UNION = load_skeleton("union21")
NECK, HEAD, PELVIS, NOSE, EAR = (UNION.index(k) for k in ("upper_neck", "head_top", "pelvis", "nose", "left_ear"))


def record(number: int, **changes: Any) -> dict[str, Any]:
    """COCO's 17 by a human (without the left ear), pelvis and thorax derived, the neck proposed, no head_top."""
    source = ["human"] * 17 + ["derived", "derived", "proposed", "none"]
    source[EAR] = "none"
    confidence = [None] * 19 + [0.8, 0.3]
    keypoints = [[10.0 + k, 20.0 + k, 2] if s != "none" else [0, 0, 0] for k, s in enumerate(source)]
    return {
        "id": number,
        "image_id": 1,
        "category_id": 1,
        "bbox": [5, 5, 40, 50],
        "keypoints": [v for point in keypoints for v in point],
        "keypoint_source": source,
        "keypoint_confidence": confidence,
        "proposals": [
            {"name": "upper_neck", "x": 29, "y": 39, "confidence": 0.8, "accepted": True},
            {"name": "head_top", "x": 31.5, "y": 41.5, "confidence": 0.3, "accepted": False},
        ],
        **changes,
    }


def read(folder: Path, *records: dict[str, Any]) -> list[TrainingPerson]:
    cv2.imwrite(str(folder / "a.png"), np.full((80, 60, 3), 90, np.uint8))
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": 60, "height": 80}],
        "annotations": list(records),
        "categories": [{"id": 1, "name": "person", "keypoints": list(UNION.keypoints)}],
    }
    (folder / "a.json").write_text(json.dumps(document))
    return read_people(DatasetEntry(name="a", annotations=folder / "a.json", images=folder), UNION)


def weight_of(person: TrainingPerson) -> np.ndarray[Any, Any]:
    assert person.weight is not None
    return person.weight


def test_a_proposal_counts_as_much_as_it_is_certain(tmp_path: Path) -> None:
    (person,) = read(tmp_path, record(1))
    weight = weight_of(person)
    assert weight[NECK] == 0.8
    assert weight[HEAD] == 0, "not accepted"
    assert (weight[[NOSE, PELVIS]] == 1).all()
    assert person.visibility[HEAD] == -1, "nobody looked"


def test_reviewed_proposals_are_labels(tmp_path: Path) -> None:
    def decided(number: int, *decisions: dict[str, Any]) -> dict[str, Any]:
        return record(number, review=[{"reviewer": "r", "time": "2026-01-01T00:00:00Z", **d} for d in decisions])

    accepted, rejected, fixed, twice = read(
        tmp_path,
        decided(1, {"keypoint": "upper_neck", "decision": "accept"}, {"keypoint": "head_top", "decision": "accept"}),
        decided(2, {"keypoint": "upper_neck", "decision": "reject"}),
        decided(3, {"keypoint": "head_top", "decision": "fix", "from": [31.5, 41.5], "to": [33, 44]}),
        decided(4, {"keypoint": "upper_neck", "decision": "reject"}, {"keypoint": "upper_neck", "decision": "accept"}),
    )
    assert (weight_of(accepted)[[NECK, HEAD]] == 1).all()
    assert accepted.xy[HEAD].tolist() == [31.5, 41.5]
    assert weight_of(rejected)[NECK] == 0
    assert rejected.visibility[NECK] == 0, "somebody looked: no teacher may put it back"
    assert weight_of(fixed)[HEAD] == 1
    assert fixed.xy[HEAD].tolist() == [33, 44]
    assert weight_of(twice)[NECK] == 1, "the last decision counts"


def test_a_file_trains_alike_before_and_after_apply(tmp_path: Path) -> None:
    def entry(keypoint: str, decision: str, **more: Any) -> dict[str, Any]:
        return {"keypoint": keypoint, "decision": decision, "reviewer": "r", "time": "2026-01-01T00:00:00Z", **more}

    reviews = [
        [entry("upper_neck", "accept"), entry("head_top", "hide")],
        [entry("upper_neck", "reject"), entry("pelvis", "fix", to=[7, 8.5, 1])],
        [entry("head_top", "fix", to=[33, 44]), entry("nose", "fix", to=[1, 2, 2])],  # the nose is a human's
        [entry("nose", "fix", to=[1, 2, 2], human=True)],
        [entry("upper_neck", "needs-fix")],
    ]
    before = read(tmp_path, *(record(i, review=review) for i, review in enumerate(reviews)))
    assert [int(p.visibility[HEAD]) for p in before] == [1, -1, 2, -1, -1]
    assert [int(p.visibility[NECK]) for p in before] == [2, 0, 2, 2, -1], "a rejected point is absent, not unknown"
    assert before[2].xy[NOSE].tolist() == [10, 20]
    assert before[3].xy[NOSE].tolist() == [1, 2]
    document, _ = applied(read_annotations(tmp_path / "a.json"))
    after = read(tmp_path, *document["annotations"])
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.xy * (weight_of(one) > 0)[:, None], other.xy * (weight_of(one) > 0)[:, None])
        np.testing.assert_array_equal(one.visibility, other.visibility)
        np.testing.assert_array_equal(weight_of(one), weight_of(other))


def test_what_no_human_of_the_file_placed_is_undefined(tmp_path: Path) -> None:
    other = record(2)
    other["keypoint_source"][EAR] = "human"
    other["keypoints"][3 * EAR : 3 * EAR + 3] = [12, 13, 2]
    first, _ = read(tmp_path, record(1), other)
    assert first.visibility[EAR] == 0, "this dataset has ears: an annotator gave none"
    assert first.visibility[HEAD] == -1


def test_the_store_keeps_weights_and_only_labels_judge_teachers(tmp_path: Path) -> None:
    store = open_store("a", read(tmp_path, record(1)), UNION, tmp_path / "cache")
    assert store.weight[0, NECK] == 0.8
    assert not store.certain[0, NECK]
    assert store.certain[0, NOSE]
    _, weight = complete(store, [], [], 0.5)
    assert weight[0, NECK] == 0.8


def test_definitions_move_human_points_only(tmp_path: Path) -> None:
    changed = record(1)
    changed["keypoint_source"][HEAD] = "human"
    changed["keypoints"][3 * HEAD :] = [29, 29, 2]
    changed["keypoint_source"][NECK] = "human"
    read(tmp_path, changed)
    entry = DatasetEntry(name="a", annotations=tmp_path / "a.json", images=tmp_path, definitions="lsp14")
    (person,) = read_people(entry, UNION)
    np.testing.assert_allclose(person.xy[HEAD], [29, 39 + 1.2 * (29 - 39)])

    changed["keypoint_source"][HEAD] = "proposed"
    read(tmp_path, changed)
    assert read_people(entry, UNION)[0].xy[HEAD].tolist() == [29, 29]


@pytest.mark.parametrize(
    "changes",
    [
        {"keypoint_source": ["human"]},
        {"keypoint_source": ["guess"] * 21},
        {"keypoint_confidence": None},
        {"keypoint_confidence": [2.0] * 21},
        {"review": [{"keypoint": "tail", "decision": "accept"}]},
        {"review": [{"keypoint": "nose", "decision": "perhaps"}]},
        {"review": [{"keypoint": "head_top", "decision": "fix", "to": ["a", "b"]}]},
        {"review": "yes"},
        {"review": [{"keypoint": "head_top", "decision": "accept"}], "proposals": []},
    ],
)
def test_a_file_that_annotate_did_not_write_is_one_sentence(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(BadFileError, match="record 0") as caught:
        read(tmp_path, record(1, **changes))
    assert "\n" not in str(caught.value)
