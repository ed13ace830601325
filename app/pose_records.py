"""Predicted people: in the keypoints of a skeleton, drawn, and as records of a COCO-style file.

The file has what an extended one has (see `annotate.formats.added_fields`), so that `annotate show`, `check` and
`review` read it, and its `poseunion` block, so that programs do not take it for human labels.

Shapes: N people, K keypoints of the skeleton that is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.extend.acceptance import accepted
from poseunion.annotate.formats.added_fields import presence
from poseunion.annotate.formats.extension import CONFIDENCE_DIGITS, XY_DIGITS
from poseunion.annotate.formats.skeleton_match import skeleton_to_json
from poseunion.models.drawing import draw_people
from poseunion.models.poses.batch import PoseBatch
from poseunion.models.skeleton import Skeleton, project_indices

PERSON = 1  # the category's id, COCO's own


@dataclass(frozen=True)
class DisplayedPoses:
    """People as one skeleton shows them.

    Attributes:
        xy: (N, K, 2) image pixels; NaN where the model lacks the keypoint.
        score: (N, K).
        in_picture: (N, K), see `PoseBatch`; NaN where it is not known.
        new: (K,) keypoints that the known dataset lacks.
    """

    skeleton: Skeleton
    xy: NDArray[np.float64]
    score: NDArray[np.float64]
    in_picture: NDArray[np.float64]
    new: NDArray[np.bool_]

    def shown(self, threshold: float) -> NDArray[np.bool_]:
        """(N, K) keypoints that are drawn: known to the model, and confident enough."""
        return np.isfinite(self.xy).all(-1) & (self.score >= threshold)

    def accepted(self, threshold: float, size_wh: tuple[int, int]) -> NDArray[np.bool_]:
        """(N, K) keypoints that stand in a file: those shown that lie in the picture, as `annotate extend` has it."""
        size = np.tile(np.array(size_wh, np.float64), (len(self.xy), 1))
        return accepted(self.xy, self.score, np.full(len(self.skeleton), threshold), size)


def displayed(poses: PoseBatch, skeleton: Skeleton, dataset: Skeleton) -> DisplayedPoses:
    """People reordered for `skeleton`, beside the keypoints that `dataset` has."""
    index = project_indices(poses.skeleton, skeleton)
    xy = np.where((index >= 0)[None, :, None], poses.xy[:, index].astype(np.float64), np.nan)
    score = np.where(index >= 0, poses.score[:, index].astype(np.float64), 0.0)
    in_picture = np.full(score.shape, np.nan)
    if poses.in_picture is not None:
        in_picture = np.where(index >= 0, poses.in_picture[:, index].astype(np.float64), np.nan)
    return DisplayedPoses(
        skeleton, xy, score, in_picture, np.array([k not in dataset.keypoints for k in skeleton.keypoints])
    )


def confidence_text(confidence: float) -> str:
    """Two digits of a confidence, from 0.01 to 0.99: no prediction is certain."""
    return f"{min(max(confidence, 0.01), 0.99):.2f}"


def draw(image: NDArray[np.uint8], view: DisplayedPoses, threshold: float, scale: float = 1.0) -> NDArray[np.uint8]:
    """`image` with people on it: known keypoints white, new ones red, as in paper A's Figure 2."""
    roles = np.where(view.shown(threshold), np.where(view.new, "proposed", "human"), "none")
    return draw_people(image, view.skeleton, view.xy, role_NK=roles, scale=scale)


def record(
    view: DisplayedPoses, n: int, accepted_K: NDArray[np.bool_], box_xywh: NDArray[np.float64]
) -> dict[str, Any]:
    """Person `n` as an annotation without ids; coordinates as in `view`."""
    xy, score = view.xy[n].round(XY_DIGITS).tolist(), view.score[n].round(CONFIDENCE_DIGITS).tolist()
    inside, stands = view.in_picture[n].round(CONFIDENCE_DIGITS).tolist(), accepted_K.tolist()
    known = np.isfinite(view.xy[n]).all(-1).tolist()
    return {
        "category_id": PERSON,
        "iscrowd": 0,
        "bbox": np.round(box_xywh, XY_DIGITS).tolist(),
        "area": round(float(box_xywh[2] * box_xywh[3]), 1),
        "num_keypoints": sum(stands),
        "keypoints": [
            value for (x, y), here in zip(xy, stands, strict=True) for value in ([x, y, 2] if here else [0] * 3)
        ],
        "keypoint_source": ["proposed" if here else "none" for here in stands],
        "keypoint_confidence": [s if k else None for s, k in zip(score, known, strict=True)],
        "proposals": [
            {"name": name, "x": x, "y": y, "confidence": s, **presence(s, p), "accepted": here}
            for name, (x, y), s, p, here, k in zip(
                view.skeleton.keypoints, xy, score, inside, stands, known, strict=True
            )
            if k
        ],
    }


def header(skeleton: Skeleton, threshold: float, description: str, model: dict[str, Any]) -> dict[str, Any]:
    """Head of a file of predictions: category, skeleton, model, threshold.

    Args:
        model: what is known of it: name, sha256, licence.
    """
    index = {k: i + 1 for i, k in enumerate(skeleton.keypoints)}
    links = [[index[a], index[b]] for a, b in skeleton.links]
    keypoints = {"keypoints": list(skeleton.keypoints), "skeleton": links}
    return {
        "info": {"description": description},
        "categories": [{"id": PERSON, "name": "person", "supercategory": "person", **keypoints}],
        "poseunion": {
            "version": version("poseunion"),
            "model": model,
            "skeleton": skeleton_to_json(skeleton),
            "thresholds": dict.fromkeys(skeleton.keypoints, threshold),
        },
    }
