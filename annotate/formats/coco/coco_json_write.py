"""Writing extended COCO-style files from COCO-style files; `converted` does it from any other format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from poseunion.annotate.formats.added_fields import added_fields, blocks, own_positions
from poseunion.annotate.formats.coco import coco_json as coco
from poseunion.annotate.formats.extension import Completion, Extension, Origin
from poseunion.annotate.formats.json_stream import write_object
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
                yield key, iter(value)
            elif key != "poseunion":
                yield key, value
        # The human points keep the file's own visibility numbers: whoever reads them again has to know whose they are.
        dialect = {} if annotations.format == coco.NAME else {"format": annotations.format}
        yield "poseunion", {**extension.block, **dialect}

    write_object(file, members())


def _category(category: dict[str, Any], annotations: AnnotationSet, output: Skeleton) -> dict[str, Any]:
    if category["id"] not in annotations.people:
        return category
    names = list(output.keypoints)
    # The file's own spelling stays (LSP says `neck`).
    for position, name in zip(own_positions(annotations, output), category.get("keypoints") or (), strict=False):
        names[position] = name
    own = category.get("keypoints") or []
    more = {"keypoints_original": own} if len(own) > len(annotations.skeleton) else {}  # COCO-WholeBody's 133
    return {**category, "keypoints": names, "skeleton": links_of(output), **more}


def links_of(skeleton: Skeleton) -> list[list[int]]:
    """Links as COCO writes them: pairs of 1-based keypoint numbers."""
    return [[skeleton.keypoints.index(a) + 1, skeleton.keypoints.index(b) + 1] for a, b in skeleton.links]


def _records(annotations: AnnotationSet, extension: Extension) -> Iterator[dict[str, Any]]:
    own = own_positions(annotations, extension.skeleton)
    for index, completion in blocks(len(annotations), extension):
        record = annotations.records[index]
        if isinstance(record, dict) and "id" not in record:
            record = {"id": index + 1, **record}
        if is_another_class(annotations.skip.get(index)) or not (record.get("keypoints") or _gained(completion, index)):
            yield record  # as it was
            continue
        yield extended_record(
            record, record.get("keypoints") or [], own, completion, index - completion.start, extension.skeleton
        )


def _gained(completion: Completion, index: int) -> bool:
    return bool((completion.confidence[index - completion.start] >= 0).any())


def extended_record(
    record: dict[str, Any],
    triples: list[Any],
    own: list[int],
    completion: Completion,
    row: int,
    output: Skeleton,
) -> dict[str, Any]:
    """`record` with its keypoints widened to `output`; `triples`, the human ones, are copied as they are to `own`."""
    added = added_fields(completion, row, output.keypoints)
    origin = completion.origin[row].tolist()
    xy = completion.xy[row].tolist()
    visibility = completion.visibility[row].tolist()
    keypoints: list[Any] = [0] * (3 * len(output))
    for k, start in zip(own, range(0, len(triples), 3), strict=False):
        keypoints[3 * k : 3 * k + 3] = triples[start : start + 3]
    replaced = False
    for k, source in enumerate(origin):
        if source in (Origin.DERIVED, Origin.PROPOSED):
            replaced |= any(keypoints[3 * k : 3 * k + 2])
            keypoints[3 * k : 3 * k + 3] = [*xy[k], visibility[k]]
    result = {**record, "keypoints": keypoints}
    if replaced or len(triples) > 3 * len(own):  # numbers of points without a label; Halpe's face and hands
        result["keypoints_original"] = triples
    labelled = sum(source != Origin.NONE for source in origin)  # the file's own (0, 0, 2) is no label
    if Origin.DERIVED in origin or added["proposals"]:
        if "num_keypoints" in record:
            result["num_keypoints_original"] = record["num_keypoints"]
        result["num_keypoints"] = labelled
    return {**result, **added}
