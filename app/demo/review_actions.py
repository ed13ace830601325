"""What a reviewer's keys and clicks do, without the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from poseunion.annotate.formats.review_entries import FIX
from poseunion.annotate.review.decisions import Decision
from poseunion.app.demo.canvas import Scene
from poseunion.app.demo.guard.uploads import sentence
from poseunion.app.demo.review_render import STATES, Region, list_of, scene_of
from poseunion.app.demo.review_session import Before, Keypoint, ReviewFile
from poseunion.models.errors import BadArgumentError, PoseUnionError

DECIDE = {"a": "accept", "r": "reject", "h": "hide"}
STEP_PX = {"ArrowLeft": (-1, 0), "ArrowRight": (1, 0), "ArrowUp": (0, -1), "ArrowDown": (0, 1)}
LARGE_STEP = 10
DONE = "Nobody is left to review in this file."


@dataclass(frozen=True)
class Place:
    """Where a reviewer is.

    Attributes:
        file: index of the file.
        position: in the file's queue.
        selected: keypoint.
        region: what of the picture is shown.
        history: what stood before each of his decisions, newest last; decisions made at once are one.
        note: what happened last.
    """

    file: int = 0
    position: int = 0
    selected: str = ""
    region: Region | None = None
    history: tuple[tuple[Before, ...], ...] = ()
    note: str = ""


# Where the reviewer is, the scene, and the list of keypoints.
Answer = tuple[Place, dict[str, Any], str]


def _first_open(keypoints: Sequence[Keypoint]) -> str:
    """The first open keypoint, one of the audit's sample before others; empty if none is open."""
    waiting = sorted((k for k in keypoints if k.open), key=lambda k: not k.audit)
    return waiting[0].name if waiting else ""


class Desk:
    """What the handlers share: the files, opened when they are first looked at."""

    def __init__(self, files: list[Path], images: Path) -> None:
        self.files, self.images = files, images
        self._open: dict[int, ReviewFile] = {}

    def file(self, index: int) -> ReviewFile:
        """The file of that index."""
        if index not in self._open:
            self._open[index] = ReviewFile(self.files[index], self.images)
        return self._open[index]

    def row(self, place: Place) -> int:
        """The record under review; raises BadArgumentError where none is left."""
        rows = self.file(place.file).rows
        if not rows:
            raise BadArgumentError(DONE)
        return rows[min(max(place.position, 0), len(rows) - 1)]

    def show(self, place: Place) -> Answer:
        """The view at `place`; for a picture that cannot be read, a notice."""
        review = self.file(place.file)
        if not review.rows:
            return place, Scene(status=DONE).to_json(), ""
        row = self.row(place)
        keypoints = review.keypoints(row)
        if not place.selected:
            place = replace(place, selected=_first_open(keypoints) or keypoints[0].name)
        decided, of = sum(k.decision is not None for k in keypoints), sum(k.confidence is not None for k in keypoints)
        image = review.annotations.person(row).image
        name = "no picture" if image is None else image.file_name
        status = f"Person {place.position + 1} of {len(review.rows)}, {name}: {decided} of {of} decided."
        if review.audit:
            status += f" Audit: {review.audit_left()} of {len(review.audit)} drawn points wait."
        faults = review.new_faults()
        said = [status, faults, place.note, f"Now: {spoken(place.selected)}."]
        region: Region | None
        try:
            scene, region = scene_of(review, row, place.selected, " ".join(filter(None, said)))
            if faults:
                scene = replace(scene, error=True)
        except PoseUnionError as error:
            scene, region = (
                Scene(status=" ".join(filter(None, [status, faults, sentence(error)])), error=True),
                place.region,
            )
        return replace(place, region=region, note=""), scene.to_json(), list_of(keypoints, place.selected)

    def decide(self, place: Place, decisions: list[Decision], note: str) -> Place:
        """Record decisions, remember how to undo them, and go to the next open keypoint."""
        review, row = self.file(place.file), self.row(place)
        before = tuple(review.before(row, decision.keypoint) for decision in decisions)
        review.decide(decisions)
        history = (*place.history, before)
        return replace(place, history=history, note=note, selected=self.next_open(place, decisions))

    def next_open(self, place: Place, decisions: list[Decision]) -> str:
        """The open keypoint after the selected one; the selected one where a point was moved or none is open."""
        if any(decision.decision == FIX for decision in decisions):
            return decisions[-1].keypoint
        keypoints = self.file(place.file).keypoints(self.row(place))
        at = next((i for i, k in enumerate(keypoints) if k.name == place.selected), 0)
        rest = [*keypoints[at + 1 :], *keypoints[:at]]
        return _first_open(rest) or place.selected

    def key(self, place: Place, key: str, reviewer: str, human: bool) -> Place:
        """What a key or its button does."""
        review, row, name = self.file(place.file), self.row(place), place.selected
        if key in DECIDE:
            decision = review.decision(row, name, DECIDE[key], reviewer, human=human)
            return self.decide(place, [decision], f"{spoken(name)}: {STATES[decision.decision]}.")
        if key == "Enter":
            rest = review.confirm_rest(row, reviewer)
            return self.decide(place, rest, f"{len(rest)} confirmed.") if rest else self.go(place, 1)
        if key == "u":
            return self.undo(place, reviewer)
        if key in ("n", "p"):
            return self.go(place, 1 if key == "n" else -1)
        if key in ("j", "k"):
            names = review.names
            return replace(place, selected=names[(names.index(name) + (1 if key == "j" else -1)) % len(names)])
        direction = STEP_PX.get(key.removeprefix("Shift"))
        if direction is None:
            raise BadArgumentError(f"The key {key[:12]!r} does nothing here.")
        size = LARGE_STEP if key.startswith("Shift") else 1
        x, y, _ = review.before(row, name).seen
        return self.move(place, name, (x + size * direction[0], y + size * direction[1]), reviewer, human)

    def move(self, place: Place, name: str, to: tuple[float, float], reviewer: str, human: bool) -> Place:
        """Move a keypoint to the reviewer's place."""
        review, row = self.file(place.file), self.row(place)
        decision = review.decision(row, name, FIX, reviewer, to, human=human)
        return self.decide(place, [decision], f"{spoken(name)}: moved.")

    def undo(self, place: Place, reviewer: str) -> Place:
        """Take the reviewer's last step back, at the person where it was made."""
        if not place.history:
            raise BadArgumentError("There is nothing to undo.")
        review, last = self.file(place.file), place.history[-1]
        review.decide([review.undoing(before, reviewer) for before in last])
        return replace(
            place,
            history=place.history[:-1],
            position=review.rows.index(last[0].row),
            selected=last[0].keypoint,
            note=f"Undone: {', '.join(spoken(b.keypoint) for b in last)}.",
        )

    def go(self, place: Place, step: int) -> Place:
        """To the next or the last person."""
        most = len(self.file(place.file).rows) - 1
        position = min(max(place.position + step, 0), most)
        note = "" if position != place.position else "This is the last one." if step > 0 else "This is the first one."
        return replace(place, position=position, selected="", note=note)


def spoken(name: str) -> str:
    """A keypoint's name as people write it."""
    return name.replace("_", " ")
