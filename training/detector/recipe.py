"""Recipe of a person detector: all settings of its training, without the data."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from poseunion.training.config.groups import CHECKED, Count, Optimizer, Range, Records, Schedule, Share, Whole

# The coarsest map's cells.
SIDE_MULTIPLE = 32
Side = Annotated[int, Field(ge=SIDE_MULTIPLE, multiple_of=SIDE_MULTIPLE)]


@dataclass(frozen=True, config=CHECKED)
class Views:
    """Augmentation of whole pictures.

    Attributes:
        scale, mild_scale: range of a picture's size against the one that just fits into the input, before and after
            `mild_from`; there are no mosaics after it.
    """

    scale: Range = (0.5, 1.8)
    mild_scale: Range = (0.8, 1.25)
    mosaic_prob: Share = 0.5
    flip_prob: Share = 0.5
    blur_prob: Share = 0.05
    hsv: tuple[Whole, Whole, Whole] = (5, 30, 30)


@dataclass(frozen=True, config=CHECKED)
class DetectorRecipe:
    """All settings of a detector's training, without the data.

    Attributes:
        first_side, side: of the square input, until the share `first_until` of the budget and after it.
        frozen: stages of the backbone that keep their weights, the stem too where it is not 0: edges and textures cost
            most of a step's time.
    """

    name: str = "person"
    first_side: Side = 320
    side: Side = 480
    first_until: Share = 0.7
    batch_size: Count = 8
    frozen: Whole = 1
    seed: Whole = 0
    schedule: Schedule = Schedule(steps=3000, warmup_steps=100, decay_from=0.4, mild_from=0.8)
    optimizer: Optimizer = Optimizer(lr=5e-4, backbone_lr_factor=0.5, weight_decay=0.0, clip_norm=10.0)
    views: Views = field(default_factory=Views)
    records: Records = field(default_factory=Records)

    def side_at(self, progress: float) -> int:
        """The input's side at a share of the budget."""
        return self.first_side if progress < self.first_until else self.side
