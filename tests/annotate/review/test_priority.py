"""Who is looked at first, and which proposals look exchanged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poseunion.annotate.review.decisions import read_extended
from poseunion.annotate.review.priority import alternative_of, audit_sample, queue, swap_suspects, waiting, weight
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.skeleton import load_skeleton, mirrored

UNION = load_skeleton("union21")
DISAGREEMENT = st.none() | st.floats(0, 1e6)


def person(number: int, proposals: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """A record without human points."""
    return {
        "id": number,
        "image_id": 1,
        "category_id": 1,
        "bbox": [0, 0, 100, 200],
        "area": 10000,
        "keypoints": [0] * 63,
        "keypoint_source": ["none"] * 21,
        "keypoint_confidence": [None] * 21,
        "proposals": proposals,
        **fields,
    }


def proposal(name: str = "nose", confidence: float = 0.8, accepted: bool = True, **fields: Any) -> dict[str, Any]:
    return {"name": name, "x": 50, "y": 20, "confidence": confidence, "accepted": accepted, **fields}


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Any]:
    """Write records as an extended file of one picture, 100x200, and read it."""

    def write_and_read(*records: dict[str, Any]) -> Any:
        document = {
            "images": [{"id": 1, "file_name": "a.png", "width": 100, "height": 200}],
            "categories": [{"id": 1, "name": "person", "keypoints": list(UNION.keypoints)}],
            "annotations": list(records),
            "poseunion": {},
        }
        (tmp_path / "file.json").write_text(json.dumps(document))
        return read_extended(tmp_path / "file.json")

    return write_and_read


@given(DISAGREEMENT, DISAGREEMENT)
def test_more_disagreement_never_counts_less(a: float | None, b: float | None) -> None:
    assert 0.5 <= weight(a) <= 1.5
    if a is not None and b is not None and a <= b:
        assert weight(a) <= weight(b)


def test_a_person_counts_by_what_is_probably_wrong(read: Callable[..., Any]) -> None:
    people = queue(
        read(
            person(1, [proposal(confidence=0.9)]),
            person(2, [proposal(confidence=0.6)]),
            person(3, [proposal(confidence=0.7, accepted=False)]),
            person(4, [proposal(confidence=0.9), proposal("left_eye", 0.9), proposal("right_eye", 0.9)]),
        )
    )
    assert [p.row for p in people] == [2, 1, 3, 0]
    assert [round(p.gain, 6) for p in people] == [0.7, 0.4, 0.3, 0.1]


def test_a_recorded_disagreement_is_used(read: Callable[..., Any]) -> None:
    rows = {
        "agree": person(1, [proposal(disagreement=0.0)]),
        "unknown": person(2, [proposal()]),
        "differ": person(3, [proposal(disagreement=3.0)]),
        "wide": person(4, [proposal(sd_px=100)]),
    }
    people = queue(read(*rows.values()))
    names = [list(rows)[p.row] for p in people]
    assert names[0] == "wide"
    assert names[-2:] == ["unknown", "agree"]
    assert people[0].candidates[0].uncertainty == pytest.approx(0.99, abs=0.02)  # nearly all lies beyond the radius


def test_a_person_comes_first_if_an_alternative_contradicts(read: Callable[..., Any]) -> None:
    here = read(*(person(i, [proposal(disagreement=0.0)]) for i in (1, 2, 3)))
    moved = {**proposal(disagreement=0.0), "x": 1}
    there = read(person(1, [proposal(disagreement=0.0)]), person(2, [moved]), person(3, []))
    people = queue(here, alternatives=[alternative_of(there, here)])
    assert [p.row for p in people] == [1, 0, 2]
    assert people[0].gain > people[1].gain == people[2].gain
    assert people == queue(here, alternatives=[alternative_of(there, here), alternative_of(here, here)]), (
        "one that agrees takes nothing away"
    )


def test_an_alternative_of_another_file_is_refused(read: Callable[..., Any]) -> None:
    here, there = read(person(1, [proposal()])), read(person(1, [proposal()]))
    there.source.document["poseunion"]["original_sha256"] = "another"
    with pytest.raises(BadArgumentError, match="another file"):
        alternative_of(there, here)


def test_only_what_can_be_judged_is_asked(read: Callable[..., Any]) -> None:
    decided = {"keypoint": "nose", "decision": "accept", "reviewer": "a", "time": "2026-01-01T00:00:00+00:00"}
    to_fix = {**decided, "keypoint": "left_eye", "decision": "needs-fix"}
    annotations = read(
        person(1, [proposal(), proposal("left_eye")], review=[decided, to_fix]),
        person(2, [{**proposal(), "x": 100.5}]),  # outside the picture
        person(3, [{**proposal(), "x": 99}]),
        person(4, []),
    )
    assert [p.row for p in queue(annotations)] == [2]
    assert sorted(p.row for p in queue(annotations, decided=True)) == [0, 2]
    assert waiting(annotations) == [(0, "left_eye")]


def test_a_damaged_proposal_is_named(read: Callable[..., Any]) -> None:
    with pytest.raises(BadFileError, match=r"annotations\[1\]: .*nose"):
        queue(read(person(1, [proposal()]), person(2, [{**proposal(), "x": None}])))


def test_the_audit_sample_is_drawn_from_what_was_accepted(read: Callable[..., Any]) -> None:
    records = [person(i, [proposal(), proposal("left_eye", 0.1, accepted=False)]) for i in range(40)]
    people = queue(read(*records))
    drawn = audit_sample(people, 10, seed=3)
    assert len(drawn) == 10
    assert {name for _, name in drawn} == {"nose"}
    assert drawn == audit_sample(people[::-1], 10, seed=3)
    assert drawn != audit_sample(people, 10, seed=4)
    assert len(audit_sample(people, 1000)) == 40


STANDING = {
    "nose": (0, -40),
    "eye": (3, -42),
    "ear": (8, -40),
    "shoulder": (20, 0),
    "elbow": (30, 40),
    "wrist": (35, 70),
    "hip": (13, 60),
    "knee": (14, 110),
    "ankle": (15, 160),
}


def standing() -> dict[str, tuple[float, float]]:
    """Somebody who faces the camera: left is at the right of the picture."""
    points = {}
    for name in UNION.keypoints:
        side, _, joint = name.rpartition("_")
        if joint in STANDING:
            x, y = STANDING[joint]
            points[name] = (100.0 - x if side == "right" else 100.0 + x, 100.0 + y)
    return points


def suspects(proposed: dict[str, tuple[float, float]]) -> set[str]:
    xy, visibility = np.zeros((21, 2)), np.zeros(21, np.int8)
    for name, point in standing().items():
        if name not in proposed:
            xy[UNION.index(name)], visibility[UNION.index(name)] = point, 2
    return swap_suspects(UNION, xy, visibility, proposed, np.full(21, 20.0))


def test_nothing_is_suspected_of_somebody_who_stands() -> None:
    assert suspects(standing()) == set()


@pytest.mark.parametrize("group", [("knee", "ankle"), ("hip",), ("shoulder",)])
def test_a_pair_that_lies_the_other_way_round_is_suspected(group: tuple[str, ...]) -> None:
    points = standing()
    crossed = {n: (2 * (points[mirrored(n)][0] - 100) + 100, points[n][1]) for n in points if n.endswith(group)}
    assert suspects(crossed) == set(crossed)


def test_a_joint_found_twice_is_suspected() -> None:
    points = standing()
    assert suspects({"left_knee": points["right_knee"]}) == {"left_knee"}
    assert suspects({"left_knee": points["left_knee"]}) == set()
