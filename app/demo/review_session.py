"""Review session of an extended file, without the page: order of people, decisions, saving.

Decisions are recorded as those of every other tool (`annotate.review.decisions`): nothing else is written, and history
stays.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from poseunion.annotate.audit.sample import audit_queue
from poseunion.annotate.formats.review_entries import (
    ACCEPT,
    HUMAN,
    NONE,
    REJECT,
    WITHDRAW,
    XYV,
    Entry,
    last_entries,
    proposal_of,
    review_of,
)
from poseunion.annotate.review.decisions import Decision, current_point, now, read_extended, record
from poseunion.annotate.review.priority import queue, waiting
from poseunion.app.demo.guard.saver import Saver, fold
from poseunion.models.errors import BadArgumentError, BadFileError, PoseUnionError


@dataclass(frozen=True)
class Keypoint:
    """A keypoint of the person under review.

    Attributes:
        xyv: what stands now, image px as in the file; v = 0 for a proposal that does not stand.
        source: human, derived, proposed or none.
        confidence: the model's, None where it has no proposal.
        decision: the last one, if any.
        open: a proposal without a decision, or that needs a fix.
        audit: open, and in the sample of `annotate audit`.
    """

    name: str
    xyv: XYV
    source: str
    confidence: float | None
    decision: str | None
    open: bool
    audit: bool = False

    @property
    def placed(self) -> bool:
        """Whether there is a record to review."""
        return self.xyv[2] > 0 or tuple(self.xyv[:2]) != (0, 0)


@dataclass(frozen=True)
class Made:
    """Decision that was made and can be withdrawn."""

    row: int
    keypoint: str
    reviewer: str


class ReviewFile:
    """An extended file under review; one object for all visitors.

    Args:
        path: as `annotate extend` writes it.
        images: folder of its pictures.

    Raises:
        BadFileError: it is no extended file.
    """

    def __init__(self, path: Path, images: Path) -> None:
        self.path, self.images = path, images
        read_extended(path)  # raises before anything is folded
        self.faults: list[str] = fold(path)  # decisions that a killed process had saved
        self.annotations = read_extended(path)
        self.saver = Saver(path)
        self._lock = threading.Lock()
        fixes = list(dict.fromkeys(row for row, _ in waiting(self.annotations)))
        ordered = [person.row for person in queue(self.annotations)]
        # The audit's sample, in its order.
        self.audit = audit_queue(self.annotations)
        self._audited = frozenset(self.audit)
        # First points to be moved, then the audit's sample, then the others by expected correction gain.
        self.rows: tuple[int, ...] = tuple(dict.fromkeys([*fixes, *(row for row, _ in self.audit), *ordered]))

    @property
    def names(self) -> tuple[str, ...]:
        """The file's keypoints."""
        return self.annotations.skeleton.keypoints

    def keypoints(self, row: int) -> list[Keypoint]:
        """Current keypoints of a person."""
        person = self.annotations.records[row]
        review = review_of(person)
        last = last_entries(person)
        found = [self._keypoint(person, review, last.get(name), k) for k, name in enumerate(self.names)]
        return [dataclasses.replace(k, audit=k.open and (row, k.name) in self._audited) for k in found]

    def audit_left(self) -> int:
        """Drawn points that wait for a decision."""
        return sum(keypoint not in last_entries(self.annotations.records[row]) for row, keypoint in self.audit)

    def _keypoint(self, person: dict[str, Any], review: list[Entry], last: Entry | None, k: int) -> Keypoint:
        name = self.names[k]
        proposal = proposal_of(person, name)
        source = str(person["keypoint_source"][k])
        decision = None if last is None else str(last["decision"])
        return Keypoint(
            name=name,
            xyv=current_point(person, review, name, self.names),
            source="proposed" if source == NONE and proposal is not None else source,
            confidence=None if proposal is None else float(proposal["confidence"]),
            decision=decision,
            open=proposal is not None and decision in (None, "needs-fix"),
        )

    def picture(self, row: int) -> Path:
        """The person's picture; raises BadFileError where the file names one outside the folder."""
        image = self.annotations.person(row).image
        if image is None:
            raise BadFileError(f"Annotation {self.annotations.records[row].get('id')} has no picture.")
        relative = PurePosixPath(image.file_name.replace("\\", "/"))
        if relative.is_absolute() or ".." in relative.parts:
            raise BadFileError(f"{self.path.name} names a picture outside its folder ({image.file_name}).")
        return self.images / relative

    def decide(self, decisions: Sequence[Decision]) -> None:
        """Record decisions here and on disk.

        Raises:
            BadArgumentError: one of them cannot be recorded; none was. BadFileError: they could not be saved.
        """
        with self._lock:
            recorded = record(self.annotations, decisions)
            for decision, why in recorded.refused:
                raise BadArgumentError(f"{decision.keypoint.replace('_', ' ')}: {why}.")
            self.saver.add(decisions)
            self.annotations = dataclasses.replace(self.annotations, records=recorded.document["annotations"])

    def new_faults(self) -> str:
        """Errors of saving since the last call, to be shown; empty if there are none."""
        found, self.faults = [*self.faults, *self.saver.faults()], []
        return " ".join(found)

    def decision(
        self, row: int, keypoint: str, what: str, reviewer: str, to: tuple[float, float] | None = None, *, human: bool
    ) -> Decision:
        """A reviewer's new decision about a keypoint.

        Args:
            to: of a fix: where the point is, image px.
            human: points that people placed may be changed, too.
        """
        person = self.annotations.records[row]
        source = person["keypoint_source"][self.names.index(keypoint)] if keypoint in self.names else NONE
        hidden = keypoint in self.names and self.point(row, keypoint)[2] == 1  # and stays so where it is moved
        return Decision(
            annotation_id=person["id"],
            keypoint=keypoint,
            decision=what,
            reviewer=reviewer,
            time=now(),
            to_xyv=None if to is None else (round(to[0], 2), round(to[1], 2), 1 if hidden else 2),
            human=human and source == HUMAN,
        )

    def confirm_rest(self, row: int, reviewer: str) -> list[Decision]:
        """Decisions that confirm all open proposals as they are shown: accepted ones, and rejected ones."""
        return [
            self.decision(row, k.name, ACCEPT if k.xyv[2] > 0 else REJECT, reviewer, human=False)
            for k in self.keypoints(row)
            if k.open and k.placed and k.decision is None
        ]

    def point(self, row: int, keypoint: str) -> XYV:
        """Point that is shown now."""
        person = self.annotations.records[row]
        return current_point(person, review_of(person), keypoint, self.names)

    def withdrawal(self, made: Made) -> Decision:
        """Withdrawal of a decision; both stay on record, and neither counts."""
        return self.decision(made.row, made.keypoint, WITHDRAW, made.reviewer, human=True)


def review_files(place: Path) -> list[Path]:
    """The extended files at `place`: itself, or those of a folder.

    Raises:
        BadArgumentError: there is none.
    """
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise BadArgumentError(f"--review {place} is neither a file nor a folder.")
    found = []
    for path in sorted(place.glob("*.json")):
        with contextlib.suppress(PoseUnionError):  # other JSON files may lie there, too
            read_extended(path)
            found.append(path)
    if not found:
        raise BadArgumentError(f"--review {place} holds no extended file: annotate extend makes one.")
    return found
