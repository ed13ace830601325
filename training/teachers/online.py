"""Online teachers: distributions for the student's own augmented crop, from any grid, input size and kind of output.

The teacher gets its own cut of the same region (same centre, rotation and mirroring, grown to its aspect), so that the
axes of both are parallel: one redistribution matrix an axis serves all mirrored crops, and one all others. The cache
(`cached_targets`) runs each teacher once a person instead of once a step, and is compared with this.

Shapes: N people, K keypoints of the student, W and H its bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from poseunion.models.codec import simcc
from poseunion.models.codec.crop import Crop, cut_crop
from poseunion.models.codec.heads import Alignment, HeatmapOutput
from poseunion.models.codec.regrid import Axis, axis_map, marginals_from_heatmap, regrid, sharpen, upsample
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.inference.predictor import Predictor
from poseunion.models.skeleton import Skeleton, project_indices

# Small positive noise that every heatmap network leaves everywhere; a sum over rows would collect it.
HEATMAP_FLOOR = 0.05


def teacher_crop(student: Crop, size_wh: tuple[int, int]) -> Crop:
    """The teacher's view of a student's crop: the same middle, at least as much of the picture, its own aspect."""
    height = student.width * student.size_wh[1] / student.size_wh[0]
    return replace(student, width=max(student.width, height * size_wh[0] / size_wh[1]), size_wh=size_wh)


def online_targets(
    teacher: Predictor, pictures: Sequence[NDArray[np.uint8]], crops: Sequence[Crop], grid: SimccGrid, target: Skeleton
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """A teacher's distributions on the student's bins.

    Args:
        pictures: what each crop is cut from.
        crops: the student's, in the pictures' pixels; mirrored ones are cut mirrored, and left and right are those
            of the student's crop.

    Returns:
        (N, K, W), (N, K, H) summing to one (uniform where the teacher predicts nothing), and (N, K) weights: the
        teacher's confidence times the share of its distribution that lies in the student's crop.
    """
    views = [teacher_crop(crop, teacher.size_wh) for crop in crops]
    pixels = np.stack([cut_crop(picture, view) for picture, view in zip(pictures, views, strict=True)])
    outputs = teacher.outputs(pixels)
    _, peak = teacher.decode(outputs)
    index = project_indices(teacher.skeleton, target)
    flips = np.array([crop.flip for crop in crops])
    rows, shares = [], []
    for axis in (0, 1):
        on_student = np.empty((len(crops), len(teacher.skeleton), grid.bins_wh[axis]))
        # Column u of a mirrored crop is W - 1 - u: between two sizes it moves otherwise than in one that is not.
        for some in (np.flatnonzero(flips), np.flatnonzero(~flips)):
            if len(some):
                one = some[0]
                on_student[some] = _moved(teacher, [o[some] for o in outputs], views[one], crops[one], grid, axis)
        share = on_student.sum(-1)[:, index] * (index >= 0)
        uniform = 1 / on_student.shape[-1]
        known = share[..., None] > 0
        normalised = on_student[:, index] / np.where(known, share[..., None], 1)
        rows.append(np.where(known, normalised, uniform).astype(np.float32))
        shares.append(np.clip(share, 0, 1))
    weight = np.clip(peak[:, index], 0, 1) * shares[0] * shares[1]
    return rows[0], rows[1], weight.astype(np.float32)


def _moved(
    teacher: Predictor, outputs: Sequence[NDArray[np.float32]], view: Crop, student: Crop, grid: SimccGrid, axis: int
) -> NDArray[np.float64]:
    """One axis of a teacher's distributions on the student's bins; sums to the share inside."""
    head = teacher.metadata.head
    if head.kind == "heatmap":
        return _from_heatmap(outputs[0], head, teacher.size_wh, view, student, grid, axis)
    scale, shift = axis_map(view, student, axis)
    matrix = regrid(Axis.of(teacher.metadata.grid, axis), Axis.of(grid, axis), scale=scale, shift_px=shift)
    return matrix.apply(simcc.softmax(outputs[axis]))


def _from_heatmap(
    heat_NKhw: NDArray[np.float32],
    head: HeatmapOutput,
    size_wh: tuple[int, int],
    view: Crop,
    student: Crop,
    grid: SimccGrid,
    axis: int,
) -> NDArray[np.float64]:
    """One axis of a heatmap teacher on the student's bins, as sharp as its labels; sums to the share inside."""
    marginal = marginals_from_heatmap(heat_NKhw, floor=HEATMAP_FLOOR)[axis]
    stride = size_wh[axis] / head.size_wh[axis]
    first_px = 0.0 if head.alignment is Alignment.CLASSIC else (stride - 1) / 2
    scale, shift = axis_map(view, student, axis)
    # Parts of a cell about as wide as a student's bin, so that `regrid` makes no stairs.
    factor = max(1, round(abs(scale) * stride * grid.split))
    fine = upsample(marginal, factor)
    source = Axis(fine.shape[-1], factor / stride, first_px - stride / 2 + stride / (2 * factor))
    target = Axis.of(grid, axis)
    moved = regrid(source, target, scale=scale, shift_px=shift).apply(fine)
    share = moved.sum(-1, keepdims=True)
    width = head.sigma_cells * stride * abs(scale) * grid.split
    return sharpen(moved, width, grid.sigma_bins[axis]) * share
