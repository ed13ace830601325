"""Datasets whose files are COCO style with a twist: Halpe, CrowdPose, COCO-WholeBody, PoseTrack18, sub-JHMDB.

| format      | recognised by                    | twist                                                        |
|-------------|----------------------------------|--------------------------------------------------------------|
| halpe       | no names, 408 (or 78) numbers    | 136 keypoints, the first 26 are read; num_keypoints is wrong |
| crowdpose   | its names, pictures' `crowdIndex`| `head` is the head's top                                     |
| wholebody   | `foot_kpts`, or 133 keypoints    | feet, face and hands stand apart, or behind the body's 17    |
| posetrack18 | its names, pictures' `vid_id`    | visibility 1 is labelled, occluded or not                    |
| jhmdb       | its names, pictures' `vid_id`    | coordinates of a puppet model; as mmpose's COCO-style files  |

The `poseunion` block of a COCO-style extended file names the one that it was made from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import msgspec

from poseunion.annotate.formats.added_fields import added_fields, blocks, own_positions
from poseunion.annotate.formats.coco import coco_json as coco
from poseunion.annotate.formats.coco.coco_json import Dialect
from poseunion.annotate.formats.coco.coco_json_write import opened
from poseunion.annotate.formats.extension import Completion, Extension
from poseunion.annotate.formats.json_records import streamed
from poseunion.annotate.formats.json_stream import write_object
from poseunion.annotate.formats.skeleton_match import skeleton_of_names, skeleton_to_json
from poseunion.annotate.formats.types import AnnotationSet, Report, Source
from poseunion.annotate.formats.visibility import COCO, POSETRACK18, StateTable
from poseunion.models.errors import SkeletonError
from poseunion.models.skeleton import Skeleton, Visibility, load_skeleton

HALPE_KEYPOINTS = 136
WHOLEBODY_KEYPOINTS = 133


@dataclass(frozen=True)
class _Rule:
    """Marks of a dialect: its skeleton's names, and a field of its pictures."""

    dialect: Dialect
    skeleton: str
    image_field: str | None


_RULES = {
    "halpe": _Rule(Dialect("halpe", COCO, HALPE_KEYPOINTS), "halpe26", None),
    "crowdpose": _Rule(Dialect("crowdpose"), "crowdpose14", "crowdIndex"),
    "wholebody": _Rule(Dialect("wholebody", COCO, WHOLEBODY_KEYPOINTS), "coco17", None),
    "posetrack18": _Rule(Dialect("posetrack18", POSETRACK18), "posetrack17", "vid_id"),
    "jhmdb": _Rule(Dialect("jhmdb"), "jhmdb15", "vid_id"),
}


def table_of(name: str) -> StateTable:
    """The visibility numbers of a COCO-style format."""
    return _RULES[name].dialect.table if name in _RULES else COCO


def detect(name: str) -> Callable[[Source], bool]:
    """The detector of dialect `name`."""

    def found(source: Source) -> bool:
        return coco.detect(source) and _dialect_of(source.document) == name

    return found


def read(name: str) -> Callable[[Source, Skeleton | None, Report | None], AnnotationSet]:
    """The function that reads files of dialect `name`; arguments and errors as in `coco_json.read`."""
    rule = _RULES[name]

    def reader(source: Source, skeleton: Skeleton | None = None, report: Report | None = None) -> AnnotationSet:
        # Halpe's file names nothing: without the rule's skeleton it could not be read.
        names = _keypoint_names(source.document) if isinstance(source.document, dict) else []
        nameless = not names or len(names) == rule.dialect.length
        implied = load_skeleton(rule.skeleton) if rule.image_field is None and nameless else None
        return coco.read(source, skeleton or implied, report, rule.dialect)

    return reader


def _dialect_of(document: dict[str, Any]) -> str | None:
    block = document.get("poseunion")
    if isinstance(block, dict):
        return block.get("format") if block.get("format") in _RULES else None
    names, images = _keypoint_names(document), document.get("images")
    if _is_wholebody(document, names):
        return "wholebody"
    if not names:
        return "halpe" if _first_length(document) in (3 * HALPE_KEYPOINTS, 3 * 26) else None
    first = images[0] if isinstance(images, list) and images and isinstance(images[0], dict) else {}
    for name, rule in _RULES.items():
        if rule.image_field is not None and rule.image_field in first and _has_skeleton(names, rule.skeleton):
            return name
    return None


