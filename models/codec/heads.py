"""Output heads of pose networks: SimCC bins or heatmaps, their names in the file and how cells lie on the input."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# Twice the longer side of the largest pose networks (768x1024) and detectors (1280x1280) in use.
MOST_INPUT_PX = 2_048
Pixels = Annotated[int, Field(ge=1, le=MOST_INPUT_PX)]


class Alignment(str, Enum):
    """Alignment of heatmap cells with input pixels."""

    CLASSIC = "classic"  # at input pixel u * stride (HRNet, TinyPose)
    CENTRES = "centres"  # cell areas tile the input: (u + 1/2) * stride - 1/2


class HeatmapOutput(BaseModel):
    """Heatmap head: output name, input size, alignment and label width."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Literal["heatmap"] = "heatmap"
    output: str
    size_wh: tuple[Pixels, Pixels]
    alignment: Alignment
    # Width of the training labels; 2 is the common value.
    sigma_cells: float = Field(default=2.0, gt=0, le=MOST_INPUT_PX)
    blur_px: float = Field(default=0.0, ge=0, le=MOST_INPUT_PX)
    # How far the mirrored map of a flip test is moved to the right before averaging.
    flip_shift_px: int = Field(default=0, ge=-MOST_INPUT_PX, le=MOST_INPUT_PX)


class SimccOutput(BaseModel):
    """SimCC head: output names (as rtmlib and mmdeploy expect), bins and label width."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Literal["simcc"] = "simcc"
    output_x: str = "simcc_x"
    output_y: str = "simcc_y"
    split: float = Field(default=2.0, ge=1 / 64, le=64)
    sigma_bins: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (4.9, 5.66)
