"""Drawing of keypoints and skeletons on a picture: labels white, proposals red, derived keypoints amber.

    drawn = draw_people(image, skeleton, xy_NK2, role_NK=sources, opacity_NK=confidence)

Shapes: N people, K keypoints. Colours are RGB, pictures (H, W, 3) uint8 RGB.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from poseunion.models.errors import BadArgumentError
from poseunion.models.skeleton import Skeleton

# The keypoint sources of an extended annotation file; "none" is not drawn.
ROLE_COLOURS: dict[str, tuple[int, int, int]] = {
    "human": (255, 255, 255),
    "proposed": (235, 25, 45),
    "derived": (255, 176, 0),
}
_OUTLINES = {"human": (25, 25, 30), "proposed": (255, 240, 240), "derived": (70, 45, 0)}
# Blue and green keep apart from the points' red and amber, also for most colour-blind readers.
LIMB_COLOURS = {"left": (60, 165, 255), "right": (120, 215, 80), "middle": (215, 215, 220)}
LIMB_OPACITY = 0.75

_SUBPIXEL_BITS = 4  # cv2 takes fixed-point coordinates
_UNIT_CIRCLE = np.stack([np.cos(np.arange(24) * np.pi / 12), np.sin(np.arange(24) * np.pi / 12)], -1)
_FARTHEST = 1e5  # pixels; beyond it fixed-point coordinates overflow, and such a point is off every picture

Colour = tuple[int, int, int]


def point_radius(image_wh: tuple[int, int]) -> float:
    """Radius in pixels at which a point is legible with the whole picture on a screen."""
    return max(2.0, 0.0055 * max(image_wh))


def draw_people(
    image: NDArray[np.uint8],
    skeleton: Skeleton,
    xy_NK2: NDArray[np.floating],
    *,
    role_NK: Sequence[Sequence[str]] | NDArray[np.str_] | None = None,
    colour_NK3: NDArray[np.integer] | None = None,
    opacity_NK: NDArray[np.floating] | None = None,
    limbs: bool = True,
    scale: float = 1.0,
) -> NDArray[np.uint8]:
    """Copy of `image` with people drawn on it; later people are drawn over earlier ones.

    Args:
        image: (H, W, 3) uint8 RGB; it is not changed.
        xy_NK2: (N, K, 2) image pixels; a point that is not finite is not drawn.
        role_NK: (N, K) of "human", "proposed", "derived" or "none" (not drawn); sets each point's colour. Without it
            and without `colour_NK3` all are proposed.
        colour_NK3: (N, K, 3) RGB 0-255, instead of the roles' colours; points without a role are still not drawn.
        opacity_NK: (N, K) in [0, 1], such as a confidence; 0 is not drawn. Default 1. A limb is as faint as its fainter
            end.
        limbs: draw the skeleton's links between drawn points, thin, coloured by side.
        scale: multiplies the sizes, which follow the picture's size and are smaller on small people.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        BadArgumentError: shapes that do not fit, or an unknown role.
    """
    xy = np.asarray(xy_NK2, np.float64)
    n, k = xy.shape[0], len(skeleton)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise BadArgumentError(f"A picture to draw on is (H, W, 3) uint8; got {image.shape} {image.dtype}.")
    if n == 0:
        return image.copy()
    opacity = np.ones((n, k)) if opacity_NK is None else np.nan_to_num(np.asarray(opacity_NK, np.float64)).clip(0, 1)
    roles = np.full((n, k), "proposed") if role_NK is None else np.asarray(role_NK, dtype=np.str_)
    if xy.shape != (n, k, 2) or opacity.shape != (n, k) or roles.shape != (n, k):
        raise BadArgumentError(
            f"Drawing {skeleton.name} needs xy (N, {k}, 2) and roles and opacities (N, {k}); "
            f"got {xy.shape}, {roles.shape}, {opacity.shape}."
        )
    if unknown := sorted(set(np.unique(roles)) - {*ROLE_COLOURS, "none"}):
        raise BadArgumentError(f"Unknown role {', '.join(unknown)}: use one of {', '.join(ROLE_COLOURS)}, none.")

    drawn = image.copy()
    opacity = np.where(np.isfinite(xy).all(-1) & (roles != "none"), opacity, 0.0)
    xy = np.clip(np.nan_to_num(xy), -_FARTHEST, _FARTHEST)
    for person in range(n):
        shown = opacity[person] > 0
        if not shown.any():
            continue
        radius = scale * _person_radius(image, xy[person, shown])
        region = _Region.around(drawn, xy[person, shown], margin=3 * radius + 3)
        if region is None:
            continue
        if limbs:
            _draw_limbs(region, skeleton, xy[person], opacity[person], radius)
        # Human points last: a proposal never hides them.
        for i in sorted(np.flatnonzero(shown), key=lambda i: str(roles[person, i]) == "human"):
            role = str(roles[person, i])
            fill = ROLE_COLOURS[role] if colour_NK3 is None else _rgb(colour_NK3[person, i])
            region.point(xy[person, i], radius, fill, _OUTLINES[role], float(opacity[person, i]))
        region.blend()
    return drawn


def _rgb(colour: NDArray[np.integer]) -> Colour:
    red, green, blue = (int(c) for c in colour)
    return red, green, blue


def _person_radius(image: NDArray[np.uint8], xy_K2: NDArray[np.float64]) -> float:
    """Point radius of a person: the picture's, smaller for a small person so that the points stay apart."""
    of_picture = point_radius((image.shape[1], image.shape[0]))
    extent = float(np.linalg.norm(xy_K2.max(0) - xy_K2.min(0)))
    if extent == 0:
        return of_picture
    return float(np.clip(0.015 * extent, max(1.2, 0.2 * of_picture), of_picture))


