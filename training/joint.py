"""Joint teacher: several heatmap networks of one skeleton, their densities averaged on one grid.

Each network reads its own crop of the person; its heatmaps are brought to the cells of the first one (cubic
interpolation, each by its own alignment) and averaged with the members' weights. Where members disagree the mean has
several peaks, and all of them are low.

Shapes: N people, K keypoints, h and w cells.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from poseunion.models.errors import BadArgumentError
from poseunion.models.geometry import Crop, affine_to_crop, crop_from_box, cut_crop, invert_affine
from poseunion.models.heatmap import keys_matrix
from poseunion.models.metadata import Alignment, HeatmapOutput
from poseunion.models.predictor import Predictor
from poseunion.training.modes import Modes, from_heatmaps
from poseunion.training.store import PADDING


class JointTeacher:
    """Heatmap networks of the same keypoints, in the same order, read as one.

    Args:
        members: the networks; the cells of the first are those of the mean.
        weights: of each, above 0.
        name: of the whole.

    Raises:
        BadArgumentError: fewer than two, not all with heatmaps, or of different keypoints or flip test.
    """

    def __init__(self, members: Sequence[Predictor], weights: Sequence[float], name: str = "joint") -> None:
        first = members[0]
        if len(members) < 2:
            raise BadArgumentError(f"A joint teacher of {len(members)} network: name at least two members.")
        for other in members:
            if other.metadata.head.kind != "heatmap":
                raise BadArgumentError(f"{other.name} has no heatmaps: it cannot be a member of a joint teacher.")
            if other.skeleton.keypoints != first.skeleton.keypoints or other.flip != first.flip:
                raise BadArgumentError(
                    f"{other.name} and {first.name} have other keypoints or another flip test: a joint teacher's "
                    "members have the same."
                )
        if not all(weight > 0 for weight in weights):
            raise BadArgumentError("A member of a joint teacher has a weight of 0 or less: leave it out.")
        self.members, self.weights = list(members), [weight / sum(weights) for weight in weights]
        self.name, self.skeleton, self.flip = name, first.skeleton, first.flip
        self.batch_size, self.size_wh = first.batch_size, first.size_wh
        facts = "|".join(f"{m.sha256}:{w:.6g}" for m, w in zip(self.members, self.weights, strict=True))
        self.sha256 = hashlib.sha256(facts.encode()).hexdigest()

    def heatmaps(
        self, pictures: Sequence[NDArray[np.uint8]], boxes_xywh: NDArray[np.floating]
    ) -> tuple[NDArray[np.float32], list[Crop]]:
        """(N, K, h, w) mean of the members' heatmaps, and the crops whose cells they are."""
        mean: NDArray[np.float32] | None = None
        crops: list[Crop] = []
        for member, weight in zip(self.members, self.weights, strict=True):
            views = [crop_from_box(tuple(float(v) for v in box), member.size_wh, PADDING) for box in boxes_xywh]
            pixels = np.stack([cut_crop(picture, view) for picture, view in zip(pictures, views, strict=True)])
            heat = member.outputs(pixels)[0]
            if mean is None:
                crops, mean = views, weight * heat
            else:
                mean += weight * np.stack(
                    [
                        resampled(one, member, view, self.members[0], crop)
                        for one, view, crop in zip(heat, views, crops, strict=True)
                    ]
                )
        assert mean is not None
        return mean, crops

    def modes(self, pictures: Sequence[NDArray[np.uint8]], boxes_xywh: NDArray[np.floating]) -> Modes:
        """Peaks of the mean, in the pictures' px."""
        heat, crops = self.heatmaps(pictures, boxes_xywh)
        head = self.members[0].metadata.head
        assert isinstance(head, HeatmapOutput)
        back = np.stack([invert_affine(affine_to_crop(crop)) for crop in crops])
        return from_heatmaps(np.ascontiguousarray(heat), head, self.size_wh).mapped(back)


def resampled(
    heat_Khw: NDArray[np.float32], source: Predictor, view: Crop, target: Predictor, crop: Crop
) -> NDArray[np.float32]:
    """One network's heatmaps on another's cells, of upright crops of one person; never below 0."""
    from_cells, to_cells = _cells_to_picture(source, view), _cells_to_picture(target, crop)
    head = target.metadata.head
    assert isinstance(head, HeatmapOutput)
    matrices = []
    for axis, (out, cells) in enumerate(zip(head.size_wh, heat_Khw.shape[:0:-1], strict=True)):
        (scale, shift), (own_scale, own_shift) = to_cells[axis], from_cells[axis]
        matrices.append(keys_matrix(out, cells, scale / own_scale, (shift - own_shift) / own_scale))
    return np.maximum(matrices[1] @ heat_Khw @ matrices[0].T, 0)


def _cells_to_picture(network: Predictor, crop: Crop) -> list[tuple[float, float]]:
    """Of each axis, scale and shift from cells of the heatmap to px of the picture."""
    back = invert_affine(affine_to_crop(crop))
    head = network.metadata.head
    assert isinstance(head, HeatmapOutput)
    result = []
    for axis in (0, 1):
        stride = network.size_wh[axis] / head.size_wh[axis]
        first_px = 0.0 if head.alignment is Alignment.CLASSIC else (stride - 1) / 2
        result.append((back[axis, axis] * stride, back[axis, axis] * first_px + back[axis, 2]))
    return result
