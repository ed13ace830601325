"""What the joint teacher's settings are chosen by: weights per keypoint, how views count, who is read turned.

Shapes: N people, M members, K keypoints, V turns, h and w cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from joint_readings import MEMBERS, Readings
from numpy.typing import NDArray

from poseunion.models.codec.crop import affine_to_crop, apply_affine
from poseunion.models.inference.joint_turns import agreement, crop_of, merged
from poseunion.models.keypoint_offsets import OFFSETS, to_model_keypoints
from poseunion.models.skeleton import Skeleton, sideless
from poseunion.training.densities.fit_joint import Fitted, Labels, fit_weights
from poseunion.training.evaluation.evaluate import scores_of
from poseunion.training.evaluation.predictions import Predictions, person_areas

# Before any fit: both TinyPoses and half of Thunder for COCO's keypoints, the student for MPII's own four.
DEFAULT = {"tinypose-256x192": 1.0, "tinypose-2022-256x192": 1.0, "movenet-thunder": 0.5}
STUDENT, MPII_POINTS = "union21-lite0", ("pelvis", "thorax", "upper_neck", "head_top")
# What `choose` found to differ, of 360 people: weights of `MEMBERS`.
CHOSEN: dict[str, tuple[float, ...]] = {
    "shoulder": (1, 1, 0.5, 1, 0),
    "elbow": (0.25, 0.5, 0.5, 0.5, 0),
    "ankle": (2, 0, 0.5, 2, 0),
}
SHARPNESS = (0.0, 10.0, 30.0)
LEADS = (0.0, 0.03, 0.1, 0.2)
THRESHOLDS = (0.5, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 1.01)


def known_by(readings: Readings) -> NDArray[np.bool_]:
    """(M, K) which keypoints each of `MEMBERS` may have a weight at; EfficientPose only at those that MPII adds."""
    skeleton = readings.joint.skeleton
    known = [m.skeleton.keypoints for m in readings.joint.members]
    known += [()] * (len(MEMBERS) - len(known))
    may = np.array([[k in row for k in skeleton.keypoints] for row in known])
    may[-1] &= [k in MPII_POINTS for k in skeleton.keypoints]
    return may


def default_weights(skeleton: Skeleton) -> NDArray[np.float64]:
    """(M, K) before any fit."""
    result = np.zeros((len(MEMBERS), len(skeleton)))
    for row, name in zip(result, MEMBERS, strict=True):
        for k, keypoint in enumerate(skeleton.keypoints):
            if (keypoint in MPII_POINTS) == (name == STUDENT):
                row[k] = 1.0 if name == STUDENT else DEFAULT.get(name, 0.0)
    return result


def chosen_weights(skeleton: Skeleton) -> NDArray[np.float64]:
    """(M, K) that `choose` led to."""
    result = default_weights(skeleton)
    for keypoint, weights in CHOSEN.items():
        for k, name in enumerate(skeleton.keypoints):
            if sideless(name) == keypoint:
                result[:, k] = weights
    return result


def labels_of(readings: Readings, first: int) -> Labels:
    """A set's labels in the union's definitions, in px of the joint's crops; every second picture is split off."""
    annotations, joint = readings.task.annotations, readings.joint
    xy, seen = to_model_keypoints(
        annotations.xy[readings.rows],
        annotations.visibility[readings.rows],
        annotations.skeleton,
        joint.skeleton,
        OFFSETS.get(annotations.skeleton.name, ()),
    )
    crops = [crop_of(annotations.box_xywh[row], joint.size_wh, joint.padding) for row in readings.rows]
    scale = np.array([crop.image_px_per_crop_px for crop in crops])
    places = np.stack([apply_affine(points, affine_to_crop(crop)) for points, crop in zip(xy, crops, strict=True)])
    _, picture = np.unique(annotations.image_index[readings.rows], return_inverse=True)
    areas = person_areas(annotations, readings.rows)
    return Labels(places, seen > 0, areas / scale**2, (picture + first) % 2 == 1)


def fitted(sets: Sequence[Readings]) -> list[Fitted]:
    """Weights of every keypoint, on all sets together."""
    labels = [labels_of(one, number) for number, one in enumerate(sets)]
    joined = Labels(*(np.concatenate([getattr(one, name) for one in labels]) for name in Labels.__annotations__))
    heat = np.concatenate([one.upright for one in sets], 1)
    skeleton = sets[0].joint.skeleton
    known = np.any([known_by(one) for one in sets], 0)
    return fit_weights(heat, joined, sets[0].joint.cells, skeleton, known, default_weights(skeleton))


