"""`apply`: reviewers' decisions become keypoints. The last decision counts, and applying twice changes nothing more."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.added_fields import has_added_fields
from poseunion.annotate.formats.review_entries import (
    HUMAN,
    NONE,
    NOTHING,
    PROPOSED,
    XYV,
    Entry,
    last_entries,
    outcome,
    permitted,
    points_before_review,
    proposal_of,
    review_of,
    standing,
)
from poseunion.annotate.review.decisions import one_writer, read_extended, write_document
from poseunion.models.files import refuse_existing


@dataclass(frozen=True)
class Change:
    """A point that was changed: its numbers in the file before and after."""

    annotation_id: Any
    keypoint: str
    source: str
    before: XYV
    after: XYV


@dataclass(frozen=True)
class Conflict:
    """A point on which reviewers' last decisions differ.

    Attributes:
        said: reviewer -> decision, the one that counts last.
        distance_px: between the two points that lie farthest apart; None where a reviewer wants no point.
    """

    annotation_id: Any
    keypoint: str
    said: dict[str, str]
    distance_px: float | None


@dataclass(frozen=True)
class ApplyReport:
    """Outcome of `apply`.

    Attributes:
        people: with at least one decision.
        decisions: decision -> keypoints for which it counts.
        changes: points that were not as decided before.
        human: of `changes`, those of points that a human had placed.
        conflicts: see `Conflict`.
        bad: (annotation, why a decision of it cannot be used).
    """

    people: int
    decisions: dict[str, int]
    changes: list[Change]
    human: list[Change]
    conflicts: list[Conflict]
    bad: list[tuple[Any, str]]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def apply(path: Path, out: Path | None = None, *, overwrite: bool = False) -> ApplyReport:
    """`apply_file` without the records."""
    return apply_file(path, out, overwrite=overwrite)[0]


def apply_file(path: Path, out: Path | None = None, *, overwrite: bool = False) -> tuple[ApplyReport, AnnotationSet]:
    """Apply the decisions in `path` and write the result, atomically.

    Args:
        out: None: `path` itself, which keeps every decision and what was there before it.

    Returns:
        The report, and the file with its new records; its arrays are those from before.

    Raises:
        BadFileError: `path` is not an extended COCO-style file, or `out` is in the way.
    """
    target = out or path
    refuse_existing(out, overwrite=overwrite)
    # What is only read needs no lock, and may lie where nothing can be written: files are replaced whole.
    with one_writer(path.parent) if out is None else contextlib.nullcontext():
        annotations = read_extended(path)
        document, report = applied(annotations)
        if out is not None or report.changes:
            write_document(target, document)
    return report, replace(annotations, records=document["annotations"])


def applied(annotations: AnnotationSet) -> tuple[dict[str, Any], ApplyReport]:
    """The file's content with all decisions in its keypoints; what was given is not changed."""
    names = annotations.skeleton.keypoints
    records = list(annotations.records)
    people, decisions = 0, Counter[str]()
    changes: list[Change] = []
    conflicts: list[Conflict] = []
    bad: list[tuple[Any, str]] = []
    for row, record in enumerate(records):
        if not isinstance(record, dict) or not record.get("review"):
            continue
        name = record.get("id", row)
        try:
            if not has_added_fields(record):
                raise ValueError("the record is not extended")
            entries = last_entries(record)
            conflicts += _conflicts(name, record, names)
        except ValueError as error:
            bad.append((name, str(error)))
            continue
        people += 1
        decided: dict[str, XYV] = {}
        for keypoint, entry in entries.items():
            try:
                decided[keypoint] = _decided(entry, record, names)
                decisions[entry["decision"]] += 1
            except ValueError as error:
                bad.append((name, str(error)))
        # What a withdrawn decision had put into the keypoints goes out again.
        seen = points_before_review(review_of(record))
        before = {k: xyv if xyv[2] > 0 else NOTHING for k, xyv in seen.items() if k in names}
        records[row], changed = _with_points(record, {**before, **decided}, names)
        changes += [Change(name, *change) for change in changed]
    human = [change for change in changes if change.source == HUMAN and change.before[2] > 0]
    report = ApplyReport(people, dict(decisions), changes, human, conflicts, bad)
    return {**annotations.source.document, "annotations": records}, report


