"""Labelled stores of a data file: crops on disk, teachers' cached peaks, pseudo-labels, held-out split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.inference.predictor import Predictor, load_predictor
from poseunion.models.runtime.description import read_description
from poseunion.models.skeleton import Skeleton, Visibility, load_skeleton
from poseunion.training.cdkd.distiller import load_teacher
from poseunion.training.config.recipe import Recipe
from poseunion.training.data.crop_store import CropStore, open_store
from poseunion.training.data.data_file import DataFile
from poseunion.training.data.read_people import read_people
from poseunion.training.data.splits import is_held_out
from poseunion.training.data.teacher_entries import TeacherEntry
from poseunion.training.densities.joint import JointTeacher
from poseunion.training.loop.batch import DistillationSource, LabelledStore
from poseunion.training.shards.packed import PackedIndex, check_recipe, read_index, unpack
from poseunion.training.teachers.cached_targets import TeacherPeaks, predict_peaks
from poseunion.training.teachers.left_right_correction import corrected
from poseunion.training.teachers.pseudo_labels import agrees_with_labels, complete

Network: TypeAlias = Predictor | JointTeacher


@dataclass(frozen=True)
class Prepared:
    """People and teachers of a run.

    Attributes:
        train: labelled stores to draw from.
        held_out: people of held-out pictures, with human labels only.
        online: teachers to run during training.
    """

    train: list[LabelledStore]
    held_out: list[LabelledStore]
    online: list[Predictor]


@dataclass(frozen=True)
class _Source:
    """A data set and its teachers' peaks, from pictures or from shards.

    Attributes:
        peaks: all predictions of the teachers that are needed here.
        teaches: (K,) of each of them, the keypoints that it may teach.
    """

    store: CropStore
    kind: Literal["keypoints", "boxes"]
    sampling: float
    peaks: list[TeacherPeaks]
    teaches: list[NDArray[np.bool_]]


def prepare(data: DataFile, recipe: Recipe, cache: Path) -> Prepared:
    """Open stores, run teachers, complete labels.

    Raises:
        BadArgumentError: the recipe's teachers or data sets are not those of the data file.
        BadFileError: a teacher that shares no keypoint, or no people to train on.
    """
    if recipe.cdkd.is_on:
        # Running the other teachers takes hours, and comes before the first step.
        load_teacher(recipe.cdkd.teacher, recipe.stages[0].size_wh)
    skeleton = load_skeleton(recipe.skeleton)
    entries = data.teachers if _needs_teachers(recipe) else []
    teachers = [open_teacher(entry) for entry in entries]
    teaches = [distilled_keypoints(entry, skeleton) for entry in entries]
    indices = [read_index(entry.packed) for entry in data.packed]
    for entry, index in zip(data.packed, indices, strict=True):
        check_recipe(index, entry.packed, recipe)
        if not recipe.distillation.online:
            _check_teachers(str(entry.packed), [one.skeleton for one in index.teachers], recipe)
    for teacher in teachers:
        if not set(teacher.skeleton.keypoints) & set(skeleton.keypoints):
            raise BadFileError(
                f"Teacher {teacher.name} predicts {', '.join(teacher.skeleton.keypoints[:3])} …: "
                f"none of {skeleton.name}'s keypoints; take it out of the data file."
            )
    if data.datasets or recipe.distillation.online:
        _check_teachers("The data file", [t.skeleton.name for t in teachers], recipe)
    known = [entry.name for entry in data.datasets] + [one.name for index in indices for one in index.datasets]
    if unknown := [name for name in recipe.sampling.datasets if name not in known]:
        raise BadArgumentError(
            f"Recipe {recipe.name} trains on {', '.join(unknown)}; the data file has {', '.join(known)}."
        )
    if twice := sorted({name for name in known if known.count(name) > 1}):
        raise BadArgumentError(f"The data file has {twice[0]} twice, packed or not: leave one.")
    train, held = [], []
    weighted = dict(recipe.distillation.betas) if recipe.distillation.alpha < 1 else {}
    for one in (*_predicted(data, recipe, teachers, teaches, cache), *_unpacked(data, indices, recipe, cache)):
        store = one.store
        no_exchange = np.zeros(store.weight.shape, bool)
        labels, exchanged = corrected(store, one.peaks) if recipe.losses.mend_sides else (store, no_exchange)
        agrees = agrees_with_labels(labels, one.peaks)
        # Agreement with labels is measured over all keypoints that a teacher predicts; it may teach fewer.
        peaks = [all_peaks.only(mask) for all_peaks, mask in zip(one.peaks, one.teaches, strict=True)]
        xy, weight = complete(labels, peaks, agrees, recipe.losses.pseudo_weight)
        distilled = tuple(
            DistillationSource(p, a) for p, a in zip(peaks, agrees, strict=True) if p.skeleton in weighted
        )
        apart = np.array([is_held_out(n) for n in store.image_name])
        useful = (weight.sum(1) > 0) | np.any(agrees, 0) if distilled else weight.sum(1) > 0
        rows = np.flatnonzero(~apart & useful)
        exchanges = int(exchanged[rows].any(1).sum())
        train.append(LabelledStore(store, xy, weight, rows, one.sampling, distilled, exchanges, int(apart.sum())))
        if one.kind == "keypoints":
            human = store.certain.any(1)
            held.append(LabelledStore(store, store.xy, weight, np.flatnonzero(apart & human), one.sampling))
    if not any(one.sampling * len(one.rows) for one in train):
        raise BadFileError(
            f"There are no people to train on among {sum(len(one.store) for one in train)}: all are held out or have "
            "no keypoint that is labelled or that a teacher predicts."
        )
    online = [t for t in teachers if recipe.distillation.online and t.skeleton.name in dict(recipe.distillation.betas)]
    if joint := [t.name for t in online if isinstance(t, JointTeacher)]:
        raise BadArgumentError(f"Teacher {joint[0]} is a joint one, which cannot run in training: set online=false.")
    return Prepared(train, held, [t for t in online if isinstance(t, Predictor)])


def has_teachers(data: DataFile) -> bool:
    """Whether a data file names teachers, or a packed set of it holds their predictions."""
    return bool(data.teachers) or any(read_index(entry.packed).teachers for entry in data.packed)


def _needs_teachers(recipe: Recipe) -> bool:
    return recipe.losses.pseudo_weight > 0 or recipe.distillation.alpha < 1 or recipe.losses.mend_sides


def _check_teachers(where: str, skeletons: Sequence[str], recipe: Recipe) -> None:
    """Check that every distilled skeleton has one teacher.

    Raises:
        BadArgumentError: none or several; `where` names the file with the teachers.
    """
    if recipe.distillation.alpha >= 1:
        return
    if absent := [name for name, _ in recipe.distillation.betas if name not in skeletons]:
        raise BadArgumentError(
            f"Recipe {recipe.name} distils from a teacher of {' and one of '.join(absent)}, which "
            f"{where[0].lower() + where[1:]} lacks: add it under teachers, or set alpha=1 to train on labels alone."
        )
    if twice := [name for name, _ in recipe.distillation.betas if skeletons.count(name) > 1]:
        raise BadArgumentError(
            f"{where} has {skeletons.count(twice[0])} teachers of {twice[0]}, and a recipe weighs teachers by "
            "their skeleton: leave one."
        )


def _predicted(
    data: DataFile, recipe: Recipe, teachers: list[Network], teaches: list[NDArray[np.bool_]], cache: Path
) -> Iterator[_Source]:
    """The data sets of pictures, with the teachers' peaks of their people."""
    skeleton = load_skeleton(recipe.skeleton)
    for entry in (e for e in data.datasets if recipe.sampling.takes(e.name)):
        left_out: Counter[str] = Counter()
        people = read_people(entry, skeleton, definition_offsets=recipe.sampling.definition_offsets, left_out=left_out)
        store = open_store(entry.name, people, skeleton, cache, left_out)
        wanted = [i for i, t in enumerate(teachers) if _is_needed(t.skeleton.keypoints, store, recipe)]
        peaks = [predict_peaks(store, teachers[i], skeleton, cache) for i in wanted]
        yield _Source(store, entry.kind, entry.weight, peaks, [teaches[i] for i in wanted])


