"""From a data file to labelled stores: crops on disk, teachers run once, labels completed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.metadata import read_description
from poseunion.models.predictor import Predictor, load_predictor
from poseunion.models.skeleton import Skeleton, Visibility, load_skeleton
from poseunion.training.cdkd.distiller import load_teacher
from poseunion.training.data import DataFile, LabelledStore, Lesson, TeacherEntry, is_held_out, read_people
from poseunion.training.joint import JointTeacher
from poseunion.training.pseudo import believed, complete
from poseunion.training.recipe import Recipe
from poseunion.training.slips import mended
from poseunion.training.store import CropStore, open_store
from poseunion.training.teachers import teach


@dataclass(frozen=True)
class Prepared:
    """What a run needs besides its recipe.

    Attributes:
        train: labelled stores to draw from.
        held_out: people of pictures kept apart, with human labels only.
        online: teachers to ask during training.
    """

    train: list[LabelledStore]
    held_out: list[LabelledStore]
    online: list[Predictor]


def prepare(data: DataFile, recipe: Recipe, cache: Path) -> Prepared:
    """Open stores, ask teachers, complete labels."""
    if recipe.cdkd.is_on:
        # Hours of asking the other teachers lie between here and the first step.
        load_teacher(recipe.cdkd.teacher, recipe.stages[0].size_wh)
    skeleton = load_skeleton(recipe.skeleton)
    distils = recipe.alpha < 1
    entries = data.teachers if recipe.pseudo_weight > 0 or distils or recipe.mend_sides else []
    teachers = [open_teacher(entry) for entry in entries]
    taught_K = [_taught_keypoints(entry, skeleton) for entry in entries]
    for teacher in teachers:
        if not set(teacher.skeleton.keypoints) & set(skeleton.keypoints):
            raise BadFileError(
                f"Teacher {teacher.name} predicts {', '.join(teacher.skeleton.keypoints[:3])} …: "
                f"none of {skeleton.name}'s keypoints; take it out of the data file."
            )
    if distils and (silent := [name for name, _ in recipe.betas if name not in {t.skeleton.name for t in teachers}]):
        raise BadArgumentError(
            f"Recipe {recipe.name} learns from a teacher of {' and one of '.join(silent)}, which the data file lacks: "
            "add it under teachers, or set alpha=1 to learn from labels alone."
        )
    skeletons = [t.skeleton.name for t in teachers]
    if distils and (twice := [name for name, _ in recipe.betas if skeletons.count(name) > 1]):
        raise BadArgumentError(
            f"The data file has {skeletons.count(twice[0])} teachers of {twice[0]}, and a recipe weighs teachers by "
            "their skeleton: leave one."
        )
    known = [entry.name for entry in data.datasets]
    if unknown := [name for name in recipe.datasets if name not in known]:
        raise BadArgumentError(
            f"Recipe {recipe.name} trains on {', '.join(unknown)}; the data file has {', '.join(known)}."
        )
    train, held = [], []
    for entry in (e for e in data.datasets if not recipe.datasets or e.name in recipe.datasets):
        people = read_people(entry, skeleton, definition_offsets=recipe.definition_offsets)
        store = open_store(entry.name, people, skeleton, cache)
        every = recipe.mend_sides or (distils and not recipe.online)
        asked = [i for i, t in enumerate(teachers) if every or _has_something_to_say(t, store)]
        taught = [teach(store, teachers[i], skeleton, cache) for i in asked]
        labels, exchanged = mended(store, taught) if recipe.mend_sides else (store, np.zeros(store.weight.shape, bool))
        beliefs = believed(labels, taught)
        # Agreement with labels is judged by all that a teacher predicts; it may teach less.
        taught = [one.only(taught_K[i]) for i, one in zip(asked, taught, strict=True)]
        xy, weight = complete(labels, taught, beliefs, recipe.pseudo_weight)
        weighted = dict(recipe.betas) if distils else {}
        lessons = tuple(Lesson(t, b) for t, b in zip(taught, beliefs, strict=True) if t.skeleton in weighted)
        apart = np.array([is_held_out(n) for n in store.image_name])
        useful = (weight.sum(1) > 0) | np.any(beliefs, 0) if lessons else weight.sum(1) > 0
        rows = np.flatnonzero(~apart & useful)
        train.append(LabelledStore(store, xy, weight, rows, entry.weight, lessons, int(exchanged[rows].any(1).sum())))
        if entry.kind == "keypoints":
            human = store.certain.any(1)
            held.append(LabelledStore(store, store.xy, weight, np.flatnonzero(apart & human), entry.weight))
    if not any(one.sampling * len(one.rows) for one in train):
        raise BadFileError(
            f"There is nobody to train on among {sum(len(one.store) for one in train)} people: "
            "all are held out or have no keypoint that is labelled or that a teacher knows."
        )
    online = [t for t in teachers if recipe.online and t.skeleton.name in dict(recipe.betas)]
    if joint := [t.name for t in online if isinstance(t, JointTeacher)]:
        raise BadArgumentError(f"Teacher {joint[0]} is a joint one, which cannot be asked in training: online=false.")
    return Prepared(train, held, [t for t in online if isinstance(t, Predictor)])


def open_teacher(entry: TeacherEntry) -> Predictor | JointTeacher:
    """The network of a data file's teacher, or the joint teacher of its members."""

    def opened(model: Path, description: Path | None) -> Predictor:
        stated = read_description(description) if description else None
        return load_predictor(model, flip=entry.flip, description=stated, threads=2)

    if entry.model is not None:
        return opened(entry.model, entry.description)
    members = [opened(one.model, one.description) for one in entry.members]
    return JointTeacher(members, [one.weight for one in entry.members])


def _taught_keypoints(entry: TeacherEntry, skeleton: Skeleton) -> NDArray[np.bool_]:
    """(K,) which keypoints of the skeleton a teacher may teach."""
    wanted = skeleton.keypoints if entry.keypoints is None else entry.keypoints
    if unknown := [name for name in wanted if name not in skeleton.keypoints]:
        raise BadFileError(f"The data file has a teacher of {unknown[0]}, which {skeleton.name} lacks: mend its name.")
    return np.array([name in wanted for name in skeleton.keypoints])


def _has_something_to_say(teacher: Predictor | JointTeacher, store: CropStore) -> bool:
    """Whether a teacher knows a keypoint that nobody in the store has a label for."""
    unknown = (store.visibility == Visibility.UNDEFINED).all(0)
    return any(unknown[store.skeleton.index(k)] for k in teacher.skeleton.keypoints if k in store.skeleton.keypoints)
