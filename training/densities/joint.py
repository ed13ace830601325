"""Joint teacher: an ensemble of pose networks, their densities averaged on one grid, optionally with turned pictures.

Each network reads its own crop of the person; its heatmaps (of a SimCC network: its probabilities, drawn) are brought
to the cells of the first one by cubic interpolation, each by its own alignment, and averaged with the members' weights.
A keypoint is predicted by the members that have it. Where members disagree the mean has several peaks, and all of them
are low: `agreement` measures it, and `joint_turns.Turns` selects the people to be read in turned pictures as well.

Shapes: N people, M members, K keypoints, h and w cells.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from poseunion.models.codec import heatmap
from poseunion.models.codec.crop import Crop, affine_to_crop, check_in_picture, cut_crop, invert_affine, to_image
from poseunion.models.errors import BadArgumentError
from poseunion.models.inference.joint import common_skeleton, weights_of, without_flip
from poseunion.models.inference.joint_cells import Cells, heatmaps_of, moved, resampled
from poseunion.models.inference.joint_turns import ANGLES_DEG, TURN_CONSTANTS, Turns, agreement, crop_of, merged
from poseunion.models.inference.predictor import Predictor
from poseunion.models.keypoint_offsets import MODEL_OFFSETS, DefinitionOffset
from poseunion.models.poses.batch import PoseBatch
from poseunion.models.skeleton import project_indices
from poseunion.training.densities.peaks import Peaks, from_heatmaps

# Called with each member's own predictions: number of the member, its people.
Listener = Callable[[int, PoseBatch], None]


class JointTeacher:
    """Pose networks read as one.

    Args:
        members: the networks; the cells of the first are those of the mean. Their keypoints may differ.
        weights: of each member; else all the same.
        keypoint_weights: of single keypoints of each member, in place of its weight; a name without its side stands
            for both sides. 0 keeps a member out of a keypoint.
        name: of the whole.
        turns: which people are read in turned pictures as well.
        offsets: of members whose keypoints lie elsewhere than in the union's definitions, by name.

    Raises:
        BadArgumentError: fewer than two, of different flip tests, or weights that leave a member or a keypoint out.
    """

    def __init__(
        self,
        members: Sequence[Predictor],
        weights: Sequence[float] | None = None,
        keypoint_weights: Sequence[Mapping[str, float]] | None = None,
        *,
        name: str = "joint",
        turns: Turns = Turns.NONE,
        offsets: Mapping[str, tuple[DefinitionOffset, ...]] = MODEL_OFFSETS,
    ) -> None:
        first = members[0]
        if len(members) < 2:
            raise BadArgumentError(f"A joint teacher of {len(members)} network: name at least two members.")
        for other in members:
            if other.flip != first.flip:
                raise BadArgumentError(f"{other.name} has another flip test than {first.name}: give all the same.")
        self.members, self.name, self.turns = list(members), name, turns
        self.offsets = offsets
        self.skeleton = common_skeleton([m.skeleton for m in members])
        self.weight_MK = weights_of(members, self.skeleton, weights, keypoint_weights)
        self.flip, self.batch_size, self.size_wh = first.flip, first.batch_size, first.size_wh
        self.padding, self.cells = first.padding, Cells.of(first)
        self.sha256 = hashlib.sha256(self._facts().encode()).hexdigest()

    def __call__(self, image: NDArray[np.uint8], boxes_xywh: ArrayLike, listener: Listener | None = None) -> PoseBatch:
        """Keypoints of the people in one picture, as `Predictor` gives them; the score is the height of the mean.

        Raises:
            ItemError: a box has no area, or lies outside the picture.
        """
        boxes = np.asarray(boxes_xywh, np.float64).reshape(-1, 4)
        for box in boxes:
            check_in_picture(image, box)
        parts = []
        for start in range(0, len(boxes), self.batch_size):
            part = boxes[start : start + self.batch_size]
            heat, crops = self.heatmaps([image] * len(part), part, listener)
            xy, score = heatmap.decode(heat, self.cells.head, self.size_wh)
            places = np.stack([to_image(points, crop) for points, crop in zip(xy, crops, strict=True)])
            score = np.clip(score, 0, 1)
            parts.append(PoseBatch(self.skeleton, places.astype(np.float32), score, part.astype(np.float32)))
        return PoseBatch.concatenate(parts) if parts else PoseBatch.empty(self.skeleton)

    def _facts(self) -> str:
        """Key over all that the predictions depend on; defaults are left out, so that old caches stay valid."""
        facts = []
        for member, row in zip(self.members, self.weight_MK, strict=True):
            weights = row[:1] if (row == row[0]).all() else row
            facts.append(f"{member.sha256}:{','.join(f'{w:.6g}' for w in weights)}")
            if offsets := self.offsets.get(member.name, ()):
                facts.append(str(offsets))
        if self.turns is not Turns.NONE:
            facts.append(f"{self.turns.value}:{TURN_CONSTANTS}")
        return "|".join(facts)

    def modes(self, pictures: Sequence[NDArray[np.uint8]], boxes_xywh: NDArray[np.floating]) -> Peaks:
        """Peaks of the mean, in the pictures' px."""
        heat, crops = self.heatmaps(pictures, boxes_xywh)
        back = np.stack([invert_affine(affine_to_crop(crop)) for crop in crops])
        return from_heatmaps(np.ascontiguousarray(heat), self.cells.head, self.size_wh).mapped(back)

    def heatmaps(
        self,
        pictures: Sequence[NDArray[np.uint8]],
        boxes_xywh: NDArray[np.floating],
        listener: Listener | None = None,
    ) -> tuple[NDArray[np.float32], list[Crop]]:
        """(N, K, h, w) mean of the members' heatmaps, turned readings included, and the crops whose cells they are."""
        heat_MNKhw, crops = self.member_heatmaps(pictures, boxes_xywh, listener=listener)
        mean = self.mean(heat_MNKhw)
        turned_rows = self.turns.rows(agreement(heat_MNKhw, mean, self.weight_MK, self.skeleton))
        if len(turned_rows):
            some, boxes = [pictures[i] for i in turned_rows], boxes_xywh[turned_rows]
            turned = [self.mean(self.member_heatmaps(some, boxes, angle)[0]) for angle in ANGLES_DEG]
            mean[turned_rows] = merged(np.stack([mean[turned_rows], *turned]), self.skeleton)
        return mean, crops

    def mean(self, heat_MNKhw: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, K, h, w) by the members' weights."""
        return np.einsum("mk,mnkhw->nkhw", self.weight_MK, heat_MNKhw)

    def member_heatmaps(
        self,
        pictures: Sequence[NDArray[np.uint8]],
        boxes_xywh: NDArray[np.floating],
        turned_deg: float = 0.0,
        listener: Listener | None = None,
    ) -> tuple[NDArray[np.float32], list[Crop]]:
        """Every member's heatmaps on the common cells, and the upright crops that these lie on.

        Args:
            turned_deg: rotation of the crops; turned people are read without the flip test.

        Returns:
            (M, N, K, h, w), 0 for keypoints that a member lacks.
        """
        crops = [crop_of(box, self.size_wh, self.padding) for box in boxes_xywh]
        w, h = self.cells.head.size_wh
        result = np.zeros((len(self.members), len(crops), len(self.skeleton), h, w), np.float32)
        for number, member in enumerate(self.members):
            views = [crop_of(box, member.size_wh, member.padding, turned_deg) for box in boxes_xywh]
            pixels = np.stack([cut_crop(picture, view) for picture, view in zip(pictures, views, strict=True)])
            outputs = (without_flip(member) if turned_deg else member).outputs(pixels)
            if listener is not None:
                listener(number, member.located(outputs, views))
            own, offsets = Cells.of(member), self.offsets.get(member.name, ())
            heat = moved(heatmaps_of(member, outputs), member.skeleton, offsets)
            index = project_indices(self.skeleton, member.skeleton)
            for row, (one, view, crop) in enumerate(zip(heat, views, crops, strict=True)):
                same = own == self.cells and view == crop
                result[number, row, index] = one if same else resampled(one, own, view, self.cells, crop)
        return result, crops
