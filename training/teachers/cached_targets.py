"""Cached distillation targets: teachers' peaks of every person of a store, predicted once.

Shapes: N people, K keypoints of the target skeleton.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.models.codec.crop import affine_to_crop, crop_from_box, cut_crop, invert_affine
from poseunion.models.inference.predictor import Predictor
from poseunion.models.keypoint_offsets import MODEL_OFFSETS
from poseunion.models.progress import track
from poseunion.models.skeleton import Skeleton, project_indices
from poseunion.training.data.arrays import concatenate, read_arrays, save_arrays
from poseunion.training.data.crop_store import PADDING, CropStore
from poseunion.training.densities.joint import JointTeacher
from poseunion.training.densities.peaks import Peaks, from_heatmaps, from_simcc

# `Peaks`, as they lie in the file.
PARTS = ("xy", "cov", "weight", "confidence")
# Network calls between two saves: a minute of a joint teacher, which is what a killed pass repeats at most.
BATCHES_A_PART = 32


@dataclass(frozen=True)
class TeacherPeaks:
    """A teacher's predictions of a store.

    Attributes:
        teacher: its name; `skeleton`: of what it was trained on.
        modes: of N people and the target skeleton's K keypoints, store px.
    """

    teacher: str
    skeleton: str
    modes: Peaks

    def only(self, keypoints_K: NDArray[np.bool_]) -> TeacherPeaks:
        """The same teacher, restricted to some keypoints."""
        return replace(self, modes=self.modes.reordered(np.where(keypoints_K, np.arange(len(keypoints_K)), -1)))

    @property
    def xy(self) -> NDArray[np.float32]:
        """(N, K, 2) store px of the first mode."""
        return self.modes.xy[:, :, 0]

    @property
    def score(self) -> NDArray[np.float32]:
        """(N, K) in [0, 1]; 0 for keypoints that the teacher lacks."""
        return self.modes.confidence


def modes_of(teacher: Predictor, outputs: list[NDArray[np.float32]]) -> Peaks:
    """A teacher's raw outputs as modes in its input's px."""
    head = teacher.metadata.head
    if head.kind == "heatmap":
        return from_heatmaps(outputs[0], head, teacher.size_wh)
    return from_simcc(outputs[0], outputs[1], teacher.metadata.grid)


def predict_peaks(store: CropStore, teacher: Predictor | JointTeacher, target: Skeleton, cache: Path) -> TeacherPeaks:
    """A teacher's peaks of all people of a store; computed once, then read from `cache`.

    They are saved in parts, which the finished file replaces: a killed pass continues.
    """
    flipped = "-flip" if teacher.flip else ""
    path = cache / f"{store.dataset}-{store.index_sha[:16]}-{teacher.sha256[:12]}{flipped}.modes.npz"
    saved = read_arrays(path)
    if saved is None:
        parts = list(_run(store, teacher, path))
        saved = {name: np.concatenate([part[name] for _, part in parts]) for name in PARTS}
        save_arrays(path, **saved)
        for part_path, _ in parts:
            part_path.unlink(missing_ok=True)
    own = Peaks(*(saved[name] for name in PARTS))
    offsets = (
        () if isinstance(teacher, JointTeacher) else MODEL_OFFSETS.get(teacher.name, ())
    )  # a joint one applies them
    own = own.in_union_definitions(teacher.skeleton, offsets)
    return TeacherPeaks(teacher.name, teacher.skeleton.name, own.reordered(project_indices(teacher.skeleton, target)))


def _run(
    store: CropStore, teacher: Predictor | JointTeacher, path: Path
) -> Iterator[tuple[Path, dict[str, NDArray[Any]]]]:
    """Parts of the pass, and the files that keep them until it is finished."""
    size = teacher.batch_size * BATCHES_A_PART
    for first in track(range(0, len(store), size), f"{teacher.name} on {store.dataset}"):
        people = range(first, min(first + size, len(store)))
        part_path = path.with_suffix(f".{first}.npz")
        part = read_arrays(part_path)
        if part is None or len(part[PARTS[0]]) != len(people):
            batches = [
                _predict(store, teacher, people[start : start + teacher.batch_size])
                for start in range(0, len(people), teacher.batch_size)
            ]
            part = vars(concatenate(batches))
            save_arrays(part_path, **part)
        yield part_path, part


def _predict(store: CropStore, teacher: Predictor | JointTeacher, people: range) -> Peaks:
    if isinstance(teacher, JointTeacher):
        return teacher.modes([store.pixels(i) for i in people], store.box_xywh[people.start : people.stop])
    crops = [crop_from_box(store.box_xywh[i], teacher.size_wh, PADDING) for i in people]
    pixels = np.stack([cut_crop(store.pixels(i), crop) for i, crop in zip(people, crops, strict=True)])
    back = np.stack([invert_affine(affine_to_crop(crop)) for crop in crops])
    return modes_of(teacher, teacher.outputs(pixels)).mapped(back)
