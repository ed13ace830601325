"""Pseudo-labels: what the teachers see of the keypoints that a dataset does not define, where they can be believed.

A teacher that misplaces the limbs which humans (or the other teacher) placed is looking at another person or is lost:
its other keypoints are not used. Where it agrees, they are labels of reduced weight.

Shapes: N people, K keypoints of the target skeleton.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.models.files import atomic_writer
from poseunion.models.geometry import Crop, affine_to_crop, apply_affine, crop_from_box, cut_crop, invert_affine
from poseunion.models.metrics import torso_lengths
from poseunion.models.predictor import Predictor
from poseunion.models.skeleton import Skeleton, project_indices
from poseunion.training.progress import track
from poseunion.training.store import PADDING, CropStore

# On people with ground truth: at least 75 % of limbs closer than .25 torso keeps 60 % of LSPET and lifts
# EfficientPose's neck from 66.8 to 82.3 PCK@.2.
AGREE_WITHIN_TORSO = 0.25
AGREE_SHARE = 0.75
MIN_COMPARED = 4
# Below it the teachers' peaks are mostly background (their median score on labelled keypoints is about .8).
MIN_SCORE = 0.4


def teach(
    store: CropStore, teacher: Predictor, target: Skeleton, cache: Path
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A teacher's keypoints of everybody in a store; computed once, then read from `cache`.

    Returns:
        (N, K, 2) store px and (N, K) scores, 0 for keypoints that the teacher does not know.
    """
    flipped = "-flip" if teacher.flip else ""
    path = cache / f"{store.dataset}-{len(store)}-{store.index_sha[:12]}-{teacher.sha256[:12]}{flipped}.teacher.npz"
    if path.is_file():
        saved = np.load(path, allow_pickle=False)
        xy_own, score_own = saved["xy"], saved["score"]
    else:
        xy_own, score_own = _run(store, teacher)
        with atomic_writer(path) as file:
            np.savez(file, xy=xy_own, score=score_own)
    index = project_indices(teacher.skeleton, target)
    known = index >= 0
    return np.where(known[None, :, None], xy_own[:, index], 0.0), np.where(known[None], score_own[:, index], 0.0)


def _run(store: CropStore, teacher: Predictor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    xy, score = [], []
    for start in track(range(0, len(store), teacher.batch_size), f"{teacher.name} on {store.dataset}"):
        who = range(start, min(start + teacher.batch_size, len(store)))
        crops: list[Crop] = [crop_from_box(store.box_xywh[i], teacher.size_wh, PADDING) for i in who]
        pixels = np.stack([cut_crop(store.pixels(i), crop) for i, crop in zip(who, crops, strict=True)])
        xy_crop, peaks = teacher.decode(teacher.outputs(pixels))
        xy += [apply_affine(p, invert_affine(affine_to_crop(c))) for p, c in zip(xy_crop, crops, strict=True)]
        score += list(peaks)
    return np.stack(xy), np.stack(score).astype(np.float64)


def agreement(
    xy_a_NK2: NDArray[np.floating],
    known_a_NK: NDArray[np.bool_],
    xy_b_NK2: NDArray[np.floating],
    known_b_NK: NDArray[np.bool_],
    torso_N: NDArray[np.floating],
    limbs: Sequence[int],
) -> NDArray[np.bool_]:
    """(N,) whether two sources put a person's limbs in the same places.

    Args:
        limbs: indices of the keypoints to compare.
        torso_N: length that distances are measured in, px; not finite where unknown (then: no agreement).
    """
    both = (known_a_NK & known_b_NK)[:, limbs]
    distance = np.linalg.norm(xy_a_NK2[:, limbs] - xy_b_NK2[:, limbs], axis=-1)
    with np.errstate(invalid="ignore"):
        close = both & (distance <= AGREE_WITHIN_TORSO * torso_N[:, None])
    count = both.sum(1)
    return np.asarray((count >= MIN_COMPARED) & (close.sum(1) >= AGREE_SHARE * count) & np.isfinite(torso_N))


def person_length(
    xy_NK2: NDArray[np.floating], known_NK: NDArray[np.bool_], box_xywh: NDArray[np.floating], skeleton: Skeleton
) -> NDArray[np.float64]:
    """(N,) torso lengths in px; a quarter of the box's longer side where the torso is unknown or foreshortened."""
    torso = torso_lengths(xy_NK2, known_NK.astype(np.int8) * 2, skeleton)
    fallback = box_xywh[:, 2:].max(1) / 4
    return np.where(np.isfinite(torso) & (torso > fallback / 2), torso, fallback)


def complete(
    store: CropStore, teachers: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]], weight: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Labels plus believable pseudo-labels.

    Args:
        teachers: (xy, score) of each teacher on this store, from `teach`; the first is the one to trust on limbs.
        weight: of a pseudo-label, against 1 for a human label.

    Returns:
        (N, K, 2) store px and (N, K) weights in [0, 1].
    """
    skeleton = store.skeleton
    xy, weights = store.xy.copy(), (store.visibility > 0).astype(np.float64)
    limbs = [k for k, name in enumerate(skeleton.keypoints) if name.split("_")[-1] in LIMBS]
    human = store.visibility > 0
    labelled = human[:, limbs].sum(1) >= MIN_COMPARED
    for number, (xy_t, score_t) in enumerate(teachers):
        seen = score_t >= MIN_SCORE
        believed = agreement(
            store.xy, human, xy_t, seen, person_length(store.xy, human, store.box_xywh, skeleton), limbs
        )
        for other, (xy_o, score_o) in enumerate(teachers):
            if other != number:
                seen_o = score_o >= MIN_SCORE
                length = person_length(xy_o, seen_o, store.box_xywh, skeleton)
                believed |= ~labelled & agreement(xy_t, seen, xy_o, seen_o, length, limbs)
        # Only what the dataset does not define: where an annotator looked and gave none, a teacher's guess is no label.
        fill = believed[:, None] & seen & (store.visibility == -1) & (weights == 0)
        xy[fill] = xy_t[fill]
        weights[fill] = weight
    return xy, weights


LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
