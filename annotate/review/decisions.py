"""Reviewers' decisions, recorded in an extended file with their history; for all review tools.

Every tool (FiftyOne, CVAT, the review tab) makes `Decision`s and calls `save`; nothing else writes the field `review`.
"""

from __future__ import annotations

import contextlib
import datetime
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poseunion.annotate.formats import AnnotationSet, ImageRef, read_annotations
from poseunion.annotate.formats.added_fields import has_added_fields
from poseunion.annotate.formats.block import check_extended
from poseunion.annotate.formats.coco import coco_json as coco
from poseunion.annotate.formats.json_stream import write_object
from poseunion.annotate.formats.review_entries import (
    DECISIONS,
    FIX,
    HUMAN,
    NO_POINT,
    NONE,
    NOTHING,
    PROPOSED,
    WITHDRAW,
    XYV,
    Entry,
    moment,
    outcome,
    points_before_review,
    proposal_of,
    review_of,
    seen_point,
    standing,
    withdrawn_by,
)
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.files import atomic_writer
from poseunion.models.locks import lock_file, lock_folder


@dataclass(frozen=True)
class Decision:
    """Decision of a reviewer about one keypoint of one person.

    Attributes:
        annotation_id: the record's `id` in the file.
        keypoint: canonical name.
        decision: accept, reject, fix (the point is at `to_xyv`), hide (accepted, but the joint cannot be seen: v=1),
            needs-fix (wrong where it is; it has to be placed) or withdraw (the reviewer's latest one is cancelled).
        reviewer: name; not empty.
        time: ISO 8601 with zone, see `now`.
        from_xyv: what the reviewer saw, image px as in the file; None: what the file has.
        to_xyv: of a fix: where the point is (v 1 or 2); of other decisions None.
        human: a point that a human placed may be changed; without it such a decision is refused.
    """

    annotation_id: int | str
    keypoint: str
    decision: str
    reviewer: str
    time: str
    from_xyv: XYV | None = None
    to_xyv: XYV | None = None
    human: bool = False

    def __post_init__(self) -> None:
        place = f"Decision on {self.keypoint} of annotation {self.annotation_id}"
        if self.decision not in DECISIONS:
            raise BadArgumentError(f"{place}: {self.decision!r} is none of {', '.join(DECISIONS)}.")
        if not self.reviewer:
            raise BadArgumentError(f"{place}: the reviewer has no name: give one.")
        if (self.decision == FIX) != (self.to_xyv is not None):
            raise BadArgumentError(f"{place}: a fix, and nothing else, has the point's place.")
        if self.to_xyv is not None and self.to_xyv[2] not in (1, 2):
            raise BadArgumentError(f"{place}: visibility {self.to_xyv[2]} is not 1 or 2.")
        for xyv in (self.from_xyv, self.to_xyv):
            if xyv is not None and not all(coco.is_number(v) for v in xyv):
                raise BadArgumentError(f"{place}: {xyv} are not finite numbers.")
        try:
            moment(self.time)
        except ValueError as error:
            raise BadArgumentError(f"{place}: {error}.") from error


@dataclass(frozen=True)
class Recorded:
    """Outcome of recording decisions.

    Attributes:
        document: the file's content with them; what was given is not changed.
        added: decisions that were new.
        repeated: decisions that stood there already.
        refused: decisions that cannot be recorded, and why.
    """

    document: dict[str, Any]
    added: int
    repeated: int
    refused: list[tuple[Decision, str]]


