"""MPII's own `mpii_human_pose_v1_u12_1.mat`: the struct RELEASE (Andriluka et al. 2014).

RELEASE.annolist(i).image.name, .annorect(j) with `scale`, `objpos.x/.y`, the head box `x1 … y2` and
`annopoints.point(p)` with `x`, `y`, `id` (0 … 15), `is_visible`; RELEASE.img_train(i); RELEASE.single_person{i}.
What is missing is [] or no field at all; test people have no annopoints. Unlike the json in circulation it has occluded
joints and marks them. Coordinates are 1-based; `scale`, boxes and the protocol's crop are as in `mpii`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats.matlab import elements, field, fields, inner, number, text
from poseunion.annotate.formats.mpii.mpii_json import SHIFT, person_boxes, person_square
from poseunion.annotate.formats.skeleton_match import reordered
from poseunion.annotate.formats.types import (
    MALFORMED,
    NO_HUMAN_KEYPOINT,
    AnnotationSet,
    ImageRef,
    Problem,
    Report,
    Source,
    empty_rows,
    refuse,
)
from poseunion.annotate.formats.visibility import MPII_MAT
from poseunion.models.errors import BadFileError
from poseunion.models.skeleton import Skeleton, Visibility, load_skeleton

NAME = "mpii-mat"
HEAD_BOX = ("x1", "y1", "x2", "y2")


def detect(source: Source) -> bool:
    """Whether this is a MATLAB file with a struct RELEASE that has an annolist."""
    return source.path.suffix.lower() == ".mat" and "annolist" in fields(source.document.get("RELEASE"))


def read(source: Source, skeleton: Skeleton | None = None, report: Report | None = None) -> AnnotationSet:
    """Read MPII's .mat; arguments and errors as in `coco_json.read`. One record is one annorect."""
    report = report or refuse(source.path)
    mpii = load_skeleton("mpii16")
    mpii = reordered(mpii, skeleton.keypoints) if skeleton else mpii
    release = inner(source.document.get("RELEASE"))
    if release is None or field(release, "annolist") is None:
        raise BadFileError(f"{source.path} is not MPII's .mat: a struct RELEASE with an annolist is expected.")
    annolist = elements(field(release, "annolist"))
    train = np.asarray(field(release, "img_train") if "img_train" in fields(release) else []).ravel()
    images: list[ImageRef] = []
    people: list[tuple[int, int, Any]] = []
    for position, entry in enumerate(annolist):
        name = text(field(inner(field(entry, "image")), "name"))
        if name is None:
            report(Problem(f"annolist({position + 1})", "it has no image.name"))
        images.append(ImageRef(position + 1, name or ""))
        annorect = field(entry, "annorect")
        people += [(position, j, rect) for j, rect in enumerate(elements(annorect)) if fields(annorect)]

    xy_NK2, visibility_NK, square_N4, image_N = empty_rows(len(people), len(mpii))
    records: list[dict[str, Any]] = []
    skip: dict[int, str] = {}
    for row, (position, j, rect) in enumerate(people):
        image_N[row] = position
        record = _record(rect, images[position].file_name, position, j)
        if position < len(train):
            record["img_train"] = int(train[position])
        records.append(record)
        problem = _read_points(rect, xy_NK2[row], visibility_NK[row])
        if problem is not None:
            report(Problem(f"annolist({position + 1}).annorect({j + 1})", problem))
            skip[row] = MALFORMED
            continue
        if "center" in record and "scale" in record:
            square_N4[row] = person_square(record["center"], record["scale"])
        if not (visibility_NK[row] > 0).any():
            skip[row] = NO_HUMAN_KEYPOINT
    person_N4, protocol = person_boxes(square_N4, xy_NK2, visibility_NK, mpii)
    return AnnotationSet(
        NAME, mpii, source, records, images, image_N, xy_NK2, visibility_NK, person_N4, protocol, skip, 1
    )


def _record(rect: Any, image: str, position: int, j: int) -> dict[str, Any]:
    """A person's fields under the names of MPII's json, as far as they are stated."""
    record: dict[str, Any] = {"image": image, "annolist": position + 1, "annorect": j + 1}
    objpos = inner(field(rect, "objpos"))
    center = [number(field(objpos, axis)) for axis in ("x", "y")]
    if None not in center:
        record["center"] = center
    if (scale := number(field(rect, "scale"))) is not None:
        record["scale"] = scale
    head = [number(field(rect, side)) for side in HEAD_BOX]
    if None not in head:
        record["head_box"] = head
    return record


def points_of(rect: Any) -> list[Any] | None:
    """The points of an annorect; None where it has no annopoints."""
    annopoints = inner(field(rect, "annopoints"))
    points = field(annopoints, "point")
    return elements(points) if fields(points) else None


def _read_points(rect: Any, xy_K2: NDArray[np.float64], visibility_K: NDArray[np.int8]) -> str | None:
    """Fill in a person's points; returns what is wrong with them."""
    points = points_of(rect)
    if points is None:
        return None  # UNDEFINED: nothing is published
    visibility_K[:] = Visibility.ABSENT
    for point in points:
        k, x, y = (number(field(point, name)) for name in ("id", "x", "y"))
        if k is None or x is None or y is None or not np.isfinite([x, y]).all():
            return "a point has no id, x or y"
        if k != int(k) or not 0 <= k < len(visibility_K):
            return f"a point has the id {k:g}, where 0 to {len(visibility_K) - 1} are known"
        if visibility_K[int(k)] != Visibility.ABSENT:
            return f"point {k:g} stands twice"
        visible = number(field(point, "is_visible"))
        state = Visibility.VISIBLE if visible is None else MPII_MAT.to_state.get(int(visible))
        if state is None:
            return f"point {k:g} has is_visible {visible:g}, where 0 or 1 is expected"
        xy_K2[int(k)] = x - SHIFT, y - SHIFT
        visibility_K[int(k)] = state
    return None
