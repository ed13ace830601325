"""Drawing of a person under review: the region around the box enlarged, keypoints coloured by their state."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.extend.image_reader import read_framed
from poseunion.app.demo.canvas import CanvasContent, Point
from poseunion.app.demo.pictures import data_url, to_jpeg
from poseunion.app.demo.review_session import Keypoint, ReviewFile
from poseunion.app.pose_records import confidence_text
from poseunion.models.drawing import ROLE_COLOURS, draw_people
from poseunion.models.errors import BadFileError

# Surroundings beside the person's box, as a share of its longer side: proposals may lie outside the box.
MARGIN = 0.25
# Longer side of what is shown: small people are enlarged, so that a pixel can be hit with a finger.
SHOWN_PX = 1200
MOST_ENLARGED = 12.0
FAINT = 0.45  # of a proposal that does not stand
KEYS = ("a", "r", "h", "u", "j", "k", "n", "p", "Enter", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown")
STATES = {
    "accept": "accepted",
    "reject": "rejected",
    "fix": "moved",
    "hide": "hidden joint",
    "needs-fix": "needs a fix",
}


@dataclass(frozen=True)
class Region:
    """The part of a picture that is shown: its upper left pixel, its size, and pixels shown for each of its own."""

    left: int
    top: int
    width: int
    height: int
    scale: float

    def to_shown(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 2) image px, centres at integers -> px of what is shown, edges at integers."""
        return (xy + 0.5 - [self.left, self.top]) * self.scale

    def to_image(self, x: float, y: float) -> tuple[float, float]:
        """The inverse, of one point."""
        return x / self.scale + self.left - 0.5, y / self.scale + self.top - 0.5


def region_of(review: ReviewFile, row: int, image_wh: tuple[int, int]) -> Region:
    """Region of a person: the box with a margin, the whole picture where there is no box."""
    width, height = image_wh
    x, y, w, h = review.annotations.box_xywh[row]
    if not np.isfinite([x, y, w, h]).all() or min(w, h) <= 0:
        x, y, w, h = 0.0, 0.0, float(width), float(height)
    margin = MARGIN * max(w, h)
    left, top = max(0, int(x - margin)), max(0, int(y - margin))
    right, bottom = min(width, int(np.ceil(x + w + margin))), min(height, int(np.ceil(y + h + margin)))
    if right <= left or bottom <= top:
        left, top, right, bottom = 0, 0, width, height
    scale = min(MOST_ENLARGED, SHOWN_PX / max(right - left, bottom - top))
    return Region(left, top, right - left, bottom - top, scale)


def content_of(review: ReviewFile, row: int, selected: str, status: str) -> tuple[CanvasContent, Region]:
    """Canvas of a person under review.

    Raises:
        ItemError: the picture cannot be read. BadFileError: it may not be.
    """
    image = review.annotations.person(row).image
    if image is None:
        raise BadFileError(f"Annotation {review.annotations.records[row].get('id')} has no picture.")
    picture = read_framed(review.picture(row), image)
    region = region_of(review, row, (picture.shape[1], picture.shape[0]))
    cut = picture[region.top : region.top + region.height, region.left : region.left + region.width]
    size = max(1, round(region.width * region.scale)), max(1, round(region.height * region.scale))
    method = cv2.INTER_AREA if region.scale < 1 else cv2.INTER_CUBIC
    shown = np.asarray(cv2.resize(np.ascontiguousarray(cut), size, interpolation=method), np.uint8)
    keypoints = review.keypoints(row)
    xy = region.to_shown(np.array([k.xyv[:2] for k in keypoints], np.float64))
    roles, stands = np.array([_role(k) for k in keypoints]), np.array([k.xyv[2] > 0 for k in keypoints])
    skeleton, xy_shown = review.annotations.skeleton, xy[None] - 0.5  # drawing counts from pixel centres
    # What does not stand is faint and has no limbs: it would only confuse.
    left_out = np.where(stands, "none", roles)
    drawn = draw_people(
        shown, skeleton, xy_shown, role_NK=left_out[None], opacity_NK=np.full((1, len(xy)), FAINT), limbs=False
    )
    drawn = draw_people(drawn, skeleton, xy_shown, role_NK=np.where(stands, roles, "none")[None])
    points = [
        Point(k.name, round(float(x), 1), round(float(y), 1), state_of(k))
        for k, (x, y) in zip(keypoints, xy, strict=True)
        if k.placed
    ]
    return (
        CanvasContent(
            picture=data_url(to_jpeg(drawn)),
            size_wh=size,
            mode="points",
            points=points,
            selected=selected,
            keys=KEYS,
            status=status,
            alt=f"A person in {image.file_name}, enlarged, with {len(points)} keypoints",
        ),
        region,
    )


def _role(keypoint: Keypoint) -> str:
    if not keypoint.placed or keypoint.decision == "reject":
        return "none"
    return keypoint.source if keypoint.source in ROLE_COLOURS else "proposed"


def state_of(keypoint: Keypoint) -> str:
    """State of a keypoint, shown beside its name."""
    if keypoint.decision is not None:
        return STATES.get(keypoint.decision, keypoint.decision)
    if keypoint.source == "human":
        return "labelled"
    if keypoint.source == "derived":
        return "derived"
    if keypoint.confidence is None:
        return "missing"
    mark = "audit " if keypoint.audit else ""
    confidence = confidence_text(keypoint.confidence)
    return f"{mark}{confidence}" if keypoint.xyv[2] > 0 else f"({confidence})"


def list_of(keypoints: list[Keypoint], selected: str) -> str:
    """The keypoints as buttons: colour, name, state; those that are open stand out."""
    rows = []
    for k in keypoints:
        role = _role(k)
        colour = f"rgb{ROLE_COLOURS[role]}" if role in ROLE_COLOURS else "transparent"
        marks = (("open", k.open), ("decided", k.decision is not None), ("faint", k.xyv[2] == 0))
        classes = " ".join(["review-row", *(name for name, holds in marks if holds)])
        rows.append(
            f'<button type="button" class="{classes}" data-name="{escape(k.name, quote=True)}"'
            f' aria-pressed="{"true" if k.name == selected else "false"}">'
            f'<i style="background: {colour}"></i><span>{escape(k.name.replace("_", " "))}</span>'
            f"<em>{escape(state_of(k))}</em></button>"
        )
    return f'<div class="review-list">{"".join(rows)}</div>'
