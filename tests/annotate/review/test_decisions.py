"""Decisions: recorded once, never lost, applied to the digit, and nothing human moves."""

from __future__ import annotations

import copy
import multiprocessing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poseunion.annotate.check.run import check
from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import read_annotations
from poseunion.annotate.formats.review_entries import review_of
from poseunion.annotate.review.apply import applied, apply
from poseunion.annotate.review.decisions import Decision, decisions_of, now, read_extended, record, save
from poseunion.models.errors import BadArgumentError, BadFileError

TIME = "2026-01-31T12:00:0{}+00:00"


@pytest.fixture
def extended(make_extended: Callable[[int], Path]) -> Path:
    """A COCO file of eight people, extended."""
    return make_extended(8)


def at(second: int, **changes: Any) -> Decision:
    fields = {"annotation_id": 7000, "keypoint": "head_top", "decision": "accept", "reviewer": "ann"}
    return Decision(**{**fields, "time": TIME.format(second), **changes})


def point(annotations: Any, name: str = "head_top", row: int = 0) -> tuple[Any, ...]:
    k = annotations.skeleton.index(name)
    return (*annotations.records[row]["keypoints"][3 * k : 3 * k + 3], annotations.records[row]["keypoint_source"][k])


def random_decisions(path: Path, seed: int, reviewer: str = "ann", share: float = 0.5) -> list[Decision]:
    """Decisions on a share of all points of a file, human ones included (they are to be refused)."""
    rng = np.random.default_rng(seed)
    decisions = []
    annotations = read_extended(path)
    for row, entry in enumerate(annotations.records):
        for name in annotations.skeleton.keypoints:
            if rng.random() > share:
                continue
            kind = str(rng.choice(["accept", "reject", "fix", "hide"]))
            to = (float(rng.uniform(0, 40)), float(rng.uniform(0, 40)), int(rng.integers(1, 3)))
            decisions.append(
                Decision(entry["id"], name, kind, reviewer, TIME.format(row % 10), None, to if kind == "fix" else None)
            )
    return decisions


def test_accept_reject_fix_and_hide(extended: Path) -> None:
    proposal = next(p for p in read_extended(extended).records[0]["proposals"] if p["name"] == "head_top")
    x, y = proposal["x"], proposal["y"]
    for decision, expected in (
        (at(1), (x, y, 2, "proposed")),
        (at(2, decision="hide"), (x, y, 1, "proposed")),
        (at(3, decision="reject"), (0, 0, 0, "none")),
        (at(4, decision="fix", to_xyv=(1.125, 2.5, 1)), (1.125, 2.5, 1, "proposed")),
        (at(5, decision="accept"), (1.125, 2.5, 1, "proposed")),  # what was fixed is what one sees and accepts
        (at(6, decision="accept", from_xyv=(x, y, 2)), (x, y, 2, "proposed")),  # or what the reviewer's tool showed
    ):
        assert save(extended, [decision]).added == 1
        apply(extended)
        assert point(read_extended(extended)) == expected
    assert len(read_extended(extended).records[0]["review"]) == 6
    assert not [p for p in check(extended)[1] if p.fatal]


def test_a_file_reviewed_twice_keeps_both_histories(extended: Path) -> None:
    first = random_decisions(extended, 0, "ann")
    assert save(extended, first).added > 20
    before = [copy.deepcopy(r.get("review", [])) for r in read_extended(extended).records]
    apply(extended)
    second = random_decisions(extended, 1, "bob")
    assert save(extended, second).added > 20
    apply(extended)
    after = [r.get("review", []) for r in read_extended(extended).records]
    for old, new in zip(before, after, strict=True):
        assert [e for e in new if e["reviewer"] == "ann"] == old
    assert save(extended, [*first, *second]).added == 0, "a tool that is read twice adds nothing"
    assert [r.get("review", []) for r in read_extended(extended).records] == after


@pytest.mark.parametrize("seed", range(5))
def test_nothing_human_moves_and_applying_is_idempotent(extended: Path, seed: int) -> None:
    original = read_extended(extended)
    human = np.array([[s == "human" for s in r["keypoint_source"]] for r in original.records])
    recorded = record(original, random_decisions(extended, seed, share=0.9))
    assert any("human placed" in reason for _, reason in recorded.refused)
    save(extended, random_decisions(extended, seed, share=0.9))
    report = apply(extended)
    assert report.changes
    assert not report.human
    once = extended.read_bytes()
    result = read_extended(extended)
    for before, after, kept in zip(original.records, result.records, human, strict=True):
        for k in np.flatnonzero(kept):
            assert after["keypoints"][3 * k : 3 * k + 3] == before["keypoints"][3 * k : 3 * k + 3]
            assert after["keypoint_source"][k] == "human"
        assert after["num_keypoints"] == sum(v > 0 for v in after["keypoints"][2::3])
        unchanged = set(before) - {"keypoints", "keypoint_source", "num_keypoints"}
        assert {k: after[k] for k in unchanged} == {k: before[k] for k in unchanged}
    assert not apply(extended).changes
    assert extended.read_bytes() == once


