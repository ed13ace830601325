"""Reviewing: decisions are those that other tools record, undo brings back what stood, nothing else is written."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poseunion.annotate.audit.sample import audit_path, draw, to_inspect
from poseunion.annotate.formats.review_entries import review_of
from poseunion.annotate.review.decisions import Decision, current_point, read_extended, save
from poseunion.app.demo.guard.saver import from_line, log_path, refused_path, to_line
from poseunion.app.demo.review_actions import ReviewActions, ReviewState
from poseunion.app.demo.review_render import Region, picture_of, region_of
from poseunion.app.demo.review_session import ReviewFile, review_files
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.files import write_json


def stands(path: Path) -> dict[tuple[Any, str], tuple[float, float, int]]:
    """(annotation, keypoint) -> what stands by the file's decisions."""
    annotations = read_extended(path)
    names = annotations.skeleton.keypoints
    return {
        (person["id"], name): current_point(person, review_of(person), name, names)
        for person in annotations.records
        for name in names
    }


def test_decisions_equal_those_that_every_tool_records(actions: ReviewActions, tmp_path: Path) -> None:
    """The page's keys against `Decision`s as `annotate pull` makes them from tags."""
    path = actions.files[0]
    other = tmp_path / "pulled.json"
    shutil.copy(path, other)
    review = actions.file(0)
    state = ReviewState()
    for key in ("a", "r", "h", "f"):
        state = actions.key(actions.show(state)[0], key, "ann", False)
    review.saver.finish()
    person = next(p for p in read_extended(path).records if p.get("review"))
    assert [e["decision"] for e in person["review"]] == ["accept", "reject", "hide", "needs-fix"]
    pulled = [Decision(person["id"], e["keypoint"], e["decision"], "ann", e["time"]) for e in person["review"]]
    save(other, pulled)
    assert other.read_bytes() == path.read_bytes()


def test_actions_made_before_an_answer_decide_only_on_what_was_seen(actions: ReviewActions) -> None:
    """Several at once, as the page sends what was done while it waited."""
    state, content, *_ = actions.show(ReviewState())
    first, other = (state.rows or ())[:2]
    key = {"what": "key", "key": "r", "seen": content["seen"]}
    place = {"what": "place", "name": "nose", "x": 9.0, "y": 9.0, "picture": content["picture_key"]}
    after = actions.act(state, [key, key, {"what": "key", "key": "n", "seen": ""}, place, key], "ann", False)
    assert actions.row(after) == other
    assert [e["decision"] for e in review_of(actions.file(0).annotations.records[first])] == ["reject"]
    assert not review_of(actions.file(0).annotations.records[other])


def test_an_error_ends_the_actions_made_before_it_was_seen(actions: ReviewActions) -> None:
    state = actions.show(ReviewState())[0]
    undo, on = {"what": "key", "key": "u", "seen": ""}, {"what": "key", "key": "n", "seen": ""}
    after = actions.act(state, [on, undo, on], "ann", False)
    assert (after.position, after.note) == (1, "There is nothing to undo.")
    assert actions.act(state, [{"what": "file", "index": 0}], "ann", False) == ReviewState()


