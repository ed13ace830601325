"""Queue of a review: what is next, what is filtered, and counts that add up."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poseunion.annotate.formats.review_entries import review_of
from poseunion.annotate.review.decisions import current_point, read_extended
from poseunion.app.demo.review_actions import ReviewActions, ReviewState
from poseunion.app.demo.review_queue import QUESTIONS, Filter, ReviewQueue
from poseunion.app.demo.review_session import ReviewFile
from poseunion.models.errors import BadArgumentError


def standing(path: Path) -> dict[tuple[int, str], tuple[float, float, int]]:
    """(annotation, keypoint) -> the point that stands by the file's decisions."""
    annotations = read_extended(path)
    names = annotations.skeleton.keypoints
    found = {
        (person["id"], name): current_point(person, review_of(person), name, names)
        for person in annotations.records
        for name in names
    }
    return {key: point for key, point in found.items() if point[2] > 0}


def entries(path: Path) -> list[str]:
    """Keypoints decided on, in the file."""
    return [e["keypoint"] for person in read_extended(path).records for e in person.get("review", [])]


def test_enter_confirms_what_is_shown_and_goes_on(actions: ReviewActions) -> None:
    before = standing(actions.files[0])
    first = actions.show(ReviewState())[0]
    state = actions.key(first, "Enter", "ann", False)
    actions.file(0).saver.finish()
    assert standing(actions.files[0]) == before
    assert not any(k.open for k in actions.file(0).keypoints(actions.row(first)))
    assert state.position == 1
    while state.position < len(state.rows or ()):
        state = actions.key(actions.show(state)[0], "Enter", "ann", False)
    assert actions.file(0).queue.counts["undecided"] == 0
    assert "Every proposal is decided" in actions.show(state)[1]["html"]


def test_the_last_decision_on_a_person_goes_on(actions: ReviewActions) -> None:
    state = actions.show(ReviewState())[0]
    for _ in actions.file(0).queue.candidates[actions.row(state)]:
        assert state.position == 0
        state = actions.key(actions.show(state)[0], "a", "ann", False)
    assert state.position == 1


