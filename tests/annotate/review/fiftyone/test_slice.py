"""Which people a review holds, how they are cut out, and who may ask for them; no FiftyOne needed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poseunion.annotate.audit.sample import draw, to_inspect
from poseunion.annotate.review.decisions import Decision, now, read_extended, save
from poseunion.annotate.review.fiftyone.crops import LONGEST_SIDE, Window, window_of, write_cutout
from poseunion.annotate.review.fiftyone.server import listen, own_pages_only, tags_of_proposals_only
from poseunion.annotate.review.fiftyone.slice import choose
from poseunion.models.errors import BadArgumentError
from poseunion.models.images import read_image


def test_the_most_doubtful_come_first_and_the_audit_sample_after_them(extended: Any) -> None:
    annotations = read_extended(extended.file)
    chosen = choose(annotations, top=1, audit=0)
    assert [p.row for p in chosen.people] == [2]
    assert chosen.left == 2
    audited = choose(annotations, top=1, audit=100)
    assert [p.row for p in audited.people] == [2, 1, 0]
    assert len(audited.audited) == 9
    assert audited.left == 0


def test_the_audit_sample_stays_one_sample_over_several_sittings(extended: Any) -> None:
    first = choose(read_extended(extended.file), top=1, audit=4).audited
    row, keypoint = sorted(first)[0]
    save(extended.file, [Decision(5 + row, keypoint, "accept", "ann", now())])
    assert choose(read_extended(extended.file), top=1, audit=4).audited == first - {(row, keypoint)}
    assert choose(read_extended(extended.file), top=1, audit=4, decided=True).audited == first


def test_a_file_that_is_done_says_so(extended: Any) -> None:
    annotations = read_extended(extended.file)
    decisions = [
        Decision(5 + c.row, c.keypoint, "reject", "ann", now()) for c in choose(annotations, top=3, audit=0).candidates
    ]
    save(extended.file, decisions)
    with pytest.raises(BadArgumentError, match="no proposal that is still to be decided: look at all of them again"):
        choose(read_extended(extended.file), top=3, audit=0)


@pytest.mark.parametrize(("top", "audit"), [(0, 0), (1, -1)])
def test_numbers_that_make_no_sense_are_refused(extended: Any, top: int, audit: int) -> None:
    with pytest.raises(BadArgumentError, match=r"--(top|audit)"):
        choose(read_extended(extended.file), top=top, audit=audit)


@given(
    st.integers(1, 500),
    st.integers(1, 500),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5),
    st.floats(-300, 800),
    st.floats(0, 900),
)
def test_a_window_lies_in_the_picture_and_holds_every_point(
    width: int, height: int, shares: list[tuple[float, float]], start: float, side: float
) -> None:
    points = np.array(shares) * [width - 1, height - 1]
    for box in ([start, start, side, side], [np.nan] * 4):
        window = window_of(points, np.array(box), (width, height))
        assert window.left >= 0
        assert window.top >= 0
        assert window.left + window.width <= width
        assert window.top + window.height <= height
        relative = window.relative(points)
        assert (relative > 0).all()
        assert (relative < 1).all()


def test_a_large_cutout_is_shrunk_and_its_points_with_it(tmp_path: Path) -> None:
    image = np.zeros((900, 3000, 3), np.uint8)
    image[400:440, 2000:2040] = (250, 10, 10)
    window = Window(100, 50, 2800, 800)
    width, height = write_cutout(tmp_path / "a.jpg", image, window)
    assert max(width, height) == LONGEST_SIDE
    x, y = window.relative(np.array([2019.5, 419.5])) * [width, height]
    colour = read_image(tmp_path / "a.jpg")[int(y), int(x)].astype(int)
    assert colour == pytest.approx([250, 10, 10], abs=12)


def test_a_taken_port_is_never_used() -> None:
    with listen(None) as bound:
        port = bound.getsockname()[1]
        assert bound.getsockname()[0] == "127.0.0.1"
        with pytest.raises(BadArgumentError, match=f"--port {port} cannot be used"):
            listen(port)
        with listen(None) as other:
            assert other.getsockname()[1] != port
    with pytest.raises(BadArgumentError, match="--port 0 is no port"):
        listen(0)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "127.0.0.1:5151"}, 200),
        ({"host": "localhost:9000", "origin": "http://localhost:9000"}, 200),  # through a tunnel
        ({"host": "example.com:5151"}, 403),
        ({"host": "127.0.0.1.example.com"}, 403),
        ({"host": "127.0.0.1:5151", "origin": "http://127.0.0.1:8000"}, 403),
        ({"host": "127.0.0.1:5151", "origin": "null"}, 403),
        ({}, 403),
    ],
)
def test_only_its_own_page_is_answered(headers: dict[str, str], status: int) -> None:
    sent: list[Any] = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {}

    scope = {"type": "http", "headers": [(k.encode(), v.encode()) for k, v in headers.items()]}
    # Nothing here waits; and where the browser's tests have run, an event loop is going on already.
    with pytest.raises(StopIteration):
        own_pages_only(page)(scope, receive, send).send(None)
    assert sent[0]["status"] == status
    assert (b"content-security-policy" in dict(sent[0]["headers"])) == (status == 200)


def test_the_sample_of_an_audit_takes_the_place_of_the_audit_sample(extended: Any) -> None:
    annotations = read_extended(extended.file)
    places = to_inspect(annotations, draw(annotations, 2))
    chosen = choose(annotations, top=1, audit=50, drawn=places)
    assert chosen.audited == set(places)
    assert {row for row, _ in places} <= {person.row for person in chosen.people}


@pytest.mark.parametrize(
    ("path", "sent", "reaches"),
    [
        (
            "/tagging",
            {"target_labels": True, "label_fields": ["human", "proposals"]},
            {"target_labels": True, "label_fields": ["proposals"]},
        ),
        (
            "/tag",
            {"target_labels": True, "changes": {}},
            {"target_labels": True, "changes": {}, "label_fields": ["proposals"]},
        ),
        ("/tag", {"target_labels": False, "changes": {"a": True}}, {"target_labels": False, "changes": {"a": True}}),
        ("/samples", {"target_labels": True}, {"target_labels": True}),
    ],
)
def test_tag_menus_are_about_proposals_only(path: str, sent: dict[str, Any], reaches: dict[str, Any]) -> None:
    text = json.dumps(sent).encode()
    parts: Iterator[dict[str, Any]] = iter([{"body": text[:9], "more_body": True}, {"body": text[9:]}])
    came = b""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal came
        more = True
        while more:
            message = await receive()
            came, more = came + message["body"], message.get("more_body", False)

    async def receive() -> Any:
        return {"type": "http.request", **next(parts)}

    with pytest.raises(StopIteration):
        tags_of_proposals_only(app)({"type": "http", "path": path}, receive, None).send(None)
    assert json.loads(came) == reaches
