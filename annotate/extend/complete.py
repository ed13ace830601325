"""Pure arithmetic of completing people: human points stay, midpoints are derived, the rest is proposed.

Legend of shape suffixes: N records; D the dataset's keypoints, M the model's, K the output's (their union).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.extend import acceptance
from poseunion.annotate.extend.predictions import Predictions
from poseunion.annotate.extend.requested_keypoints import Asked
from poseunion.annotate.formats.extension import CONFIDENCE_DIGITS, XY_DIGITS, Completion, Origin, Reason
from poseunion.annotate.left_right_geometry import contradicting
from poseunion.models.calibration.annotator_model import EVEN_ODDS, AnnotatorModel, labelling_geometry
from poseunion.models.skeleton import Skeleton, Visibility, derive_midpoints, project, project_indices


def complete(
    start: int,
    xy_ND2: NDArray[np.float64],
    visibility_ND: NDArray[np.int8],
    predicted: Predictions,
    size_wh_N2: NDArray[np.float64],
    threshold_M: NDArray[np.float64],
    dataset: Skeleton,
    model: Skeleton,
    output: Skeleton,
    *,
    asked: Asked = Asked(),
    undefined_only: bool = False,
    labelling: AnnotatorModel | None = None,
) -> Completion:
    """Complete N records.

    Args:
        xy_ND2, visibility_ND: what humans labelled, image pixels, 0-based.
        predicted: the model's keypoints; a record that was not predicted gets neither proposals nor derived points.
        size_wh_N2: size of each record's picture, pixels.
        threshold_M: see `acceptance.thresholds_for`.
        asked: what is proposed.
        undefined_only: accept nothing that an annotator could have labelled and left out.
        labelling: whether an annotator would label a keypoint, and as occluded; None: yes, and no.
    """
    xy, visibility = project(xy_ND2, visibility_ND, dataset, output)
    human = visibility > 0
    predicted_N = predicted.done
    filled, filled_visibility, derived = derive_midpoints(xy, visibility, output)
    derived &= predicted_N[:, None]

    index = project_indices(model, output)
    usable = asked.asked(visibility, derived, output) & (index >= 0)

    def proposed_values(values_NM: NDArray[np.float32], digits: int) -> NDArray[np.float64]:
        found = values_NM[:, index].astype(np.float64).round(digits)
        return np.where(usable if found.ndim == 2 else usable[..., None], found, np.nan)

    known_to_model = np.where((index >= 0)[None, :, None], predicted.xy[:, index].astype(np.float64), np.nan)
    estimate = np.where(filled_visibility[..., None] > 0, filled, known_to_model)
    proposal = proposed_values(predicted.xy, XY_DIGITS)
    confidence = proposed_values(predicted.score, CONFIDENCE_DIGITS)
    threshold_K = np.where(index >= 0, threshold_M[index], np.inf)
    proposed = ~np.isnan(confidence)
    seen = np.full(visibility.shape, Visibility.VISIBLE, np.int8)
    labelled: NDArray[np.float64] | None = None
    tests = {
        Reason.OUTSIDE: acceptance.inside(proposal, size_wh_N2),
        Reason.CONFIDENCE: acceptance.accepted(proposal, confidence, threshold_K, size_wh_N2),
    }
    if undefined_only:
        tests[Reason.GAP] = visibility == Visibility.UNDEFINED
    if labelling is not None:
        geometry = labelling_geometry(output, estimate, filled_visibility)
        likely = labelling.labelled_probability(output.keypoints, confidence, geometry).round(CONFIDENCE_DIGITS)
        tests[Reason.UNLABELLED] = likely >= labelling.threshold
        labelled = np.where(labelling.says_labelled(output.keypoints), likely, np.nan)
        hidden = labelling.occluded_probability(output.keypoints, confidence, geometry) >= EVEN_ODDS
        seen[hidden] = Visibility.OCCLUDED
    good = proposed & np.logical_and.reduce(list(tests.values()))
    standing = np.where(good, seen, filled_visibility)
    tests[Reason.SIDES] = ~contradicting(output, np.where(good[..., None], proposal, filled), standing, good)
    good &= tests[Reason.SIDES]
    reason = np.zeros(visibility.shape, np.int8)
    for why, passed in reversed(tests.items()):  # the first one that fails is the reason
        reason[proposed & ~passed] = why

    origin = np.zeros(visibility.shape, np.int8)
    origin[good] = Origin.PROPOSED
    origin[derived] = Origin.DERIVED
    origin[human] = Origin.HUMAN
    return Completion(
        start=start,
        origin=origin,
        xy=np.where(derived[..., None], filled, proposal),
        visibility=np.where(derived, filled_visibility, np.where(good, seen, 0)).astype(np.int8),
        confidence=confidence,
        sd_px=proposed_values(predicted.sd_px, XY_DIGITS),
        disagreement=proposed_values(predicted.disagreement, XY_DIGITS),
        in_picture=proposed_values(predicted.in_picture, CONFIDENCE_DIGITS),
        reason=reason,
        labelled=labelled,
        gap=asked.gaps_left(visibility, derived, output) & predicted_N[:, None] & (index >= 0),
    )