def _draw_limbs(
    region: _Region, skeleton: Skeleton, xy_K2: NDArray[np.float64], opacity_K: NDArray[np.float64], radius: float
) -> None:
    for link in skeleton.links:
        a, b = (skeleton.index(name) for name in link)
        faint = min(opacity_K[a], opacity_K[b])
        if faint > 0:
            sides = {name.split("_")[0] for name in link} & {"left", "right"}
            colour = LIMB_COLOURS[sides.pop() if len(sides) == 1 else "middle"]
            region.line(xy_K2[a], xy_K2[b], max(1.0, 0.55 * radius), colour, float(faint) * LIMB_OPACITY)
    region.blend()


class _Region:
    """Layer of colour and opacity over the part of a picture that a person covers, until `blend`."""

    def __init__(self, target: NDArray[np.uint8], origin_xy: NDArray[np.float64]) -> None:
        self.target = target  # a view: blending changes the picture
        self.origin_xy = origin_xy
        self._clear()

    @classmethod
    def around(cls, image: NDArray[np.uint8], xy_K2: NDArray[np.float64], margin: float) -> _Region | None:
        """Region around these points; None if it lies outside the picture."""
        x0, y0 = np.maximum(np.floor(xy_K2.min(0) - margin), 0).astype(int)
        x1, y1 = np.minimum(np.ceil(xy_K2.max(0) + margin) + 1, image.shape[1::-1]).astype(int)
        if x1 <= x0 or y1 <= y0:
            return None
        return cls(image[y0:y1, x0:x1], np.array([x0, y0], np.float64))

    def line(
        self, start: NDArray[np.float64], end: NDArray[np.float64], width: float, colour: Colour, opacity: float
    ) -> None:
        thickness = max(1, round(width))
        a, b = self._fixed(start), self._fixed(end)
        # Colour reaches further than opacity, so that soft edges are edges of opacity only.
        cv2.line(self.colour, a, b, colour, thickness + 2, cv2.LINE_8, _SUBPIXEL_BITS)
        cv2.line(self.opacity, a, b, opacity * 255, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)

    def point(self, centre: NDArray[np.float64], radius: float, fill: Colour, outline: Colour, opacity: float) -> None:
        rim = max(0.8, 0.3 * radius)
        for layer, size, value, edge in (
            (self.colour, radius + rim + 1, outline, cv2.LINE_8),
            (self.opacity, radius + rim, (opacity * 255,), cv2.LINE_AA),
            (self.colour, radius, fill, cv2.LINE_AA),
        ):
            # cv2.circle makes a diamond of a circle of two pixels: a polygon of our own stays round.
            corners = np.round((centre - self.origin_xy + size * _UNIT_CIRCLE) * (1 << _SUBPIXEL_BITS))
            cv2.fillConvexPoly(layer, corners.astype(np.int32), value, edge, _SUBPIXEL_BITS)

    def blend(self) -> None:
        """Blend the layer into the picture and start a new one."""
        weight = self.opacity.astype(np.float32) / 255
        self.target[:] = cv2.blendLinear(self.colour, np.ascontiguousarray(self.target), weight, 1 - weight)
        self._clear()

    def _clear(self) -> None:
        self.colour = np.zeros(self.target.shape, np.uint8)
        self.opacity = np.zeros(self.target.shape[:2], np.uint8)

    def _fixed(self, xy: NDArray[np.float64]) -> tuple[int, int]:
        x, y = np.round((xy - self.origin_xy) * (1 << _SUBPIXEL_BITS)).astype(int)
        return int(x), int(y)
