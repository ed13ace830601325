"""Settings of paper B's distillation; the paper gives neither alpha, beta, tau nor xi: these are ours.

No torch here: recipes are printed and checked without it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from poseunion.training.config.groups import CHECKED, NotNegative, Whole, one_of

# The paper's Table VI goes this far, and is worse from 4 on.
MOST_PROJECTORS = 5
LEARNED = ("tau", "alpha", "beta")
Temperature = Annotated[float, Field(ge=1, allow_inf_nan=False)]


@dataclass(frozen=True, config=CHECKED)
class Cdkd:
    """Distillation from one torch network on the same region at a higher resolution.

    Attributes:
        teacher: a shipped model's name, a `.safetensors` of a training run or an `.onnx` that was exported of it.
        features: `projectors` (the mean of the ensemble), `sape` (merged by the scale-adaptive unit), of the paper's
            Table V `conv` (the teacher's map through a strided convolution) or `linear` (one fully connected layer);
            ours, `pointwise` (a layer over channels, against the teacher's map at the student's size); or `off`.
        projectors: how many, 1 to 5.
        kernels: how many convolutions of 3x3, 5x5, 7x7 and 9x9 the scale-adaptive unit has.
        classes: `cca` (adjacent bins merged), Table V's `linear` (a learned layer between the bins), or `off`. Its
            "same class number" is `cca` with a split that gives the student as many bins as the teacher.
        confidence: weighs a keypoint's class loss by the teacher's confidence; off is the paper.
        alpha, beta: weights of the feature and of the class loss (eq. 8).
        tau: temperature of the class loss, 1 to `tau_most`.
        learned: which of tau, alpha and beta are learned against the student; empty: no easy-to-hard training.
        tau_most: highest temperature that can be learned. Learned alpha and beta stay between half and twice theirs.
        learned_rate: learning rate of what is learned, as a factor on the student's.
        half_teacher: run the teacher in bfloat16 whatever the run's precision is. On a CPU with avx512_bf16 that is
            twice as fast for its large maps, while a student of 64x64 takes 1.6 times as long in bfloat16.
    """

    teacher: str = ""
    features: Literal["off", "projectors", "sape", "conv", "linear", "pointwise"] = "off"
    projectors: Annotated[int, Field(ge=1, le=MOST_PROJECTORS)] = 3
    kernels: tuple[Whole, Whole, Whole, Whole] = (1, 1, 2, 0)
    classes: Literal["off", "cca", "linear"] = "off"
    confidence: bool = False
    alpha: NotNegative = 1.0
    beta: NotNegative = 1.0
    tau: Temperature = 2.0
    learned: tuple[Annotated[str, one_of(LEARNED)], ...] = ()
    tau_most: Temperature = 5.0
    learned_rate: NotNegative = 1.0
    half_teacher: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Cdkd:
        if sum(self.kernels) == 0:
            raise ValueError("cdkd.kernels are all 0: give the unit a convolution or more")
        if self.tau > self.tau_most:
            raise ValueError(f"cdkd.tau is {self.tau}: give a number from 1 to cdkd.tau_most, {self.tau_most}")
        if "tau" in self.learned and not 1 < self.tau < self.tau_most:
            raise ValueError(f"cdkd.tau is {self.tau}: to be learned it starts between 1 and {self.tau_most}")
        return self

    @property
    def is_on(self) -> bool:
        """Whether anything is distilled."""
        return (self.features, self.classes) != ("off", "off")

    @property
    def kernel_sides(self) -> tuple[int, ...]:
        """Sides of the scale-adaptive unit's convolutions, (3, 5, 7, 7) for the paper's best."""
        return tuple(side for side, count in zip((3, 5, 7, 9), self.kernels, strict=True) for _ in range(count))