def test_the_order_of_recording_does_not_matter(extended: Path) -> None:
    decisions = [at(s, decision=d, reviewer=w) for s, d, w in ((1, "accept", "ann"), (3, "reject", "bob"))]
    decisions.append(at(2, decision="fix", to_xyv=(3, 4, 2), reviewer="eve"))
    outcomes = []
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        annotations = read_extended(extended)
        for i in order:
            annotations = _with(annotations, record(annotations, [decisions[i]]).document)
        document, report = applied(annotations)
        outcomes.append(document["annotations"][0]["keypoints"])
        assert [e["reviewer"] for e in document["annotations"][0]["review"]] == ["ann", "eve", "bob"]
        assert len(report.conflicts) == 1
        assert report.conflicts[0].said == {"ann": "accept", "eve": "fix", "bob": "reject"}
    assert outcomes[0] == outcomes[1] == outcomes[2]


def _with(annotations: Any, document: dict[str, Any]) -> Any:
    import dataclasses

    from poseunion.annotate.formats import Source

    source = Source(annotations.source.path)
    source.__dict__["document"] = document
    return dataclasses.replace(annotations, source=source, records=document["annotations"])


def test_reviewers_who_agree_or_change_their_mind_are_no_conflict(extended: Path) -> None:
    save(extended, [at(1), at(2, decision="reject"), at(3), at(4, reviewer="bob")])
    assert not apply(extended).conflicts
    save(extended, [at(5, reviewer="bob", decision="fix", to_xyv=(1, 1, 2))])
    (conflict,) = apply(extended).conflicts
    assert conflict.distance_px is not None
    assert conflict.said == {"ann": "accept", "bob": "fix"}


def test_a_human_point_is_changed_only_where_that_was_said(extended: Path) -> None:
    before = point(read_extended(extended), "nose")
    fix = {"keypoint": "nose", "decision": "fix", "to_xyv": (1.5, 2.5, 2)}
    refused = save(extended, [at(1, **fix)]).refused
    assert "human placed nose" in refused[0][1]
    assert save(extended, [at(2, **fix, human=True)]).added == 1
    (change,) = apply(extended).human
    assert change.before == before[:3]
    assert point(read_extended(extended), "nose") == (1.5, 2.5, 2, "human")
    entry = read_extended(extended).records[0]["review"][0]
    assert entry["human"] is True
    assert tuple(entry["from"]) == before[:3], "what the human had labelled is kept"

    # An entry that somebody wrote by hand does not change a human's point either.
    annotations = read_extended(extended)
    annotations.records[1]["review"] = [{**entry, "human": False}]
    document, report = applied(annotations)
    assert "human placed nose" in report.bad[0][1]
    assert document["annotations"][1]["keypoints"] == annotations.records[1]["keypoints"]


def test_a_point_where_neither_human_nor_model_had_one(folder: Any, coco: Any, fake: Any) -> None:
    folder.write(coco(3, skeleton="halpe26"))
    extend(read_annotations(folder.file), folder.images, fake(), folder.out)
    annotations = read_extended(folder.out)
    row, name = _first(annotations, "none", range(21, 27))  # the model knows no feet
    common = {"annotation_id": annotations.records[row]["id"], "keypoint": name}
    assert "no proposal" in save(folder.out, [at(1, **common)]).refused[0][1]
    save(folder.out, [at(1, **common, decision="fix", to_xyv=(5, 6, 2))])
    apply(folder.out)
    assert point(read_extended(folder.out), name, row) == (5, 6, 2, "human")
    save(folder.out, [at(2, **common, decision="reject")])
    assert len(apply(folder.out).changes) == 1
    assert point(read_extended(folder.out), name, row) == (0, 0, 0, "none")


def _first(annotations: Any, source: str, keypoints: Sequence[int] = range(21)) -> tuple[int, str]:
    """Row and name of the first keypoint of this source."""
    return next(
        (row, annotations.skeleton.keypoints[k])
        for row, r in enumerate(annotations.records)
        for k in keypoints
        if r["keypoint_source"][k] == source
    )