def test_a_decision_on_what_was_not_shown_yet_is_left_out(actions: ReviewActions) -> None:
    state, content, _, _ = actions.show(ReviewState())
    after = actions.key(state, "Enter", "ann", False, content["seen"])
    again = actions.key(actions.show(after)[0], "Enter", "ann", False, content["seen"])
    assert again.position == after.position == 1
    assert len(again.history) == 1
    assert actions.key(again, "n", "ann", False, content["seen"]).position == 2


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_counts_add_up(data: st.DataObject, extended: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "extended.json"
    shutil.copy(extended[0], path)
    actions = ReviewActions([path], extended[1])
    state, _, _, side = actions.show(ReviewState())
    total = dict(side["counts"])["total"]
    proposals = sum(len(p["proposals"]) for p in read_extended(path).records)
    assert total + sum(actions.file(0).queue.left_out.values()) == proposals
    for _ in range(data.draw(st.integers(1, 8))):
        try:
            state = actions.key(
                state, data.draw(st.sampled_from(["a", "r", "f", "j", "n", "u", "Enter"])), "ann", False
            )
        except BadArgumentError:  # the end, or nothing to undo
            continue
        state, _, _, side = actions.show(state)
        counts = dict(side["counts"])
        assert counts.pop("total") == total == sum(counts.values())
    actions.file(0).saver.finish()
    again = ReviewFile(path, extended[1]).queue
    assert again.counts + Counter() == actions.file(0).queue.counts + Counter()  # without zeros


def test_an_undone_decision_is_withdrawn_and_its_question_shows_it(actions: ReviewActions) -> None:
    state = actions.key(actions.show(ReviewState())[0], "a", "ann", False)
    state = actions.undo(state)
    name = state.selected
    assert actions.file(0).queue.counts["withdrawn"] == 1
    state = actions.show(actions.choose(state, "withdrawn", ""))[0]
    assert (len(state.rows or ()), state.selected) == (1, name)
    state = actions.key(state, "Enter", "ann", False)
    assert "Nothing is left here" in actions.show(state)[1]["html"]


def test_what_needs_a_fix_is_a_question_that_enter_does_not_answer(actions: ReviewActions) -> None:
    state = actions.show(ReviewState())[0]
    people = len(state.rows or ())
    for position in range(people):
        state = actions.key(actions.show(actions.jump(state, str(position + 1)))[0], "f", "ann", False)
    state = actions.show(actions.choose(state, "fix", ""))[0]
    assert len(state.rows or ()) == people
    for position in range(people):
        assert state.position == position
        state = actions.key(actions.show(state)[0], "Enter", "ann", False)
    assert actions.file(0).queue.counts["needs-fix"] == people
    state = actions.choose(state, "decided", "")
    assert (state.position, len(state.rows or ())) == (0, people)
    assert actions.show(state)[3]["question"] == "decided"


def test_a_filter_by_keypoint_decides_on_that_keypoint_only(actions: ReviewActions) -> None:
    state = actions.show(actions.choose(actions.show(ReviewState())[0], "all", "nose"))[0]
    people = len(state.rows or ())
    assert people > 1
    for _ in range(people):
        state = actions.key(actions.show(state)[0], "Enter", "ann", False)
    actions.file(0).saver.finish()
    assert set(entries(actions.files[0])) == {"nose"}
    assert len(entries(actions.files[0])) == people
    assert actions.file(0).queue.counts["undecided"] == actions.file(0).queue.total - people


def test_every_question_shows_proposals_that_it_is_about(actions: ReviewActions) -> None:
    queue = actions.file(0).queue
    for question in QUESTIONS:
        for row in queue.rows(Filter(question)):
            assert any(queue.fits(row, name, Filter(question)) for name in queue.candidates[row])
    assert set(queue.rows(Filter())) == set(queue.candidates)
    with pytest.raises(BadArgumentError, match="no such question"):
        actions.choose(ReviewState(), "none", "")


def test_a_person_is_found_by_number_id_and_picture(actions: ReviewActions) -> None:
    state = actions.show(ReviewState())[0]
    rows = state.rows or ()
    records = actions.file(0).annotations.records
    assert actions.jump(state, " 2 ").position == 1
    assert rows[actions.jump(state, f"#{records[rows[-1]]['id']}").position] == rows[-1]
    hopper = actions.row(actions.jump(state, "hopper"))
    assert records[hopper]["image_id"] == 3
    for wrong in ("0", "99", "#99", "nothing.jpg"):
        with pytest.raises(BadArgumentError, match="not in this queue"):
            actions.jump(state, wrong)


def test_joints_of_cut_off_people_are_left_out_and_counted(actions: ReviewActions) -> None:
    path = actions.files[0]
    document = json.loads(path.read_text())
    person = document["annotations"][0]
    person["bbox"] = [0, 100, 200, 412]  # cut off at the left and below
    low, outside, high = person["proposals"][:3]
    for proposal, more in (
        (low, {"x": 20.0, "y": 500.0, "confidence": 0.01}),
        (outside, {"x": -20.0, "y": 400.0, "confidence": 0.01}),
        (high, {"x": 20.0, "y": 500.0, "confidence": 0.4}),
    ):
        proposal.update(more, accepted=False)
    path.write_text(json.dumps(document))
    queue = ReviewFile(path, actions.images).queue
    assert set(queue.left_out.values()) == {1}
    assert {low["name"], outside["name"]} & set(queue.candidates[0]) == set()
    assert high["name"] in queue.candidates[0]
    assert queue.left_out_sentence().startswith("2 more are left out: 1 outside the picture; 1 of people")
    person["bbox"] = [50, 100, 200, 300]  # whole
    path.write_text(json.dumps(document))
    assert low["name"] in ReviewFile(path, actions.images).queue.candidates[0]


def test_what_was_decided_elsewhere_is_in_the_counts(actions: ReviewActions) -> None:
    annotations = read_extended(actions.files[0])
    queue = ReviewQueue(annotations, (), ())
    row = next(iter(queue.candidates))
    human = annotations.records[row]["keypoint_source"].index("human")
    entry = {"reviewer": "bob", "time": "2026-01-01T00:00:00+00:00", "decision": "accept", "to": [1, 1, 2]}
    proposed = next(iter(queue.candidates[row]))
    annotations.records[row]["review"] = [
        {**entry, "keypoint": proposed},
        {**entry, "keypoint": annotations.skeleton.keypoints[human], "human": True},
    ]
    queue.update(annotations, [row])
    assert (queue.counts["accept"], queue.beside) == (1, 1)
    assert proposed not in queue.pending(row, Filter())
