"""Probability that an annotator would label a keypoint at all, and would label it as occluded.

No pose network predicts visibility. It is fitted on labelled people (`training.calibration.fit_annotator_model`) from
the confidence and from the view that a person's labelled joints show: COCO's annotators give no nose to a person seen
from behind (v = 0), and v = 1 to a hip behind a table. Two logistic functions a keypoint, left and right alike:

    labelled = sigmoid(w . (1, confidence, shoulders, hips, turn))      face only
    occluded = sigmoid(w . (1, confidence, hidden_near, hidden))        of a keypoint that is labelled

- confidence: log odds of the calibrated confidence.
- shoulders, hips: cosine between the labelled pair, right to left, and that of a person facing the camera: 1 from the
  front, -1 from behind, 0 in profile or without labels.
- turn: how far the nose lies from the midpoint of the ears towards the keypoint's own side, in half trunk lengths: the
  eye and ear on that side are turned away.
- hidden_near, hidden: share of v = 1 among the labelled joints linked to the keypoint, and among all labelled joints.

Which of many features help was measured on 118 and 162 held-out people of coco/train, see `docs/extend.md`: the
size of the person, the posterior's standard deviation, the other face points' confidences and the width of the
shoulders add nothing to these.

Shapes: N people, K keypoints of the skeleton, G geometric features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from poseunion.models.calibration.odds import logistic
from poseunion.models.skeleton import Skeleton, Visibility, sideless

GEOMETRY = ("shoulders", "hips", "turn", "hidden_near", "hidden")
LABELLED_FEATURES = ("one", "confidence", "shoulders", "hips", "turn")
OCCLUDED_FEATURES = ("one", "confidence", "hidden_near", "hidden")
# Keypoints, without sides, whose places `labelling_geometry` uses even where they are not labelled.
VIEW_KEYPOINTS = ("nose", "ear", "shoulder", "hip")
# From here an accepted proposal is written as occluded.
EVEN_ODDS = 0.5
# Log odds of a confidence are taken within these bounds.
LEAST_CONFIDENCE = 0.01
# `turn` is clipped at this distance of the nose from the ears' midpoint, in trunk lengths.
MOST_TURN = 0.5


class AnnotatorModel(BaseModel):
    """Logistic functions for an annotator's labels (present, occluded) given a model's confidences.

    Attributes:
        people: description of the people it was fitted on.
        threshold: of `labelled`, below which a proposal is not accepted.
        labelled, occluded: keypoint without its side -> weights of `LABELLED_FEATURES` and `OCCLUDED_FEATURES`; a
            keypoint that is not there is always taken to be labelled, and visible.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    people: str
    threshold: float = Field(ge=0, le=1)
    labelled: dict[str, tuple[float, ...]]
    occluded: dict[str, tuple[float, ...]]

    @model_validator(mode="after")
    def _even(self) -> AnnotatorModel:
        for table, names in ((self.labelled, LABELLED_FEATURES), (self.occluded, OCCLUDED_FEATURES)):
            if {len(row) for row in table.values()} - {len(names)}:
                raise ValueError(f"every keypoint needs {len(names)} weights, of {', '.join(names)}")
        return self

    def labelled_probability(
        self, keypoints: Sequence[str], confidence: NDArray[np.floating], geometry: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """(…, K) probability that an annotator would label each keypoint; 1 where nothing was fitted.

        Args:
            keypoints: names along the last axis.
            confidence: (…, K), see `labelling_features`.
            geometry: (…, K, G).
        """
        feature = labelling_features(LABELLED_FEATURES, confidence, geometry)
        return _probability(self.labelled, keypoints, feature, 1.0)

    def occluded_probability(
        self, keypoints: Sequence[str], confidence: NDArray[np.floating], geometry: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """(…, K) probability of v = 1 for a labelled keypoint; 0 where nothing was fitted. Arguments as above."""
        feature = labelling_features(OCCLUDED_FEATURES, confidence, geometry)
        return _probability(self.occluded, keypoints, feature, 0.0)

    def says_labelled(self, keypoints: Sequence[str]) -> NDArray[np.bool_]:
        """(K,) mask of the keypoints for which `labelled` was fitted."""
        return np.array([sideless(name) in self.labelled for name in keypoints], bool)


def _probability(
    table: dict[str, tuple[float, ...]], keypoints: Sequence[str], feature: NDArray[np.float64], otherwise: float
) -> NDArray[np.float64]:
    kinds = [sideless(name) for name in keypoints]
    fitted = np.array([kind in table for kind in kinds], bool)
    none = (0.0,) * feature.shape[-1]
    weight = np.array([table.get(kind, none) for kind in kinds]).reshape(len(kinds), -1)
    probability = logistic((feature * weight).sum(-1))
    return np.where(fitted, probability, otherwise)


def labelling_features(
    names: tuple[str, ...], confidence: NDArray[np.floating], geometry: NDArray[np.floating]
) -> NDArray[np.float64]:
    """(…, F) named features of the annotator model.

    Args:
        confidence: (…) calibrated confidences; NaN where there is none.
        geometry: (…, G) of `labelling_geometry`.
    """
    p = np.clip(np.nan_to_num(np.asarray(confidence, np.float64)), LEAST_CONFIDENCE, 1 - LEAST_CONFIDENCE)
    table = {"one": np.ones_like(p), "confidence": np.log(p) - np.log1p(-p)}
    table |= {name: geometry[..., g] for g, name in enumerate(GEOMETRY)}
    return np.stack([table[name] for name in names], -1)


def labelling_geometry(
    skeleton: Skeleton, xy_NK2: NDArray[np.floating], visibility_NK: NDArray[np.integer]
) -> NDArray[np.float64]:
    """(N, K, G) view features `GEOMETRY`; 0 where the skeleton or the person lacks the keypoints of a feature.

    Args:
        xy_NK2: px; labelled joints where they are labelled, the others where they are proposed.
        visibility_NK: `Visibility` of the labelled ones; 0 or -1 for the others.
    """
    xy = np.nan_to_num(np.asarray(xy_NK2, np.float64))
    known = np.asarray(visibility_NK) > 0
    n, k = known.shape
    trunk = _middle(skeleton, xy, "hip") - _middle(skeleton, xy, "shoulder")
    length = np.maximum(np.linalg.norm(trunk, axis=-1), 1e-6)
    across = np.stack([trunk[:, 1], -trunk[:, 0]], -1) / length[:, None]  # a facing person's right to left
    geometry = np.zeros((n, k, len(GEOMETRY)))
    for g, name in enumerate(("shoulder", "hip")):
        geometry[..., g] = _front(skeleton, xy, known, name, across)[:, None]
    if "nose" in skeleton.keypoints:
        ahead = xy[:, skeleton.index("nose")] - _middle(skeleton, xy, "ear")
        turn = np.clip((ahead * across).sum(-1) / length / MOST_TURN, -1, 1)
        geometry[..., 2] = turn[:, None] * _side(skeleton)
    occluded = known & (np.asarray(visibility_NK) == Visibility.OCCLUDED)
    linked = _linked(skeleton)
    geometry[..., 3] = (occluded @ linked) / np.maximum(known @ linked, 1)
    geometry[..., 4] = (occluded.sum(1) / np.maximum(known.sum(1), 1))[:, None]
    return geometry


def _side(skeleton: Skeleton) -> NDArray[np.float64]:
    """(K,) side of each keypoint: 1 left, -1 right, 0 neither."""
    return np.array([k.startswith("left_") - float(k.startswith("right_")) for k in skeleton.keypoints])


def _pair(skeleton: Skeleton, name: str) -> tuple[int, int] | None:
    left, right = f"left_{name}", f"right_{name}"
    if left not in skeleton.keypoints or right not in skeleton.keypoints:
        return None
    return skeleton.index(left), skeleton.index(right)


def _middle(skeleton: Skeleton, xy_NK2: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """(N, 2) midpoint of a pair; 0 where the skeleton has none."""
    pair = _pair(skeleton, name)
    return np.zeros((len(xy_NK2), 2)) if pair is None else xy_NK2[:, list(pair)].mean(1)


def _front(
    skeleton: Skeleton,
    xy_NK2: NDArray[np.float64],
    known_NK: NDArray[np.bool_],
    name: str,
    across_N2: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(N,) cosine of a labelled pair, right to left, with `across_N2`."""
    pair = _pair(skeleton, name)
    if pair is None:
        return np.zeros(len(xy_NK2))
    apart = xy_NK2[:, pair[0]] - xy_NK2[:, pair[1]]
    cosine = (apart * across_N2).sum(-1) / np.maximum(np.linalg.norm(apart, axis=-1), 1e-6)
    return np.where(known_NK[:, list(pair)].all(1), cosine, 0.0)


def _linked(skeleton: Skeleton) -> NDArray[np.int_]:
    """(K, K) adjacency: 1 where two keypoints are linked."""
    linked = np.zeros((len(skeleton), len(skeleton)), int)
    for a, b in skeleton.links:
        i, j = skeleton.index(a), skeleton.index(b)
        linked[i, j] = linked[j, i] = 1
    return linked
