"""Review session of an extended file, without the page: order of people, decisions, saving.

Decisions are recorded as those of every other tool (`annotate.review.decisions`): nothing else is written, and history
stays.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from poseunion.annotate.audit.sample import audit_queue
from poseunion.annotate.datasets import picture_folder
from poseunion.annotate.formats.review_entries import (
    ACCEPT,
    HUMAN,
    NEEDS_FIX,
    NONE,
    REJECT,
    WITHDRAW,
    XYV,
    Entry,
    last_entries,
    proposal_of,
    review_of,
)
from poseunion.annotate.review.decisions import Decision, current_point, decisions_of, now, read_extended, record
from poseunion.annotate.review.priority import queue, waiting
from poseunion.app.demo.guard.saver import Saver, fold
from poseunion.app.demo.review_queue import ReviewQueue, readable
from poseunion.models.errors import BadArgumentError, BadFileError, PoseUnionError
from poseunion.models.picture_paths import picture_path, refuse_wrong_folder


@dataclass(frozen=True)
class Keypoint:
    """A keypoint of the person under review.

    Attributes:
        xyv: what stands now, image px as in the file; v = 0 for a proposal that does not stand.
        source: human, derived, proposed or none.
        confidence: the model's, None where it has no proposal.
        decision: the last one, if any.
        open: a proposal of the queue without a decision, or that needs a fix.
        audit: open, and in the sample of `annotate audit`.
        left_out: a proposal that is not in the queue: it is hardly in the picture.
    """

    name: str
    xyv: XYV
    source: str
    confidence: float | None
    decision: str | None
    open: bool
    audit: bool = False
    left_out: bool = False

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

    Attributes:
        queue: its proposals in the order of the review: people with points to be moved, then those of the audit's
            sample, then the others by expected correction gain.
        audit: (row, keypoint) of the audit's sample, in its order.

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
        self.audit = audit_queue(self.annotations)
        self._audited = frozenset(self.audit)
        self.queue = ReviewQueue(self.annotations, [*fixes, *(row for row, _ in self.audit)], self.audit)

    @property
    def names(self) -> tuple[str, ...]:
        """The file's keypoints."""
        return self.annotations.skeleton.keypoints

    def keypoints(self, row: int) -> list[Keypoint]:
        """Current keypoints of a person."""
        person = self.annotations.records[row]
        review = review_of(person)
        last = last_entries(person)
        queued = self.queue.candidates.get(row, {})
        found = [self._keypoint(person, review, last.get(name), k, name in queued) for k, name in enumerate(self.names)]
        return [dataclasses.replace(k, audit=k.open and (row, k.name) in self._audited) for k in found]

    def audit_left(self) -> int:
        """Drawn points that wait for a decision."""
        return sum(keypoint not in last_entries(self.annotations.records[row]) for row, keypoint in self.audit)

    def _keypoint(
        self, person: dict[str, Any], review: list[Entry], last: Entry | None, k: int, queued: bool
    ) -> Keypoint:
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
            open=queued and decision in (None, NEEDS_FIX),
            left_out=proposal is not None and not queued,
        )

    def picture(self, row: int) -> Path:
        """The person's picture; raises BadFileError where the file names one outside the folder."""
        image = self.annotations.person(row).image
        if image is None:
            raise BadFileError(f"Annotation {self.annotations.records[row].get('id')} has no picture.")
        relative = PurePosixPath(image.file_name.replace("\\", "/"))
        if relative.is_absolute() or ".." in relative.parts:
            raise BadFileError(f"{self.path.name} names a picture outside its folder ({image.file_name}).")
        return picture_path(self.images, image.file_name)

    def decide(self, decisions: Sequence[Decision]) -> None:
        """Record decisions here and on disk.

        Raises:
            BadArgumentError: one of them cannot be recorded; none was. BadFileError: they could not be saved.
        """
        with self._lock:
            recorded = record(self.annotations, decisions)
            for decision, why in recorded.refused:
                raise BadArgumentError(f"{readable(decision.keypoint)}: {why}.")
            self.saver.add(decisions)
            before = self.annotations.records
            self.annotations = dataclasses.replace(self.annotations, records=recorded.document["annotations"])
            changed = [row for row, person in enumerate(self.annotations.records) if person is not before[row]]
            self.queue.update(self.annotations, changed)

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

    def confirmed(self, row: int, keypoints: Sequence[str], reviewer: str) -> list[Decision]:
        """Decisions that confirm proposals as they are shown: accepted ones, and rejected ones."""
        return [
            self.decision(row, name, ACCEPT if self.point(row, name)[2] > 0 else REJECT, reviewer, human=False)
            for name in keypoints
        ]

    def point(self, row: int, keypoint: str) -> XYV:
        """Point that is shown now."""
        person = self.annotations.records[row]
        return current_point(person, review_of(person), keypoint, self.names)

    def withdrawal(self, made: Made) -> Decision:
        """Withdrawal of a decision; both stay on record, and neither counts."""
        return self.decision(made.row, made.keypoint, WITHDRAW, made.reviewer, human=True)


def review_files(place: Path, images: Path) -> list[Path]:
    """The extended files at `place`, itself or those of a folder, that can be reviewed with these pictures.

    Raises:
        BadArgumentError: there is none, or none of its pictures is in `images`.
        BadFileError: the one file cannot be reviewed.
    """
    picture_folder(images)
    if place.is_file():
        checked(place, images)
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
    for path in found:
        checked(path, images)
    return found


def checked(path: Path, images: Path) -> None:
    """Raise BadFileError or BadArgumentError where a file cannot be reviewed."""
    annotations = read_extended(path)
    if not queue(annotations, decided=True):
        raise BadFileError(f"{path} has no proposal to review: annotate extend --fill-gaps proposes what is left out.")
    decisions_of(annotations)
    shown = (annotations.images[i].file_name for i in annotations.image_index if i >= 0)
    refuse_wrong_folder(images, shown, path)
    audit_queue(annotations)
    if not os.access(path.parent, os.W_OK):
        raise BadFileError(f"{path.parent} cannot be written to: copy {path.name} to where decisions can be saved.")
