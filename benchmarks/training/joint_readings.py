"""Several networks' heatmaps of labelled people, upright and turned, read once and kept: what the joint teacher's
settings are chosen on and its table is made of.

Shapes: N people, M members, K keypoints of the joint skeleton, V turns, h and w cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats import AnnotationSet
from poseunion.models.codec.crop import to_image
from poseunion.models.codec.heatmap import decode
from poseunion.models.files import atomic_writer
from poseunion.models.images import read_annotated_image
from poseunion.models.inference.joint_cells import moved
from poseunion.models.inference.joint_turns import ANGLES_DEG, crop_of
from poseunion.models.inference.predictor import load_predictor
from poseunion.models.keypoint_offsets import MODEL_OFFSETS
from poseunion.models.picture_paths import picture_path
from poseunion.models.poses.batch import PoseBatch
from poseunion.models.progress import track
from poseunion.training.data.arrays import read_arrays
from poseunion.training.data.splits import is_held_out
from poseunion.training.densities.joint import JointTeacher
from poseunion.training.evaluation.evaluate import Task, read_task
from poseunion.training.evaluation.predictions import Predictions, in_skeleton

# Of the table, in its order. The last is slow: it is asked upright, and on LSP's people, who have points of MPII's.
MEMBERS = ("tinypose-256x192", "tinypose-2022-256x192", "movenet-thunder", "union21-lite0", "efficientpose-rt")
TURNED = MEMBERS[:-1]
CHUNK = 32
# Held-out training people of a set: 200 evenly spaced in its file, and the first so many of them.
MOST_HELD_OUT = 200
FIRST = {"coco-train": 160, "lspet-train": 200}
# Heights below are noise, and zeros take no room.
LEAST = 1e-3


@dataclass(frozen=True)
class Readings:
    """What the members said of a set's people.

    Attributes:
        task: the labels; people who were not read are skipped in it.
        rows: (N,) records of the people.
        upright: (M, N, K, h, w) float16, with the flip test; 0 of members that were not asked.
        turned: (V, M - 1, N, K, h, w) float16, without; of `TURNED`.
        own: own answers of the members that were asked.
    """

    task: Task
    joint: JointTeacher
    rows: NDArray[np.intp]
    upright: NDArray[np.float16]
    turned: NDArray[np.float16]
    own: list[Predictions]

    def predictions(self, heat_NKhw: NDArray[np.float32]) -> Predictions:
        """Heatmaps on the joint's cells, decoded as the joint teacher does."""
        joint, labels = self.joint, self.task.annotations
        xy, score = decode(heat_NKhw, joint.cells.head, joint.size_wh)
        crops = [crop_of(labels.box_xywh[row], joint.size_wh, joint.padding) for row in self.rows]
        own = np.stack([to_image(points, crop) for points, crop in zip(xy, crops, strict=True)])
        places, scores, known = in_skeleton(own, np.clip(score, 0, 1), joint.skeleton, labels.skeleton)
        return Predictions(self.rows, places, scores, known, ())


def members(teachers: Path, names: Sequence[str], *, flip: bool = True) -> JointTeacher:
    """Some of `MEMBERS` as one, all with the same weight."""
    networks = [load_predictor(teachers / f"{name}.onnx", flip=flip, threads=1) for name in names]
    return JointTeacher(networks, offsets={})  # `read` applies them, so that one that is fitted later costs nothing


def people_of(annotations: Path, images: Path, *, held_out: bool) -> Task:
    """A set's task, of people of held-out pictures alone where asked so."""
    task = read_task(annotations, images)
    if not held_out:
        return task
    labels = task.annotations
    skip = dict(labels.skip)
    for row, image in enumerate(labels.image_index):
        if image >= 0 and not is_held_out(labels.images[image].file_name):
            skip.setdefault(row, "not held out")
    return replace(task, annotations=replace(labels, skip=skip))


