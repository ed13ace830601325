"""OKS, PCK and PCKh of predicted people; which people and keypoints count is decided by the evaluation protocol.

Shapes: N people, K keypoints. Coordinates, lengths and boxes are pixels of one picture frame, areas its square pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from poseunion.models.errors import SkeletonError
from poseunion.models.skeleton import Skeleton

# xtcocotools (CrowdPose, AIC and OCHuman evaluation) takes .53 of the box where no segmentation gives the area.
AREA_OF_BOX = 0.53
# MPII's evalMPII: PCKh is relative to .6 of the head box's diagonal ("SC_BIAS").
HEAD_SIZE_OF_DIAGONAL = 0.6
# The keypoints that COCO and MPII, and every other data set here, share (paper A, eq. 2).
PCK12 = tuple(
    f"{side}_{limb}" for limb in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in ("left", "right")
)


def oks(
    pred_NK2: NDArray[np.floating],
    gt_NK2: NDArray[np.floating],
    visibility_NK: NDArray[np.integer],
    area_N: NDArray[np.floating],
    sigmas_K: NDArray[np.floating],
) -> NDArray[np.float64]:
    """OKS (object keypoint similarity) of each person with its ground truth, as pycocotools `computeOks`.

    The mean over the labelled keypoints of exp(-d^2 / (2 area (2 sigma)^2)).

    Args:
        pred_NK2: (N, K, 2) predictions.
        gt_NK2: (N, K, 2) labels; what an unlabelled keypoint holds does not matter.
        visibility_NK: (N, K); > 0 is labelled.
        area_N: (N,) person areas: the segmentation's, as COCO stores it, or `area_from_box`.
        sigmas_K: (K,) keypoint sigmas.

    Returns:
        (N,) in [0, 1]; NaN where no keypoint is labelled.
    """
    labelled = np.asarray(visibility_NK) > 0
    with np.errstate(over="ignore"):
        squared = _distances(pred_NK2, gt_NK2, labelled) ** 2
    area = np.asarray(area_N, np.float64)[:, None]
    similarity = np.where(labelled, keypoint_similarity(squared, area, np.asarray(sigmas_K, np.float64)), 0.0)
    return _share(similarity.sum(-1), labelled.sum(-1))


def keypoint_similarity(
    squared: NDArray[np.float64], area: NDArray[np.float64] | float, sigma: NDArray[np.float64]
) -> NDArray[np.float64]:
    """OKS term of one keypoint: exp(-d^2 / (2 area (2 sigma)^2)); the arguments broadcast.

    Args:
        squared: d^2, square px.
    """
    # As pycocotools: area 0 does not divide by zero.
    return np.asarray(np.exp(-squared / (2 * sigma) ** 2 / (area + np.spacing(1)) / 2))


def area_from_box(box_N4: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N,) person areas for OKS where there is no segmentation: .53 of the box (N, 4) x, y, w, h."""
    box = np.asarray(box_N4, np.float64)
    return np.asarray(box[:, 2] * box[:, 3] * AREA_OF_BOX)