def _is_wholebody(document: dict[str, Any], names: list[str]) -> bool:
    """Whether the first person has `foot_kpts`, or 133 keypoints."""
    records = document.get("annotations")
    people = (r for r in records if isinstance(r, dict)) if isinstance(records, list) else iter(())
    body = not names or len(names) == WHOLEBODY_KEYPOINTS or _has_skeleton(names, "coco17")
    return body and ("foot_kpts" in next(people, {}) or _first_length(document) == 3 * WHOLEBODY_KEYPOINTS)


def _keypoint_names(document: dict[str, Any]) -> list[str]:
    categories = document.get("categories")
    entries = categories if isinstance(categories, list) else []
    named = [c for c in entries if isinstance(c, dict) and c.get("keypoints")]
    names = named[0]["keypoints"] if named else []
    return names if isinstance(names, list) and all(isinstance(n, str) for n in names) else []


def _has_skeleton(names: list[str], skeleton: str) -> bool:
    try:
        return skeleton_of_names(names).name == skeleton
    except SkeletonError:
        return False


def _first_length(document: dict[str, Any]) -> int:
    """Numbers in the first record that has keypoints."""
    records = document.get("annotations")
    lists = (r.get("keypoints") for r in records if isinstance(r, dict)) if isinstance(records, list) else iter(())
    return next((len(found) for found in lists if isinstance(found, list) and found), 0)


def write(file: BinaryIO, annotations: AnnotationSet, extension: Extension) -> None:
    """The dataset's own file back: as many keypoints as it had, the missing ones filled in where that was possible.

    For programs that read this dataset and nothing else. Keypoints that the dataset does not define have no place here;
    `keypoint_source`, `keypoint_confidence` and `proposals` concern its own ones. Visibility is written in the
    dataset's numbers.
    """
    document: dict[str, Any] = annotations.source.document

    def members() -> Iterator[tuple[str, Any]]:
        for key, value in document.items():
            if key == "annotations":
                yield key, _records(annotations, extension)
            elif key == "images":
                yield key, streamed(value)
            elif key != "poseunion":
                yield key, value
        own = skeleton_to_json(annotations.skeleton)
        yield "poseunion", {**extension.block, "skeleton": own, "format": annotations.format}

    write_object(file, members())


def _records(annotations: AnnotationSet, extension: Extension) -> Iterator[bytes]:
    own = own_positions(annotations, extension.skeleton)
    table = table_of(annotations.format)
    for index, completion in blocks(len(annotations), extension):
        record, encode = opened(annotations, index)
        if isinstance(record, dict) and isinstance(text := record.get("keypoints"), msgspec.Raw):
            record["keypoints"] = msgspec.json.decode(text)
        if isinstance(record, dict) and record.get("keypoints"):
            record = _filled(record, own, completion, index - completion.start, extension.skeleton, table)
        yield encode(record)


def _filled(
    record: dict[str, Any], own: Sequence[int], completion: Completion, row: int, output: Skeleton, table: StateTable
) -> dict[str, Any]:
    keypoints = list(record["keypoints"])
    for position in set(own) & set(completion.new(row)):
        k, v = own.index(position), table.from_state[Visibility(int(completion.visibility[row, position]))]
        keypoints[3 * k : 3 * k + 3] = [*completion.xy[row, position].tolist(), v]
    added = added_fields(completion, row, output.keypoints)
    names = {output.keypoints[position] for position in own}
    result = {**record, "keypoints": keypoints}
    if added["proposals"] and "num_keypoints" in record:
        result["num_keypoints_original"] = record["num_keypoints"]
        result["num_keypoints"] = sum(v > 0 for v in keypoints[2::3])
    return {
        **result,
        "keypoint_source": [added["keypoint_source"][p] for p in own],
        "keypoint_confidence": [added["keypoint_confidence"][p] for p in own],
        "proposals": [p for p in added["proposals"] if p["name"] in names],
        **{key: added[key] for key in ("proposed_by",) if key in added},
    }
