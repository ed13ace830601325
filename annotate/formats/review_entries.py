"""The `review` field of an extended record: what people decided about its points, oldest first.

An entry is never changed or removed. Of a keypoint's entries the last one counts, unless it was withdrawn:

    {"keypoint": "nose", "decision": "fix", "reviewer": "ann", "time": "2026-01-31T12:00:00+00:00",
     "from": [x, y, v], "to": [x, y, v], "source": "proposed"}

`from` is what the reviewer saw, with v = 0 for a proposal that does not stand; `to` the decided point: 0, 0, 0 for
nothing. `needs-fix` marks a point that is wrong where it is; a later entry places it. `withdraw` cancels the reviewer's
latest entry on the keypoint that was not withdrawn before, as if it had never been made.
`source` is what the point was (`keypoint_source`; a proposal that does not stand is `proposed`, too). A point
that a human placed is touched only by an entry with `"human": true`, which a tool writes when a reviewer chose so.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from poseunion.annotate.formats.types import AnnotationSet
from poseunion.models.errors import BadFileError
from poseunion.models.files import first_fault
from poseunion.models.skeleton import Skeleton

ACCEPT, REJECT, FIX, HIDE, NEEDS_FIX, WITHDRAW = "accept", "reject", "fix", "hide", "needs-fix", "withdraw"
DECISIONS = (ACCEPT, REJECT, FIX, HIDE, NEEDS_FIX, WITHDRAW)
NO_POINT = (REJECT, NEEDS_FIX)  # decisions after which nothing stands
HUMAN, PROPOSED, NONE = "human", "proposed", "none"

Entry = dict[str, Any]
XYV = tuple[float, float, int]
NOTHING: XYV = (0, 0, 0)


class _Entry(BaseModel):
    """Schema of one entry."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    keypoint: str
    decision: Literal["accept", "reject", "fix", "hide", "needs-fix", "withdraw"]
    reviewer: str = Field(min_length=1)
    time: str
    from_: list[float] | None = Field(None, alias="from", min_length=2, max_length=3)
    to: list[float] | None = Field(None, min_length=2, max_length=3)
    source: Literal["human", "proposed", "derived", "none"] | None = None
    human: bool = False

    @field_validator("time")
    @classmethod
    def _is_time(cls, value: str) -> str:
        moment(value)
        return value


def moment(time: str) -> datetime.datetime:
    """An entry's time; raises ValueError when it is no ISO 8601 time with a zone."""
    parsed = datetime.datetime.fromisoformat(time.replace("Z", "+00:00"))  # Python 3.10 does not read Z
    if parsed.tzinfo is None:
        raise ValueError(f"{time!r} has no time zone: write 2026-01-31T12:00:00+00:00")
    return parsed


def review_of(record: dict[str, Any]) -> list[Entry]:
    """A record's entries, oldest first; raises ValueError when one is not as described above."""
    entries = record.get("review") or []
    if not isinstance(entries, list):
        raise ValueError("review is not a list")
    for number, entry in enumerate(entries):
        try:
            _Entry.model_validate(entry)
        except ValidationError as error:
            raise ValueError(f"review entry {number} is not a decision: {first_fault(error)}") from error
    return entries


def standing(entries: Iterable[Entry]) -> list[Entry]:
    """Entries without the withdrawals and what they cancel, oldest first."""
    found: list[Entry] = []
    for entry in entries:
        if entry["decision"] != WITHDRAW:
            found.append(entry)
        elif (position := withdrawn_by(entry["keypoint"], entry["reviewer"], found)) is not None:
            del found[position]
    return found


def withdrawn_by(keypoint: str, reviewer: str, entries: Sequence[Entry]) -> int | None:
    """Position of the standing entry that a reviewer's withdrawal cancels; None where there is none."""
    own = (e["keypoint"] == keypoint and e["reviewer"] == reviewer for e in reversed(entries))
    return next((len(entries) - 1 - back for back, it_is in enumerate(own) if it_is), None)


def last_entries(record: dict[str, Any]) -> dict[str, Entry]:
    """Keypoint -> the entry that counts; raises ValueError as `review_of` does."""
    return {entry["keypoint"]: entry for entry in standing(review_of(record))}


def points_before_review(entries: Sequence[Entry]) -> dict[str, XYV]:
    """Keypoint -> what its first reviewer saw (v = 0: a proposal), where all its decisions were withdrawn."""
    decided = {entry["keypoint"] for entry in standing(entries)}
    first = {entry["keypoint"]: entry for entry in reversed(entries)}
    return {
        keypoint: (*entry["from"][:2], int(entry["from"][2]) if len(entry["from"]) == 3 else 2)
        for keypoint, entry in first.items()
        if keypoint not in decided and entry.get("from")
    }


def last_entries_at(annotations: AnnotationSet, row: int) -> dict[str, Entry]:
    """`last_entries` of a record of a file; raises BadFileError, which names it, for a damaged review."""
    try:
        return last_entries(annotations.records[row])
    except ValueError as error:
        raise BadFileError(f"{annotations.source.path}, annotations[{row}]: {error}.") from error


def outcome(entry: Entry, record: dict[str, Any], names: tuple[str, ...]) -> XYV:
    """What stands after an entry: x, y, v in the file's own numbers.

    Raises:
        ValueError: the entry names no keypoint of `names`, or there is no point that it could be about.
    """
    if entry["decision"] in NO_POINT:
        return NOTHING
    least = 1 if entry["decision"] == HIDE else 2
    if (to := entry.get("to")) is not None:
        return to[0], to[1], int(to[2]) if len(to) == 3 else least
    x, y, v = seen_point(record, entry["keypoint"], names)
    if entry["decision"] == FIX or (x, y, v) == NOTHING:
        raise ValueError(f"the decision on {entry['keypoint']} does not state where it is")
    return x, y, 1 if entry["decision"] == HIDE else v or 2


def permitted(entry: Entry, source: str) -> bool:
    """Whether an entry may change a point of this `keypoint_source`; a human's only where it states so.

    A reviewer's own point, where neither a human nor the model had one, is `human` once it is applied; its entries have
    `none`.
    """
    return source != HUMAN or bool(entry.get("human")) or entry.get("source") == NONE


def seen_point(record: dict[str, Any], keypoint: str, names: tuple[str, ...]) -> XYV:
    """The point in the file, else the proposal with v = 0, else 0, 0, 0; raises ValueError for an unknown keypoint."""
    k = names.index(keypoint)
    x, y, v = record["keypoints"][3 * k : 3 * k + 3]
    if v > 0:
        return x, y, v
    proposal = proposal_of(record, keypoint)
    return NOTHING if proposal is None else (proposal["x"], proposal["y"], 0)


def proposal_of(record: dict[str, Any], keypoint: str) -> dict[str, Any] | None:
    """The model's proposal for a keypoint, if there is one."""
    return next((p for p in record.get("proposals") or [] if p["name"] == keypoint), None)


def review_problems(record: dict[str, Any], skeleton: Skeleton) -> Iterator[str]:
    """What of a record's `review` is not as described above."""
    try:
        entries = last_entries(record)
    except ValueError as error:
        yield str(error)
        return
    for keypoint, entry in entries.items():
        if keypoint not in skeleton.keypoints:
            yield f"review names {keypoint!r}, which is no keypoint of {skeleton.name}"
            continue
        try:
            outcome(entry, record, skeleton.keypoints)
        except ValueError as error:
            yield str(error)
