"""The proof that a file holds what humans labelled: every number and field of the original, to the digit."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.added_fields import has_added_fields
from poseunion.annotate.formats.coco import results
from poseunion.annotate.formats.coco.coco_json import is_number
from poseunion.annotate.formats.coco.from_any import coco_triples
from poseunion.annotate.formats.review_entries import HUMAN, NONE
from poseunion.annotate.formats.types import name_of
from poseunion.models.errors import BadFileError

# What `extend` and `apply` may change in a record, a category and the document.
_RECORD = ("keypoints", "num_keypoints")
_CATEGORY = ("keypoints", "skeleton")
_DOCUMENT = ("annotations", "categories", "poseunion")
# What a record of another format becomes in COCO style: its points, compared as such, and what COCO style names itself.
_CONVERTED = ("joints", "joints_vis", "id", "image_id", "category_id", "iscrowd", "bbox", "area")


@dataclass
class Proof:
    """What differs between an original file and the one to be released.

    Attributes:
        records: people and other records, the same number in the same order.
        human_points: labelled in the original.
        identical: of them, the same to the last digit, visibility included.
        corrected: of them, changed by a reviewer's decision that was made to do so: annotation, keypoint, before,
            after, reviewer, time.
        fields: other values of the original that were compared, records and pictures.
        added: source -> points that the original did not have.
        faults: everything that differs and should not; empty, or nothing is released.
    """

    original: str
    original_sha256: str
    records: int = 0
    human_points: int = 0
    identical: int = 0
    corrected: list[dict[str, Any]] = field(default_factory=list)
    fields: int = 0
    added: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def prove(before: AnnotationSet, after: AnnotationSet) -> Proof:
    """Compare an original, of any format, with what is to be released, in COCO style.

    Raises:
        BadFileError: the original holds predictions, or is not the file that was extended.
    """
    proof = Proof(before.source.path.name, before.source.sha256, len(before))
    stated = after.source.document["poseunion"].get("original_sha256")
    if stated is not None and stated != before.source.sha256:
        raise BadFileError(
            f"{before.source.path} is not the file that was extended to {after.source.path}: its checksum differs; "
            "give the original with --original."
        )
    if before.format in results.PREDICTIONS:
        raise BadFileError(f"{before.source.path} holds predictions and nothing human: there is nothing to release.")
    if len(before) != len(after):
        proof.faults.append(f"{len(before)} records became {len(after)}")
        return proof
    coco_style = isinstance(before.source.document, dict) and "annotations" in before.source.document
    if coco_style:
        _compare_documents(before.source.document, after.source.document, before.people, proof)
    if missing := sorted(set(before.skeleton.keypoints) - set(after.skeleton.keypoints)):
        proof.faults.append(f"keypoint {missing[0]} is gone")
        return proof
    own = [after.skeleton.index(name) for name in before.skeleton.keypoints]
    added: Counter[str] = Counter()
    for row in range(len(before)):
        _compare_fields(before, after, row, coco_style, proof)
        added += _compare_points(before, after, row, own, coco_style, proof)
    proof.added = dict(sorted(added.items()))
    return proof


def _compare_documents(old: dict[str, Any], new: dict[str, Any], people: dict[Any, str], proof: Proof) -> None:
    for key, value in old.items():
        if key not in _DOCUMENT:
            proof.fields += len(value) if isinstance(value, list) else 1
            if not _same(value, new.get(key)):
                proof.faults.append(f"{key} of the file differs")
    for one, other in zip(old["categories"], new["categories"], strict=False):
        changes = _CATEGORY if one.get("id") in people else ()
        if any(not _same(one[key], other.get(key)) for key in one if key not in changes):
            proof.faults.append(f"category {one.get('id')} differs")
    if len(old["categories"]) != len(new["categories"]):
        proof.faults.append("the number of categories differs")


def _compare_fields(before: AnnotationSet, after: AnnotationSet, row: int, coco_style: bool, proof: Proof) -> None:
    """All of a record but its points."""
    old, new = before.records[row], after.records[row]
    if not isinstance(old, dict):
        return
    changes = (_RECORD if has_added_fields(new) else ()) if coco_style else (*_RECORD, *_CONVERTED)
    for key in old.keys() - set(changes):
        value = old[key]
        proof.fields += 1
        if not _same(value, new.get(key)):
            proof.faults.append(f"annotation {name_of(new, row)}: {key} differs")
    counted = "num_keypoints_original" if "num_keypoints_original" in new else "num_keypoints"
    if coco_style and "num_keypoints" in old and not _same(old["num_keypoints"], new.get(counted)):
        proof.faults.append(f"annotation {name_of(new, row)}: {counted} differs")
    pictures = [a.images[i].file_name if (i := int(a.image_index[row])) >= 0 else None for a in (before, after)]
    if pictures[0] != pictures[1]:
        proof.faults.append(f"annotation {name_of(new, row)}: its picture differs")


def _compare_points(
    before: AnnotationSet, after: AnnotationSet, row: int, own: Sequence[int], coco_style: bool, proof: Proof
) -> Counter[str]:
    """A record's points; returns how many of each source the original does not have."""
    old, new = before.records[row], after.records[row]
    added: Counter[str] = Counter()
    if not has_added_fields(new):
        values = old.get("keypoints") if coco_style and isinstance(old, dict) else None
        stated = [v for v in values[2::3] if is_number(v) and v > 0] if isinstance(values, list) else None
        labelled = int((before.visibility[row] > 0).sum()) if stated is None else len(stated)
        proof.human_points += labelled
        proof.identical += labelled  # the whole record was compared
        return added
    triples = (old.get("keypoints") or []) if coco_style else coco_triples(before, row)
    known = set()
    for k, position in enumerate(own):
        if before.visibility[row, k] <= 0:
            continue
        known.add(position)
        proof.human_points += 1
        was, now = triples[3 * k : 3 * k + 3], new["keypoints"][3 * position : 3 * position + 3]
        if _same(was, now) and new["keypoint_source"][position] == HUMAN:
            proof.identical += 1
            continue
        name = after.skeleton.keypoints[position]
        entry = _correction(new, name, was, now)
        if entry is None:
            proof.faults.append(f"annotation {name_of(new, row)}: {name} was {was} and is {now}")
            continue
        decided = {"reviewer": entry["reviewer"], "time": entry["time"]}
        proof.corrected.append({"annotation": new["id"], "keypoint": name, "before": was, "after": now, **decided})
    for position, source in enumerate(new["keypoint_source"]):
        if position in known or source == NONE:
            continue
        name = after.skeleton.keypoints[position]
        if source == HUMAN and not _placed(new, name):
            proof.faults.append(f"annotation {name_of(new, row)}: {name} is called human, but the original has none")
        added["reviewer" if source == HUMAN else source] += 1
    return added


def _correction(record: dict[str, Any], keypoint: str, was: list[Any], now: list[Any]) -> dict[str, Any] | None:
    """The decision that changed a human point to exactly this, if there is one."""
    entries = [e for e in record.get("review") or [] if e.get("keypoint") == keypoint and e.get("human")]
    if entries and list(entries[0]["from"]) == list(was) and list(entries[-1]["to"]) == list(now):
        return dict(entries[-1])
    return None


def _placed(record: dict[str, Any], keypoint: str) -> bool:
    """Whether a reviewer placed this point, where neither a human nor the model had one."""
    return any(e.get("keypoint") == keypoint and e.get("source") == NONE for e in record.get("review") or [])


def _same(one: Any, other: Any) -> bool:
    """Equal as written: 1 is not 1.0 here."""
    return one is other or json.dumps(one) == json.dumps(other)