def test_a_derived_point_that_was_rejected_can_be_taken_back(extended: Path) -> None:
    annotations = read_extended(extended)
    row, name = _first(annotations, "derived")
    before = point(annotations, name, row)
    common = {"annotation_id": annotations.records[row]["id"], "keypoint": name}
    save(extended, [at(1, **common, decision="reject")])
    apply(extended)
    save(extended, [at(2, **common)])
    apply(extended)
    after = point(read_extended(extended), name, row)
    assert after[:2] == before[:2]
    assert after[3] == "derived"


def test_decisions_survive_a_better_model(extended: Path, folder: Any, fake: Any) -> None:
    for seed, reviewer in enumerate(("ann", "bob")):
        save(extended, random_decisions(extended, seed, reviewer))
    apply(extended)
    old = read_extended(extended)
    decided = [(row, e["keypoint"]) for row, r in enumerate(old.records) for e in r.get("review", [])]
    again = folder.root / "again.json"
    extend(read_annotations(folder.file), folder.images, fake(shift_px=0.5), again, Options(fill_gaps=True))
    recorded = save(again, decisions_of(old))
    assert not recorded.refused
    assert recorded.added == len(decided)
    apply(again)
    new = read_extended(again)
    for row, name in decided:
        assert point(new, name, row) == point(old, name, row)
    # The others are the new model's.
    assert any(
        point(new, name, row)[:3] != point(old, name, row)[:3]
        for row in range(len(new))
        for name in new.skeleton.keypoints
        if (row, name) not in decided
    )


def _save_many(path: Path, reviewer: str) -> None:
    for k in range(8):
        save(path, [at(k, keypoint="thorax" if k % 2 else "upper_neck", reviewer=reviewer, annotation_id=7000 - 3 * k)])


def test_two_writers_at_once_lose_nothing(extended: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_save_many, args=(extended, name)) for name in ("ann", "bob")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    reviewers = [e["reviewer"] for r in read_extended(extended).records for e in review_of({"review": r.get("review")})]
    assert reviewers.count("ann") == reviewers.count("bob") > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"decision": "perhaps"},
        {"reviewer": ""},
        {"time": "yesterday"},
        {"time": "2026-01-31T12:00:00"},
        {"decision": "fix"},
        {"to_xyv": (1, 2, 2)},
        {"decision": "fix", "to_xyv": (1, float("nan"), 2)},
        {"decision": "fix", "to_xyv": (1, 2, 0)},
    ],
)
def test_a_decision_that_is_none_is_one_sentence(changes: dict[str, Any]) -> None:
    with pytest.raises(BadArgumentError) as caught:
        at(1, **changes)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_recorded_is_listed(extended: Path) -> None:
    before = extended.read_bytes()
    refused = save(extended, [at(1, annotation_id=1), at(1, keypoint="tail")]).refused
    assert [reason for _, reason in refused] == [
        "the file has no extended annotation with this id",
        "the file has no keypoint 'tail'",
    ]
    assert extended.read_bytes() == before
    assert at(1, time=now()).time.endswith("+00:00")


def test_damaged_reviews_are_skipped_and_listed(extended: Path) -> None:
    annotations = read_extended(extended)
    for row, review in enumerate(
        (
            "yes",
            [{"keypoint": "nose"}],
            [{**_entry(), "time": "noon"}],
            [{**_entry(), "to": [1, "a", 2]}],
            [{**_entry(), "keypoint": "tail"}],
            [{**_entry(), "decision": "fix"}],
        )
    ):
        annotations.records[row]["review"] = review
    document, report = applied(annotations)
    assert len(report.bad) == 6
    assert not report.changes
    assert document["annotations"] == annotations.records


def _entry() -> dict[str, Any]:
    return {"keypoint": "head_top", "decision": "accept", "reviewer": "ann", "time": TIME.format(1)}


def test_only_extended_files_take_decisions(folder: Any, coco: Any, extended: Path) -> None:
    with pytest.raises(BadFileError, match="not an extended file"):
        save(folder.file, [at(1)])
    with pytest.raises(BadFileError, match="exists"):
        apply(extended, folder.file)
    other = folder.root / "new" / "applied.json"
    before = extended.read_bytes()
    save(extended, [at(1)])
    apply(extended, other)
    assert len(extended.read_bytes()) > len(before)
    assert point(read_extended(other))[3] == "proposed"