def now() -> str:
    """The time of a decision made now."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")


def record(annotations: AnnotationSet, decisions: Iterable[Decision]) -> Recorded:
    """Add decisions to the `review` of their records, in the order of their times; one given twice is added once.

    Args:
        annotations: an extended COCO-style file, see `read_extended`.

    Raises:
        BadFileError: a `review` that is there already is damaged.
    """
    records = list(annotations.records)
    row_of = {r["id"]: i for i, r in enumerate(records) if isinstance(r, dict) and has_added_fields(r)}
    names = annotations.skeleton.keypoints
    added = repeated = 0
    refused: list[tuple[Decision, str]] = []
    for decision in decisions:
        row = row_of.get(decision.annotation_id)
        if row is None:
            refused.append((decision, "the file has no extended annotation with this id"))
            continue
        try:
            review = review_of(records[row])
        except ValueError as error:
            raise BadFileError(f"{annotations.source.path}, annotations[{row}]: {error}.") from error
        try:
            entry = _entry(decision, records[row], review, names)
            _refuse_outside(entry, annotations, row)
        except ValueError as error:
            refused.append((decision, str(error)))
            continue
        if any(_same(entry, old) for old in review):
            repeated += 1
            continue
        # Stable: what was recorded first stays first among equals.
        records[row] = {**records[row], "review": sorted([*review, entry], key=lambda e: moment(e["time"]))}
        added += 1
    return Recorded({**annotations.source.document, "annotations": records}, added, repeated, refused)


def decisions_of(annotations: AnnotationSet) -> list[Decision]:
    """Decisions of a file that stand, to be recorded in another one: the same people extended anew by a better model.

    Raises:
        BadFileError: a `review` is damaged.
    """
    found = []
    for row, person in enumerate(annotations.records):
        if not isinstance(person, dict) or not person.get("review"):
            continue
        try:
            for entry in standing(review_of(person)):
                seen, to = entry.get("from"), entry.get("to") if entry["decision"] == FIX else None
                found.append(
                    Decision(
                        person["id"],
                        entry["keypoint"],
                        entry["decision"],
                        entry["reviewer"],
                        entry["time"],
                        None if seen is None else _xyv(seen),
                        None if to is None else _xyv(to),
                        human=bool(entry.get("human")),
                    )
                )
        except (ValueError, BadArgumentError) as error:
            raise BadFileError(f"{annotations.source.path}, annotations[{row}]: {str(error).rstrip('.')}.") from error
    return found


def _xyv(point: Sequence[Any]) -> XYV:
    """An entry's point; one that was written by hand may lack its visibility."""
    return point[0], point[1], int(point[2]) if len(point) == 3 else 2


def save(path: Path, decisions: Sequence[Decision]) -> Recorded:
    """Record decisions in a file, atomically; one writer at a time, so that two reviewers lose nothing.

    Raises:
        BadFileError: `path` is not an extended COCO-style file, or cannot be written.
    """
    with one_writer(path.parent):
        recorded = record(read_extended(path), decisions)
        if recorded.added:
            write_document(path, recorded.document)
    return recorded


