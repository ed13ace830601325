"""Heatmaps of different networks on one grid: SimCC drawn as a heatmap, other crops, alignments and quarter turns.

Shapes: N people, K keypoints, h and w cells, X and Y bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from poseunion.models.codec import simcc
from poseunion.models.codec.crop import Crop, affine_to_crop, compose, invert_affine
from poseunion.models.codec.heads import Alignment, HeatmapOutput
from poseunion.models.codec.heatmap import keys_matrix
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.inference.predictor import Predictor
from poseunion.models.keypoint_offsets import DefinitionOffset
from poseunion.models.skeleton import Skeleton

# Cells for a SimCC network, which has none: as usual for heatmaps, stride 4 and labels of two cells.
DRAWN_STRIDE_PX = 4
DRAWN_SIGMA_CELLS = 2.0


@dataclass(frozen=True)
class Cells:
    """Grid of a heatmap's cells.

    Attributes:
        size_wh: input size, px.
        head: number of cells and alignment.
    """

    size_wh: tuple[int, int]
    head: HeatmapOutput

    @classmethod
    def of(cls, network: Predictor) -> Cells:
        """A network's own; of a SimCC network those that it is drawn on."""
        head = network.metadata.head
        if isinstance(head, HeatmapOutput):
            return cls(network.size_wh, head)
        w, h = (side // DRAWN_STRIDE_PX for side in network.size_wh)
        drawn = HeatmapOutput(output="drawn", size_wh=(w, h), alignment=Alignment.CLASSIC)
        return cls(network.size_wh, drawn)

    def to_picture(self, crop: Crop) -> NDArray[np.float64]:
        """(2, 3) affine from cells to px of the picture that `crop` was cut from."""
        stride = np.asarray(self.size_wh) / np.asarray(self.head.size_wh)
        first_px = np.zeros(2) if self.head.alignment is Alignment.CLASSIC else (stride - 1) / 2
        return compose(invert_affine(affine_to_crop(crop)), np.column_stack([np.diag(stride), first_px]))


def heatmaps_of(network: Predictor, outputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """(N, K, h, w) of a network's raw outputs on its own `Cells`; never below 0."""
    if network.metadata.head.kind == "heatmap":
        return np.maximum(outputs[0], 0)
    return drawn(outputs[0], outputs[1], network.metadata.grid, Cells.of(network))


def drawn(
    logit_x_NKX: NDArray[np.float32], logit_y_NKY: NDArray[np.float32], grid: SimccGrid, cells: Cells
) -> NDArray[np.float32]:
    """SimCC's probabilities as heatmaps: a Gaussian of height 1 at every bin, times the probability of the bin.

    A network that is certain of one place has a peak of 1 there, as a heatmap network's labels have.
    """
    axes = []
    for axis, logit in enumerate((logit_x_NKX, logit_y_NKY)):
        stride = cells.size_wh[axis] / cells.head.size_wh[axis]
        at_px = np.arange(cells.head.size_wh[axis]) * stride
        bin_px = np.arange(grid.bins_wh[axis]) / grid.split
        gauss = np.exp(-((at_px[:, None] - bin_px) ** 2) / (2 * (DRAWN_SIGMA_CELLS * stride) ** 2))
        axes.append(simcc.softmax(logit) @ gauss.T)
    return np.asarray(axes[1][..., :, None] * axes[0][..., None, :], np.float32)


def resampled(
    heat_Khw: NDArray[np.float32], source: Cells, view: Crop, target: Cells, crop: Crop
) -> NDArray[np.float32]:
    """One network's heatmaps on another's cells (cubic); never below 0, and 0 where the network's crop ends.

    Args:
        view: the network's own crop, upright or turned by quarters.
        crop: the upright crop that `target` lies on.
    """
    # From the target's cells to the source's; of a quarter turn one's rows are the other's columns.
    affine = compose(invert_affine(source.to_picture(view)), target.to_picture(crop))
    if abs(affine[0, 0]) < abs(affine[0, 1]):
        heat_Khw, affine = heat_Khw.swapaxes(-1, -2), affine[::-1]
    x, y = (
        _sampling(out, cells, affine[axis, axis], affine[axis, 2])
        for axis, (out, cells) in enumerate(zip(target.head.size_wh, heat_Khw.shape[:0:-1], strict=True))
    )
    return np.maximum(y @ heat_Khw @ x.T, 0)


def _sampling(out: int, cells: int, scale: float, shift: float) -> NDArray[np.float32]:
    matrix = keys_matrix(out, cells, scale, shift)
    at = scale * np.arange(out) + shift
    matrix[(at < -0.5) | (at > cells - 0.5)] = 0
    return matrix


def moved(
    heat_NKhw: NDArray[np.float32], skeleton: Skeleton, offsets: Sequence[DefinitionOffset]
) -> NDArray[np.float32]:
    """Heatmaps with a network's keypoints brought to the union's definitions, see `keypoint_offsets.MODEL_OFFSETS`."""
    if not offsets:
        return heat_NKhw
    result = heat_NKhw.copy()
    h, w = heat_NKhw.shape[2:]
    for offset in offsets:
        k, a = skeleton.index(offset.keypoint), skeleton.index(offset.anchor)
        for maps, old in zip(result, heat_NKhw, strict=True):
            (row, column), (anchor_row, anchor_column) = (divmod(int(old[i].argmax()), w) for i in (k, a))
            shift = (offset.factor - 1) * np.array([column - anchor_column, row - anchor_row], np.float64)
            affine = np.column_stack([np.eye(2), shift])
            maps[k] = np.maximum(cv2.warpAffine(old[k], affine, (w, h), flags=cv2.INTER_CUBIC), 0)
    return result