def pck_hits(
    pred_NK2: NDArray[np.floating],
    gt_NK2: NDArray[np.floating],
    visibility_NK: NDArray[np.integer],
    normaliser_N: NDArray[np.floating],
    threshold: float,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """PCK hits: keypoints within `threshold` x `normaliser` of their label; an equal distance hits, as in evalMPII.

    Args:
        normaliser_N: (N,) lengths: `torso_diagonals` for PCK, `head_sizes` for PCKh.
        threshold: .2 for PCK@.2, .5 for PCKh@.5.

    Returns:
        (N, K) hits, and (N, K) what counts: labelled, of a person whose normaliser is a positive number.
        A prediction that is not finite misses.
    """
    normaliser = np.asarray(normaliser_N, np.float64)[:, None]
    counted = (np.asarray(visibility_NK) > 0) & np.isfinite(normaliser) & (normaliser > 0)
    with np.errstate(invalid="ignore"):
        hits = counted & (_distances(pred_NK2, gt_NK2, counted) <= threshold * normaliser)
    return hits, counted


def pck_rates(hits_NK: NDArray[np.bool_], counted_NK: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    """(K,) PCK of each keypoint, NaN where nothing counts, and the mean weighted by how often each counts."""
    hits, counted = np.asarray(hits_NK), np.asarray(counted_NK)
    return _share(hits.sum(0), counted.sum(0)), float(_share([hits.sum()], [counted.sum()])[0])


def torso_lengths(
    xy_NK2: NDArray[np.floating], visibility_NK: NDArray[np.integer], skeleton: Skeleton
) -> NDArray[np.float64]:
    """(N,) torso lengths: distance from the midpoint of the shoulders to the midpoint of the hips.

    NaN where one of the four is not labelled. A foreshortened torso is short.

    Raises:
        SkeletonError: the skeleton lacks shoulders or hips.
    """
    ends = (("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"))
    return _length_between(ends, xy_NK2, visibility_NK, skeleton)


def torso_diagonals(
    xy_NK2: NDArray[np.floating], visibility_NK: NDArray[np.integer], skeleton: Skeleton
) -> NDArray[np.float64]:
    """(N,) PCK normaliser: distance from the left shoulder to the right hip, as LSP's evaluation has it.

    NaN where one of the two is not labelled. Longer than `torso_lengths`, and less variable in people from the side.

    Raises:
        SkeletonError: the skeleton lacks one of the two.
    """
    return _length_between((("left_shoulder",), ("right_hip",)), xy_NK2, visibility_NK, skeleton)


def _length_between(
    ends: tuple[tuple[str, ...], tuple[str, ...]],
    xy_NK2: NDArray[np.floating],
    visibility_NK: NDArray[np.integer],
    skeleton: Skeleton,
) -> NDArray[np.float64]:
    """(N,) distance between the means of two sets of keypoints; NaN where one of them is not labelled."""
    if missing := [c for end in ends for c in end if c not in skeleton.keypoints]:
        raise SkeletonError(f"Skeleton {skeleton.name} has no {', '.join(missing)}: its torso cannot be measured.")
    start, stop = ([skeleton.index(c) for c in end] for end in ends)
    xy = np.asarray(xy_NK2, np.float64)
    length = np.linalg.norm(xy[:, start].mean(1) - xy[:, stop].mean(1), axis=-1)
    known = (np.asarray(visibility_NK)[:, start + stop] > 0).all(-1)
    return np.where(known, length, np.nan)


def head_sizes(head_box_N4: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N,) PCKh normaliser: .6 of the diagonal of the head box (N, 4) x1, y1, x2, y2 (MPII's own fields)."""
    box = np.asarray(head_box_N4, np.float64)
    return np.asarray(HEAD_SIZE_OF_DIAGONAL * np.hypot(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]))


def _distances(
    pred_NK2: NDArray[np.floating], gt_NK2: NDArray[np.floating], wanted_NK: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """(N, K) Euclidean distances of the selected keypoints, else 0; infinite where a prediction is not finite."""
    difference = np.where(wanted_NK[..., None], np.asarray(pred_NK2, np.float64) - np.asarray(gt_NK2, np.float64), 0.0)
    return np.where(np.isfinite(difference).all(-1), np.linalg.norm(difference, axis=-1), np.inf)


def _share(part: ArrayLike, whole: ArrayLike) -> NDArray[np.float64]:
    numerator, denominator = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(numerator, denominator, out=np.full(denominator.shape, np.nan), where=denominator > 0)


def oks_radius_px(
    area_N: NDArray[np.floating], sigma_K: NDArray[np.floating], similarity: float = 0.5
) -> NDArray[np.float64]:
    """(N, K) distance at which a keypoint's OKS is .5, or another: exp(-d^2 / (2 area (2 sigma)^2)) = similarity.

    Args:
        area_N: square px of the person, see `metrics.oks`.
    """
    area = np.asarray(area_N, np.float64)
    return np.asarray(np.sqrt(2 * np.log(1 / similarity) * area)[:, None] * 2 * np.asarray(sigma_K, np.float64))
