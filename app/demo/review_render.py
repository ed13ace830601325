"""A person under review as the canvas shows it: the picture round the person, keypoints coloured by their state."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.extend.image_reader import read_framed
from poseunion.app.demo.canvas import CanvasContent, Point
from poseunion.app.demo.pictures import data_url, to_jpeg
from poseunion.app.demo.review_queue import STATES, readable
from poseunion.app.demo.review_session import Keypoint, ReviewFile
from poseunion.app.pose_records import confidence_text
from poseunion.models.drawing import LIMB_COLOURS, ROLE_COLOURS
from poseunion.models.errors import BadFileError

# Pictures up to this size are sent whole; of larger ones the person's box with surroundings to zoom out to, as a share
# of its longer side. A megapixel as JPEG is about 0.3 MB.
WHOLE_PX = 1280
SURROUNDINGS = 0.75
# Margin of the view that fits the person, as a share of the box, and of the head, as a share of the head's points.
PERSON_MARGIN, HEAD_MARGIN = 0.12, 0.6
HEAD = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "head_top")
# Longest side of what is sent: above a screen's, so that a head can be enlarged; the browser enlarges small people.
SENT_PX = 2400
KEYS = ("a", "r", "h", "f", "u", "j", "k", "n", "p", "Enter", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown")
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Region:
    """The part of a picture that is sent: its upper left pixel, its size, and pixels sent for each of its own."""

    left: int
    top: int
    width: int
    height: int
    scale: float

    @property
    def sent_wh(self) -> tuple[int, int]:
        """Size of what is sent."""
        return max(1, round(self.width * self.scale)), max(1, round(self.height * self.scale))

    def to_shown(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 2) image px, centres at integers -> px of what is sent, edges at integers."""
        return (xy + 0.5 - [self.left, self.top]) * self.scale

    def to_image(self, x: float, y: float) -> tuple[float, float]:
        """The inverse, of one point."""
        return x / self.scale + self.left - 0.5, y / self.scale + self.top - 0.5


def person_box(review: ReviewFile, row: int, image_wh: tuple[int, int]) -> Box:
    """A person's box; the whole picture where there is none."""
    x, y, w, h = review.annotations.box_xywh[row].tolist()
    if not np.isfinite([x, y, w, h]).all() or min(w, h) <= 0:
        return 0.0, 0.0, float(image_wh[0]), float(image_wh[1])
    return x, y, w, h


def region_of(review: ReviewFile, row: int, image_wh: tuple[int, int]) -> Region:
    """Region of a person: the picture, of a large one the box with its surroundings."""
    width, height = image_wh
    x, y, w, h = person_box(review, row, image_wh)
    margin = SURROUNDINGS * max(w, h)
    left, top = max(0, int(x - margin)), max(0, int(y - margin))
    right, bottom = min(width, int(np.ceil(x + w + margin))), min(height, int(np.ceil(y + h + margin)))
    if right <= left or bottom <= top or max(width, height) <= WHOLE_PX:
        left, top, right, bottom = 0, 0, width, height
    return Region(left, top, right - left, bottom - top, min(1.0, SENT_PX / max(right - left, bottom - top)))


def picture_of(review: ReviewFile, row: int) -> tuple[str, Region]:
    """Data URL of the picture round a person, and which part of the picture it is.

    Raises:
        ItemError: the picture cannot be read. BadFileError: it may not be.
    """
    image = review.annotations.person(row).image
    if image is None:
        raise BadFileError(f"Annotation {review.annotations.records[row].get('id')} has no picture.")
    picture = read_framed(review.picture(row), image)
    region = region_of(review, row, (picture.shape[1], picture.shape[0]))
    cut = np.ascontiguousarray(
        picture[region.top : region.top + region.height, region.left : region.left + region.width]
    )
    if region.scale < 1:
        cut = np.asarray(cv2.resize(cut, region.sent_wh, interpolation=cv2.INTER_AREA), np.uint8)
    return data_url(to_jpeg(cut)), region


