"""From a data file to labelled stores: crops on disk, teachers run once, labels completed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from poseunion.models.metadata import read_description
from poseunion.models.predictor import Predictor, load_predictor
from poseunion.models.skeleton import Visibility, load_skeleton
from poseunion.training.data import DataFile, LabelledStore, is_held_out, read_people
from poseunion.training.pseudo import complete, teach
from poseunion.training.store import CropStore, open_store


def cache_folder() -> Path:
    """Where stores and teacher outputs are kept: $POSEUNION_CACHE, else ~/.cache/poseunion."""
    return Path(os.environ.get("POSEUNION_CACHE") or Path.home() / ".cache" / "poseunion")


def prepare(
    data: DataFile, skeleton_name: str, pseudo_weight: float, cache: Path
) -> tuple[list[LabelledStore], list[LabelledStore]]:
    """Labelled stores to train on and held-out ones with human labels to validate on."""
    skeleton = load_skeleton(skeleton_name)
    teachers: list[Predictor] = [
        load_predictor(
            t.model, flip=t.flip, description=read_description(t.description) if t.description else None, threads=2
        )
        for t in data.teachers
        if pseudo_weight > 0
    ]
    train, held = [], []
    for entry in data.datasets:
        store = open_store(entry.name, read_people(entry, skeleton), skeleton, cache)
        xy, weight = store.xy, (store.visibility > 0).astype(np.float64)
        if useful_teachers := [t for t in teachers if _has_something_to_say(t, store)]:
            taught = [teach(store, t, skeleton, cache) for t in useful_teachers]
            xy, weight = complete(store, taught, pseudo_weight)
        apart = np.array([is_held_out(n) for n in store.image_name])
        useful = weight.sum(1) > 0
        train.append(LabelledStore(store, xy, weight, np.flatnonzero(~apart & useful), entry.weight))
        if entry.kind == "keypoints":
            human = (store.visibility > 0).any(1)
            held.append(LabelledStore(store, store.xy, weight, np.flatnonzero(apart & human), entry.weight))
    return train, held


def _has_something_to_say(teacher: Predictor, store: CropStore) -> bool:
    """Whether a teacher knows a keypoint that nobody in the store has a label for."""
    unknown = (store.visibility == Visibility.UNDEFINED).all(0)
    return any(unknown[store.skeleton.index(k)] for k in teacher.skeleton.keypoints if k in store.skeleton.keypoints)
