"""Other people's runtimes on our files, to be compared with: rtmlib and, for speed only, mmpose."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from poseunion.models.errors import MissingExtraError, ModelError
from poseunion.models.geometry import corners_of
from poseunion.models.metadata import IMAGENET_MEAN, IMAGENET_STD, SimccOutput
from poseunion.models.predictor import Predictor
from poseunion.models.types import PoseBatch

RTMLIB_PADDING = 1.25  # fixed in its code, as are split 2 and the order of channels


class RtmlibPredictor(Predictor):
    """rtmlib's `RTMPose` in a predictor's place: its own cutting, normalising, batches of one and decoding.

    Args:
        ours: whose file and whose onnxruntime session, with its threads, is used.

    Raises:
        ModelError: a file that rtmlib would run wrongly. MissingExtraError: rtmlib is not installed.
    """

    def __init__(self, ours: Predictor) -> None:
        super().__init__(ours.model)
        try:
            from rtmlib import RTMPose
        except ModuleNotFoundError as error:
            raise MissingExtraError("rtmlib", "dev") from error
        described = ours.metadata
        head = described.head
        fits = isinstance(head, SimccOutput) and head.split == 2 and described.padding == RTMLIB_PADDING
        if not fits or (described.mean, described.std) != (IMAGENET_MEAN, IMAGENET_STD) or described.layout != "NCHW":
            raise ModelError(f"rtmlib cannot run {ours.name}: its split, padding, normalisation or layout differ.")
        with contextlib.redirect_stdout(io.StringIO()):
            self.pose: Any = RTMPose(str(ours.model.path), described.size_wh, backend="onnxruntime", device="cpu")
        self.pose.session = ours.model.session  # type: ignore[attr-defined]  # an OnnxModel: rtmlib runs nothing else

    def __call__(self, image: NDArray[np.uint8], boxes_xywh: ArrayLike) -> PoseBatch:
        """As `Predictor.__call__`; the picture's channels are used in the order they come in."""
        boxes = np.asarray(boxes_xywh, np.float64).reshape(-1, 4)
        xy, score = self.pose(image, list(corners_of(boxes)))
        return PoseBatch(
            self.skeleton, xy.astype(np.float32), np.clip(score, 0, 1).astype(np.float32), boxes.astype(np.float32)
        )