def content_of(review: ReviewFile, row: int, region: Region, selected: str) -> CanvasContent:
    """Canvas of a person under review, without its picture and its status."""
    keypoints = review.keypoints(row)
    xy = region.to_shown(np.array([k.xyv[:2] for k in keypoints], np.float64))
    points = [
        Point(
            k.name,
            round(float(x), 1),
            round(float(y), 1),
            state_of(k),
            _css(ROLE_COLOURS[_role(k)]),
            hollow=k.xyv[2] == 0,
        )
        for k, (x, y) in zip(keypoints, xy, strict=True)
        if k.placed and _role(k) in ROLE_COLOURS
    ]
    image = review.annotations.person(row).image
    name = "no picture" if image is None else image.file_name
    return CanvasContent(
        picture_key=picture_key(review, row),
        size_wh=region.sent_wh,
        mode="points",
        points=points,
        # What does not stand has no limbs: they would only confuse.
        links=_links(review, {p.name for p in points if not p.hollow}),
        views=_views(review, row, region, keypoints),
        selected=selected,
        seen=seen(review, row, selected),
        keys=KEYS,
        alt=f"A person in {name} with {len(points)} keypoints",
    )


def picture_key(review: ReviewFile, row: int) -> str:
    """Name of a person's picture in the browser, without the server's path."""
    return f"{review.path.name}:{row}"


def seen(review: ReviewFile, row: int, selected: str) -> str:
    """What a decision is about: the browser sends back what it shows."""
    return f"{picture_key(review, row)}:{selected}"


def _links(review: ReviewFile, standing: set[str]) -> list[tuple[str, str, str]]:
    found = []
    for a, b in review.annotations.skeleton.links:
        if {a, b} <= standing:
            sides = {name.split("_")[0] for name in (a, b)} & {"left", "right"}
            found.append((a, b, _css(LIMB_COLOURS[sides.pop() if len(sides) == 1 else "middle"])))
    return found


def _views(review: ReviewFile, row: int, region: Region, keypoints: list[Keypoint]) -> dict[str, Box]:
    """The rectangles that the picture can be fitted to, in px of what is sent."""
    x, y, w, h = person_box(review, row, (region.left + region.width, region.top + region.height))
    views = {"person": _fitted(region, (x, y, x + w, y + h), PERSON_MARGIN * max(w, h))}
    head = np.array([k.xyv[:2] for k in keypoints if k.name in HEAD and k.placed], np.float64).reshape(-1, 2)
    if len(head) > 1:
        (left, top), (right, bottom) = head.min(0), head.max(0)
        # Two points of a head seen from the side lie close together: a head is no narrower than a tenth of its person.
        margin = max(HEAD_MARGIN * max(right - left, bottom - top), 0.05 * max(w, h))
        views["head"] = _fitted(region, (left, top, right, bottom), margin)
    return views


def _fitted(region: Region, corners: Box, margin: float) -> Box:
    shown = region.to_shown(np.array(corners).reshape(2, 2) + np.array([[-margin], [margin]]))
    (left, top), (right, bottom) = np.clip(shown, 0, region.sent_wh)
    return round(float(left), 1), round(float(top), 1), round(float(right - left), 1), round(float(bottom - top), 1)


def _css(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


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
    if keypoint.left_out:
        return "left out"
    mark = "audit " if keypoint.audit else ""
    confidence = confidence_text(keypoint.confidence)
    return f"{mark}{confidence}" if keypoint.xyv[2] > 0 else f"({confidence})"


def list_of(keypoints: list[Keypoint], selected: str) -> str:
    """The keypoints as buttons: colour, name, state; those that are open stand out."""
    rows = []
    for k in keypoints:
        role = _role(k)
        colour = _css(ROLE_COLOURS[role]) if role in ROLE_COLOURS else "transparent"
        marks = (("open", k.open), ("decided", k.decision is not None), ("hollow", k.xyv[2] == 0))
        classes = " ".join(["review-row", *(name for name, holds in marks if holds)])
        rows.append(
            f'<button type="button" class="{classes}" data-name="{escape(k.name, quote=True)}"'
            f' aria-pressed="{"true" if k.name == selected else "false"}">'
            f'<i style="--dot: {colour}"></i><span>{escape(readable(k.name))}</span>'
            f"<em>{escape(state_of(k))}</em></button>"
        )
    return f'<div class="review-list">{"".join(rows)}</div>'
