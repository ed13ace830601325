"""Actions of a reviewer's keys and clicks, without the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from poseunion.annotate.formats.review_entries import ACCEPT, FIX, HIDE, NEEDS_FIX, REJECT
from poseunion.annotate.review.decisions import Decision
from poseunion.app.demo.canvas import CanvasContent
from poseunion.app.demo.guard.uploads import sentence
from poseunion.app.demo.review_queue import ALL_PROPOSALS, BEFORE, QUESTIONS, STATES, Filter, readable
from poseunion.app.demo.review_render import Region, content_of, list_of, picture_key, picture_of, seen
from poseunion.app.demo.review_session import Made, ReviewFile
from poseunion.app.demo.review_summary import side_content, summary
from poseunion.models.errors import BadArgumentError, PoseUnionError

DECIDE = {"a": ACCEPT, "r": REJECT, "h": HIDE, "f": NEEDS_FIX}
STEP_PX = {"ArrowLeft": (-1, 0), "ArrowRight": (1, 0), "ArrowUp": (0, -1), "ArrowDown": (0, 1)}
LARGE_STEP = 10
END = "This is the end of the queue."


@dataclass(frozen=True)
class ReviewState:
    """A reviewer's position in a file.

    Attributes:
        file: index of the file.
        shown: filter of the queue.
        rows: people of the queue when the filter was chosen; None: not computed yet.
        position: in `rows`; behind the last one: the summary.
        selected: keypoint.
        region: what of the picture was sent.
        sent: key of the picture that the browser has.
        blind: the person's picture cannot be shown.
        history: decisions that can be withdrawn, newest last; those made at once are one.
        note: result of the last action.
        own: actions on the visitor's own file, which lives as long as this; None: the file is the server's.
    """

    file: int = 0
    shown: Filter = ALL_PROPOSALS
    rows: tuple[int, ...] | None = None
    position: int = 0
    selected: str = ""
    region: Region | None = None
    sent: str = ""
    blind: bool = False
    history: tuple[tuple[Made, ...], ...] = ()
    note: str = ""
    own: ReviewActions | None = None


# State, content of the canvas, the list of keypoints, and what stands beside the picture.
ReviewOutputs = tuple[ReviewState, dict[str, Any], str, dict[str, Any]]


class ReviewActions:
    """Actions on the files under review, each opened at its first use.

    Args:
        images: folder of their pictures.
        folder: of a visitor's own file: what keeps its files on disk. No path is shown then.
    """

    def __init__(self, files: list[Path], images: Path, folder: object | None = None) -> None:
        self.files, self.images, self._folder = files, images, folder
        self._open: dict[int, ReviewFile] = {}

    def file(self, index: int) -> ReviewFile:
        """The file of that index."""
        if index not in self._open:
            self._open[index] = ReviewFile(self.files[index], self.images)
        return self._open[index]

    def begin(self, state: ReviewState) -> ReviewState:
        """The same with its queue, at the first person who waits; the summary where none does."""
        queue = self.file(state.file).queue
        rows = queue.rows(state.shown)
        if not rows or state.shown.question == BEFORE:
            return replace(state, rows=rows, position=0, selected="")
        return self._to_waiting(replace(state, rows=rows, position=-1))

    def row(self, state: ReviewState) -> int:
        """The record under review; raises BadArgumentError at the end of the queue."""
        if not state.rows or state.position >= len(state.rows):
            raise BadArgumentError(END)
        return state.rows[state.position]

    def show(self, state: ReviewState) -> ReviewOutputs:
        """The view at `state`; for a picture that cannot be read, a notice."""
        if state.rows is None:
            state = self.begin(state)
        review, rows = self.file(state.file), state.rows or ()
        faults = review.new_faults()
        if state.position >= len(rows):
            status = self._joined(faults, state.note)
            page = summary(review, state.shown, self.images, own=self._folder is not None)
            content = CanvasContent(
                html=page, keys=("u", "p", "Enter"), mode="points", status=status, error=bool(faults)
            )
            side = side_content(review, state.shown, f"{len(rows)} people reviewed" if rows else "No such proposal")
            return replace(state, note="", selected="", sent=""), content.to_json(), "", side
        row = rows[state.position]
        if not state.selected:
            state = replace(state, selected=self._first(state, row))
        state, content = self._canvas(state, row, faults)
        image = review.annotations.person(row).image
        name = "no picture" if image is None else image.file_name
        side = side_content(review, state.shown, f"Person {state.position + 1} of {len(rows)}, {name}")
        return replace(state, note=""), content.to_json(), list_of(review.keypoints(row), state.selected), side

    def _canvas(self, state: ReviewState, row: int, faults: str) -> tuple[ReviewState, CanvasContent]:
        review = self.file(state.file)
        audit = f"Audit: {review.audit_left()} of {len(review.audit)} drawn points wait." if review.audit else ""
        now = f"Now {readable(state.selected)}: {review.queue.why(row, state.selected)}."
        key, picture = picture_key(review, row), ""
        try:
            if state.sent != key or state.region is None:
                picture, region = picture_of(review, row)
                state = replace(state, region=region, sent=key)
            assert state.region is not None
            content = content_of(review, row, state.region, state.selected)
        except PoseUnionError as error:
            # Without its picture a person can be passed over, and nothing about it be decided.
            keys, status = ("n", "p", "u"), self._joined(faults, state.note, sentence(error))
            return replace(state, sent="", blind=True), CanvasContent(
                mode="points", keys=keys, status=status, error=True
            )
        status = self._joined(faults, state.note, audit, now)
        return replace(state, blind=False), replace(content, picture=picture, status=status, error=bool(faults))

    def _first(self, state: ReviewState, row: int) -> str:
        """The keypoint to begin with: one of the audit's sample, one that waits, one of the filter, any."""
        queue = self.file(state.file).queue
        keypoints = self.file(state.file).keypoints(row)
        order = [k.name for k in keypoints if k.audit]
        order += queue.waits(row, state.shown)
        order += [k.name for k in keypoints if k.decision == NEEDS_FIX]
        order += queue.candidates[row]
        return next((name for name in order if queue.fits(row, name, state.shown)), keypoints[0].name)

    def decide(self, state: ReviewState, decisions: list[Decision], note: str) -> ReviewState:
        """Record decisions and keep what withdraws them."""
        review, row = self.file(state.file), self.row(state)
        review.decide(decisions)
        made = tuple(Made(row, decision.keypoint, decision.reviewer) for decision in decisions)
        return replace(state, history=(*state.history, made), note=note)

    def advance(self, state: ReviewState) -> ReviewState:
        """To the person's next keypoint that waits, else to the next person who has one, else to the summary."""
        row = self.row(state)
        names = list(self.file(state.file).queue.candidates[row])
        at = names.index(state.selected) if state.selected in names else -1
        waiting = self.file(state.file).queue.waits(row, state.shown)
        for name in (*names[at + 1 :], *names[: at + 1]):
            if name in waiting:
                return replace(state, selected=name)
        return self._to_waiting(state)

    def _to_waiting(self, state: ReviewState, again: bool = True) -> ReviewState:
        """To the next person with something to decide, behind the last one from the beginning `again`."""
        rows, queue = state.rows or (), self.file(state.file).queue
        if state.shown.question == BEFORE:
            return self.go(state, 1)
        order = [*range(state.position + 1, len(rows)), *range(max(state.position, 0) if again else 0)]
        position = next((i for i in order if queue.waits(rows[i], state.shown)), len(rows))
        return replace(state, position=position, selected="")

    def act(self, state: ReviewState, actions: Sequence[Mapping[str, Any]], reviewer: str, human: bool) -> ReviewState:
        """Apply actions of the page in their order.

        An error ends them, and becomes the note: what follows was done before it was seen.

        Args:
            actions: each {what: key, place, choose, filter, jump or file, …}, as the page's scripts make them.
            human: points that people placed may be changed, too.
        """
        for action in actions:
            try:
                state = self._act(state, action, reviewer, human)
            except PoseUnionError as error:
                return replace(state, note=str(error))
        return state

    def _act(self, state: ReviewState, action: Mapping[str, Any], reviewer: str, human: bool) -> ReviewState:
        match action["what"]:
            case "key":
                return self.key(state, str(action["key"]), reviewer, human, str(action["seen"]))
            case "place":
                shown = picture_key(self.file(state.file), self.row(state))
                if state.region is None or not action["picture"] == state.sent == shown:
                    return state  # as with a key: it was made before the person was seen
                to = state.region.to_image(float(action["x"]), float(action["y"]))
                return self.move(state, str(action["name"]), to, reviewer, human)
            case "choose":
                known = action["name"] in self.file(state.file).names
                return replace(state, selected=str(action["name"])) if known else state
            case "filter":
                return self.choose(state, str(action["question"]), str(action["keypoint"]))
            case "jump":
                return self.jump(state, str(action["to"]))
            case "file":
                return replace(ReviewState(own=state.own), file=int(action["index"]) % len(self.files))
            case unknown:
                raise BadArgumentError(f"There is no action {str(unknown)[:12]!r}.")

    def key(self, state: ReviewState, key: str, reviewer: str, human: bool, shown: str | None = None) -> ReviewState:
        """Apply a key or its button.

        Args:
            shown: what the browser showed when the key was pressed (see `seen`); None: it is not compared. A decision
                on something else is left out: it was made before the reviewer could see what it is about.
        """
        if state.rows is None:
            state = self.begin(state)
        if key == "u":
            return self.undo(state)
        if key in ("n", "p"):
            return self.go(state, 1 if key == "n" else -1)
        if key == "Enter" and state.position >= len(state.rows or ()):
            return self.begin(state)
        review, row, name = (
            self.file(state.file),
            self.row(state),
            state.selected or self._first(state, self.row(state)),
        )
        state = replace(state, selected=name)
        if key.lower().removeprefix("shift") in ("j", "k"):
            return self._step(state, row, 1 if key.lower().endswith("j") else -1, key.startswith("Shift"))
        if shown is not None and shown != seen(review, row, name):
            return state
        if state.blind:
            raise BadArgumentError("Nothing is decided about a person whose picture cannot be shown: N goes on.")
        if key in DECIDE:
            decision = review.decision(row, name, DECIDE[key], reviewer, human=human)
            return self.advance(self.decide(state, [decision], f"{readable(name)}: {STATES[decision.decision]}."))
        if key == "Enter":
            rest = review.confirmed(row, review.queue.pending(row, state.shown), reviewer)
            if not rest:
                return self._to_waiting(state, again=False)
            return self._to_waiting(self.decide(state, rest, f"{len(rest)} confirmed."))
        direction = STEP_PX.get(key.removeprefix("Shift"))
        if direction is None:
            raise BadArgumentError(f"The key {key[:12]!r} does nothing here.")
        size = LARGE_STEP if key.startswith("Shift") else 1
        x, y, _ = review.point(row, name)
        return self.move(state, name, (x + size * direction[0], y + size * direction[1]), reviewer, human)

    def _step(self, state: ReviewState, row: int, step: int, every: bool) -> ReviewState:
        """To the next or the last keypoint of the filter, or of all."""
        queue, names = self.file(state.file).queue, self.file(state.file).names
        among = [name for name in names if every or queue.fits(row, name, state.shown)] or list(names)
        if state.selected in among:
            return replace(state, selected=among[(among.index(state.selected) + step) % len(among)])
        return replace(state, selected=among[0 if step > 0 else -1])

    def move(self, state: ReviewState, name: str, to: tuple[float, float], reviewer: str, human: bool) -> ReviewState:
        """Move a keypoint to `to`, image px; it stays selected."""
        review = self.file(state.file)
        if state.rows is None:
            state = self.begin(state)
        decision = review.decision(self.row(state), name, FIX, reviewer, to, human=human)
        return replace(self.decide(state, [decision], f"{readable(name)}: moved."), selected=name)

    def undo(self, state: ReviewState) -> ReviewState:
        """Withdraw the last decisions, at the person where they were made."""
        if not state.history:
            raise BadArgumentError("There is nothing to undo.")
        review, last = self.file(state.file), state.history[-1]
        review.decide([review.withdrawal(made) for made in last])
        if last[0].row not in (state.rows or ()):
            state = self.begin(replace(state, shown=ALL_PROPOSALS))
        rows = state.rows or ()
        return replace(
            state,
            history=state.history[:-1],
            position=rows.index(last[0].row) if last[0].row in rows else state.position,
            selected=last[0].keypoint,
            note=f"Undone: {', '.join(readable(b.keypoint) for b in last)}.",
        )

    def go(self, state: ReviewState, step: int) -> ReviewState:
        """To the next or the last person; behind the last one is the summary."""
        position = min(max(state.position + step, 0), len(state.rows or ()))
        if position == state.position:
            return replace(state, note=END if step > 0 else "This is the first one.")
        return replace(state, position=position, selected="")

    def choose(self, state: ReviewState, question: str, keypoint: str) -> ReviewState:
        """Filter the queue."""
        if question not in QUESTIONS or keypoint not in ("", *self.file(state.file).names):
            raise BadArgumentError("There is no such question or keypoint.")
        return self.begin(replace(state, shown=Filter(question, keypoint)))

    def jump(self, state: ReviewState, to: str) -> ReviewState:
        """To a person by number in the queue, by `#` and annotation id, or by a part of the picture's name."""
        review, rows, to = self.file(state.file), state.rows or (), to.strip()[:200]
        if to.isdecimal() and 1 <= int(to) <= len(rows):
            return replace(state, position=int(to) - 1, selected="")
        if to.startswith("#"):
            found = [i for i, row in enumerate(rows) if str(review.annotations.records[row].get("id")) == to[1:]]
        else:
            found = [i for i, row in enumerate(rows) if to and to in self._picture_name(review, row)]
        if not found:
            raise BadArgumentError(
                f"“{to}” is not in this queue of {len(rows)} people: give a number, # and an annotation's id, or "
                "a part of a picture's name."
            )
        # Of several the next one, so that pressing Enter again goes on.
        return replace(state, position=next((i for i in found if i > state.position), found[0]), selected="")

    @staticmethod
    def _picture_name(review: ReviewFile, row: int) -> str:
        image = review.annotations.person(row).image
        return "" if image is None else image.file_name

    def _joined(self, *sentences: str) -> str:
        joined = " ".join(filter(None, sentences))
        return joined if self._folder is None else joined.replace(f"{self.images.parent}/", "")