def test_only_review_changes(actions: ReviewActions) -> None:
    path = actions.files[0]
    before = json.loads(path.read_text())
    state = actions.show(ReviewState())[0]
    actions.move(state, "nose", (100.0, 100.0), "ann", human=False)
    actions.file(0).saver.finish()
    after = json.loads(path.read_text())
    for person in after["annotations"]:
        person.pop("review", None)
    assert after == before


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_undo_brings_back_what_stood(data: st.DataObject, extended: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "extended.json"
    shutil.copy(extended[0], path)
    actions = ReviewActions([path], extended[1])
    state = actions.show(ReviewState())[0]
    names = actions.file(0).names
    seen = [stands(path)]
    for _ in range(data.draw(st.integers(1, 5))):
        name = data.draw(st.sampled_from(names))
        state = actions.show(replace(state, selected=name))[0]
        try:
            if data.draw(st.booleans()):
                to = data.draw(st.integers(1, 300)), data.draw(st.integers(1, 300))
                state = actions.move(state, name, to, "ann", human=True)
            else:
                state = actions.key(state, data.draw(st.sampled_from(["a", "r", "h", "f", "Enter"])), "ann", True)
        except BadArgumentError:  # nothing there to decide on
            continue
        actions.file(0).saver.finish()
        if len(state.history) == len(seen):  # Enter decides nothing where nothing is open
            seen.append(stands(path))
        if state.position == len(state.rows or ()):
            break
    while state.history:
        seen.pop()
        state = actions.undo(state)
        actions.file(0).saver.finish()
        now, wanted = stands(path), seen[-1]
        # A rejected point is remembered where it was seen; what stands is what has v > 0.
        assert {k: v for k, v in now.items() if v[2] > 0} == {k: v for k, v in wanted.items() if v[2] > 0}


def test_points_of_people_are_not_changed_unless_that_is_said(actions: ReviewActions) -> None:
    state = actions.show(ReviewState())[0]
    review = actions.file(0)
    human, v = next((k.name, k.xyv[2]) for k in review.keypoints(actions.row(state)) if k.source == "human")
    with pytest.raises(BadArgumentError, match="a human placed"):
        actions.move(state, human, (50.0, 50.0), "ann", human=False)
    actions.move(state, human, (50.0, 50.0), "ann", human=True)
    moved = next(k for k in review.keypoints(actions.row(state)) if k.name == human)
    assert moved.xyv == (50.0, 50.0, v)  # a hidden joint stays hidden, as in CVAT


def test_what_needs_a_fix_comes_first(actions: ReviewActions) -> None:
    path = actions.files[0]
    rows = list(ReviewFile(path, actions.images).queue.candidates)
    last = read_extended(path).records[rows[-1]]
    proposal = last["proposals"][0]["name"]
    save(path, [Decision(last["id"], proposal, "needs-fix", "bob", "2026-01-01T00:00:00+00:00")])
    again = ReviewFile(path, actions.images)
    assert next(iter(again.queue.candidates)) == rows[-1]
    assert next(k for k in again.keypoints(rows[-1]) if k.name == proposal).open


def test_many_quick_decisions_are_all_saved_in_order(actions: ReviewActions) -> None:
    state = actions.show(ReviewState())[0]
    for step in range(30):
        state = actions.move(state, "nose", (10.0 + step, 20.0), "ann", human=False)
    actions.file(0).saver.finish()
    (person,) = [p for p in read_extended(actions.files[0]).records if p.get("review")]
    assert [e["to"][0] for e in person["review"]] == [10.0 + step for step in range(30)]


@given(
    left=st.integers(0, 500),
    top=st.integers(0, 500),
    scale=st.floats(0.1, 12),
    x=st.floats(-50, 2000),
    y=st.floats(-50, 2000),
)
def test_a_click_means_the_pixel_that_is_shown_there(left: int, top: int, scale: float, x: float, y: float) -> None:
    region = Region(left, top, 100, 100, scale)
    shown = region.to_shown(np.array([x, y]))
    np.testing.assert_allclose(region.to_image(*shown), (x, y), atol=1e-6)


def test_the_region_shows_the_box_and_lies_in_the_picture(actions: ReviewActions) -> None:
    review = actions.file(0)
    for row in review.queue.candidates:
        image = review.annotations.person(row).image
        assert image is not None
        region = region_of(review, row, (image.width or 0, image.height or 0))
        x, y, w, h = review.annotations.box_xywh[row]
        assert region.left <= max(x, 0)
        assert region.top <= max(y, 0)
        assert region.left + region.width >= min(x + w, image.width or 0)
        assert region.top + region.height >= min(y + h, image.height or 0)


def test_a_picture_outside_the_folder_is_not_shown(actions: ReviewActions, tmp_path: Path) -> None:
    path = actions.files[0]
    document = json.loads(path.read_text())
    for name in ("../secret.png", "/etc/secret.png", "a\\..\\..\\secret.png"):
        document["images"][0]["file_name"] = name
        path.write_text(json.dumps(document))
        review = ReviewFile(path, actions.images)
        rows = list(review.queue.candidates)
        row = next(r for r in rows if review.annotations.image_index[r] == 0)
        with pytest.raises(BadFileError, match="outside"):
            picture_of(review, row)
        # The reviewer gets a sentence, and can go on.
        fresh = ReviewActions([path], actions.images)
        state, content, _, _ = fresh.show(replace(fresh.begin(ReviewState()), position=rows.index(row)))
        assert content["error"]
        assert "outside" in content["status"]
        with pytest.raises(BadArgumentError, match="cannot be shown"):
            fresh.key(state, "a", "ann", False)
        assert fresh.key(state, "n", "ann", False).position == state.position + 1


def test_files_to_review_are_found_and_others_are_left(actions: ReviewActions, tmp_path: Path) -> None:
    images = actions.images
    (tmp_path / "other.json").write_text("[1, 2]")
    assert review_files(tmp_path, images) == [actions.files[0]]
    assert review_files(actions.files[0], images) == [actions.files[0]]
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadArgumentError, match="no extended file"):
        review_files(tmp_path / "empty", images)
    with pytest.raises(BadArgumentError, match="neither"):
        review_files(tmp_path / "none", images)


def test_a_file_that_cannot_be_reviewed_is_refused(actions: ReviewActions, tmp_path: Path) -> None:
    path, images = actions.files[0], actions.images
    document = json.loads(path.read_text())
    bare = tmp_path / "bare.json"
    bare.write_text(json.dumps({**document, "annotations": [{**p, "proposals": []} for p in document["annotations"]]}))
    damaged = tmp_path / "damaged.json"
    damaged.write_text(json.dumps({**document, "annotations": [{**p, "review": [1]} for p in document["annotations"]]}))
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({key: document[key] for key in ("images", "categories")} | {"annotations": []}))
    for file, why in ((bare, "no proposal"), (damaged, "review entry 0"), (labels, "not an extended file")):
        with pytest.raises(BadFileError, match=why):
            review_files(file, images)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadArgumentError, match="is --images right"):
        review_files(path, tmp_path / "empty")


