"""Ensemble weights per keypoint, fitted by coordinate ascent on OKS of labelled people, kept where others gain.

Shapes: N people, M members, K keypoints of the joint skeleton, h and w cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from poseunion.models.codec.heatmap import decode
from poseunion.models.inference.joint_cells import Cells
from poseunion.models.metrics import keypoint_similarity
from poseunion.models.skeleton import Skeleton, sideless

# Candidates for a member's weight at a keypoint.
CANDIDATES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
ROUNDS = 2
# Standard errors that a gain on people split off must exceed.
LEAST_ERRORS = 1.0
# With fewer labels than this on either side of the split the default weights are kept.
LEAST_LABELS = 30


@dataclass(frozen=True)
class Labels:
    """Labels that heatmaps are compared with.

    Attributes:
        xy: (N, K, 2) px of the crops whose cells the heatmaps lie on.
        known: (N, K) which are labelled.
        area: (N,) of each person, px of the crop, squared.
        split_off: (N,) people for the confirmation alone.
    """

    xy: NDArray[np.float64]
    known: NDArray[np.bool_]
    area: NDArray[np.float64]
    split_off: NDArray[np.bool_]


@dataclass(frozen=True)
class Fitted:
    """Weights of one keypoint, both sides.

    Attributes:
        weights: of the M members.
        gain: in OKS of the people split off, and its standard error, of `tried`.
        tried: the weights of the fit; equal to `weights` where they were kept.
    """

    keypoint: str
    weights: tuple[float, ...]
    gain: float
    error: float
    tried: tuple[float, ...]


def fit_weights(
    heat_MNKhw: NDArray[np.floating],
    labels: Labels,
    cells: Cells,
    skeleton: Skeleton,
    known_MK: NDArray[np.bool_],
    default_MK: NDArray[np.floating],
) -> list[Fitted]:
    """Weights of every keypoint that differ from the default only where they gain on people split off.

    Args:
        known_MK: which keypoints each member predicts.
        default_MK: what the weights start from, not normalised.
    """
    groups: dict[str, list[int]] = {}
    for k, name in enumerate(skeleton.keypoints):
        groups.setdefault(sideless(name), []).append(k)
    result = []
    for name, columns in groups.items():
        default = np.asarray(default_MK[:, columns[0]], np.float64)
        known = labels.known[:, columns]
        may = np.flatnonzero(known_MK[:, columns].all(1))
        enough = min(known[labels.split_off].sum(), known[~labels.split_off].sum()) >= LEAST_LABELS
        if not enough or len(may) < 2:
            kept = tuple(default)
            result.append(Fitted(name, kept, float("nan"), float("nan"), kept))
            continue
        part = np.asarray(heat_MNKhw[:, :, columns], np.float32)

        similarity = partial(
            _similarity, heat_MNGhw=part, labels=labels, cells=cells, sigma_K=skeleton.sigma_array, columns=columns
        )
        tried = _ascended(similarity, default, may, known & ~labels.split_off[:, None])
        gain, error = _gain(similarity(tried) - similarity(default), known & labels.split_off[:, None])
        chosen = tried if gain > LEAST_ERRORS * error else default
        result.append(Fitted(name, tuple(map(float, chosen)), gain, error, tuple(map(float, tried))))
    return result


def _ascended(
    similarity: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    weights: NDArray[np.float64],
    may: NDArray[np.intp],
    counted: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Coordinate ascent: member by member the candidate of the highest mean OKS; a tie keeps what is."""
    best, highest = weights.copy(), similarity(weights)[counted].mean()
    for _ in range(ROUNDS):
        for member in may:
            for candidate in CANDIDATES:
                trial = best.copy()
                trial[member] = candidate
                if trial.any() and (value := similarity(trial)[counted].mean()) > highest + 1e-9:
                    best, highest = trial, value
    return best


def _similarity(
    weights: NDArray[np.float64],
    heat_MNGhw: NDArray[np.float32],
    labels: Labels,
    cells: Cells,
    sigma_K: NDArray[np.float64],
    columns: Sequence[int],
) -> NDArray[np.float64]:
    """(N, G) OKS of a weighted mean's maxima."""
    mean = np.tensordot((weights / weights.sum()).astype(np.float32), heat_MNGhw, 1)
    xy, _ = decode(mean, cells.head, cells.size_wh)
    squared = ((xy - labels.xy[:, columns]) ** 2).sum(-1)
    return keypoint_similarity(squared, labels.area[:, None], sigma_K[list(columns)])


def _gain(difference_NG: NDArray[np.float64], counted_NG: NDArray[np.bool_]) -> tuple[float, float]:
    """Mean gain over a group's labels, and its standard error over people (both sides of one person are dependent)."""
    of_person = np.where(counted_NG, difference_NG, 0).sum(1)
    people = counted_NG.any(1)
    labels = counted_NG.sum()
    mean = of_person.sum() / labels
    residual = of_person[people] - mean * counted_NG.sum(1)[people]
    return float(mean), float(np.sqrt((residual**2).sum()) / labels)
