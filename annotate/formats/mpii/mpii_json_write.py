"""Writing MPII's json back: every record as it was, with the union's joints beside MPII's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from poseunion.annotate.formats.added_fields import added_fields, blocks, own_positions
from poseunion.annotate.formats.extension import Extension, Origin
from poseunion.annotate.formats.json_stream import write_list
from poseunion.annotate.formats.mpii.mpii_json import SHIFT
from poseunion.annotate.formats.types import AnnotationSet

UNLABELLED = (-1.0, -1.0)


def write(file: BinaryIO, annotations: AnnotationSet, extension: Extension) -> None:
    """Add `joints_union`, `keypoint_source`, `keypoint_confidence` and `proposals`, all 1-based like the file's joints.

    `joints_union` is in the output skeleton's order and holds the file's own joints to the digit; a keypoint without a
    point is (-1,-1).
    """
    names = extension.skeleton.keypoints
    own = own_positions(annotations, extension.skeleton)

    def records() -> Iterator[dict[str, Any]]:
        for index, completion in blocks(len(annotations), extension):
            record = annotations.records[index]
            row = index - completion.start
            origin = completion.origin[row].tolist()
            joints: list[Any] = [list(UNLABELLED) for _ in names]
            for k, joint in zip(own, record["joints"], strict=True):
                joints[k] = list(joint)
            for k, (x, y) in enumerate(completion.xy[row].tolist()):
                if origin[k] == Origin.DERIVED:
                    joints[k] = [x + SHIFT, y + SHIFT]
                elif origin[k] == Origin.PROPOSED:
                    joints[k] = [round(x + SHIFT, 2), round(y + SHIFT, 2)]
            yield {**record, "joints_union": joints, **added_fields(completion, row, names, shift=SHIFT)}

    write_list(file, records())
    file.write(b"\n")
