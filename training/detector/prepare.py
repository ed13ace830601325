"""Pictures of a data file, split into training and held-out ones, and the start network."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.inference.detector import DetectorDescription, OnnxDetector, load_detector, shipped_detectors
from poseunion.models.networks.person_detector import PersonDetector, read_detector
from poseunion.models.zoo import DETECTORS
from poseunion.training.data.data_file import DataFile
from poseunion.training.data.splits import is_held_out
from poseunion.training.detector.pictures import DOUBTFUL, read_pictures
from poseunion.training.detector.store import open_pictures
from poseunion.training.detector.views import Pictures


def prepare_pictures(data: DataFile, cache: Path) -> tuple[list[Pictures], list[Pictures]]:
    """Pictures to train on, and held-out ones with human boxes.

    Raises:
        BadArgumentError: a packed set. BadFileError: nothing to train on. ModelError: a teacher is no detector.
    """
    if data.packed:
        raise BadArgumentError(
            f"The data file names {data.packed[0].packed}, a packed set of person crops, and a detector is trained on "
            "whole pictures: name the pictures."
        )
    fillers = [_filler(teacher.model) for teacher in data.teachers if teacher.model is not None]
    train, held = [], []
    for entry in data.datasets:
        store = open_pictures(entry.name, read_pictures(entry), fillers, cache)
        apart = np.array([is_held_out(name) for name in store.image_name])
        train.append(Pictures(store, np.flatnonzero(~apart), entry.weight))
        if entry.kind == "keypoints":
            held.append(Pictures(store, np.flatnonzero(apart), entry.weight))
    if not any(len(part.rows) * part.sampling for part in train):
        raise BadFileError("There is no picture to train on: all are held out, or their data sets have no weight.")
    if all(part.store.ignored.all() for part in train):
        raise BadFileError("The pictures of the data file have no box: add labels, or a detector as a teacher.")
    return train, held


def _filler(path: Path) -> OnnxDetector:
    detector = load_detector(path, threads=1)
    detector.description = detector.description.model_copy(update={"score_threshold": DOUBTFUL})
    return detector


def starting_network(init: str) -> tuple[PersonDetector, DetectorDescription]:
    """Start network of a training, and its description.

    Args:
        init: a shipped detector's name, or weights: a run's, an exported .onnx, or those of `poseunion convert`.

    Raises:
        BadArgumentError: neither. BadFileError: no such file. ModelError: it holds no detector of ours.
    """
    path = Path(init) if init.endswith((".safetensors", ".onnx")) else DETECTORS / f"{init}.onnx"
    if not path.is_file():
        raise BadArgumentError(
            f"No detector {init!r} to start from: give weights (.safetensors, .onnx) of `poseunion train-detector` or "
            f"`poseunion convert`, or a shipped detector ({', '.join(shipped_detectors())})."
        )
    return read_detector(path)
