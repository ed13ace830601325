"""Labels of files that `annotate extend` wrote: human points, proposals and reviewers' decisions.

Shapes: N records of a file, K keypoints of its skeleton.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.added_fields import has_added_fields
from poseunion.annotate.formats.extension import ORIGIN_NAMES
from poseunion.annotate.formats.review_entries import NEEDS_FIX, last_entries, outcome, permitted
from poseunion.models.errors import BadFileError
from poseunion.models.skeleton import Visibility

NONE, HUMAN, DERIVED, PROPOSED = ORIGIN_NAMES


@dataclass(frozen=True)
class Labels:
    """Points, visibility and weights of a file.

    Attributes:
        xy: (N, K, 2) image px.
        visibility: (N, K) `Visibility`; -1 for keypoints without a point and without any human label in the file.
        weight: (N, K) 1 for human, derived and reviewed points, an accepted proposal's confidence, else 0.
        human: (N, K) whether a human placed the point: only these follow the dataset's own definitions.
    """

    xy: NDArray[np.float64]
    visibility: NDArray[np.int8]
    weight: NDArray[np.float64]
    human: NDArray[np.bool_]


def labels_of(annotations: AnnotationSet) -> Labels:
    """The labels of any annotation file; in an extended one weighted by provenance.

    Raises:
        BadFileError: `keypoint_source`, `keypoint_confidence` or `review` is not as `annotate` writes it.
    """
    visibility = annotations.visibility.copy()
    labels = Labels(
        annotations.xy.copy(), visibility, (visibility > 0).astype(np.float64), (visibility > 0).astype(bool)
    )
    extended = [
        i for i, record in enumerate(annotations.records) if isinstance(record, dict) and has_added_fields(record)
    ]
    nowhere = np.zeros_like(labels.human)
    for i in extended:
        try:
            nowhere[i] = _read_sources(annotations.records[i], i, labels)
            for k, decision in _read_review(annotations.records[i], i, labels, annotations.skeleton.keypoints).items():
                # Rejected: decided, so no pseudo-label may take its place. Still to be fixed: one may.
                nowhere[i, k] = decision == NEEDS_FIX
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BadFileError(
                f"{annotations.source.path}, record {i}: keypoint_source, keypoint_confidence or review is not what "
                f"annotate writes ({' '.join(str(error).split()) or type(error).__name__}): run annotate check."
            ) from error
    # A dataset without any human label of a keypoint does not define it.
    undefined = nowhere & ~labels.human[extended].any(0) if extended else nowhere
    visibility[undefined & (labels.weight == 0) & (visibility <= 0)] = Visibility.UNDEFINED
    return labels


def _read_sources(record: dict[str, Any], i: int, labels: Labels) -> NDArray[np.bool_]:
    """Set one record's weights; returns (K,) where the file has no point."""
    count = labels.visibility.shape[1]
    source = np.array(record["keypoint_source"], dtype=object)
    confidence = np.array(record["keypoint_confidence"], dtype=np.float64)
    if source.shape != (count,) or confidence.shape != (count,):
        raise ValueError(f"{count} entries are expected")
    if unknown := sorted({str(s) for s in source} - {HUMAN, DERIVED, PROPOSED, NONE}):
        raise ValueError(f"{unknown[0]!r} is no source")
    proposed = (source == PROPOSED) & (labels.visibility[i] > 0)
    if not (np.isfinite(confidence[proposed]).all() and ((confidence >= 0) & (confidence <= 1))[proposed].all()):
        raise ValueError("the confidence of a proposal lies between 0 and 1")
    labels.weight[i, proposed] = confidence[proposed]
    labels.human[i] &= source == HUMAN
    return np.asarray(source == NONE)


def _read_review(record: dict[str, Any], i: int, labels: Labels, names: tuple[str, ...]) -> dict[int, str]:
    """Apply a reviewer's decisions, the last one of each keypoint; returns those after which it has no point."""
    without: dict[int, str] = {}
    for keypoint, entry in last_entries(record).items():
        k = names.index(keypoint)
        if not permitted(entry, record["keypoint_source"][k]):
            continue
        x, y, v = outcome(entry, record, names)
        labels.visibility[i, k] = v
        labels.weight[i, k] = float(v > 0)
        if v > 0:
            labels.xy[i, k] = float(x), float(y)
        else:
            without[k] = entry["decision"]
    return without
