"""Predicted poses as pictures, COCO results, pandas tables, and as transformers and supervision have them.

The methods of `PoseBatch`.

Shapes: N people, K keypoints.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from poseunion.models.codec.crop import corners_of
from poseunion.models.drawing import draw_people
from poseunion.models.errors import MissingExtraError, SkeletonError
from poseunion.models.poses.data_frame import data_frame
from poseunion.models.poses.person_score import person_score
from poseunion.models.skeleton import Skeleton, project_indices

THUMBNAIL_PX = 1024  # wider than the column of a notebook
PERSON = 1  # COCO's category


def plot(
    image: NDArray[np.uint8], skeleton: Skeleton, xy_NK2: NDArray[np.float32], shown_NK: NDArray[np.bool_]
) -> Image.Image:
    """Picture with some keypoints drawn on it."""
    return Image.fromarray(draw_people(image, skeleton, xy_NK2, role_NK=np.where(shown_NK, "proposed", "none")))


def thumbnail(picture: Image.Image) -> bytes:
    """PNG file of a picture at a notebook's size."""
    picture = picture.copy()
    picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def coco_results(
    skeleton: Skeleton,
    xy_NK2: NDArray[np.float32],
    score_NK: NDArray[np.float32],
    in_picture_NK: NDArray[np.float32] | None,
    box_xywh_N4: NDArray[np.float32],
    image_id: int | str,
    target: Skeleton,
) -> list[dict[str, Any]]:
    """Records of a COCO results file in the keypoints of `target`; raises SkeletonError where one is missing."""
    index_K = project_indices(skeleton, target)
    if missing := [name for name, k in zip(target.keypoints, index_K, strict=True) if k < 0]:
        raise SkeletonError(f"{skeleton.name} has no {', '.join(missing)} of {target.name}: choose another skeleton.")
    score_NK = score_NK[:, index_K]
    person_N = person_score(score_NK, None if in_picture_NK is None else in_picture_NK[:, index_K])
    values_NK3 = np.concatenate([xy_NK2[:, index_K].round(2), score_NK[..., None]], -1, dtype=np.float64).round(4)
    return [
        {
            "image_id": image_id,
            "category_id": PERSON,
            "bbox": box.tolist(),
            "keypoints": values_K3.ravel().tolist(),
            "score": round(score, 4),
        }
        for values_K3, score, box in zip(
            values_NK3, person_N.tolist(), box_xywh_N4.astype(np.float64).round(2), strict=True
        )
    ]


def dataframe(skeleton: Skeleton, values: dict[str, NDArray[np.float32] | None], model: Sequence[str] | None) -> Any:
    """`pandas.DataFrame` with a row a keypoint.

    Args:
        values: column -> (N, K); None is left out.
        model: (N,) of each person.
    """
    columns = {name: value for name, value in values.items() if value is not None}
    n, k = next(iter(columns.values())).shape
    table: dict[str, Any] = {
        "person": np.repeat(np.arange(n), k),
        "keypoint": np.tile(np.array(skeleton.keypoints, object), n),
        **{name: value.ravel() for name, value in columns.items()},
    }
    if model is not None:
        table["model"] = np.repeat(np.array(model, object), k)
    return data_frame(table)


def transformers_results(
    xy_NK2: NDArray[np.float32],
    score_NK: NDArray[np.float32],
    box_xywh_N4: NDArray[np.float32],
    minimum_confidence: float | None,
) -> list[dict[str, Any]]:
    """One picture's part of what transformers' `post_process_pose_estimation` returns, as torch tensors."""
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingExtraError("torch", "train") from error
    shown_NK = score_NK > (-np.inf if minimum_confidence is None else minimum_confidence)
    return [
        {
            "keypoints": torch.from_numpy(xy_K2[shown_K]),
            "scores": torch.from_numpy(score_K[shown_K]),
            "labels": torch.from_numpy(np.flatnonzero(shown_K)),
            "bbox": torch.from_numpy(box),
        }
        for xy_K2, score_K, shown_K, box in zip(xy_NK2, score_NK, shown_NK, corners_of(box_xywh_N4), strict=True)
    ]


def supervision_keypoints(
    xy_NK2: NDArray[np.float32],
    score_NK: NDArray[np.float32],
    person_score_N: NDArray[np.float64],
    visible_NK: NDArray[np.bool_],
    box_xywh_N4: NDArray[np.float32],
    sd_px_NK: NDArray[np.float32] | None,
) -> Any:
    """`supervision.KeyPoints`; its `data["covariance"]` (N, K, 2, 2) has square pixels, the same on both axes."""
    try:
        from supervision import KeyPoints
    except ModuleNotFoundError as error:
        raise MissingExtraError("supervision", "interop") from error
    data: dict[str, Any] = {"box_xywh": box_xywh_N4}
    if sd_px_NK is not None:
        data["covariance"] = (sd_px_NK.astype(np.float32) ** 2)[..., None, None] * np.eye(2, dtype=np.float32)
    return KeyPoints(
        xy=xy_NK2,
        keypoint_confidence=score_NK,
        detection_confidence=person_score_N.astype(np.float32),
        visible=visible_NK,
        data=data,
    )
