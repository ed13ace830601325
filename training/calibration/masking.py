"""Masks labelled joints and predicts them from the picture and the others, to fit and test evidence confidences.

A person is predicted in rounds, each with a group of joints hidden (`models.conditioning.hiding`).

Shapes: N views, K keypoints of the model, S samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poseunion.models.calibration.annotator_model import labelling_geometry
from poseunion.models.calibration.conditioning_parameters import ConditioningParameters
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.conditioning.features import evidence_features
from poseunion.models.conditioning.fusion import fuse
from poseunion.models.conditioning.hiding import hiding_rounds
from poseunion.models.conditioning.prior import Prior
from poseunion.models.progress import track
from poseunion.models.skeleton import Skeleton
from poseunion.training.calibration.samples import Answers, seed_of
from poseunion.training.data.arrays import concatenate

# People conditioned at a time: arrays stay small.
BLOCK = 16


@dataclass(frozen=True)
class Hidden:
    """Joints that were masked and predicted back.

    Attributes:
        view, keypoint: (S,) indices into the views and the skeleton.
        feature: (S, F) `EVIDENCE_FEATURES`.
        xy: (S, 2) the proposal, px of the shown picture.
        geometry: (S, G) `annotator_model.GEOMETRY` of the joints that were left and of what was proposed.
    """

    view: NDArray[np.intp]
    keypoint: NDArray[np.intp]
    feature: NDArray[np.float64]
    xy: NDArray[np.float64]
    geometry: NDArray[np.float64]


def rounds(skeleton: Skeleton, image_name: str, person_id: int) -> NDArray[np.bool_]:
    """(R, K) what each round hides; the limbs' groups are drawn by the picture's name and the person's number."""
    rng = np.random.default_rng([seed_of(image_name, "limbs"), person_id])
    return hiding_rounds(skeleton, rng)


def ask_hidden(
    answers: Answers,
    grid: SimccGrid,
    skeleton: Skeleton,
    prior: Prior,
    tempering: ConditioningParameters,
    size_bounds: tuple[float, float],
    asked_NK: NDArray[np.bool_] | None = None,
) -> Hidden:
    """Hide joints of every view in rounds, and propose them from the picture and the joints that are left.

    A keypoint that several rounds hide is asked for in the first. What was cut off, or what the form's file does not
    have (`View.known`), is hidden always.

    Args:
        answers: with logits.
        size_bounds: of the calibration.
        asked_NK: what is asked for once it is hidden; None: the labelled joints.
    """
    asked_NK = answers.labelled if asked_NK is None else asked_NK
    visibility = np.stack([v.person.visibility if v.given is None else v.given[:, 2] for v in answers.views])
    if answers.logits is None:
        raise ValueError("answers without logits cannot be conditioned")
    people = [v.person for v in answers.views]
    hidden_RNK = np.stack([rounds(skeleton, p.image.name, p.person_id) for p in people], 1)
    parts: list[Hidden] = []
    done = np.zeros(answers.labelled.shape, bool)
    for hidden in hidden_RNK:
        wanted, known = hidden & asked_NK & ~done, answers.known & ~hidden
        done |= wanted
        rows = np.flatnonzero(wanted.any(1))
        for i in track([rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)], "hidden joints"):
            crops = [answers.crops[n] for n in i]
            found = fuse(
                answers.logits[0][i].astype(np.float32),
                answers.logits[1][i].astype(np.float32),
                grid,
                crops,
                answers.given[i],
                known[i],
                prior,
                skeleton=skeleton,
                tempering=tempering,
                image_wh_N2=answers.wh[i],
                wanted_NK=wanted[i],
            )
            raw, sigma = answers.raw_score[i], skeleton.sigma_array
            feature = evidence_features(raw, size_bounds, found, crops, answers.wh[i], sigma)
            geometry = labelling_geometry(skeleton, found.xy_NK2, np.where(known[i], visibility[i], 0))
            n, k = np.nonzero(wanted[i])
            parts.append(Hidden(i[n], k, feature[n, k], found.xy_NK2[n, k], geometry[n, k]))
    return concatenate(parts)
