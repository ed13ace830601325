"""Comparison of people that went out to a labelling tool with what came back: differences are decisions.

For tools whose files hold points and not decisions (CVAT, Label Studio). They keep two digits of a pixel, or shares of
the picture: a point that comes back within half a digit was not moved, and what its reviewer saw is the file's point.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.added_fields import has_added_fields
from poseunion.annotate.formats.extension import XY_DIGITS, Completion, Extension, Origin
from poseunion.annotate.formats.extension_view import extension_of, subset
from poseunion.annotate.formats.review_entries import (
    ACCEPT,
    FIX,
    HIDE,
    HUMAN,
    NONE,
    REJECT,
    XYV,
    Entry,
    last_entries,
    review_of,
)
from poseunion.annotate.review.apply import with_decisions
from poseunion.annotate.review.decisions import Decision, current_point, inside
from poseunion.models.skeleton import Visibility

MOVED_PX = 0.0051  # half of the last digit that is kept, and what rounding adds


@dataclass(frozen=True)
class Returned:
    """What came back.

    Attributes:
        people: that were found again.
        decisions: what was changed, as decisions; without those that the file has already.
        human: (annotation, keypoint) of human points that were changed, where that was not requested: not decided.
        lost: people of the export that did not come back, or could not be distinguished: (annotation or place, reason).
        unmoved: proposals that came back as they went out.
    """

    people: int
    decisions: list[Decision]
    human: list[tuple[Any, str]]
    lost: list[tuple[Any, str]]
    unmoved: int


@dataclass(frozen=True)
class Review:
    """Review of one person that came back.

    Attributes:
        reviewer, time: as of a `Decision`.
        choices: keypoint -> decision that was chosen in the tool.
    """

    reviewer: str
    time: str
    choices: dict[str, str] = field(default_factory=dict)


def shown_people(annotations: AnnotationSet, rows: Sequence[int]) -> tuple[AnnotationSet, Extension]:
    """People of an extended file as a tool shows them: with all their proposals, accepted or not.

    Decisions that are not applied yet are shown as if they were. Rejected proposals, and those outside the picture, are
    left out.
    """
    current = with_decisions(annotations)
    chosen = subset(current, [row for row in rows if has_added_fields(current.records[row])])
    plain = extension_of(chosen, lambda _: None)

    def shown(start: int, stop: int) -> Completion:
        completion = plain.rows(start, stop)
        for row, record in enumerate(chosen.records[start:stop]):
            rejected = {k for k, e in last_entries(record).items() if e["decision"] == REJECT}
            for proposal in record["proposals"]:
                k = chosen.skeleton.index(proposal["name"])
                free = completion.origin[row, k] == Origin.NONE and proposal["name"] not in rejected
                if free and inside(chosen.person(start + row).image, proposal["x"], proposal["y"]):
                    completion.origin[row, k] = Origin.PROPOSED
                    completion.visibility[row, k] = Visibility.VISIBLE
        return completion

    return chosen, dataclasses.replace(plain, rows=shown, block={"skeleton": plain.block.get("skeleton")})


def compare(
    annotations: AnnotationSet,
    before: AnnotationSet,
    after: AnnotationSet,
    ids: Sequence[Any],
    keys: tuple[Sequence[str], Sequence[str | None]],
    review: Callable[[int], Review],
    *,
    rows: Iterable[int] | None = None,
    human: bool = False,
    accept_unmoved: bool = False,
) -> Returned:
    """Decisions that the differences between what went out and what came back amount to.

    Args:
        annotations: the extended file the export was made from; it may have got other decisions since.
        before, after: people of both files, their keypoints in the order of `annotations`.
        ids: annotation id of each person that went out.
        keys: what identifies each person that went out, and each that came back.
        review: row of `after` -> its review.
        rows: those of `before` that were reviewed; None: all.
        human: changed human points are decisions, too.
        accept_unmoved: proposals that came back as they were are accepted: the reviewer has looked at every point.
    """
    records = {r["id"]: r for r in annotations.records if isinstance(r, dict) and has_added_fields(r)}
    matches, lost = _match(before, after, keys, range(len(before)) if rows is None else rows, ids)
    decisions: list[Decision] = []
    untouched: list[tuple[Any, str]] = []
    unmoved = 0
    for row, other in matches:
        name, by = ids[row], review(other)
        if name not in records:
            lost.append((name, "the file has no such annotation"))
            continue
        record = records[name]
        for k, keypoint in enumerate(annotations.skeleton.keypoints):
            source = record["keypoint_source"][k]
            was = (*before.xy[row, k].tolist(), int(before.visibility[row, k]))
            now = (*after.xy[other, k].tolist(), int(after.visibility[other, k]))
            what = _chosen(by.choices.get(keypoint), _difference(was, now))
            if what is None and was[2] > 0 and source != HUMAN:
                unmoved += 1
                what = (ACCEPT, None) if accept_unmoved else None
            if what is None:
                continue
            if source == HUMAN and not human:
                untouched.append((name, keypoint))
                continue
            stands = (was[0], was[1], was[2] if source != NONE else 0)
            seen = _seen(stands, current_point(record, review_of(record), keypoint, annotations.skeleton.keypoints))
            to = None if what[1] is None else (round(what[1][0], XY_DIGITS), round(what[1][1], XY_DIGITS), what[1][2])
            decision = Decision(name, keypoint, what[0], by.reviewer, by.time, seen, to, human=source == HUMAN)
            if not _recorded(decision, record):
                decisions.append(decision)
    return Returned(len(matches), decisions, untouched, lost, unmoved)


def _chosen(choice: str | None, difference: tuple[str, XYV | None] | None) -> tuple[str, XYV | None] | None:
    """Decision on a point: the chosen one; a point that was accepted at another place is moved."""
    return difference if choice is None or (choice == ACCEPT and difference is not None) else (choice, None)


def _difference(was: XYV, now: XYV) -> tuple[str, XYV | None] | None:
    """The decision that a change amounts to; None where nothing changed."""
    if was[2] <= 0 and now[2] <= 0:
        return None
    if now[2] <= 0:
        return REJECT, None
    if was[2] <= 0 or not _near(was, now):
        return FIX, now
    if was[2] == now[2]:
        return None
    return (HIDE, None) if now[2] == Visibility.OCCLUDED else (FIX, (was[0], was[1], now[2]))


def _near(one: XYV, other: XYV) -> bool:
    return max(abs(one[0] - other[0]), abs(one[1] - other[1])) <= MOVED_PX


def _seen(shown: XYV, current: XYV) -> XYV | None:
    """What the reviewer saw; None: what the file has, to its last digit, as in other tools."""
    return None if _near(shown, current) and max(shown[2], 0) == current[2] else shown


def _recorded(decision: Decision, record: dict[str, Any]) -> bool:
    """Whether the file has the decision: it counts already, or it was made at the same time."""

    def same(entry: Entry | None) -> bool:
        return (
            entry is not None
            and (entry["decision"], entry["reviewer"]) == (decision.decision, decision.reviewer)
            and (decision.to_xyv is None or list(decision.to_xyv) == list(entry.get("to") or ()))
        )

    at_once = (e for e in review_of(record) if (e["keypoint"], e["time"]) == (decision.keypoint, decision.time))
    return same(last_entries(record).get(decision.keypoint)) or any(map(same, at_once))


def _match(
    before: AnnotationSet,
    after: AnnotationSet,
    keys: tuple[Sequence[str], Sequence[str | None]],
    rows: Iterable[int],
    ids: Sequence[Any],
) -> tuple[list[tuple[int, int]], list[tuple[Any, str]]]:
    """(row out, row back) of each person: by key, else in the same picture by the points that were not moved."""
    by_key = {key: i for i, key in enumerate(keys[1])}
    free = set(range(len(after)))
    matches: list[tuple[int, int]] = []
    lost: list[tuple[Any, str]] = []
    pictures = [_picture(after, i) for i in range(len(after))]
    for row in rows:
        other = by_key.get(keys[0][row])
        if other is None:
            there = [i for i in free if pictures[i] == _picture(before, row)]
            same = [int(_same_points(before, row, after, i).sum()) for i in there]
            points = int((before.visibility[row] > 0).sum())
            other = there[int(np.argmax(same))] if same and 2 * max(same) > points else None
        if other is None or other not in free:
            lost.append((ids[row], "no person with its id, or with half of its points, came back"))
            continue
        free.discard(other)
        matches.append((row, other))
    return matches, lost


def _picture(annotations: AnnotationSet, row: int) -> str:
    """Name of a person's picture without folders and ending, which tools change."""
    return PurePosixPath(annotations.images[int(annotations.image_index[row])].file_name).stem


def _same_points(before: AnnotationSet, row: int, after: AnnotationSet, other: int) -> NDArray[np.bool_]:
    both = (before.visibility[row] > 0) & (after.visibility[other] > 0)
    near = np.abs(before.xy[row] - after.xy[other]).max(-1) <= MOVED_PX
    return np.asarray(both & near)