class Merged:
    """A set's readings under some weights: upright, with all turns, or with turns where the models disagree."""

    def __init__(self, readings: Readings, weight_MK: NDArray[np.float64]) -> None:
        skeleton = readings.joint.skeleton
        share = (weight_MK / weight_MK.sum(0)).astype(np.float32)
        self.readings, self.skeleton = readings, skeleton
        upright = readings.upright.astype(np.float32)
        self.upright = np.einsum("mk,mnkhw->nkhw", share, upright)
        self.agreement = agreement(upright, self.upright, share, skeleton)
        some = weight_MK[: len(readings.turned[0])]
        turned_share = (some / some.sum(0)).astype(np.float32)
        turned = [np.einsum("mk,mnkhw->nkhw", turned_share, one.astype(np.float32)) for one in readings.turned]
        self.views = np.stack([self.upright, *turned])

    def turned(self, threshold: float, *constants: float) -> NDArray[np.float32]:
        """(N, K, h, w) with the turned views of whoever agrees less than `threshold`."""
        result = self.upright.copy()
        who = np.flatnonzero(self.agreement < threshold)
        if len(who):
            result[who] = merged(self.views[:, who], self.skeleton, *constants)
        return result


def scores(readings: Readings, found: Predictions, name: str) -> dict[str, float]:
    """AP and OKS of COCO, PCK of both."""
    measured = scores_of(readings.task, name, found)
    return {**measured.get("coco", {}), **measured["pck"]}


def oks_of(merged_heat: NDArray[np.float32], readings: Readings) -> NDArray[np.float64]:
    """(N,) each person's OKS, for paired comparisons."""
    from poseunion.models.metrics import oks

    annotations, found = readings.task.annotations, readings.predictions(merged_heat)
    return oks(
        found.xy,
        annotations.xy[found.rows],
        annotations.visibility[found.rows] * found.known,
        person_areas(annotations, found.rows),
        annotations.skeleton.sigma_array,
    )


def choose(sets: dict[str, Readings]) -> list[str]:
    """The measurements that decide, as Markdown."""
    found = fitted(list(sets.values()))
    skeleton = next(iter(sets.values())).joint.skeleton
    lines = ["## Weights", "", f"| keypoint | {' | '.join(MEMBERS)} | gain in OKS of people split off | tried |"]
    lines.append("|---|" + "--:|" * (len(MEMBERS) + 1) + "---|")
    for one in found:
        cells = " | ".join(f"{w:g}" for w in one.weights)
        tried = "" if one.tried == one.weights else " ".join(f"{w:g}" for w in one.tried)
        lines.append(f"| {one.keypoint} | {cells} | {100 * one.gain:+.2f} ± {100 * one.error:.2f} | {tried} |")
    weights = {"default": default_weights(skeleton), "chosen": chosen_weights(skeleton)}
    lines += ["", "## Of all held-out people", "", "| set | weights | reading | OKS | PCK12 |", "|---|---|---|--:|--:|"]
    for name, readings in sets.items():
        for label, matrix in weights.items():
            whole = Merged(readings, matrix)
            for reading, threshold in (("upright", 0.0), ("every turn", 1.01)):
                heat = whole.turned(threshold)
                pck = scores(readings, readings.predictions(heat), reading)["PCK12"]
                lines.append(
                    f"| {name} | {label} | {reading} | {100 * oks_of(heat, readings).mean():.1f} | {pck:.1f} |"
                )
    default = {name: Merged(one, weights["chosen"]) for name, one in sets.items()}
    lines += ["", "## How views count (chosen weights, every turn)", "", f"| sharpness, lead | {' | '.join(sets)} |"]
    lines.append("|---|" + "--:|" * len(sets))
    for sharpness in SHARPNESS:
        for lead in LEADS:
            means = [oks_of(m.turned(1.01, sharpness, lead), m.readings).mean() for m in default.values()]
            lines.append(f"| {sharpness:g}, {lead:g} | {' | '.join(f'{100 * mean:.2f}' for mean in means)} |")
    lines += [
        "",
        "## Who is read turned",
        "",
        "| agreement below | " + " | ".join(f"{n}: asked, % | OKS | ±" for n in sets),
    ]
    lines[-1] += " |"
    lines.append("|---|" + "--:|" * (3 * len(sets)))
    best = {name: oks_of(one.turned(1.01), one.readings) for name, one in default.items()}
    for threshold in THRESHOLDS:
        line = f"| {threshold:g} |"
        for name, chosen in default.items():
            own = oks_of(chosen.turned(threshold), chosen.readings)
            error = (own - best[name]).std() / np.sqrt(len(own))
            asked = (chosen.agreement < threshold).mean()
            line += f" {100 * asked:.0f} | {100 * own.mean():.2f} | {100 * error:.2f} |"
        lines.append(line)
    return lines