def with_decisions(annotations: AnnotationSet) -> AnnotationSet:
    """An extended file, read, with its decisions in its points; the file itself is not changed."""
    document, _ = applied(annotations)
    if all(a is b for a, b in zip(document["annotations"], annotations.records, strict=True)):
        return annotations
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / annotations.source.path.name
        path.write_text(json.dumps(document), encoding="utf-8")
        return read_extended(path)


def _decided(entry: Entry, record: dict[str, Any], names: tuple[str, ...]) -> XYV:
    keypoint = entry["keypoint"]
    if keypoint not in names:
        raise ValueError(f"the file has no keypoint {keypoint!r}")
    if not permitted(entry, record["keypoint_source"][names.index(keypoint)]):
        raise ValueError(f"a human placed {keypoint}, and the decision does not allow that")
    return outcome(entry, record, names)


def _with_points(
    record: dict[str, Any], decided: dict[str, XYV], names: tuple[str, ...]
) -> tuple[dict[str, Any], list[tuple[str, str, XYV, XYV]]]:
    """`record` with decided points, and (keypoint, source, before, after) of those that were not so already."""
    keypoints, sources = list(record["keypoints"]), list(record["keypoint_source"])
    changes: list[tuple[str, str, XYV, XYV]] = []
    for keypoint, xyv in decided.items():
        k = names.index(keypoint)
        before = (*keypoints[3 * k : 3 * k + 2], keypoints[3 * k + 2])
        if before == xyv:
            continue
        keypoints[3 * k : 3 * k + 3] = xyv
        origin = _origin(record, keypoint, sources[k])
        sources[k] = origin if xyv[2] > 0 else NONE
        changes.append((keypoint, origin, before, xyv))
    if not changes:
        return record, []
    counted: dict[str, Any] = {}
    if "num_keypoints" in record:
        counted["num_keypoints_original"] = record.get("num_keypoints_original", record["num_keypoints"])
        counted["num_keypoints"] = sum(v > 0 for v in keypoints[2::3])
    return {**record, "keypoints": keypoints, "keypoint_source": sources, **counted}, changes


def _origin(record: dict[str, Any], keypoint: str, source: str) -> str:
    """What a point is called once it stands: as before its review; where nothing was, a human has placed it."""
    if source != NONE:
        return source
    for entry in record["review"]:
        if entry["keypoint"] == keypoint and entry.get("source", NONE) != NONE:
            return str(entry["source"])
    return HUMAN if proposal_of(record, keypoint) is None else PROPOSED


def _conflicts(name: Any, record: dict[str, Any], names: tuple[str, ...]) -> list[Conflict]:
    """Points on which the last decisions of different reviewers differ."""
    said: dict[str, dict[str, Entry]] = {}
    for entry in standing(review_of(record)):
        of_keypoint = said.setdefault(entry["keypoint"], {})
        of_keypoint.pop(entry["reviewer"], None)  # a reviewer who decides again is the last
        of_keypoint[entry["reviewer"]] = entry
    found = []
    for keypoint, by_reviewer in said.items():
        if len(by_reviewer) < 2 or keypoint not in names:
            continue
        points = [outcome(entry, record, names) for entry in by_reviewer.values()]
        if len(set(points)) < 2:
            continue
        distance = None
        if all(v > 0 for _, _, v in points):
            distance = round(max(((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) ** 0.5 for a in points for b in points), 2)
        decisions = {reviewer: str(entry["decision"]) for reviewer, entry in by_reviewer.items()}
        found.append(Conflict(name, keypoint, decisions, distance))
    return found
