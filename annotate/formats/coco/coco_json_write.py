"""Writing extended COCO-style files from COCO-style files; `converted` does it from any other format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

import msgspec

from poseunion.annotate.formats.added_fields import added_fields, blocks, own_positions
from poseunion.annotate.formats.coco import coco_json as coco
from poseunion.annotate.formats.extension import Completion, Extension
from poseunion.annotate.formats.json_records import Records, streamed
from poseunion.annotate.formats.json_stream import dump, dump_fields, write_object
from poseunion.annotate.formats.types import AnnotationSet, is_another_class
from poseunion.models.skeleton import Skeleton


def write(file: BinaryIO, annotations: AnnotationSet, extension: Extension) -> None:
    """The document as it was, with its person records and category extended and a `poseunion` block at the end."""
    document: dict[str, Any] = annotations.source.document

    def members() -> Iterator[tuple[str, Any]]:
        for key, value in document.items():
            if key == "annotations":
                yield key, _records(annotations, extension)
            elif key == "categories":
                yield key, [_category(c, annotations, extension.skeleton) for c in value]
            elif key == "images":
                yield key, streamed(value)
            elif key != "poseunion":
                yield key, value
        # The human points keep the file's own visibility numbers: the next reader needs the dialect.
        dialect = {} if annotations.format == coco.NAME else {"format": annotations.format}
        yield "poseunion", {**extension.block, **dialect}

    write_object(file, members())


def _category(category: dict[str, Any], annotations: AnnotationSet, output: Skeleton) -> dict[str, Any]:
    if category["id"] not in annotations.people:
        return category
    names = list(output.keypoints)
    # The file's own spelling stays (LSP's `neck`).
    for position, name in zip(own_positions(annotations, output), category.get("keypoints") or (), strict=False):
        names[position] = name
    own = category.get("keypoints") or []
    more = {"keypoints_original": own} if len(own) > len(annotations.skeleton) else {}  # COCO-WholeBody's 133
    return {**category, "keypoints": names, "skeleton": links_of(output), **more}


def links_of(skeleton: Skeleton) -> list[list[int]]:
    """Links as COCO writes them: pairs of 1-based keypoint numbers."""
    return [[skeleton.keypoints.index(a) + 1, skeleton.keypoints.index(b) + 1] for a, b in skeleton.links]


def _records(annotations: AnnotationSet, extension: Extension) -> Iterator[bytes]:
    own = own_positions(annotations, extension.skeleton)
    output = extension.skeleton
    k = len(output)
    # Of COCO's own files a record without a fault has as many numbers as the skeleton needs, or none.
    whole = annotations.format == coco.NAME and own == range(len(own))
    for index, completion in blocks(len(annotations), extension):
        record, encode = opened(annotations, index)
        if isinstance(record, dict) and "id" not in record:
            record = {"id": index + 1, **record}
        reason, row = annotations.skip.get(index), index - completion.start
        triples = record.get("keypoints") or []
        if isinstance(triples, msgspec.Raw):
            wider = None
            if whole and reason is None:
                wider = _wider_text(triples, len(own), completion, row, k)
            if wider is not None:
                record["keypoints"] = wider
                yield encode(_described(record, completion, row, output))
                continue
            triples = record["keypoints"] = msgspec.json.decode(triples)
        if not is_another_class(reason) and (triples or completion.rows.asked[row]):
            record = extended_record(record, triples or [], own, completion, row, output)
        yield encode(record)


def opened(annotations: AnnotationSet, index: int) -> tuple[dict[str, Any], Callable[[Any], bytes]]:
    """A record, of a large file its values as text, and the function that encodes it."""
    records = annotations.records
    if isinstance(records, Records) and (fields := records.fields(index)) is not None:
        return fields, dump_fields
    return records[index], dump


def _wider_text(text: msgspec.Raw, own: int, completion: Completion, row: int, k: int) -> msgspec.Raw | None:
    """The text of a person's `own` keypoints with the other ones of `k` behind; None where one of `own` is replaced."""
    new = completion.new(row)
    if new and new[0] < own:
        return None
    if own == k:
        return text
    behind: list[Any] = [0] * (3 * (k - own))
    for position in new:
        start = 3 * (position - own)
        behind[start : start + 3] = _point(completion, row, position)
    return msgspec.Raw(bytes(text)[:-1] + b"," + dump_fields(behind)[1:])


def extended_record(
    record: dict[str, Any],
    triples: list[Any],
    own: Sequence[int],
    completion: Completion,
    row: int,
    output: Skeleton,
) -> dict[str, Any]:
    """`record` with its keypoints widened to `output`; `triples`, the human ones, are copied as they are to `own`."""
    keypoints: list[Any] = [0] * (3 * len(output))
    for k, start in zip(own, range(0, len(triples), 3), strict=False):
        keypoints[3 * k : 3 * k + 3] = triples[start : start + 3]
    replaced = False
    for k in completion.new(row):
        replaced |= any(keypoints[3 * k : 3 * k + 2])
        keypoints[3 * k : 3 * k + 3] = _point(completion, row, k)
    result = {**record, "keypoints": keypoints}
    if replaced or len(triples) > 3 * len(own):  # numbers of points without a label; Halpe's face and hands
        result["keypoints_original"] = triples
    return _described(result, completion, row, output)


def _point(completion: Completion, row: int, k: int) -> list[Any]:
    return [*completion.xy[row, k].tolist(), int(completion.visibility[row, k])]


def _described(record: dict[str, Any], completion: Completion, row: int, output: Skeleton) -> dict[str, Any]:
    """`record` with the number of its keypoints and the added fields."""
    rows = completion.rows
    if rows.derived[row] or rows.asked[row]:
        if "num_keypoints" in record:
            record["num_keypoints_original"] = record["num_keypoints"]
        record["num_keypoints"] = rows.standing[row]  # the file's own (0, 0, 2) is no label
    record.update(added_fields(completion, row, output.keypoints))
    return record
