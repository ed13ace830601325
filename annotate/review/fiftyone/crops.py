"""The pictures that the App shows: one cut-out per person, so that every point can be inspected.

A cut-out is decoded in the frame of its annotations and written without EXIF: whatever a browser makes of the original
(orientation, 16 bits, TIFF), points and pixels fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from poseunion.models.errors import BadFileError
from poseunion.models.files import write_bytes

# Beyond the outermost point: so much of the points' longer side, and of the box's where points are few.
MARGIN, OF_BOX = 0.25, 0.1
# A screen's worth; more would only make the review's folder larger.
LONGEST_SIDE = 1280


@dataclass(frozen=True)
class Window:
    """A rectangle of a picture, in whole pixels: left and top inclusive, of size (width, height)."""

    left: int
    top: int
    width: int
    height: int

    def relative(self, xy_px: NDArray[np.floating]) -> NDArray[np.float64]:
        """(..., 2) FiftyOne's coordinates, 0 to 1 from edge to edge, of image px, whose integers are pixel centres."""
        size = np.array([self.width, self.height], np.float64)
        return np.asarray((np.asarray(xy_px, np.float64) + 0.5 - [self.left, self.top]) / size)


def window_of(points_N2: NDArray[np.floating], box_xywh: NDArray[np.floating], size_wh: tuple[int, int]) -> Window:
    """Crop of a picture around a person's points, with enough surroundings to assign limbs.

    The box only adds to the margin: it may be larger than the points by far (few of a person labelled).

    Args:
        points_N2: image px; at least one is finite and in the picture.
        box_xywh: image px; NaN where there is none.
        size_wh: of the picture.
    """
    points = np.asarray(points_N2, np.float64)
    points = np.clip(points[np.isfinite(points).all(1)], 0, np.array(size_wh) - 1)
    low, high = points.min(0), points.max(0)
    side_of_box = float(np.nan_to_num(np.asarray(box_xywh, np.float64)[2:]).max())
    margin = max(MARGIN * float((high - low).max()), OF_BOX * side_of_box, 8)
    left, top = np.maximum(np.floor(low - margin), 0).astype(int)
    right, bottom = np.minimum(np.ceil(high + margin) + 1, size_wh).astype(int)
    return Window(int(left), int(top), int(right - left), int(bottom - top))


def write_cutout(path: Path, image: NDArray[np.uint8], window: Window) -> tuple[int, int]:
    """Write a window of an RGB picture (H, W, 3) as JPEG; returns its size in px.

    Raises:
        BadFileError: it cannot be written.
    """
    part: NDArray[Any] = image[window.top : window.top + window.height, window.left : window.left + window.width]
    shrink = LONGEST_SIDE / max(part.shape[:2])
    if shrink < 1:
        part = cv2.resize(part, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    ok, encoded = cv2.imencode(".jpg", np.ascontiguousarray(part[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not ok:
        raise BadFileError(f"{path} could not be encoded as JPEG.")
    write_bytes(path, encoded.tobytes())
    return part.shape[1], part.shape[0]
