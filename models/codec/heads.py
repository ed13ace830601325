"""Output heads of pose networks: SimCC bins or heatmaps, their names in the file and how cells lie on the input."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Alignment(str, Enum):
    """Where heatmap cell u sits on the input."""

    CLASSIC = "classic"  # at input pixel u * stride (HRNet, TinyPose)
    CENTRES = "centres"  # cell areas tile the input: (u + 1/2) * stride - 1/2


class HeatmapOutput(BaseModel):
    """Output of a heatmap network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["heatmap"] = "heatmap"
    output: str
    size_wh: tuple[int, int]
    alignment: Alignment
    sigma_cells: float = Field(default=2.0, gt=0)  # width of the training labels; 2 is the field's habit
    blur_px: float = 0.0
    flip_shift_px: int = 0  # how far the mirrored map of a flip test is moved to the right before averaging


class SimccOutput(BaseModel):
    """Output of a SimCC network, named as rtmlib and mmdeploy expect."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["simcc"] = "simcc"
    output_x: str = "simcc_x"
    output_y: str = "simcc_y"
    split: float = Field(default=2.0, gt=0)
    sigma_bins: tuple[float, float] = (4.9, 5.66)
