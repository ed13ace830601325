"""Pure arithmetic of completing people: human points stay, midpoints are derived, the rest is proposed.

Legend of shape suffixes: N records; D the dataset's keypoints, M the model's, K the output's (their union).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate import acceptance
from poseunion.annotate.asked import Asked
from poseunion.annotate.sides import contradicting
from poseunion.models.labelling import EVEN_ODDS, Labelling, labelling_geometry
from poseunion.models.skeleton import Skeleton, Visibility, derive_midpoints, project, project_indices

# Written precision: a hundredth of a pixel and of a per mille is far below what a model knows.
XY_DIGITS = 2
CONFIDENCE_DIGITS = 4


class Origin(IntEnum):
    """Where a keypoint of an extended file comes from; `keypoint_source` holds the lower-case name."""

    NONE = 0
    HUMAN = 1
    DERIVED = 2
    PROPOSED = 3


ORIGIN_NAMES = tuple(origin.name.lower() for origin in sorted(Origin))


class Reason(IntEnum):
    """Why a proposal was not accepted; an extended file holds the lower-case name."""

    NONE = 0
    OUTSIDE = 1  # it lies outside the picture
    CONFIDENCE = 2  # below the threshold
    GAP = 3  # the guarantee does not cover what annotators left out
    UNLABELLED = 4  # an annotator would probably have left it out: a face seen from behind
    SIDES = 5  # its left and right contradict the person's other pairs


REASON_NAMES = tuple(reason.name.lower() for reason in sorted(Reason))


@dataclass(frozen=True)
class Completion:
    """Completed records `start … start + N` of a file, in its order.

    Attributes:
        origin: (N, K) int8 `Origin` of the point that stands.
        xy: (N, K, 2) float64 image pixels, 0-based: the derived point, or the proposal whether accepted or not (human
            points are copied from the file itself, so that not a digit changes).
        visibility: (N, K) int8 to be written: of derived points the lower of their parents', of accepted proposals 1
            where the joint is probably hidden, else 2.
        confidence: (N, K) float64 how far the proposal can be trusted (see `PoseBatch.score`); NaN where there is none.
        sd_px, disagreement: (N, K) float64 standard deviation of the proposal, image pixels an axis, and the distance
            between picture and prior in OKS-.5 radii; NaN where the labelled joints were not used, None if nowhere.
        model: (N,) who proposed, where a route chose among models; None: the one that the block names.
        reason: (N, K) int8 `Reason` why a proposal was not accepted; None: not known.
        labelled: (N, K) float64 probability that an annotator would label it, NaN where that was not fitted; None if
            nowhere.
        gap: (N, K) what annotators left out and nothing was proposed for; None: not known.
    """

    start: int
    origin: NDArray[np.int8]
    xy: NDArray[np.float64]
    visibility: NDArray[np.int8]
    confidence: NDArray[np.float64]
    sd_px: NDArray[np.float64] | None = None
    disagreement: NDArray[np.float64] | None = None
    model: tuple[str, ...] | None = None
    reason: NDArray[np.int8] | None = None
    labelled: NDArray[np.float64] | None = None
    gap: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Extension:
    """All a writer needs besides the annotations.

    Attributes:
        skeleton: of the output: the model's keypoints, then what only the dataset has.
        block: the top-level `poseunion` block.
        size_of: picture index -> (width, height) of the stored pixels, None where it cannot be read.
        rows: gives the completion of records [start, stop).
    """

    skeleton: Skeleton
    block: dict[str, Any]
    size_of: Callable[[int], tuple[int, int] | None]
    rows: Callable[[int, int], Completion]


def complete(
    start: int,
    xy_ND2: NDArray[np.float64],
    visibility_ND: NDArray[np.int8],
    predicted_NM5: NDArray[np.float32],
    size_wh_N2: NDArray[np.float64],
    threshold_M: NDArray[np.float64],
    dataset: Skeleton,
    model: Skeleton,
    output: Skeleton,
    *,
    asked: Asked = Asked(),
    undefined_only: bool = False,
    labelling: Labelling | None = None,
) -> Completion:
    """Complete N records.

    Args:
        xy_ND2, visibility_ND: what humans labelled, image pixels, 0-based.
        predicted_NM5: x, y, confidence, standard deviation, disagreement of the model's keypoints; a record whose x
            is NaN was not looked at, and gets neither proposals nor derived points.
        size_wh_N2: size of each record's picture, pixels.
        threshold_M: see `acceptance.thresholds_for`.
        asked: what is proposed.
        undefined_only: accept nothing that an annotator could have labelled and left out.
        labelling: whether an annotator would label a keypoint, and as occluded; None: yes, and no.
    """
    xy, visibility = project(xy_ND2, visibility_ND, dataset, output)
    human = visibility > 0
    looked_at = np.isfinite(predicted_NM5[:, 0, 0])
    filled, filled_visibility, derived = derive_midpoints(xy, visibility, output)
    derived &= looked_at[:, None]

    index = project_indices(model, output)
    from_model = np.where((index >= 0)[None, :, None], predicted_NM5[:, index].astype(np.float64), np.nan)
    estimate = np.where(filled_visibility[..., None] > 0, filled, from_model[..., :2])
    from_model[~asked.asked(visibility, derived, output)] = np.nan
    proposal, confidence = from_model[..., :2].round(XY_DIGITS), from_model[..., 2].round(CONFIDENCE_DIGITS)
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
        sd_px=from_model[..., 3].round(XY_DIGITS),
        disagreement=from_model[..., 4].round(XY_DIGITS),
        reason=reason,
        labelled=labelled,
        gap=asked.gaps_left(visibility, derived, output) & looked_at[:, None] & (index >= 0),
    )
