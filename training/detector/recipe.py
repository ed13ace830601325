"""Everything that the training of a detector depends on, but for the data."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from poseunion.models.errors import BadArgumentError

_POSITIVE = ("steps", "lr", "clip_norm", "log_every", "batch_size", "checkpoint_minutes", "validate_minutes")
_SHARES = (
    *(
        "first_until",
        "decay_from",
        "mild_from",
        "final_lr_factor",
        "ema_decay",
        "mosaic_prob",
        "flip_prob",
        "blur_prob",
    ),
)
# The coarsest map's cells.
SIDE_MULTIPLE = 32


@dataclass(frozen=True)
class DetectorRecipe:
    """Everything that the training of a detector depends on, but for the data.

    Attributes:
        first_side, side: of the square input, until the share `first_until` of the budget and after it.
        steps: optimiser steps of the whole run; ignored when `minutes` is given.
        minutes: wall-clock budget; the schedule then follows the clock, and the run is not exactly repeatable.
        lr: of pyramid and head; the backbone's is `lr * backbone_lr_factor`.
        decay_from: share of the budget from which the learning rate falls along a cosine to `lr * final_lr_factor`.
        mild_from: share of the budget from which there are no mosaics and scales are `mild_scale`.
        scale, mild_scale: range of a picture's size against the one that just fits into the input.
        frozen: blocks of the backbone, counted from its stem, that stay as they were found: what is learnt about edges
            and textures costs most of a step's time.
        ema_decay: of the averaged weights, which are what is evaluated and exported.
    """

    name: str = "person"
    first_side: int = 256
    side: int = 320
    first_until: float = 0.7
    batch_size: int = 8
    steps: int = 3000
    minutes: float = 0.0
    lr: float = 1e-3
    backbone_lr_factor: float = 0.3
    weight_decay: float = 0.05
    warmup_steps: int = 100
    warmup_factor: float = 0.0
    decay_from: float = 0.4
    final_lr_factor: float = 0.02
    clip_norm: float = 10.0
    ema_decay: float = 0.998
    frozen: int = 4
    scale: tuple[float, float] = (0.5, 1.8)
    mild_scale: tuple[float, float] = (0.8, 1.25)
    mild_from: float = 0.8
    mosaic_prob: float = 0.5
    flip_prob: float = 0.5
    blur_prob: float = 0.05
    hsv: tuple[int, int, int] = (5, 30, 30)
    log_every: int = 20
    checkpoint_minutes: float = 3.0
    validate_minutes: float = 10.0
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            values = value if isinstance(value, tuple) else (value,)
            if field.name != "name" and not all(math.isfinite(v) and v >= 0 for v in values):
                raise BadArgumentError(f"{field.name} is {value}: give finite numbers that are not negative.")
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise BadArgumentError(f"{name} is {getattr(self, name)}: give a number above 0.")
        for name in _SHARES:
            if getattr(self, name) > 1:
                raise BadArgumentError(f"{name} is {getattr(self, name)}: give a share from 0 to 1.")
        for name in ("first_side", "side"):
            if getattr(self, name) < SIDE_MULTIPLE or getattr(self, name) % SIDE_MULTIPLE:
                raise BadArgumentError(f"{name} is {getattr(self, name)}: give a multiple of {SIDE_MULTIPLE}.")
        for name in ("scale", "mild_scale"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise BadArgumentError(f"{name} is {low},{high}: give the lower bound first, above 0.")

    def side_at(self, progress: float) -> int:
        """The input's side at a share of the budget."""
        return self.first_side if progress < self.first_until else self.side
