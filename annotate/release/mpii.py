"""The dataset as MPII's json, for training code that reads MPII: 16 joints a person, and all keypoints beside them.

`joints` holds every point that stands, 1-based; `joints_source` has the origin of each of the 16, as an added point is
no human label. `joints_union` has the file's whole skeleton, in the order of `keypoint_source`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.added_fields import has_added_fields
from poseunion.annotate.formats.json_stream import write_list
from poseunion.annotate.formats.mpii.mpii_json import BODY_PX, CENTRE_DOWN_PX, SHIFT
from poseunion.annotate.formats.mpii.mpii_json import NAME as MPII
from poseunion.annotate.formats.mpii.mpii_json_write import UNLABELLED
from poseunion.models.errors import BadArgumentError
from poseunion.models.skeleton import Visibility, load_skeleton

MPII16 = load_skeleton("mpii16")


def write(file: BinaryIO, annotations: AnnotationSet, original: AnnotationSet) -> int:
    """Write the people of a released file; returns how many were left out because they have no box.

    Args:
        original: if it is MPII's json itself, its own fields and numbers are written as they are.

    Raises:
        BadArgumentError: the file lacks keypoints of MPII.
    """
    if missing := sorted(set(MPII16.keypoints) - set(annotations.skeleton.keypoints)):
        raise BadArgumentError(f"--format mpii needs MPII's 16 keypoints, and the file has no {missing[0]}.")
    left_out = 0

    def records() -> Iterator[dict[str, Any]]:
        nonlocal left_out
        for row in range(len(annotations)):
            own = original.records[row] if original.format == MPII else None
            record = annotations.records[row]
            if own is None and not (has_added_fields(record) and (annotations.visibility[row] > 0).any()):
                continue
            if own is None and (np.isnan(annotations.box_xywh[row]).any() or record.get("iscrowd")):
                left_out += 1
                continue
            yield _person(annotations, row, own)

    write_list(file, records())
    file.write(b"\n")
    return left_out


def _person(annotations: AnnotationSet, row: int, own: dict[str, Any] | None) -> dict[str, Any]:
    record = annotations.records[row]
    names = annotations.skeleton.keypoints
    sources = record.get("keypoint_source") or ["none"] * len(names)
    union = [_joint(annotations, row, k) for k in range(len(names))]
    joints, seen, joints_source = [], [], []
    for j, name in enumerate(MPII16.keypoints):
        k = annotations.skeleton.index(name)
        if own is not None and sources[k] in ("human", "none") and not _touched(record, name):  # to the digit
            if sources[k] == "human":
                union[k] = own["joints"][j]
            joints.append(own["joints"][j])
            seen.append(own["joints_vis"][j])
        else:
            joints.append(union[k])
            seen.append(int(annotations.visibility[row, k] == Visibility.VISIBLE))
        joints_source.append(sources[k])
    added = {"joints_source": joints_source, "joints_union": union, "keypoint_source": sources}
    confidence = {"keypoint_confidence": record.get("keypoint_confidence")}
    return {**(own or _place(annotations, row)), "joints": joints, "joints_vis": seen, **added, **confidence}


def _touched(record: dict[str, Any], keypoint: str) -> bool:
    return any(entry["keypoint"] == keypoint for entry in record.get("review") or [])


def _joint(annotations: AnnotationSet, row: int, k: int) -> list[float]:
    if annotations.visibility[row, k] <= 0:
        return list(UNLABELLED)
    return [round(float(v) + SHIFT, 6) for v in annotations.xy[row, k]]


def _place(annotations: AnnotationSet, row: int) -> dict[str, Any]:
    """Picture, centre and scale such that MPII's square is the one around the box, see `mpii.person_square`."""
    x, y, w, h = annotations.box_xywh[row].tolist()
    scale = max(w, h) / BODY_PX
    center = [x + w / 2 + SHIFT, y + h / 2 + SHIFT - CENTRE_DOWN_PX * scale]
    image = annotations.images[int(annotations.image_index[row])].file_name
    return {"image": image, "center": center, "scale": scale}