def _unpacked(data: DataFile, indices: list[PackedIndex], recipe: Recipe, cache: Path) -> Iterator[_Source]:
    """The data sets of packed sets, with the teachers whose peaks they hold."""
    keypoints = load_skeleton(recipe.skeleton).keypoints
    for entry, index in zip(data.packed, indices, strict=True):
        teachers = index.teachers if _needs_teachers(recipe) else ()
        for dataset in (d for d in index.datasets if recipe.sampling.takes(d.name)):
            store, peaks = unpack(entry.packed, dataset, index, cache)
            wanted = [i for i, t in enumerate(teachers) if _is_needed(t.predicts, store, recipe)]
            teaches = [np.array([name in teachers[i].teaches for name in keypoints]) for i in wanted]
            yield _Source(store, dataset.kind, entry.weight * dataset.weight, [peaks[i] for i in wanted], teaches)


def open_teacher(entry: TeacherEntry) -> Network:
    """The network of a data file's teacher, or the joint teacher of its members."""

    def opened(model: Path, description: Path | None) -> Predictor:
        stated = read_description(description) if description else None
        return load_predictor(model, flip=entry.flip, description=stated, threads=2)

    if entry.model is not None:
        return opened(entry.model, entry.description)
    members = [opened(one.model, one.description) for one in entry.members]
    weights, single = [one.weight for one in entry.members], [one.weights for one in entry.members]
    return JointTeacher(members, weights, single, turns=entry.turns)


def distilled_keypoints(entry: TeacherEntry, skeleton: Skeleton) -> NDArray[np.bool_]:
    """(K,) the keypoints of the skeleton that are distilled from a teacher."""
    wanted = skeleton.keypoints if entry.keypoints is None else entry.keypoints
    if unknown := [name for name in wanted if name not in skeleton.keypoints]:
        raise BadFileError(
            f"The data file has a teacher of {unknown[0]}, which {skeleton.name} lacks: correct its name."
        )
    return np.array([name in wanted for name in skeleton.keypoints])


def _is_needed(predicts: Sequence[str], store: CropStore, recipe: Recipe) -> bool:
    """Whether a teacher is needed: always to distil, else where it predicts a keypoint without any label."""
    if recipe.losses.mend_sides or (recipe.distillation.alpha < 1 and not recipe.distillation.online):
        return True
    unknown = (store.visibility == Visibility.UNDEFINED).all(0)
    return any(unknown[store.skeleton.index(k)] for k in predicts if k in store.skeleton.keypoints)
