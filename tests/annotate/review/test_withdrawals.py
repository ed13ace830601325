"""A withdrawn decision counts no longer: the point is as before it, also where it was already applied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from poseunion.annotate.formats.review_entries import last_entries, review_of, standing
from poseunion.annotate.review.apply import applied, apply
from poseunion.annotate.review.decisions import Decision, current_point, decisions_of, read_extended, save
from poseunion.annotate.review.priority import queue
from poseunion.training.data.extended_labels import labels_of

FIX = (3.0, 4.0, 2)


@pytest.fixture
def extended(make_extended: Callable[[int], Path]) -> Path:
    """A COCO file of eight people, extended."""
    return make_extended(8)


def decision(what: str, second: int, reviewer: str = "ann", keypoint: str = "head_top", **more: Any) -> Decision:
    to = FIX if what == "fix" else None
    return Decision(7000, keypoint, what, reviewer, f"2026-01-31T12:00:{second:02}+00:00", None, to, **more)


def contents(path: Path) -> list[dict[str, Any]]:
    """Records without their reviews."""
    return [{k: v for k, v in r.items() if k != "review"} for r in applied(read_extended(path))[0]["annotations"]]


@pytest.mark.parametrize("with_apply", [False, True])
@pytest.mark.parametrize("kinds", [["accept"], ["reject"], ["fix"], ["hide"], ["fix", "reject", "hide"]])
def test_withdrawing_all_decisions_restores_the_file(kinds: list[str], with_apply: bool, extended: Path) -> None:
    human = next(n for n, s in zip(*_sources(extended), strict=True) if s == "human")
    original = contents(extended)
    for keypoint in ("head_top", human):
        for second, kind in enumerate(kinds):
            save(extended, [decision(kind, second, keypoint=keypoint, human=keypoint == human)])
            if with_apply:
                apply(extended)
        for second, _ in enumerate(kinds, 10):
            assert save(extended, [decision("withdraw", second, keypoint=keypoint, human=True)]).added == 1
    assert contents(extended) == original
    record = read_extended(extended).records[0]
    assert last_entries(record) == {}
    assert len(review_of(record)) == 4 * len(kinds)  # history stays


def test_a_withdrawal_cancels_its_reviewers_latest_decision_only(extended: Path) -> None:
    for second, (what, reviewer) in enumerate(
        [("accept", "ann"), ("fix", "ann"), ("reject", "bob"), ("withdraw", "ann")]
    ):
        save(extended, [decision(what, second, reviewer)])
    assert last_entries(read_extended(extended).records[0])["head_top"]["reviewer"] == "bob"
    save(extended, [decision("withdraw", 5, "bob")])
    record = read_extended(extended).records[0]
    assert [(e["decision"], e["reviewer"]) for e in standing(review_of(record))] == [("accept", "ann")]
    _, report = applied(read_extended(extended))
    assert report.conflicts == []


def test_a_withdrawn_point_waits_again_and_teaches_as_a_proposal(extended: Path) -> None:
    before, waiting = labels_of(read_extended(extended)), len(queue(read_extended(extended)))
    save(extended, [decision("reject", 1), decision("withdraw", 2)])
    annotations = read_extended(extended)
    assert len(queue(annotations)) == waiting
    after = labels_of(annotations)
    assert (after.visibility == before.visibility).all()
    assert (after.weight == before.weight).all()
    record = annotations.records[0]
    names = annotations.skeleton.keypoints
    seen = review_of(record)[0]["from"]
    assert list(current_point(record, review_of(record), "head_top", names)) == seen
    assert review_of(record)[1]["to"] == seen


def test_what_is_withdrawn_is_not_carried_to_another_extension(extended: Path) -> None:
    save(extended, [decision("reject", 1), decision("withdraw", 2), decision("fix", 3)])
    assert [d.decision for d in decisions_of(read_extended(extended))] == ["fix"]


def test_there_must_be_a_decision_to_withdraw(extended: Path) -> None:
    for earlier in ([], [decision("accept", 1, "bob")], [decision("accept", 2), decision("withdraw", 3)]):
        recorded = save(extended, [*earlier, decision("withdraw", 9)])
        assert [why for _, why in recorded.refused] == ["ann has no decision on head_top to withdraw"]


def _sources(path: Path) -> tuple[tuple[str, ...], list[str]]:
    annotations = read_extended(path)
    return annotations.skeleton.keypoints, annotations.records[0]["keypoint_source"]
