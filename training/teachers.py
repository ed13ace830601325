"""Teachers run once over a store: what they know of every person, as modes in the person's own pixels.

Shapes: N people, K keypoints of the target skeleton.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.models.files import atomic_writer
from poseunion.models.geometry import affine_to_crop, crop_from_box, cut_crop, invert_affine
from poseunion.models.predictor import Predictor
from poseunion.models.skeleton import Skeleton, project_indices
from poseunion.training.cached import read_arrays
from poseunion.training.joint import JointTeacher
from poseunion.training.modes import Modes, from_heatmaps, from_simcc
from poseunion.training.progress import track
from poseunion.training.store import PADDING, CropStore

# `Modes`, as they lie in the file.
PARTS = ("xy", "cov", "weight", "confidence")


@dataclass(frozen=True)
class Taught:
    """A teacher's view of a store.

    Attributes:
        teacher: its name; `skeleton`: of what it was trained on.
        modes: of N people and the target skeleton's K keypoints, store px.
    """

    teacher: str
    skeleton: str
    modes: Modes

    def only(self, keypoints_K: NDArray[np.bool_]) -> Taught:
        """The same teacher, asked about some keypoints alone."""
        return replace(self, modes=self.modes.reordered(np.where(keypoints_K, np.arange(len(keypoints_K)), -1)))

    @property
    def xy(self) -> NDArray[np.float32]:
        """(N, K, 2) store px of the first mode."""
        return self.modes.xy[:, :, 0]

    @property
    def score(self) -> NDArray[np.float32]:
        """(N, K) in [0, 1]; 0 for keypoints that the teacher does not know."""
        return self.modes.confidence


def modes_of(teacher: Predictor, outputs: list[NDArray[np.float32]]) -> Modes:
    """A teacher's raw outputs as modes in its input's px."""
    head = teacher.metadata.head
    if head.kind == "heatmap":
        return from_heatmaps(outputs[0], head, teacher.size_wh)
    return from_simcc(outputs[0], outputs[1], teacher.metadata.grid)


def teach(store: CropStore, teacher: Predictor | JointTeacher, target: Skeleton, cache: Path) -> Taught:
    """A teacher's modes of everybody in a store; computed once, then read from `cache`."""
    flipped = "-flip" if teacher.flip else ""
    path = cache / f"{store.dataset}-{store.index_sha[:16]}-{teacher.sha256[:12]}{flipped}.modes.npz"
    saved = read_arrays(path)
    if saved is None:
        modes = _run(store, teacher)
        saved = {name: getattr(modes, name) for name in PARTS}
        with atomic_writer(path) as file:
            np.savez(file, allow_pickle=False, **saved)
    own = Modes(*(saved[name] for name in PARTS))
    return Taught(teacher.name, teacher.skeleton.name, own.reordered(project_indices(teacher.skeleton, target)))


def _run(store: CropStore, teacher: Predictor | JointTeacher) -> Modes:
    parts = []
    for start in track(range(0, len(store), teacher.batch_size), f"{teacher.name} on {store.dataset}"):
        who = range(start, min(start + teacher.batch_size, len(store)))
        if isinstance(teacher, JointTeacher):
            parts.append(teacher.modes([store.pixels(i) for i in who], store.box_xywh[who.start : who.stop]))
            continue
        crops = [crop_from_box(store.box_xywh[i], teacher.size_wh, PADDING) for i in who]
        pixels = np.stack([cut_crop(store.pixels(i), crop) for i, crop in zip(who, crops, strict=True)])
        back = np.stack([invert_affine(affine_to_crop(crop)) for crop in crops])
        parts.append(modes_of(teacher, teacher.outputs(pixels)).mapped(back))
    return Modes(*(np.concatenate([getattr(p, name) for p in parts]) for name in PARTS))
