"""Extended file split for the writers of formats: human labels, and added keypoints.

Legend of shape suffixes: N records of the file; K keypoints of its skeleton.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.added_fields import has_added_fields
from poseunion.annotate.formats.extension import ORIGIN_NAMES, REASON_NAMES, Completion, Extension, Origin, Reason
from poseunion.models.skeleton import Visibility


def human_view(annotations: AnnotationSet) -> AnnotationSet:
    """The file with human points only; a record whose `keypoint_source` is damaged keeps all."""
    visibility = annotations.visibility.copy()
    for row, record in enumerate(annotations.records):
        if not has_added_fields(record):
            continue
        sources = record["keypoint_source"]
        if isinstance(sources, list) and len(sources) == len(annotations.skeleton):
            added = np.array([source != "human" for source in sources])
            visibility[row, added & (visibility[row] > 0)] = Visibility.ABSENT
    return dataclasses.replace(annotations, visibility=visibility)


def extension_of(annotations: AnnotationSet, size_of: Callable[[int], tuple[int, int] | None]) -> Extension:
    """Added keypoints, as `extend` gave them to the writers; reviewers' decisions included."""

    def rows(start: int, stop: int) -> Completion:
        n, k = stop - start, len(annotations.skeleton)
        origin = np.zeros((n, k), np.int8)
        xy = annotations.xy[start:stop].copy()
        confidence, sd_px, disagreement, in_picture, labelled = np.full((5, n, k), np.nan)
        reason = np.zeros((n, k), np.int8)
        for row, record in enumerate(annotations.records[start:stop]):
            if not has_added_fields(record):
                origin[row] = np.where(annotations.visibility[start + row] > 0, Origin.HUMAN, Origin.NONE)
                continue
            origin[row] = [ORIGIN_NAMES.index(source) for source in record["keypoint_source"]]
            confidence[row] = np.array(record["keypoint_confidence"], np.float64)  # null becomes NaN
            for proposal in record["proposals"]:
                position = annotations.skeleton.index(proposal["name"])
                sd_px[row, position] = proposal.get("sd_px", np.nan)
                disagreement[row, position] = proposal.get("disagreement", np.nan)
                in_picture[row, position] = proposal.get("in_picture", np.nan)
                labelled[row, position] = proposal.get("labelled", np.nan)
                reason[row, position] = REASON_NAMES.index(proposal.get("reason", REASON_NAMES[Reason.NONE]))
                if origin[row, position] == Origin.NONE:
                    xy[row, position] = proposal["x"], proposal["y"]
        visibility = annotations.visibility[start:stop]
        return Completion(
            start, origin, xy, visibility, confidence, sd_px, disagreement, in_picture, reason=reason, labelled=labelled
        )

    return Extension(annotations.skeleton, annotations.source.document["poseunion"], size_of, rows)


def subset(annotations: AnnotationSet, rows: list[int]) -> AnnotationSet:
    """Some records of a file and the pictures they are in, both in the file's order."""
    index = np.array(sorted(rows), np.intp)
    pictures, image_index = np.unique(annotations.image_index[index], return_inverse=True)
    return dataclasses.replace(
        annotations,
        records=[annotations.records[i] for i in index],
        images=[annotations.images[i] for i in pictures],
        image_index=image_index.astype(np.int32),
        xy=annotations.xy[index],
        visibility=annotations.visibility[index],
        box_xywh=annotations.box_xywh[index],
        skip={new: annotations.skip[int(old)] for new, old in enumerate(index) if int(old) in annotations.skip},
    )
