"""Writing MPII's .mat back: every struct as it was, with the union's joints beside MPII's own.

Every annorect that has fields at all gets, 1-based like the file itself:
`joints_union`         Kx2, NaN where there is no point; the file's own joints to the digit
`joints_union_vis`     Kx1, 1 visible, 0 occluded, NaN where there is no point
`keypoint_source`      Kx1 cell of human, proposed, derived, none
`keypoint_confidence`  Kx1, NaN where nothing was predicted
and the file gets a variable `keypoint_names`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats.added_fields import blocks, own_positions
from poseunion.annotate.formats.extension import ORIGIN_NAMES, Completion, Extension, Origin
from poseunion.annotate.formats.matlab import cell_row, elements, field, fields, number, save_mat
from poseunion.annotate.formats.mpii.mpii_json import SHIFT
from poseunion.annotate.formats.mpii.mpii_mat import points_of
from poseunion.annotate.formats.types import AnnotationSet
from poseunion.annotate.formats.visibility import MPII_MAT
from poseunion.models.skeleton import Visibility

ADDED = ("joints_union", "joints_union_vis", "keypoint_source", "keypoint_confidence")


def write(file: BinaryIO, annotations: AnnotationSet, extension: Extension) -> None:
    """Write the .mat with what was added; see the module."""
    document = annotations.source.document
    release = document["RELEASE"].copy()
    annolist = release[0, 0]["annolist"].copy()
    rows = blocks(len(annotations), extension)
    for entry in elements_in_place(annolist):
        annorect = field(entry, "annorect")
        if fields(annorect) and annorect.size:
            entry["annorect"] = _extended(annorect, rows, annotations, extension)
    release[0, 0]["annolist"] = annolist
    names = {"keypoint_names": cell_row(list(extension.skeleton.keypoints))}
    save_mat(file, {**document, "RELEASE": release, **names, "poseunion": extension.block["version"]})


def elements_in_place(array: NDArray[Any]) -> Iterator[Any]:
    """The structs of a struct array, to be written to."""
    for index in range(array.size):
        yield array[np.unravel_index(index, array.shape, order="F")]


def _extended(
    annorect: NDArray[Any],
    rows: Iterator[tuple[int, Completion]],
    annotations: AnnotationSet,
    extension: Extension,
) -> NDArray[Any]:
    old = [name for name in fields(annorect) if name not in ADDED]
    result = np.empty(annorect.shape, dtype=[(name, object) for name in (*old, *ADDED)])
    for before, after in zip(elements(annorect), elements_in_place(result), strict=True):
        for name in old:
            after[name] = before[name]
        index, completion = next(rows)
        for name, value in zip(ADDED, _added(before, annotations, extension, index, completion), strict=True):
            after[name] = value
    return result


def _added(
    rect: Any, annotations: AnnotationSet, extension: Extension, index: int, completion: Completion
) -> tuple[NDArray[Any], ...]:
    own = own_positions(annotations, extension.skeleton)
    row = index - completion.start
    k = len(extension.skeleton)
    xy, vis = np.full((k, 2), np.nan), np.full((k, 1), np.nan)
    if index not in annotations.skip:
        for point in points_of(rect) or []:
            joint = int(number(field(point, "id")) or 0)
            xy[own[joint]] = number(field(point, "x")), number(field(point, "y"))
            vis[own[joint]] = annotations.visibility[index, joint] == Visibility.VISIBLE
    origin = completion.origin[row]
    new = np.isin(origin, (Origin.DERIVED, Origin.PROPOSED))
    xy[new] = completion.xy[row, new] + SHIFT
    vis[new, 0] = [MPII_MAT.from_state[Visibility(int(v))] for v in completion.visibility[row, new]]
    source = np.array([[ORIGIN_NAMES[o]] for o in origin.tolist()], dtype=object)
    return xy, vis, source, completion.confidence[row][:, None]
