"""Left/right swaps by a model's prediction: labelled pairs that the model finds the other way round.

Where label and model disagree about the sides of the same two joints, one of them is wrong; the model is wrong more
often for inverted people and crossed limbs. Such people are listed, and nothing is changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from poseunion.annotate.check import rules
from poseunion.annotate.extend.image_reader import read_framed
from poseunion.annotate.formats import AnnotationSet, Problem
from poseunion.annotate.formats.extension_view import human_view
from poseunion.models.errors import ItemError
from poseunion.models.inference.interface import PosePredictor
from poseunion.models.left_right import left_right_votes, pairs_of
from poseunion.models.picture_paths import picture_path
from poseunion.models.poses.batch import PoseBatch
from poseunion.models.skeleton import project

# A quarter of the box's longer side stands for the torso, from any side.
TORSO_OF_SIDE = 0.25


def exchanged_by_model(
    annotations: AnnotationSet, folder: Path, model: PosePredictor, progress: Callable[[int, int], None] | None = None
) -> list[Problem]:
    """People with pairs that the model predicts with confidence at the labels' places, but exchanged.

    Pictures that cannot be read are passed over: `rules.pictures` lists them.
    """
    human = human_view(annotations)
    pairs = pairs_of(human.skeleton)
    people: dict[int, list[int]] = defaultdict(list)
    for index, _ in rules.readable(human):
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
                text = f"left/right swap of {names}? {model.name} finds both joints, the other way round"
                found[index] = Problem(rules.place_of(annotations, index), text, False)
        done += len(indices)
        if progress is not None:
            progress(done, total)
    return [found[index] for index in sorted(found)]


def _exchanged(
    human: AnnotationSet, indices: list[int], poses: PoseBatch, model: PosePredictor, pairs: list[tuple[int, int]]
) -> list[tuple[int, str]]:
    """Records with an exchanged pair, and the pairs' names."""
    sure = (poses.score >= model.metadata.confidence_threshold).astype(np.int8)
    xy, sure = project(poses.xy.astype(np.float64), sure, model.skeleton, human.skeleton)
    torso = TORSO_OF_SIDE * human.box_xywh[indices, 2:].max(1)
    vote, _ = left_right_votes(human.xy[indices], human.visibility[indices] > 0, xy, sure > 0, torso, pairs)
    names = [human.skeleton.keypoints[left].partition("_")[2] for left, _ in pairs]
    return [
        (index, ", ".join(name for name, one in zip(names, votes, strict=True) if one < 0))
        for index, votes in zip(indices, vote, strict=True)
        if (votes < 0).any()
    ]