def entries(path: Path) -> list[str]:
    """Keypoints decided on, in the file."""
    return [e["keypoint"] for person in read_extended(path).records for e in person.get("review", [])]


@pytest.mark.parametrize("error", [BadFileError("no room"), MemoryError(), RuntimeError("x")])
def test_what_could_not_be_folded_is_shown_and_kept(
    error: Exception, actions: ReviewActions, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, state = actions.files[0], actions.show(ReviewState())[0]

    def fail(*_: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("poseunion.app.demo.guard.saver.write_document", fail)
        state = actions.move(state, "nose", (10.0, 20.0), "ann", human=False)
        with actions.file(0).saver._condition:
            actions.file(0).saver._condition.wait_for(lambda: not actions.file(0).saver._busy)
    content = actions.show(state)[1]
    assert content["error"]
    assert "kept in extended.json.decisions.jsonl" in content["status"]
    assert entries(path) == []
    actions.move(state, "left_eye", (30.0, 20.0), "ann", human=False)
    actions.file(0).saver.finish()
    assert entries(path) == ["nose", "left_eye"]
    assert not log_path(path).exists()


def test_ids_that_changed_on_disk_are_noticed(actions: ReviewActions) -> None:
    path, state = actions.files[0], actions.show(ReviewState())[0]
    document = json.loads(path.read_text())
    for person in document["annotations"]:
        person["id"] += 1000
    path.write_text(json.dumps(document))
    actions.move(state, "nose", (10.0, 20.0), "ann", human=False)
    with actions.file(0).saver._condition:
        actions.file(0).saver._condition.wait_for(lambda: not actions.file(0).saver._busy)
    content = actions.show(state)[1]
    assert content["error"]
    assert "no extended annotation with this id" in content["status"]
    assert from_line(refused_path(path).read_bytes()).keypoint == "nose"


def test_what_a_killed_page_saved_is_in_the_file_of_the_next(actions: ReviewActions) -> None:
    path = actions.files[0]
    review, row = actions.file(0), actions.row(actions.begin(ReviewState()))
    lines = [to_line(review.decision(row, name, "fix", "ann", (9.0, 9.0), human=True)) for name in ("nose", "left_eye")]
    for cut in range(1, len(lines[1])):
        shutil.copy(path, path.with_name("copy.json"))
        log_path(path.with_name("copy.json")).write_bytes(lines[0] + lines[1][:-cut])
        again = ReviewFile(path.with_name("copy.json"), actions.images)
        assert entries(again.path) == ["nose"]
        assert "damaged" in again.new_faults()


def test_two_reviewers_at_once_lose_nothing(actions: ReviewActions) -> None:
    """Two pages on one file, each with its own copy in memory."""
    path = actions.files[0]
    both = [ReviewActions([path], actions.images) for _ in range(2)]

    def work(mine: ReviewActions, who: str) -> None:
        state = mine.show(ReviewState())[0]
        for step in range(15):
            state = mine.move(state, "nose", (10.0 + step, 20.0), who, human=True)

    threads = [threading.Thread(target=work, args=(mine, f"r{n}")) for n, mine in enumerate(both)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mine in both:
        mine.file(0).saver.finish()
    said = [(e["reviewer"], e["to"][0]) for p in read_extended(path).records for e in p.get("review", [])]
    assert sorted(said) == sorted((f"r{n}", 10.0 + step) for n in range(2) for step in range(15))


def test_a_decision_that_is_not_on_disk_is_not_shown_as_made(
    actions: ReviewActions, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = actions.show(ReviewState())[0]
    before = stands(actions.files[0])

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("poseunion.app.demo.guard.saver.os.fsync", full)
        with pytest.raises(BadFileError, match="not saved"):
            actions.move(state, "nose", (10.0, 20.0), "ann", human=False)
    assert log_path(actions.files[0]).read_bytes() == b""
    assert not any(k.decision for k in actions.file(0).keypoints(actions.row(state)))
    assert stands(actions.files[0]) == before


def test_the_sample_of_an_audit_comes_first(actions: ReviewActions) -> None:
    annotations = read_extended(actions.files[0])
    audit = draw(annotations, 3)
    write_json(audit_path(actions.files[0]), audit.model_dump())
    places = to_inspect(annotations, audit)
    state, content, listed, _ = actions.show(ReviewState())
    assert actions.row(state) == places[0][0]
    assert (actions.row(state), state.selected) in places
    assert "Audit: 3 of 3 drawn points wait." in json.dumps(content)
    assert "audit 0." in listed or "audit 1." in listed
    content = actions.show(actions.key(state, "a", "ann", False))[1]
    assert "Audit: 2 of 3 drawn points wait." in json.dumps(content)
