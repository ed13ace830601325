"""The MPII json that circulates: a list of `image, center, scale, joints, joints_vis` (HRNet, mmpose).

Coordinates are 1-based: every labelled joint and the centre are shifted by exactly 1 to become 0-based. A joint at
(-1,-1) or (0,0) is no label and is never shifted. MPII has no box of a person (its head box is another thing), so it
is grown from the labelled joints, see `boxes`; a person with fewer than two has the square of `200 * scale` px. That
square is what MPII's evaluation crops, as in every MPII toolbox: the centre is moved down by `15 * scale` px and the
crop shows 1.25 times the size. `scale` is made from the head: see `SIZE_PX`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats.boxes import boxes_of_joints
from poseunion.annotate.formats.coco.coco_json import are_numbers, is_number
from poseunion.annotate.formats.skeleton_match import reordered
from poseunion.annotate.formats.types import (
    MALFORMED,
    NO_HUMAN_KEYPOINT,
    AnnotationSet,
    ImageRef,
    Problem,
    ProtocolBoxes,
    Report,
    Source,
    empty_rows,
    refuse,
)
from poseunion.annotate.formats.visibility import mpii_states
from poseunion.models.errors import BadFileError
from poseunion.models.skeleton import Skeleton, Visibility, load_skeleton

NAME = "mpii"
SHIFT = 1  # the file counts pixels from 1
BODY_PX = 200.0  # what scale 1 stands for
SIZE_PX = 250.0  # per unit of scale: 7.5 head lengths, the size that `boxes` works with
CENTRE_DOWN_PX = 15.0  # per unit of scale, so that the feet are not cut off
PADDING = 1.25


def detect(source: Source) -> bool:
    """Whether this is a list of objects with `image` and `joints`."""
    return "joints" in source.first


def read(source: Source, skeleton: Skeleton | None = None, report: Report | None = None) -> AnnotationSet:
    """Read an MPII json file; arguments and errors as in `coco_json.read`."""
    report = report or refuse(source.path)
    skeleton = reordered(load_skeleton("mpii16"), skeleton.keypoints) if skeleton else load_skeleton("mpii16")
    records = source.document
    if not isinstance(records, list):
        raise BadFileError(
            f"{source.path} is not MPII's json: a list of persons with image, center, scale, joints is expected."
        )
    xy_NK2, visibility_NK, square_N4, image_N = empty_rows(len(records), len(skeleton))
    images: list[ImageRef] = []
    position_of: dict[str, int] = {}
    skip: dict[int, str] = {}
    for index, record in enumerate(records):
        problems = _problems(record, len(skeleton))
        if problems:
            for text in problems:
                report(Problem(f"record {index}", text))
            skip[index] = MALFORMED
            continue
        name = record["image"]
        if name not in position_of:
            position_of[name] = len(images)
            images.append(ImageRef(len(images) + 1, name))
        image_N[index] = position_of[name]
        joints_K2 = np.array(record["joints"], np.float64)
        states = mpii_states(joints_K2, np.array(record["joints_vis"], np.float64))
        if "joints_source" in record:  # `annotate release` fills gaps, and no proposal is ever called human
            states[np.array(record["joints_source"]) != "human"] = Visibility.ABSENT
        visibility_NK[index] = states
        xy_NK2[index] = np.where(states[:, None] > 0, joints_K2 - SHIFT, 0.0)
        square_N4[index] = person_square(record["center"], record["scale"])
        if not (states > 0).any():
            skip[index] = NO_HUMAN_KEYPOINT
    person_N4, protocol = person_boxes(square_N4, xy_NK2, visibility_NK, skeleton)
    return AnnotationSet(
        NAME, skeleton, source, records, images, image_N, xy_NK2, visibility_NK, person_N4, protocol, skip, 1
    )


def person_boxes(
    square_N4: NDArray[np.float64],
    xy_NK2: NDArray[np.float64],
    visibility_NK: NDArray[np.int8],
    skeleton: Skeleton,
) -> tuple[NDArray[np.float64], ProtocolBoxes]:
    """(N, 4) boxes around the labelled joints, else the squares; and the squares that the protocol crops.

    Args:
        square_N4: of `person_square`; NaN where a record has no centre and scale, which then get the box, too.
    """
    box_N4 = boxes_of_joints(xy_NK2, visibility_NK, skeleton, square_N4[:, 2] * SIZE_PX / BODY_PX)
    return (
        np.where(np.isnan(box_N4), square_N4, box_N4),
        ProtocolBoxes(np.where(np.isnan(square_N4), box_N4, square_N4), PADDING),
    )


def person_square(center: list[float], scale: float) -> tuple[float, float, float, float]:
    """The square of MPII's protocol, unpadded: xywh in 0-based pixels, from the file's 1-based centre."""
    size = BODY_PX * scale
    x, y = center[0] - SHIFT, center[1] - SHIFT + CENTRE_DOWN_PX * scale
    return x - size / 2, y - size / 2, size, size


def _problems(record: Any, k: int) -> list[str]:
    if not isinstance(record, dict) or not isinstance(record.get("image"), str):
        return ["a person needs the name of an image"]
    problems = []
    joints, vis = record.get("joints"), record.get("joints_vis")
    if not isinstance(joints, list) or len(joints) != k:
        count = len(joints) if isinstance(joints, list) else "no"
        problems.append(f"{count} joints, where mpii16 has {k}")
    elif not all(isinstance(j, list) and len(j) == 2 and is_number(j[0]) and is_number(j[1]) for j in joints):
        problems.append("joints is not a list of pairs of finite numbers")
    if not isinstance(vis, list) or len(vis) != k or not all(is_number(v) and v in (0, 1) for v in vis):
        problems.append(f"joints_vis is not a list of {k} zeros and ones")
    center, scale = record.get("center"), record.get("scale")
    if not are_numbers(center, 2):
        problems.append(f"center {center!r} is not a pair of finite numbers")
    sources = record.get("joints_source", [""] * k)
    if not isinstance(sources, list) or len(sources) != k:
        problems.append(f"joints_source does not have {k} entries")
    if not is_number(scale):
        problems.append(f"scale {scale!r} is not a finite number")
    return problems
