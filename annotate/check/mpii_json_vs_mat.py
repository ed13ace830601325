"""MPII's json against MPII's .mat: what the file in circulation lost or changed of what was labelled.

People are matched by picture, centre and scale. What the json has and the .mat has not is reported, never removed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from poseunion.annotate.check import json_patch
from poseunion.annotate.formats import AnnotationSet, Problem
from poseunion.annotate.formats.mpii import mpii_json as mpii
from poseunion.annotate.formats.mpii import mpii_mat
from poseunion.annotate.formats.mpii.mpii_json import SHIFT
from poseunion.models.errors import BadArgumentError
from poseunion.models.skeleton import Visibility

# The json's centre and scale are the .mat's, rounded or shifted by a pixel by some converters.
CENTRE_PX = 1.5
SCALE = 0.01
MOVED_PX = 0.51


def compare(annotations: AnnotationSet, reference: AnnotationSet) -> Iterator[Problem]:
    """Differences of an MPII json from MPII's .mat.

    The fix of a joint that was dropped puts it back: its coordinates, with `joints_vis` 0 where the .mat has occluded.

    Raises:
        BadArgumentError: the two are not an MPII json and MPII's .mat.
    """
    if annotations.format != mpii.NAME or reference.format != mpii_mat.NAME:
        raise BadArgumentError(
            f"{reference.source.path} cannot be compared with {annotations.source.path}: an MPII json against MPII's "
            ".mat is expected."
        )
    by_image: dict[str, list[int]] = defaultdict(list)
    for index, record in enumerate(reference.records):
        by_image[record["image"]].append(index)
    names = annotations.skeleton.keypoints
    for index, record in enumerate(annotations.records):
        if annotations.image_index[index] < 0:
            continue
        place = f"record {index} ({record['image']})"
        match = _match(annotations, index, reference, by_image.get(record["image"], []))
        if match is None:
            yield Problem(place, f"no person of {reference.source.path.name} has its picture, centre and scale", False)
            continue
        ours, theirs = annotations.visibility[index], reference.visibility[match]
        xy, their_xy = annotations.xy[index], reference.xy[match]
        for k in np.flatnonzero((theirs > 0) & (ours <= 0)).tolist():
            visible = int(theirs[k] == Visibility.VISIBLE)
            joint = (their_xy[k] + SHIFT).tolist()
            fix = (
                *json_patch.replace(json_patch.pointer(index, "joints", k), record["joints"][k], joint),
                *json_patch.replace(json_patch.pointer(index, "joints_vis", k), record["joints_vis"][k], visible),
            )
            state = "visible" if visible else "occluded"
            yield Problem(place, f"{names[k]} was dropped: the .mat has it, {state}", False, fix)
        for k in np.flatnonzero((ours > 0) & (theirs <= 0)).tolist():
            yield Problem(place, f"{names[k]} is not in the .mat", False)
        both = (ours > 0) & (theirs > 0)
        for k in np.flatnonzero(both & (np.abs(xy - their_xy).max(-1) > MOVED_PX)).tolist():
            distance = float(np.linalg.norm(xy[k] - their_xy[k]))
            yield Problem(place, f"{names[k]} lies {distance:.1f} px from where the .mat has it", False)
        if hidden := [names[k] for k in np.flatnonzero(both & (ours != theirs)).tolist()]:
            yield Problem(place, f"visibility differs from the .mat's: {', '.join(hidden)}", False)


def _match(annotations: AnnotationSet, index: int, reference: AnnotationSet, candidates: list[int]) -> int | None:
    record = annotations.records[index]
    for candidate in candidates:
        other = reference.records[candidate]
        if "center" not in other or "scale" not in other:
            continue
        near = np.abs(np.subtract(record["center"], other["center"])).max() <= CENTRE_PX
        if near and abs(record["scale"] - other["scale"]) <= SCALE * max(1.0, other["scale"]):
            return candidate
    return None
