"""Error types of keypoints after Ronchi and Perona (ICCV 2017), and the OKS that each costs.

With ks(p, q) = exp(-|p - q|^2 / (2 area (2 sigma)^2)), one keypoint's part of OKS, a predicted keypoint is

- good where ks with its label is .85 or more, jitter from .5 on;
- else an inversion where ks with another keypoint of the same person is .5 or more: left and right, mostly;
- else a swap where ks with that keypoint, or its mirror, of another person of the picture is .5 or more;
- else a miss.

In the paper a swap is with any keypoint of another person; an elbow beside a stranger's hip is no confusion of
persons, so that here it is with the same joint.

Shapes: N people, K keypoints of the data set.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats import AnnotationSet
from poseunion.models.metrics import keypoint_similarity
from poseunion.training.evaluation.predictions import Predictions, person_areas

KINDS = ("good", "jitter", "inversion", "swap", "miss")
GOOD, JITTER, INVERSION, SWAP, MISS = range(5)
GOOD_FROM, JITTER_FROM = 0.85, 0.5


def error_scores(annotations: AnnotationSet, predictions: Predictions) -> dict[str, float]:
    """Share of each kind among the labelled keypoints that the model predicts, and the OKS that it costs, in percent.

    What the kinds cost adds up to 100 less the mean OKS of those keypoints. Empty without labelled people.
    """
    kind, part, counted = error_kinds(annotations, predictions)
    people = counted.any(1)
    if not people.any():
        return {}
    # Each person has the same weight, as in the mean OKS.
    share = counted / np.maximum(counted.sum(1, keepdims=True), 1)
    scores = {name: 100 * float((kind[counted] == k).mean()) for k, name in enumerate(KINDS)}
    for k, name in enumerate(KINDS):
        scores[f"OKS lost, {name}"] = 100 * float((share * (1 - part) * (kind == k))[people].sum(1).mean())
    return scores


def error_kinds(
    annotations: AnnotationSet, predictions: Predictions
) -> tuple[NDArray[np.int8], NDArray[np.float64], NDArray[np.bool_]]:
    """(N, K) index into `KINDS`, (N, K) ks with the label, and (N, K) which keypoints count."""
    rows, skeleton = predictions.rows, annotations.skeleton
    area = person_areas(annotations, rows)
    labelled = annotations.visibility > 0
    counted = labelled[rows] & predictions.known & (area > 0)[:, None]
    own, inverted, swapped = (np.zeros(counted.shape) for _ in range(3))
    sigma = skeleton.sigma_array
    by_image: dict[int, list[int]] = defaultdict(list)
    for row, image in enumerate(annotations.image_index):
        by_image[int(image)].append(row)
    for i, row in enumerate(rows):
        if not counted[i].any():
            continue
        xy = predictions.xy[i]
        among = _similarity(xy[:, None], annotations.xy[row][None], area[i], sigma[:, None]) * labelled[row]
        own[i] = among.diagonal()
        inverted[i] = (among - np.diag(own[i])).max(1)
        others = [other for other in by_image[int(annotations.image_index[row])] if other != row]
        for joint in (np.arange(len(skeleton)), skeleton.flip_indices):
            alike = _similarity(xy, annotations.xy[others][:, joint], area[i], sigma) * labelled[others][:, joint]
            swapped[i] = np.maximum(swapped[i], alike.max(0, initial=0.0))
    kind = np.select(
        [own >= GOOD_FROM, own >= JITTER_FROM, inverted >= JITTER_FROM, swapped >= JITTER_FROM],
        [GOOD, JITTER, INVERSION, SWAP],
        MISS,
    )
    return kind.astype(np.int8), own, counted


def _similarity(
    a: NDArray[np.float64], b: NDArray[np.float64], area: float, sigma: NDArray[np.float64]
) -> NDArray[np.float64]:
    """ks of points a and b, (…, 2); 0 where one is not a number, as where no person was found."""
    squared = ((a - b) ** 2).sum(-1)
    return keypoint_similarity(np.where(np.isfinite(squared), squared, np.inf), area, sigma)
