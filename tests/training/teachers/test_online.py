"""A perfect teacher on a foreign grid teaches the student's own labels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from poseunion.models.codec import heatmap, simcc
from poseunion.models.codec.crop import Crop, affine_to_crop, apply_affine
from poseunion.models.codec.heads import Alignment, HeatmapOutput, SimccOutput
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.runtime.description import ModelDescription
from poseunion.models.skeleton import Skeleton, load_skeleton
from poseunion.training.teachers.online import online_targets, teacher_crop

UNION = load_skeleton("union21")
GRID = SimccGrid((96, 128), 4.0)
PICTURE = np.zeros((300, 300, 3), np.uint8)


@dataclass
class Oracle:
    """A teacher that predicts given labels, on its own grid and in its own output."""

    metadata: ModelDescription
    points_xy: np.ndarray  # (K, 2) in the picture
    views: list[Crop] = field(default_factory=list)

    @property
    def skeleton(self) -> Skeleton:
        return self.metadata.resolved_skeleton

    @property
    def size_wh(self) -> tuple[int, int]:
        return self.metadata.size_wh

    def outputs(self, crops: np.ndarray) -> list[np.ndarray]:
        xy = np.stack([apply_affine(self.points_xy, affine_to_crop(view)) for view in self.views])
        head = self.metadata.head
        if head.kind == "simcc":
            return list(simcc.encode(xy, self.metadata.grid)[:2])
        stride = self.size_wh[0] / head.size_wh[0]
        cells = xy / stride if head.alignment is Alignment.CLASSIC else (xy + 0.5) / stride - 0.5
        rows, columns = np.mgrid[: head.size_wh[1], : head.size_wh[0]]
        squared = (columns - cells[..., 0, None, None]) ** 2 + (rows - cells[..., 1, None, None]) ** 2
        return [np.exp(-squared / (2 * head.sigma_cells**2)).astype(np.float32)]

    def decode(self, outputs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        head = self.metadata.head
        if head.kind == "heatmap":
            return heatmap.decode(outputs[0], head, self.size_wh)
        return simcc.decode(outputs[0], outputs[1], self.metadata.grid)


def description(skeleton: str, size_wh: tuple[int, int], head: SimccOutput | HeatmapOutput) -> ModelDescription:
    return ModelDescription(name="oracle", skeleton=skeleton, size_wh=size_wh, head=head)


TEACHERS = {
    "simcc 192x256": description("coco17", (192, 256), SimccOutput()),
    "simcc 256x256": description("mpii16", (256, 256), SimccOutput(sigma_bins=(5.66, 5.66))),
    "heatmap, classic": description(
        "coco17", (192, 256), HeatmapOutput(output="h", size_wh=(48, 64), alignment=Alignment.CLASSIC)
    ),
    "heatmap, centres": description(
        "mpii16", (224, 224), HeatmapOutput(output="h", size_wh=(56, 56), alignment=Alignment.CENTRES)
    ),
}


@pytest.mark.parametrize("name", TEACHERS)
@pytest.mark.parametrize("crop", [Crop((150, 140), 90, (96, 128)), Crop((150, 140), 120, (96, 128), 40, flip=True)])
def test_a_perfect_teacher_says_what_the_labels_say(name: str, crop: Crop) -> None:
    metadata = TEACHERS[name]
    k = len(metadata.resolved_skeleton)
    points = np.random.default_rng(0).uniform([135, 125], [165, 155], (k, 2))
    teacher = Oracle(metadata, points, [teacher_crop(crop, metadata.size_wh)])
    x, y, weight = online_targets(teacher, [PICTURE], [crop], GRID, UNION)  # type: ignore[arg-type]
    label_x, label_y, _ = simcc.encode(apply_affine(points, affine_to_crop(crop))[None], GRID)
    for i, keypoint in enumerate(metadata.resolved_skeleton.keypoints):
        j = UNION.index(keypoint)
        assert weight[0, j] > 0.85
        for got, label in ((x[0, j], label_x[0, i]), (y[0, j], label_y[0, i])):
            assert got.sum() == pytest.approx(1, abs=1e-4)
            # A teacher's bin is up to half a crop pixel off, two student bins at split 4.
            assert abs(int(got.argmax()) - int(label.argmax())) <= 3
    unknown = [UNION.index(n) for n in UNION.keypoints if n not in metadata.resolved_skeleton.keypoints]
    assert (weight[0, unknown] == 0).all()
    np.testing.assert_allclose(x[0, unknown], 1 / 384)
    assert np.isfinite(x).all()


@pytest.mark.parametrize("name", TEACHERS)
def test_a_crop_is_answered_the_same_beside_a_mirrored_one(name: str) -> None:
    metadata = TEACHERS[name]
    points = np.random.default_rng(1).uniform([135, 125], [165, 155], (len(metadata.resolved_skeleton), 2))
    crops = [Crop((150, 140), 90, (96, 128)), Crop((152, 139), 120, (96, 128), 40, flip=True)]
    views = [teacher_crop(crop, metadata.size_wh) for crop in crops]
    both = online_targets(Oracle(metadata, points, views), [PICTURE] * 2, crops, GRID, UNION)  # type: ignore[arg-type]
    for i, (crop, view) in enumerate(zip(crops, views, strict=True)):
        alone = online_targets(Oracle(metadata, points, [view]), [PICTURE], [crop], GRID, UNION)  # type: ignore[arg-type]
        for beside, single in zip(both, alone, strict=True):
            np.testing.assert_allclose(beside[i], single[0], atol=1e-6)


def test_what_the_student_cannot_see_has_no_weight() -> None:
    crop = Crop((150, 140), 90, (96, 128))
    metadata = TEACHERS["simcc 256x256"]
    points = np.tile([[150.0, 140.0]], (16, 1))
    points[0] = [104, 140]  # inside the teacher's square, beside the student's portrait crop
    teacher = Oracle(metadata, points, [teacher_crop(crop, (256, 256))])
    _, _, weight = online_targets(teacher, [PICTURE], [crop], GRID, UNION)  # type: ignore[arg-type]
    assert weight[0, UNION.index(metadata.resolved_skeleton.keypoints[0])] < 0.05
    assert weight[0, UNION.index(metadata.resolved_skeleton.keypoints[1])] > 0.9
