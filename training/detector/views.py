"""Augmentation of whole pictures: random scales and places, mosaics of four, mirroring, colours.

Shapes: N pictures of a batch, M boxes of one of them, S the input's side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from poseunion.training.config.augmentation import NONE
from poseunion.training.data.augment import jitter_pixels
from poseunion.training.detector.recipe import DetectorRecipe
from poseunion.training.detector.store import PictureStore

# Grey around a picture that does not fill the input, as in `DetectorDescription.border`.
BORDER = 114
# A person with less in view, or smaller, has no loss, nor has the background there.
LEAST_IN_VIEW = 0.25
LEAST_SIDE_PX = 6.0
# In a mosaic a picture is this many times as large as what fits into its quarter.
MOSAIC_SCALE = (0.8, 2.2)
# The quarters meet somewhere in the middle of the input.
MOSAIC_MIDDLE = (0.35, 0.65)


@dataclass(frozen=True)
class Pictures:
    """Pictures that may be drawn.

    Attributes:
        rows: indices into the store.
        sampling: relative number of draws of a picture.
    """

    store: PictureStore
    rows: NDArray[np.intp]
    sampling: float


@dataclass(frozen=True)
class PictureBatch:
    """Pictures of one training step.

    Attributes:
        image_NSS3: uint8 RGB.
        corner: for each picture (M, 4) edges of its people, input px.
        ignored: for each picture (M,) which of them have no loss.
    """

    image_NSS3: NDArray[np.uint8]
    corner: tuple[NDArray[np.float32], ...]
    ignored: tuple[NDArray[np.bool_], ...]


View = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_]]


def draw_pictures(
    stores: Sequence[Pictures], rng: np.random.Generator, count: int, side: int, recipe: DetectorRecipe, *, mild: bool
) -> PictureBatch:
    """Draw and augment pictures; everything random comes from `rng`, so that a step can be repeated exactly.

    Args:
        mild: no mosaics, scales nearer to the input's.
    """
    views = [_view(stores, rng, side, recipe, mild=mild) for _ in range(count)]
    return PictureBatch(np.stack([v[0] for v in views]), tuple(v[1] for v in views), tuple(v[2] for v in views))


def _view(
    stores: Sequence[Pictures], rng: np.random.Generator, side: int, recipe: DetectorRecipe, *, mild: bool
) -> View:
    canvas = np.full((side, side, 3), BORDER, np.uint8)
    if not mild and rng.random() < recipe.views.mosaic_prob:
        x, y = (round(side * v) for v in rng.uniform(*MOSAIC_MIDDLE, 2))
        quarters = ((0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side))
        parts = [_placed(canvas, quarter, *_drawn(stores, rng), rng, MOSAIC_SCALE) for quarter in quarters]
    else:
        scale = recipe.views.mild_scale if mild else recipe.views.scale
        parts = [_placed(canvas, (0, 0, side, side), *_drawn(stores, rng), rng, scale)]
    corner, ignored = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    if rng.random() < recipe.views.flip_prob:
        canvas = np.ascontiguousarray(canvas[:, ::-1])
        corner = corner[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [side, 0, side, 0]
    colours = replace(NONE, hsv=recipe.views.hsv, blur_prob=recipe.views.blur_prob)
    return jitter_pixels(rng, canvas, colours), corner.astype(np.float32), ignored


def _drawn(stores: Sequence[Pictures], rng: np.random.Generator) -> tuple[PictureStore, int]:
    chances = np.array([s.sampling * len(s.rows) for s in stores])
    chosen = stores[int(rng.choice(len(stores), p=chances / chances.sum()))]
    return chosen.store, int(rng.choice(chosen.rows))


def _placed(
    canvas: NDArray[np.uint8],
    part: tuple[int, int, int, int],
    store: PictureStore,
    index: int,
    rng: np.random.Generator,
    scale: tuple[float, float],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Draw a picture into a part (x0, y0, x1, y1) of the canvas; its boxes there, and which of them have no loss.

    Args:
        scale: range of its size against the one that just fits.
    """
    low, high = np.array(part[:2]), np.array(part[2:])
    pixels = store.pixels(index)
    wh = np.array([pixels.shape[1], pixels.shape[0]])
    fitting = ((high - low) / wh).min() * np.exp(rng.uniform(*np.log(scale)))
    size = np.maximum(1, np.round(wh * fitting)).astype(int)
    method = cv2.INTER_AREA if fitting < 1 else cv2.INTER_LINEAR
    content = cv2.resize(pixels, size.tolist(), interpolation=method)
    room = high - low - size
    # Where it is larger than its part, a random stretch of it is visible; where it is smaller, its place is random.
    shift = low + np.round(rng.uniform(np.minimum(room, 0), np.maximum(room, 0))).astype(int)
    start, end = np.maximum(shift, low), np.minimum(shift + size, high)
    visible = content[start[1] - shift[1] : end[1] - shift[1], start[0] - shift[0] : end[0] - shift[0]]
    canvas[start[1] : end[1], start[0] : end[0]] = visible
    corner, ignored = store.boxes(index)
    moved = corner * np.tile(size / wh, 2) + np.tile(shift, 2)
    return in_view(moved, ignored, start, end)


def in_view(
    corner_M4: NDArray[np.float64],
    ignored_M: NDArray[np.bool_],
    low: NDArray[np.integer],
    high: NDArray[np.integer],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Boxes cut at the borders of a view, without those outside; too little of a person, or too small, is ignored."""
    cut = np.clip(corner_M4, np.tile(low, 2), np.tile(high, 2))
    side = cut[:, 2:] - cut[:, :2]
    share = side.prod(1) / np.maximum((corner_M4[:, 2:] - corner_M4[:, :2]).prod(1), 1e-9)
    too_little = (share < LEAST_IN_VIEW) | (side.min(1) < LEAST_SIDE_PX)
    visible = (side > 0).all(1)
    return cut[visible], (ignored_M | too_little)[visible]
