"""Following people: numbers stay, doubtful boxes continue and never begin, everybody has his number from the start."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from poseunion.app.predict.tracks import NO_TRACK, Tracker

pytest.importorskip("trackers", reason="following people needs trackers (extra `video`)")
THRESHOLD = 0.5
Scene = Sequence[tuple[Sequence[float], float]]  # boxes and scores of a frame


def follow(scenes: Sequence[Scene]) -> list[tuple[NDArray[np.floating], list[int]]]:
    """Boxes that are kept in every frame, and their numbers."""
    tracker = Tracker(THRESHOLD, 25.0)
    frames: list[tuple[NDArray[np.floating], NDArray[np.int64]]] = []
    for scene in scenes:
        box = np.array([b for b, _ in scene], np.float32).reshape(-1, 4)
        (kept, _), track = tracker((box, np.array([s for _, s in scene], np.float32)))
        if frames:
            frames[-1] = frames[-1][0], tracker.name_before(frames[-1], (kept, track))
        frames.append((kept, track))
    return [(box, track.tolist()) for box, track in frames]


def walk(x: float, frames: int, score: float = 0.9) -> list[tuple[list[float], float]]:
    return [([x + 3 * t, 10, 40, 90], score) for t in range(frames)]


def test_everybody_keeps_a_number_from_the_first_frame_on() -> None:
    left, right = walk(0, 20), walk(200, 20)
    frames = follow([(a, b) if t % 2 else (b, a) for t, (a, b) in enumerate(zip(left, right, strict=True))])
    by_side = {(bool(x > 150), n) for box, track in frames for (x, *_), n in zip(box.tolist(), track, strict=True)}
    assert len(by_side) == 2
    assert {n for _, n in by_side} == {1, 2}


def test_who_comes_later_has_his_number_from_his_first_frame() -> None:
    first, second = walk(0, 12), walk(200, 12)
    frames = follow([[a] if t < 5 else [a, b] for t, (a, b) in enumerate(zip(first, second, strict=True))])
    assert [track for _, track in frames] == [[1]] * 5 + [[1, 2]] * 7


def test_a_doubtful_box_continues_a_track_and_begins_none() -> None:
    sure, doubtful = walk(0, 10), walk(0, 10, 0.3)
    nobody = walk(200, 10, 0.3)
    frames = follow([[doubtful[t] if t in (4, 5) else sure[t], nobody[t]] for t in range(10)])
    assert [track for _, track in frames] == [[1]] * 10


def test_who_is_away_for_a_moment_comes_back_with_his_number() -> None:
    frames = follow([[] if 5 <= t < 9 else [one] for t, one in enumerate(walk(0, 15))])
    assert {n for _, track in frames for n in track} == {1}


def test_a_flash_has_no_number_and_two_videos_count_from_one() -> None:
    flash = [[walk(0, 1)[0]], [], []]
    assert [track for _, track in follow(flash)] == [[NO_TRACK], [], []]
    for _ in range(2):
        assert follow([[one] for one in walk(0, 3)])[-1][1] == [1]
