"""Tags given in the App become decisions in the file."""

from __future__ import annotations

import datetime
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poseunion.annotate.formats.review_entries import proposal_of
from poseunion.annotate.review.decisions import Decision, now, read_extended, save
from poseunion.annotate.review.fiftyone.dataset import PULLED, SHOWN, TAGS


@dataclass(frozen=True)
class Pulled:
    """Outcome of `pull`.

    Attributes:
        decisions: tag -> decisions recorded now.
        known: tags that an earlier pull has recorded.
        open: proposals of the review without a tag.
        refused: (annotation, keypoint, why) of tags that cannot be recorded.
        taken_back: (annotation, keypoint) whose recorded tag is gone from the App; the decision stays.
        people_tagged: people with a tag of their own, which is no decision.
    """

    decisions: dict[str, int]
    known: int
    open: int
    refused: list[tuple[Any, str, str]]
    taken_back: list[tuple[Any, str]]
    people_tagged: int


@dataclass(frozen=True)
class Label:
    """One proposal in the database, as its reviewer left it.

    Attributes:
        id: the label's, in the database.
        annotation: the record's id.
        xy: the proposal when it was shown.
        tags: all of them.
        pulled: the tag that was recorded last, if any.
        changed: when anything of the person was last changed, in UTC; None where the database has no date.
    """

    id: str
    annotation: Any
    keypoint: str
    xy: tuple[float, float]
    tags: tuple[str, ...]
    pulled: str | None
    changed: datetime.datetime | None


def pull(dataset: Any, file: Path, reviewer: str) -> Pulled:
    """Record in `file` what was tagged since the last pull; pulling again adds nothing.

    Args:
        dataset: FiftyOne's, of this file's review.

    Raises:
        BadFileError: `file` is no longer an extended file, or cannot be written.
    """
    labels = read_labels(dataset)
    document = read_extended(file)
    records = {r["id"]: r for r in document.records if isinstance(r, dict) and "id" in r}
    decisions: list[Decision] = []
    of: list[tuple[Label, str]] = []
    again: list[tuple[Label, str]] = []
    refused: list[tuple[Any, str, str]] = []
    taken_back: list[tuple[Any, str]] = []
    known = undecided = 0
    for label in labels:
        tags = [tag for tag in TAGS if tag in label.tags]
        if not tags:
            undecided += 1
            if label.pulled:
                taken_back.append((label.annotation, label.keypoint))
            continue
        problem = _problem(label, tags, records)
        if problem:
            refused.append((label.annotation, label.keypoint, problem))
        elif tags[0] == label.pulled:
            known += 1
        elif _recorded(label, tags[0], reviewer, records[label.annotation]):
            known += 1
            again.append((label, tags[0]))
        else:
            decisions.append(_decision(label, tags[0], reviewer))
            of.append((label, tags[0]))
    recorded = save(file, decisions)
    bad = {id(decision): why for decision, why in recorded.refused}
    refused += [(d.annotation_id, d.keypoint, bad[id(d)]) for d in decisions if id(d) in bad]
    done = [pair for pair, decision in zip(of, decisions, strict=True) if id(decision) not in bad]
    # After the file, so that an interruption between the two only repeats what `_recorded` recognises.
    mark(dataset, [*again, *done])
    return Pulled(
        dict(Counter(tag for _, tag in done)),
        known,
        undecided,
        refused,
        taken_back,
        len(dataset.match_tags(list(TAGS))),
    )


def unpulled(dataset: Any) -> int:
    """How many proposals carry a tag that is not recorded in the file yet."""
    return sum(any(tag in TAGS and tag != label.pulled for tag in label.tags) for label in read_labels(dataset))


def read_labels(dataset: Any) -> list[Label]:
    """All proposals of a review, with their tags."""
    shown, pulled = dataset.info[SHOWN], dataset.info[PULLED]
    times, ids, tags = dataset.values(["last_modified_at", "proposals.keypoints.id", "proposals.keypoints.tags"])
    return [
        _label(label, shown[label], given, pulled.get(label), changed)
        for changed, of_person, tags_of_person in zip(times, ids, tags, strict=True)
        for label, given in zip(of_person or (), tags_of_person or (), strict=True)
    ]


def _label(
    name: str, shown: list[Any], tags: list[str] | None, pulled: str | None, changed: datetime.datetime | None
) -> Label:
    annotation, keypoint, x, y = shown
    return Label(name, annotation, keypoint, (x, y), tuple(tags or ()), pulled, changed)


def mark(dataset: Any, recorded: list[tuple[Label, str]]) -> None:
    """Store in the database which tags the file has."""
    if recorded:
        dataset.info[PULLED].update({label.id: tag for label, tag in recorded})
        dataset.save()


def _problem(label: Label, tags: list[str], records: dict[Any, dict[str, Any]]) -> str | None:
    if len(tags) > 1:
        return f"it is tagged {' and '.join(tags)}: leave one"
    record = records.get(label.annotation)
    proposal = None if record is None else proposal_of(record, label.keypoint)
    if proposal is None:
        return "the file has no such proposal any more"
    if (proposal["x"], proposal["y"]) != label.xy:
        return "its proposal is another one than was shown: review it again"
    return None


def _recorded(label: Label, tag: str, reviewer: str, record: dict[str, Any]) -> bool:
    """Whether this is the file's last decision of the keypoint: a pull was interrupted between file and database."""
    entries = [e for e in record.get("review") or [] if e["keypoint"] == label.keypoint]
    return bool(entries) and (entries[-1]["decision"], entries[-1]["reviewer"]) == (tag, reviewer)


def _decision(label: Label, tag: str, reviewer: str) -> Decision:
    time = now()
    if label.changed is not None:
        changed = label.changed.replace(tzinfo=label.changed.tzinfo or datetime.timezone.utc)
        time = changed.astimezone(datetime.timezone.utc).isoformat(timespec="milliseconds")
    return Decision(label.annotation, label.keypoint, tag, reviewer, time)
