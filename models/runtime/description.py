"""Model description: skeleton, normalisation, bins and calibration, in the ONNX metadata or in a TOML beside it.

Our own exports carry the description in `metadata_props` under the key `poseunion`; any other model (a teacher, a
public RTMPose) gets a small TOML file of the same schema.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from poseunion.models.calibration.schema import Calibration
from poseunion.models.codec.heads import HeatmapOutput, Pixels, SimccOutput
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.errors import ModelError
from poseunion.models.files import first_fault, read_toml
from poseunion.models.skeleton import Skeleton, load_skeleton

# The one place for ImageNet's statistics; RGB order, pixel values divided by 255.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

METADATA_KEY = "poseunion"
EVEN_ODDS = 0.5
# Shipped descriptions have 48 kB, most of it the ladders of their calibration.
MOST_DESCRIPTION_CHARS = 4_000_000
# A tenth of the least standard deviation of a channel in use (1/255, of plain pixel values).
Deviation = Annotated[float, Field(ge=4e-4, le=1e3)]
Mean = Annotated[float, Field(ge=-1e3, le=1e3)]


class ModelDescription(BaseModel):
    """Description of a pose model file.

    Attributes:
        keypoints: names in output order, when the model's order is not that of `skeleton`.
        mean, std: of pixel values divided by 255, in `colour` order.
        padding: of the crop, as a factor on the person's box.
        score_threshold: of the raw score: below it a keypoint is usually wrong. Counts only without a calibration.
        licence, source: terms of the weights, and how the file was made. A network that was fine-tuned from another
            project's names its SHA-256 and copyright here.
        calibration: from raw scores to probabilities; `poseunion calibrate` writes it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    schema_version: Literal[1] = 1
    name: str
    skeleton: str
    keypoints: list[str] | None = Field(default=None, min_length=1)
    input: str = "input"
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    size_wh: tuple[Pixels, Pixels]
    colour: Literal["RGB", "BGR"] = "RGB"
    mean: tuple[Mean, Mean, Mean] = IMAGENET_MEAN
    std: tuple[Deviation, Deviation, Deviation] = IMAGENET_STD
    padding: float = Field(default=1.25, ge=0.1, le=10)
    head: SimccOutput | HeatmapOutput = Field(discriminator="kind")
    score_threshold: float = 0.3
    licence: str = ""
    source: str = ""
    revision: str = ""
    calibration: Calibration | None = None

    @model_validator(mode="after")
    def _known_skeleton(self) -> ModelDescription:
        keypoints = self.resolved_skeleton.keypoints
        if self.calibration is not None and self.calibration.keypoints != keypoints:
            raise ValueError("the calibration belongs to a model of other keypoints")
        return self

    @property
    def confidence_threshold(self) -> float:
        """Default threshold: a probability of .5, or the raw score's threshold without a calibration."""
        return self.score_threshold if self.calibration is None else EVEN_ODDS

    @property
    def parts(self) -> dict[str, Any]:
        """What a joint model consists of, for files made with it; empty for one network."""
        return {}

    @property
    def resolved_skeleton(self) -> Skeleton:
        """Skeleton in the model's output order."""
        base = load_skeleton(self.skeleton)
        if self.keypoints is None:
            return base
        index = [base.index(k) for k in self.keypoints]
        return Skeleton(
            name=base.name,
            keypoints=tuple(base.keypoints[i] for i in index),
            links=base.links,
            sigmas=tuple(base.sigmas[i] for i in index),
            sigma_origin=base.sigma_origin,
            midpoints=base.midpoints,
            notes=base.notes,
        )

    @property
    def output_names(self) -> list[str]:
        """Output names in the file: [simcc_x, simcc_y] or [heatmap]."""
        head = self.head
        return [head.output] if isinstance(head, HeatmapOutput) else [head.output_x, head.output_y]

    @property
    def grid(self) -> SimccGrid:
        """Bins of a SimCC head."""
        if not isinstance(self.head, SimccOutput):
            raise ModelError(f"Model {self.name} has a heatmap head and no bins.")
        return SimccGrid(self.size_wh, self.head.split, self.head.sigma_bins)


def parse_description(data: Any, origin: str) -> ModelDescription:
    """Validate a pose model's description; raises ModelError naming `origin` and the field at fault."""
    if isinstance(data, (str, bytes)) and len(data) > MOST_DESCRIPTION_CHARS:
        raise ModelError(
            f"{origin} has a description of {len(data) / 1e6:.1f} MB, more than the {MOST_DESCRIPTION_CHARS / 1e6:g} "
            "that a description may have: it is damaged."
        )
    try:
        if isinstance(data, (str, bytes)):
            return ModelDescription.model_validate_json(data)
        return ModelDescription.model_validate(data)
    except ValidationError as error:
        raise ModelError(f"{origin} does not describe a pose model: {first_fault(error, 'description')}.") from error


def read_description(path: str | Path) -> ModelDescription:
    """Read a description from a TOML file."""
    return parse_description(read_toml(path), str(path))
