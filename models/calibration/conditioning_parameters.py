"""Conditioning parameters: temperature, blur and hypothesis priors for fusing logits with labelled keypoints.

Used by `models.conditioning`. Fitted by `poseunion fit-evidence` on people outside the student's training set; stored
beside the model's file.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from poseunion.models.errors import BadFileError
from poseunion.models.files import first_fault, read_json
from poseunion.models.skeleton import sideless


class KeypointParameters(BaseModel):
    """Parameters of one keypoint, left and right alike.

    Attributes:
        temperature: factor on the logits before the softmax.
        blur: standard deviation of the Gaussian that its distribution is blurred with, share of the crop's height.
        swapped, lost: log odds of the hypotheses against `own` without further evidence.
        picture, prior: exponents of the experts.
        context: factor on the standard deviations of the picture's estimates of other missing joints; a large one
            leaves them out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    temperature: float = 1.0
    blur: float = 0.012
    swapped: float = -3.0
    lost: float = -3.0
    picture: float = 1.0
    prior: float = 1.0
    context: float = 1.0


class ConditioningParameters(BaseModel):
    """Conditioning parameters of one student, fitted on held-out people (`training.calibration.fit_conditioning`).

    Attributes:
        joints: keypoint without its side -> parameters; any other keypoint has the defaults.
        swapped_mirror: on the log odds of `swapped`, for each nat by which this keypoint's channel explains its known
            mirror better than the mirror's own channel does.
        swapped_pairs: the same for the mean of the known pairs, exchanged against straight.
        lost_error: on the log odds of `lost`, for the student's mean error on the known joints (0 none, 1 all wrong).
        error_sd, error_length: the student's errors as a Gaussian process over the body: standard deviation and reach
            in torso lengths; error_noise is each joint's independent part.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: str = ""
    model_sha256: str = ""
    joints: dict[str, KeypointParameters] = {}
    swapped_mirror: float = 0.5
    swapped_pairs: float = 0.5
    lost_error: float = 4.0
    error_sd: float = 0.05
    error_length: float = 0.5
    error_noise: float = 0.1

    def of(self, keypoint: str) -> KeypointParameters:
        """Parameters of a keypoint, left or right."""
        return self.joints.get(sideless(keypoint), KeypointParameters())


def read_conditioning_parameters(path: str | Path) -> ConditioningParameters:
    """Read conditioning parameters that `poseunion fit-evidence` wrote; raises BadFileError."""
    try:
        return ConditioningParameters.model_validate(read_json(path))
    except ValidationError as error:
        raise BadFileError(f"{path} does not hold conditioning parameters: {first_fault(error, 'file')}.") from error


def tempering_path(model: str | Path) -> Path:
    """Path of the conditioning parameters of a model file: `NAME.evidence.json` beside it."""
    return Path(model).with_suffix(".evidence.json")


def parameters_beside(model: str | Path) -> ConditioningParameters:
    """Conditioning parameters beside a model file (`NAME.evidence.json`), else the defaults."""
    path = tempering_path(model)
    return read_conditioning_parameters(path) if path.is_file() else ConditioningParameters()
