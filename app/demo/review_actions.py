"""Actions of a reviewer's keys and clicks, without the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from poseunion.annotate.formats.review_entries import FIX
from poseunion.annotate.review.decisions import Decision
from poseunion.app.demo.canvas import CanvasContent
from poseunion.app.demo.guard.uploads import sentence
from poseunion.app.demo.review_render import STATES, Region, content_of, list_of
from poseunion.app.demo.review_session import Keypoint, Made, ReviewFile
from poseunion.models.errors import BadArgumentError, PoseUnionError

DECIDE = {"a": "accept", "r": "reject", "h": "hide"}
STEP_PX = {"ArrowLeft": (-1, 0), "ArrowRight": (1, 0), "ArrowUp": (0, -1), "ArrowDown": (0, 1)}
LARGE_STEP = 10
DONE = "No person is left to review in this file."


@dataclass(frozen=True)
class ReviewState:
    """A reviewer's position in a file.

    Attributes:
        file: index of the file.
        position: in the file's queue.
        selected: keypoint.
        region: what of the picture is shown.
        history: decisions that can be withdrawn, newest last; those made at once are one.
        note: result of the last action.
    """

    file: int = 0
    position: int = 0
    selected: str = ""
    region: Region | None = None
    history: tuple[tuple[Made, ...], ...] = ()
    note: str = ""


# State, content of the canvas, and the list of keypoints.
ReviewOutputs = tuple[ReviewState, dict[str, Any], str]


def _first_open(keypoints: Sequence[Keypoint]) -> str:
    """The first open keypoint, one of the audit's sample before others; empty if none is open."""
    waiting = sorted((k for k in keypoints if k.open), key=lambda k: not k.audit)
    return waiting[0].name if waiting else ""


class ReviewActions:
    """Actions on the files under review, each opened at its first use."""

    def __init__(self, files: list[Path], images: Path) -> None:
        self.files, self.images = files, images
        self._open: dict[int, ReviewFile] = {}

    def file(self, index: int) -> ReviewFile:
        """The file of that index."""
        if index not in self._open:
            self._open[index] = ReviewFile(self.files[index], self.images)
        return self._open[index]

    def row(self, state: ReviewState) -> int:
        """The record under review; raises BadArgumentError where none is left."""
        rows = self.file(state.file).rows
        if not rows:
            raise BadArgumentError(DONE)
        return rows[min(max(state.position, 0), len(rows) - 1)]

    def show(self, state: ReviewState) -> ReviewOutputs:
        """The view at `state`; for a picture that cannot be read, a notice."""
        review = self.file(state.file)
        if not review.rows:
            return state, CanvasContent(status=DONE).to_json(), ""
        row = self.row(state)
        keypoints = review.keypoints(row)
        if not state.selected:
            state = replace(state, selected=_first_open(keypoints) or keypoints[0].name)
        decided, of = sum(k.decision is not None for k in keypoints), sum(k.confidence is not None for k in keypoints)
        image = review.annotations.person(row).image
        name = "no picture" if image is None else image.file_name
        status = f"Person {state.position + 1} of {len(review.rows)}, {name}: {decided} of {of} decided."
        if review.audit:
            status += f" Audit: {review.audit_left()} of {len(review.audit)} drawn points wait."
        faults = review.new_faults()
        region: Region | None
        try:
            status_now = _joined(status, faults, state.note, f"Now: {readable(state.selected)}.")
            content, region = content_of(review, row, state.selected, status_now)
            content = replace(content, error=bool(faults))
        except PoseUnionError as error:
            content, region = CanvasContent(status=_joined(status, faults, sentence(error)), error=True), state.region
        return replace(state, region=region, note=""), content.to_json(), list_of(keypoints, state.selected)

    def decide(self, state: ReviewState, decisions: list[Decision], note: str) -> ReviewState:
        """Record decisions, keep what undoes them, and go to the next open keypoint."""
        review, row = self.file(state.file), self.row(state)
        review.decide(decisions)
        history = (*state.history, tuple(Made(row, decision.keypoint, decision.reviewer) for decision in decisions))
        return replace(state, history=history, note=note, selected=self.next_open(state, decisions))

    def next_open(self, state: ReviewState, decisions: list[Decision]) -> str:
        """The open keypoint after the selected one; the selected one where a point was moved or none is open."""
        if any(decision.decision == FIX for decision in decisions):
            return decisions[-1].keypoint
        keypoints = self.file(state.file).keypoints(self.row(state))
        at = next((i for i, k in enumerate(keypoints) if k.name == state.selected), 0)
        rest = [*keypoints[at + 1 :], *keypoints[:at]]
        return _first_open(rest) or state.selected

    def key(self, state: ReviewState, key: str, reviewer: str, human: bool) -> ReviewState:
        """Apply a key or its button."""
        review, row, name = self.file(state.file), self.row(state), state.selected
        if key in DECIDE:
            decision = review.decision(row, name, DECIDE[key], reviewer, human=human)
            return self.decide(state, [decision], f"{readable(name)}: {STATES[decision.decision]}.")
        if key == "Enter":
            rest = review.confirm_rest(row, reviewer)
            return self.decide(state, rest, f"{len(rest)} confirmed.") if rest else self.go(state, 1)
        if key == "u":
            return self.undo(state)
        if key in ("n", "p"):
            return self.go(state, 1 if key == "n" else -1)
        if key in ("j", "k"):
            names = review.names
            return replace(state, selected=names[(names.index(name) + (1 if key == "j" else -1)) % len(names)])
        direction = STEP_PX.get(key.removeprefix("Shift"))
        if direction is None:
            raise BadArgumentError(f"The key {key[:12]!r} does nothing here.")
        size = LARGE_STEP if key.startswith("Shift") else 1
        x, y, _ = review.point(row, name)
        return self.move(state, name, (x + size * direction[0], y + size * direction[1]), reviewer, human)

    def move(self, state: ReviewState, name: str, to: tuple[float, float], reviewer: str, human: bool) -> ReviewState:
        """Move a keypoint to `to`, image px."""
        review, row = self.file(state.file), self.row(state)
        decision = review.decision(row, name, FIX, reviewer, to, human=human)
        return self.decide(state, [decision], f"{readable(name)}: moved.")

    def undo(self, state: ReviewState) -> ReviewState:
        """Withdraw the last decisions, at the person where they were made."""
        if not state.history:
            raise BadArgumentError("There is nothing to undo.")
        review, last = self.file(state.file), state.history[-1]
        review.decide([review.withdrawal(made) for made in last])
        return replace(
            state,
            history=state.history[:-1],
            position=review.rows.index(last[0].row),
            selected=last[0].keypoint,
            note=f"Undone: {', '.join(readable(b.keypoint) for b in last)}.",
        )

    def go(self, state: ReviewState, step: int) -> ReviewState:
        """To the next or the last person."""
        most = len(self.file(state.file).rows) - 1
        position = min(max(state.position + step, 0), most)
        note = "" if position != state.position else "This is the last one." if step > 0 else "This is the first one."
        return replace(state, position=position, selected="", note=note)


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def readable(name: str) -> str:
    """A keypoint's name with spaces."""
    return name.replace("_", " ")
