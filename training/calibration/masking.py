"""Masks labelled joints and predicts them from the picture and the others, to fit and test conditioned confidences.

A person is predicted in rounds, each with a group of joints hidden (`models.conditioning.hiding`).

Shapes: N views, K keypoints of the model, S samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poseunion.models.calibration.annotator_model import labelling_geometry
from poseunion.models.calibration.conditioning_parameters import ConditioningParameters
from poseunion.models.calibration.in_picture import features_with_labels
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.conditioning.features import evidence_features
from poseunion.models.conditioning.fusion import fuse
from poseunion.models.conditioning.hiding import hiding_rounds
from poseunion.models.conditioning.prior import Prior
from poseunion.models.progress import track
from poseunion.models.skeleton import Skeleton
from poseunion.training.calibration.samples import ViewPredictions, seed_of
from poseunion.training.data.arrays import concatenate

# People conditioned at a time: arrays stay small.
BLOCK = 16


@dataclass(frozen=True)
class Hidden:
    """Joints that were masked and predicted back.

    Attributes:
        view, keypoint: (S,) indices into the views and the skeleton.
        feature: (S, F) `EVIDENCE_FEATURES`.
        presence: (S, F + 1) features of `models.calibration.in_picture`.
        xy: (S, 2) the prediction, px of the shown picture.
        geometry: (S, G) `annotator_model.GEOMETRY` of the remaining joints and the predicted ones.
    """

    view: NDArray[np.intp]
    keypoint: NDArray[np.intp]
    feature: NDArray[np.float64]
    presence: NDArray[np.float64]
    xy: NDArray[np.float64]
    geometry: NDArray[np.float64]


def rounds(skeleton: Skeleton, image_name: str, person_id: int) -> NDArray[np.bool_]:
    """(R, K) what each round hides; the limbs' groups are drawn by the picture's name and the person's number."""
    rng = np.random.default_rng([seed_of(image_name, "limbs"), person_id])
    return hiding_rounds(skeleton, rng)


def predict_masked(
    predicted: ViewPredictions,
    grid: SimccGrid,
    skeleton: Skeleton,
    prior: Prior,
    tempering: ConditioningParameters,
    size_bounds: tuple[float, float],
    requested_NK: NDArray[np.bool_] | None = None,
) -> Hidden:
    """Hide joints of every view in rounds, and predict them from the picture and the remaining joints.

    A keypoint that several rounds hide is predicted in the first. Keypoints that were cut off, or that the form's file
    lacks (`View.known`), are always hidden.

    Args:
        predicted: of the views, with logits.
        size_bounds: of the calibration.
        requested_NK: keypoints to predict once they are hidden; None: the labelled joints.
    """
    requested_NK = predicted.labelled if requested_NK is None else requested_NK
    visibility = np.stack([v.person.visibility if v.given is None else v.given[:, 2] for v in predicted.views])
    if predicted.logits is None:
        raise ValueError("predictions without logits cannot be conditioned")
    people = [v.person for v in predicted.views]
    hidden_RNK = np.stack([rounds(skeleton, p.image.name, p.person_id) for p in people], 1)
    parts: list[Hidden] = []
    done = np.zeros(predicted.labelled.shape, bool)
    for hidden in hidden_RNK:
        requested, known = hidden & requested_NK & ~done, predicted.known & ~hidden
        done |= requested
        rows = np.flatnonzero(requested.any(1))
        for i in track([rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)], "hidden joints"):
            crops = [predicted.crops[n] for n in i]
            found = fuse(
                predicted.logits[0][i].astype(np.float32),
                predicted.logits[1][i].astype(np.float32),
                grid,
                crops,
                predicted.given[i],
                known[i],
                prior,
                skeleton=skeleton,
                tempering=tempering,
                image_wh_N2=predicted.wh[i],
                wanted_NK=requested[i],
                inside=True,
            )
            raw, sigma = predicted.raw_score[i], skeleton.sigma_array
            feature = evidence_features(raw, size_bounds, found, crops, predicted.wh[i], sigma)
            presence = features_with_labels(feature, found.features["inside"])
            geometry = labelling_geometry(skeleton, found.xy_NK2, np.where(known[i], visibility[i], 0))
            n, k = np.nonzero(requested[i])
            parts.append(Hidden(i[n], k, feature[n, k], presence[n, k], found.xy_NK2[n, k], geometry[n, k]))
    return concatenate(parts)