def read(name: str, task: Task, teachers: Path, work: Path) -> Readings:
    """The readings of a task's people; a chunk that was read before is not read again."""
    names = TURNED if name.startswith("coco") else MEMBERS
    joint, turning = members(teachers, names), members(teachers, TURNED)
    labels = task.annotations
    people = [p for p in labels.persons() if p.skip is None and np.isfinite(labels.box_xywh[p.index]).all()]
    if name.endswith("train"):
        people = [people[i] for i in np.unique(np.linspace(0, len(people) - 1, MOST_HELD_OUT).astype(int))]
        people = people[: FIRST[name]]
    chunks = [people[start : start + CHUNK] for start in range(0, len(people), CHUNK)]
    parts = []
    for number, chunk in enumerate(track(chunks, name)):
        rows = np.array([p.index for p in chunk])
        path = work / f"{name}-{joint.sha256[:8]}-{number:03d}.npz"
        saved = read_arrays(path)
        if saved is None or not np.array_equal(saved["rows"], rows):
            saved = _read_chunk(labels, rows, task.images, joint, turning) | {"rows": rows}
            work.mkdir(parents=True, exist_ok=True)
            with atomic_writer(path) as file:
                np.savez_compressed(file, allow_pickle=False, **saved)
        parts.append(saved)
    xy, score = (np.concatenate([p[key] for p in parts], 1) for key in ("xy", "score"))
    rows = np.concatenate([p["rows"] for p in parts])
    own = []
    for number, member in enumerate(joint.members):
        k = len(member.skeleton)
        places, scores, known = in_skeleton(
            xy[number, :, :k], score[number, :, :k], member.skeleton, labels.skeleton, member.name
        )
        own.append(Predictions(rows, places, scores, known, ()))
    upright = np.concatenate([p["upright"] for p in parts], 1)
    for number, member in enumerate(joint.members):
        if offsets := MODEL_OFFSETS.get(member.name, ()):
            upright[number] = moved(upright[number].astype(np.float32), joint.skeleton, offsets)
    upright = np.concatenate([upright, np.zeros((len(MEMBERS) - len(names), *upright.shape[1:]), np.float16)])
    turned = np.concatenate([p["turned"] for p in parts], 2)
    return Readings(task, joint, rows, upright, turned, own)


def _read_chunk(
    labels: AnnotationSet, rows: NDArray[np.intp], images: Path, joint: JointTeacher, turning: JointTeacher
) -> dict[str, NDArray[np.generic]]:
    k = len(joint.skeleton)
    xy = np.zeros((len(joint.members), len(rows), k, 2), np.float32)
    score = np.zeros((len(joint.members), len(rows), k), np.float32)
    upright, turned = [], []
    for start in range(0, len(rows), joint.batch_size):
        part = rows[start : start + joint.batch_size]
        refs = [labels.images[int(labels.image_index[row])] for row in part]
        pictures = [
            read_annotated_image(picture_path(images, r.file_name), (int(r.width or 0), int(r.height or 0)))
            for r in refs
        ]
        here = slice(start, start + len(part))

        def keep(member: int, poses: PoseBatch, here: slice = here) -> None:
            own = len(poses.skeleton)
            xy[member, here, :own], score[member, here, :own] = poses.xy, poses.score

        boxes = labels.box_xywh[part]
        upright.append(joint.member_heatmaps(pictures, boxes, listener=keep)[0])
        turned.append(np.stack([turning.member_heatmaps(pictures, boxes, angle)[0] for angle in ANGLES_DEG]))
    heats = np.concatenate(upright, 1), np.concatenate(turned, 2)
    small = [np.where(heat < LEAST, 0, heat).astype(np.float16) for heat in heats]
    return {"xy": xy, "score": score, "upright": small[0], "turned": small[1]}


def read_all(data: Path, teachers: Path, work: Path, names: Sequence[str]) -> dict[str, Readings]:
    """Readings of `coco/train`, `lspet/train` (held out), `coco/test`, `lspet/test`, as named."""
    result = {}
    for name in names:
        task = people_of(data / f"{name}.json", data / name, held_out=name.endswith("train"))
        result[name] = read(name.replace("/", "-"), task, teachers, work)
    return result