def read_extended(path: Path) -> AnnotationSet:
    """An extended file in COCO style, as `annotate extend` writes it; else raises BadFileError."""
    annotations = read_annotations(path)
    document = annotations.source.document
    if not isinstance(document, dict) or "annotations" not in document or "poseunion" not in document:
        raise BadFileError(
            f"{path} is not an extended file in COCO style: make one with annotate extend, without --format."
        )
    check_extended(annotations)
    return annotations


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Write a COCO-style document as `extend` lays it out, a record a line, atomically."""
    members = ((k, iter(v) if k in ("images", "annotations") else v) for k, v in document.items())
    with atomic_writer(path) as file:
        write_object(file, members)


def current_point(record: dict[str, Any], review: Sequence[Entry], keypoint: str, names: tuple[str, ...]) -> XYV:
    """What a reviewer sees now: the last decision's point, else the file's, else the proposal with v = 0."""
    last = next((e for e in reversed(standing(review)) if e["keypoint"] == keypoint), None)
    if last is None:
        before = points_before_review(review)  # the file may have what was withdrawn
        return before.get(keypoint) or seen_point(record, keypoint, names)
    if last["decision"] not in NO_POINT:
        return outcome(last, record, names)
    # A rejected point can be taken back, one that needs a fix be moved: the one that was seen then.
    x, y = (last.get("from") or seen_point(record, keypoint, names))[:2]
    return x, y, 0


def _entry(decision: Decision, record: dict[str, Any], review: Sequence[Entry], names: tuple[str, ...]) -> Entry:
    """The entry a decision becomes; raises ValueError when there is nothing it could be about."""
    if decision.keypoint not in names:
        raise ValueError(f"the file has no keypoint {decision.keypoint!r}")
    source = _source(record, review, decision.keypoint, names)
    if decision.decision == WITHDRAW:
        return _withdrawal(decision, source, record, review, names)
    if source == HUMAN and not decision.human:
        raise ValueError(f"a human placed {decision.keypoint}, and the decision does not allow that")
    seen = decision.from_xyv or current_point(record, review, decision.keypoint, names)
    if tuple(seen[:2]) == (0, 0) and seen[2] == 0 and decision.decision != FIX:
        raise ValueError(f"there is no proposal for {decision.keypoint}")
    to: XYV = NOTHING
    if decision.to_xyv is not None:
        to = decision.to_xyv
    elif decision.decision not in NO_POINT:
        to = (seen[0], seen[1], 1 if decision.decision == "hide" else seen[2] or 2)
    entry = {
        "keypoint": decision.keypoint,
        "decision": decision.decision,
        "reviewer": decision.reviewer,
        "time": decision.time,
        "from": list(seen),
        "to": list(to),
        "source": source,
    }
    return {**entry, "human": True} if source == HUMAN else entry


def _withdrawal(
    decision: Decision, source: str, record: dict[str, Any], review: Sequence[Entry], names: tuple[str, ...]
) -> Entry:
    """Entry of a withdrawal: from the point that stands to the one that stands again (v = 0: a proposal)."""
    if withdrawn_by(decision.keypoint, decision.reviewer, standing(review)) is None:
        raise ValueError(f"{decision.reviewer} has no decision on {decision.keypoint} to withdraw")
    entry = {
        "keypoint": decision.keypoint,
        "decision": WITHDRAW,
        "reviewer": decision.reviewer,
        "time": decision.time,
        "from": list(current_point(record, review, decision.keypoint, names)),
    }
    to = current_point(record, [*review, entry], decision.keypoint, names)
    return {**entry, "to": list(to), "source": source, **({"human": True} if source == HUMAN else {})}


def _refuse_outside(entry: Entry, annotations: AnnotationSet, row: int) -> None:
    x, y, v = entry["to"]
    if v > 0 and not inside(annotations.person(row).image, x, y):
        raise ValueError(f"{entry['keypoint']} would lie outside the picture")


def inside(image: ImageRef | None, x: float, y: float) -> bool:
    """Whether a point lies on a pixel of its picture (from -0.5 to size - 0.5); True where no size is stated."""
    if image is None or image.width is None or image.height is None:
        return True
    return -0.5 <= x <= image.width - 0.5 and -0.5 <= y <= image.height - 0.5


def _source(record: dict[str, Any], review: Sequence[Entry], keypoint: str, names: tuple[str, ...]) -> str:
    """What the point under review is by origin, whatever was decided of it before."""
    for entry in review:
        if entry["keypoint"] == keypoint and entry.get("source"):
            return str(entry["source"])
    source = str(record["keypoint_source"][names.index(keypoint)])
    return PROPOSED if source == NONE and proposal_of(record, keypoint) is not None else source


def _same(entry: Entry, old: Entry) -> bool:
    """Whether it is the same decision again (a tool that was read twice), whatever was shown meanwhile."""
    fields = ("keypoint", "decision", "reviewer", "time")
    moved = entry["decision"] == FIX and list(entry["to"]) != list(old.get("to") or ())
    return not moved and all(entry[f] == old.get(f) for f in fields)


@contextlib.contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Lock of a folder, whose files are replaced and not changed: the folder itself, on Windows a hidden file in it."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(
                lock_file(folder / ".poseunion.lock") if sys.platform == "win32" else lock_folder(folder)
            )
        except OSError as error:
            raise BadFileError(f"Cannot use the folder {folder}: {error.strerror or error}.") from error
        yield
