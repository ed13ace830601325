"""Find people in pictures and place their keypoints.

Shapes: N people, K keypoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.models.inference.detector import Detections, OnnxDetector, load_detector
from poseunion.models.inference.interface import PosePredictor
from poseunion.models.poses.batch import PoseBatch

# Boxes of one picture, (N, 4) x, y, width, height, and their scores; None: they were given.
Boxed = tuple[NDArray[np.floating], NDArray[np.float32] | None]

# ByteTrack follows people by boxes that would be too doubtful to begin with; half of the threshold is its authors' 0.1
# to 0.2 for detectors that report from 0.25 to 0.4.
DOUBTFUL = 0.5


class BoxFinder:
    """A detector that also returns boxes below its threshold, with their scores.

    Attributes:
        threshold: the detector's own: a box from it on is a person.
    """

    def __init__(self, name_or_path: str | Path | None) -> None:
        found = load_detector(name_or_path, threads=1)
        self.name, self.threshold = found.name, found.description.score_threshold
        doubtful = found.description.model_copy(update={"score_threshold": DOUBTFUL * self.threshold})
        self._detector = OnnxDetector(found.path, doubtful, threads=1)

    def all(self, image: NDArray[np.uint8]) -> Detections:
        """(N, 4) boxes and (N,) scores, best first, doubtful ones included."""
        return self._detector(image)

    def sure(self, image: NDArray[np.uint8]) -> Detections:
        """Those that the detector itself takes for people: suppression goes by score, so the doubtful change none."""
        box, score = self.all(image)
        people = score >= self.threshold
        return box[people], score[people]


@dataclass(frozen=True)
class People:
    """People of one picture.

    Attributes:
        box_score: (N,) of the detector; None: the boxes were given.
        track: (N,) the same number for the same person in every frame, 0: found once; None: not a video.
    """

    poses: PoseBatch
    box_score: NDArray[np.float32] | None = None
    track: NDArray[np.int64] | None = None


def usable(box_N4: NDArray[np.float64], size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """(N,) boxes that show something of the picture."""
    low = np.maximum(box_N4[:, :2], 0)
    high = np.minimum(box_N4[:, :2] + box_N4[:, 2:], size_wh)
    return np.asarray((high > low).all(1))


def estimate_poses(
    predictor: PosePredictor, images: Sequence[NDArray[np.uint8]], boxes: Sequence[Boxed]
) -> list[People]:
    """Keypoints of all people; network calls are filled across pictures."""
    poses = predictor.predict(images, [box for box, _ in boxes])
    return [People(found, score) for found, (_, score) in zip(poses, boxes, strict=True)]
