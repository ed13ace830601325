"""Predicted keypoints of records, as arrays and as bytes.

Shapes: N records, M keypoints of the model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poseunion.models.poses.batch import PoseBatch


@dataclass(frozen=True)
class Predictions:
    """What a model predicted, NaN where it did not.

    Attributes:
        xy: (N, M, 2) float32 image px.
        score: (N, M) float32 confidences.
        sd_px, disagreement, in_picture: (N, M) float32, see `PoseBatch`; NaN where it has none.
        model: (N,) names of the models that predicted, where there are several.
    """

    xy: NDArray[np.float32]
    score: NDArray[np.float32]
    sd_px: NDArray[np.float32]
    disagreement: NDArray[np.float32]
    in_picture: NDArray[np.float32]
    model: tuple[str, ...] | None = None

    @classmethod
    def empty(cls, records: int, keypoints: int) -> Predictions:
        """Nothing predicted yet."""
        columns = np.full((4, records, keypoints), np.nan, np.float32)
        return cls(np.full((records, keypoints, 2), np.nan, np.float32), *columns)

    def put(self, rows: NDArray[np.integer], found: Predictions | PoseBatch) -> None:
        """Fill in the predictions of some records."""
        self.xy[rows], self.score[rows] = found.xy, found.score
        if found.sd_px is not None:
            self.sd_px[rows] = found.sd_px
        if found.disagreement is not None:
            self.disagreement[rows] = found.disagreement
        if found.in_picture is not None:
            self.in_picture[rows] = found.in_picture

    def rows(self, part: slice) -> Predictions:
        """Those of some records."""
        return Predictions(
            self.xy[part],
            self.score[part],
            self.sd_px[part],
            self.disagreement[part],
            self.in_picture[part],
            None if self.model is None else self.model[part],
        )

    @property
    def done(self) -> NDArray[np.bool_]:
        """(N,) which records were predicted."""
        return np.asarray(np.isfinite(self.xy[:, 0, 0]))

    def is_finite(self) -> bool:
        """Whether every place and confidence is a number."""
        return bool(np.isfinite(self.xy).all() and np.isfinite(self.score).all())

    def to_bytes(self) -> bytes:
        """x, y, confidence and the other columns of each keypoint, little-endian float32."""
        columns = [self.score, self.sd_px, self.disagreement, self.in_picture]
        return np.concatenate([self.xy, np.stack(columns, -1)], -1).astype("<f4").tobytes()

    @classmethod
    def from_bytes(cls, content: bytes, records: int, keypoints: int, model: tuple[str, ...] | None) -> Predictions:
        """Back from `to_bytes`; raises ValueError where there are not as many."""
        values = np.frombuffer(content, "<f4").astype(np.float32).reshape(records, keypoints, 6)
        if model is not None and len(model) != records:
            raise ValueError("not as many models as records")
        score, sd_px, disagreement, in_picture = np.moveaxis(values[..., 2:], -1, 0)
        return cls(values[..., :2], score, sd_px, disagreement, in_picture, model)
