"""Tracking of people from frame to frame: ByteTrack, as the package `trackers` has it.

Y. Zhang et al.: ByteTrack: Multi-Object Tracking by Associating Every Detection Box, ECCV 2022.

Shapes: N boxes of a frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.models.codec.crop import corners_of
from poseunion.models.errors import MissingExtraError
from poseunion.models.inference.detector import Detections

NO_TRACK = 0
# Overlap from which a box of the frame before is the same person as one whose track begins here; the tracker's own.
SAME_PERSON_IOU = 0.1


class Tracker:
    """The people of one video.

    Args:
        threshold: score from which a box begins a track; below it, it only continues one.
        frames_per_s: of the frames that are read; a track ends after a second without a box.

    Raises:
        MissingExtraError: the package is not installed.
    """

    def __init__(self, threshold: float, frames_per_s: float) -> None:
        try:
            import supervision
            from trackers import ByteTrackTracker
        except ModuleNotFoundError as error:
            raise MissingExtraError(error.name or "trackers", "video") from error
        self._supervision: Any = supervision
        self._threshold = threshold
        self._tracker = ByteTrackTracker(
            frame_rate=frames_per_s,
            track_activation_threshold=threshold,
            high_conf_det_threshold=threshold,
            minimum_iou_threshold=SAME_PERSON_IOU,
        )
        self._tracker.reset()  # numbers are counted by the class
        self._known: set[int] = set()

    def __call__(self, found: Detections) -> tuple[Detections, NDArray[np.int64]]:
        """The tracked boxes of a frame, and their numbers from 1; a new one has none yet."""
        box, score = found
        rows = {"row": np.arange(len(box))}
        followed = self._tracker.update(self._supervision.Detections(corners_of(box), confidence=score, data=rows))
        track = np.full(len(box), NO_TRACK, np.int64)
        if len(followed):
            track[followed.data["row"]] = followed.tracker_id.astype(np.int64) + 1
        people = (score >= self._threshold) | (track != NO_TRACK)
        return (box[people], score[people]), track[people]

    def name_before(
        self,
        before: tuple[NDArray[np.floating], NDArray[np.int64]],
        now: tuple[NDArray[np.floating], NDArray[np.int64]],
    ) -> NDArray[np.int64]:
        """Numbers of the frame before, completed by those of tracks that begin with `now`.

        The tracker numbers a person from the second box on.

        Args:
            before, now: boxes and numbers.
        """
        box, track = before
        box_now, track_now = now
        new = np.flatnonzero([t != NO_TRACK and t not in self._known for t in track_now.tolist()])
        self._known.update(track_now[new].tolist())
        unnamed = np.flatnonzero(track == NO_TRACK)
        if not len(new) or not len(unnamed):
            return track
        overlap = self._supervision.box_iou_batch(corners_of(box[unnamed]), corners_of(box_now[new]))
        track = track.copy()
        for column in range(len(new)):
            row = int(overlap[:, column].argmax())
            if overlap[row, column] >= SAME_PERSON_IOU:
                track[unnamed[row]] = track_now[new[column]]
                overlap[row] = 0  # a box belongs to one track
        return track
