"""What of paper B a recipe uses, and how much of it; the paper gives neither alpha, beta, tau nor xi: these are ours.

No torch here: recipes are printed and checked without it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from poseunion.models.errors import BadArgumentError

FEATURES = ("off", "projectors", "sape", "conv", "linear", "pointwise")
CLASSES = ("off", "cca", "linear")
LEARNED = ("tau", "alpha", "beta")
# The paper's Table VI goes this far, and is worse from 4 on.
MOST_PROJECTORS = 5


@dataclass(frozen=True)
class Cdkd:
    """Distillation from one torch network that sees the same region at a higher resolution.

    Attributes:
        teacher: a shipped model's name, a `.safetensors` of a training run or an `.onnx` that was exported of it.
        features: `projectors` (the mean of the ensemble), `sape` (merged by the scale-adaptive unit), of the paper's
            Table V `conv` (the teacher's map through a strided convolution) or `linear` (one fully connected layer);
            ours, `pointwise` (a layer over channels, against the teacher's map at the student's size); or `off`.
        projectors: how many, 1 to 5.
        kernels: how many convolutions of 3x3, 5x5, 7x7 and 9x9 the scale-adaptive unit has.
        classes: `cca` (adjacent bins merged), Table V's `linear` (a learned layer between the bins), or `off`. Its
            "same class number" is `cca` with a split that gives the student as many bins as the teacher.
        confidence: a keypoint's class lesson counts as much as the teacher is sure of it; off is the paper.
        alpha, beta: weights of the feature and of the class loss (eq. 8).
        tau: temperature of the class loss, 1 to `tau_most`.
        learned: which of tau, alpha and beta are learned against the student; empty: no easy-to-hard training.
        tau_most: highest temperature that can be learned. Learned alpha and beta stay between half and twice theirs.
        learned_rate: learning rate of what is learned, as a factor on the student's.
        half_teacher: ask the teacher in bfloat16 whatever the run's precision is. On a CPU with avx512_bf16 that is
            twice as fast for its large maps, while a student of 64x64 takes 1.6 times as long in bfloat16.
    """

    teacher: str = ""
    features: str = "off"
    projectors: int = 3
    kernels: tuple[int, int, int, int] = (1, 1, 2, 0)
    classes: str = "off"
    confidence: bool = False
    alpha: float = 1.0
    beta: float = 1.0
    tau: float = 2.0
    learned: tuple[str, ...] = ()
    tau_most: float = 5.0
    learned_rate: float = 1.0
    half_teacher: bool = False

    def __post_init__(self) -> None:
        for key, known in (("features", FEATURES), ("classes", CLASSES)):
            if getattr(self, key) not in known:
                raise BadArgumentError(f"cdkd.{key} is {getattr(self, key)!r}: choose among {', '.join(known)}.")
        if unknown := [name for name in self.learned if name not in LEARNED]:
            raise BadArgumentError(f"cdkd.learned names {unknown[0]!r}: choose among {', '.join(LEARNED)}.")
        if not 1 <= self.projectors <= MOST_PROJECTORS:
            raise BadArgumentError(f"cdkd.projectors is {self.projectors}: give 1 to {MOST_PROJECTORS}.")
        if min(self.kernels) < 0 or sum(self.kernels) == 0:
            raise BadArgumentError(f"cdkd.kernels is {self.kernels}: give the unit a convolution or more.")
        for key in ("alpha", "beta", "learned_rate"):
            value = getattr(self, key)
            if not math.isfinite(value) or value < 0:
                raise BadArgumentError(f"cdkd.{key} is {value}: give a number from 0.")
        if not (math.isfinite(self.tau_most) and 1 <= self.tau <= self.tau_most):
            raise BadArgumentError(f"cdkd.tau is {self.tau}: give a number from 1 to cdkd.tau_most, {self.tau_most}.")
        if "tau" in self.learned and not 1 < self.tau < self.tau_most:
            raise BadArgumentError(f"cdkd.tau is {self.tau}: to be learned it starts between 1 and {self.tau_most}.")

    @property
    def is_on(self) -> bool:
        """Whether anything is distilled."""
        return (self.features, self.classes) != ("off", "off")

    @property
    def kernel_sides(self) -> tuple[int, ...]:
        """Sides of the scale-adaptive unit's convolutions, (3, 5, 7, 7) for the paper's best."""
        return tuple(side for side, count in zip((3, 5, 7, 9), self.kernels, strict=True) for _ in range(count))
