"""Predictor interface: one model, one conditioned on labelled keypoints, or several chosen by box size.

Shapes: N people, K keypoints of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from poseunion.models.calibration.schema import KeypointLogistic
from poseunion.models.codec.crop import Crop
from poseunion.models.images import ImageLike
from poseunion.models.poses.batch import PoseBatch
from poseunion.models.runtime.description import ModelDescription
from poseunion.models.skeleton import Skeleton


class PosePredictor(Protocol):
    """Top-down pose predictor: keypoints of people in boxes.

    Attributes:
        sha256: of the model file.
        provider: execution provider; another one differs in the last digits.
        metadata: the model's description.
        uses_labels: labelled keypoints condition the prediction of the others.
        calibration_part: part of the calibration for its confidences; None: not calibrated.
        prior_sha256: of the pose prior used in conditioning; None: no conditioning.
        route: for files made with it, the models that it chooses among; empty for one model.
    """

    name: str
    sha256: str
    provider: str
    skeleton: Skeleton
    size_wh: tuple[int, int]
    padding: float
    batch_size: int
    flip: bool
    refine: bool
    antialias: bool
    metadata: ModelDescription

    @property
    def uses_labels(self) -> bool: ...

    @property
    def calibration_part(self) -> KeypointLogistic | None: ...

    @property
    def prior_sha256(self) -> str | None: ...

    @property
    def route(self) -> Sequence[dict[str, Any]]: ...

    def __call__(
        self, picture: ImageLike, boxes_xywh: ArrayLike | None = None, labels_NK3: NDArray[np.floating] | None = None
    ) -> PoseBatch:
        """Keypoints of the people in one picture, which `PoseBatch.image` holds then.

        Args:
            picture: a file's path, a PIL image, or an array in RGB, see `images.rgb_image`.
            boxes_xywh: (N, 4) image px; None: people are found by the shipped detector.
            labels_NK3: see `predict`.

        Raises:
            ItemError: the picture cannot be read; a box has no area, or lies outside the picture. BadArgumentError: an
                array that is no picture; labels without boxes.
        """

    def predict(
        self,
        images: Sequence[NDArray[np.uint8]],
        boxes_xywh: Sequence[ArrayLike],
        labels: Sequence[NDArray[np.floating]] | None = None,
        wanted: Sequence[NDArray[np.bool_]] | None = None,
    ) -> list[PoseBatch]:
        """Keypoints of the people in several pictures.

        Args:
            images: (H, W, 3) uint8 RGB each.
            boxes_xywh: (N, 4) image px of each picture.
            labels: (N, K, 3) of each picture, in the model's keypoints and definitions: x, y in image px, and above 0
                where the keypoint is labelled. Only for a predictor that `uses_labels`.
            wanted: (N, K) of each picture, with labels: which missing keypoints are used. The others get a coarse
                estimate, with a score of 0, in less time. None: all.

        Raises:
            ItemError: a box has no area, or lies outside the picture. BadArgumentError: lists of different lengths.
        """

    def cut(self, image: NDArray[np.uint8], box_xywh: ArrayLike) -> tuple[NDArray[np.uint8], Crop]:
        """Pixels of one person's crop and its geometry; raises ItemError."""

    def assign(self, crops: Sequence[Crop]) -> Sequence[tuple[PosePredictor, NDArray[np.intp]]]:
        """Assignment of crops that `cut` made to models: (model, rows) pairs."""

    def predict_crops(
        self,
        crop_NHW3: NDArray[np.uint8],
        crops: Sequence[Crop],
        labels_NK3: NDArray[np.floating] | None = None,
        image_wh_N2: NDArray[np.floating] | None = None,
        wanted_NK: NDArray[np.bool_] | None = None,
    ) -> PoseBatch:
        """Keypoints in image px from crops that `cut` made; one network call (two with the flip test).

        Args:
            labels_NK3, wanted_NK: see `predict`.
            image_wh_N2: sizes of the people's pictures, px; needed with labels, and for `PoseBatch.in_picture`.
        """
