"""Left and right exchanged? What a model says that looks at the picture, where `sides` has only the points.

A label and a model that disagree about the sides of the same two joints: one of them is wrong, and a model is it more
often on people upside down or crossing their limbs. So it is worth a look, and nothing is changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate import faults
from poseunion.annotate.formats import AnnotationSet, Problem
from poseunion.annotate.rows import human_view
from poseunion.annotate.work import read_framed
from poseunion.models.errors import ItemError
from poseunion.models.picture_paths import picture_path
from poseunion.models.sides import pairs_of, sides
from poseunion.models.skeleton import Skeleton, project
from poseunion.models.types import PoseBatch

# A quarter of the box's longer side stands for the torso, whoever is seen how.
TORSO_OF_SIDE = 0.25


class Eyes(Protocol):
    """A model that is shown people; `poseunion.models.predictor.Predictor` is one."""

    name: str
    skeleton: Skeleton
    metadata: Any

    def __call__(self, image: NDArray[np.uint8], boxes_xywh: NDArray[np.float64]) -> PoseBatch:
        """Keypoints of the people in these boxes; raises ItemError."""


def exchanged_by_model(
    annotations: AnnotationSet, folder: Path, model: Eyes, progress: Callable[[int, int], None] | None = None
) -> list[Problem]:
    """People with pairs of which the model is sure, and has both joints where the labels are but exchanged.

    Pictures that cannot be read are passed over: `faults.pictures` lists them.
    """
    human = human_view(annotations)
    pairs = pairs_of(human.skeleton)
    people: dict[int, list[int]] = defaultdict(list)
    for index, _ in faults.readable(human):
        box = human.box_xywh[index]
        labelled = human.visibility[index] > 0
        if human.image_index[index] >= 0 and (box[2:] > 0).all() and any(labelled[list(pair)].all() for pair in pairs):
            people[int(human.image_index[index])].append(index)
    found: dict[int, Problem] = {}
    done, total = 0, sum(len(indices) for indices in people.values())
    for position, indices in people.items():
        ref = human.images[position]
        try:
            poses = model(read_framed(picture_path(folder, ref.file_name), ref), human.box_xywh[indices])
        except ItemError:
            poses = None
        if poses is not None:
            for index, names in _exchanged(human, indices, poses, model, pairs):
                text = (
                    f"left and right of {names} may be exchanged: {model.name} finds both joints, the other way round"
                )
                found[index] = Problem(faults.place_of(annotations, index), text, False)
        done += len(indices)
        if progress is not None:
            progress(done, total)
    return [found[index] for index in sorted(found)]


def _exchanged(
    human: AnnotationSet, indices: list[int], poses: PoseBatch, model: Eyes, pairs: list[tuple[int, int]]
) -> list[tuple[int, str]]:
    """Records with an exchanged pair, and the pairs' names."""
    sure = (poses.score >= model.metadata.confidence_threshold).astype(np.int8)
    xy, sure = project(poses.xy.astype(np.float64), sure, model.skeleton, human.skeleton)
    torso = TORSO_OF_SIDE * human.box_xywh[indices, 2:].max(1)
    vote, _ = sides(human.xy[indices], human.visibility[indices] > 0, xy, sure > 0, torso, pairs)
    names = [human.skeleton.keypoints[left].partition("_")[2] for left, _ in pairs]
    return [
        (index, ", ".join(name for name, one in zip(names, votes, strict=True) if one < 0))
        for index, votes in zip(indices, vote, strict=True)
        if (votes < 0).any()
    ]
