"""Groups of settings that students' and detectors' recipes share: schedule, optimiser, logging; and their value types.

A group is a frozen pydantic dataclass: types and ranges are checked wherever one is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

CHECKED = ConfigDict(extra="forbid")
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]


def one_of(names: Sequence[str]) -> AfterValidator:
    """Text that is one of some names."""

    def check(value: str) -> str:
        if value not in names:
            raise ValueError(f"choose among {', '.join(names)}")
        return value

    return AfterValidator(check)


def _ascending(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError("give the lower bound first")
    return value


# Lower and upper bound.
Range = Annotated[tuple[Positive, Positive], AfterValidator(_ascending)]
WholeRange = Annotated[tuple[Count, Count], AfterValidator(_ascending)]
ShareRange = Annotated[tuple[Share, Share], AfterValidator(_ascending)]


@dataclass(frozen=True, config=CHECKED)
class Schedule:
    """Budget of a run and its learning-rate schedule: linear warm-up over steps, constant, then a cosine.

    Attributes:
        steps: optimiser steps of the whole run; ignored when `minutes` is given.
        minutes: wall-clock budget; the schedule then follows the clock, and the run is not exactly repeatable.
        decay_from: share of the budget from which the learning rate falls along a cosine to `lr * final_lr_factor`.
        mild_from: share of the budget from which augmentation is milder.
    """

    steps: Count = 10_000
    minutes: NotNegative = 0.0
    warmup_steps: Whole = 200
    warmup_factor: Share = 0.0
    decay_from: Share = 0.5
    final_lr_factor: Share = 0.02
    mild_from: Share = 0.75


@dataclass(frozen=True, config=CHECKED)
class Optimizer:
    """AdamW, gradient clipping, and the average of the weights.

    Attributes:
        lr: of the head; the backbone's is `lr * backbone_lr_factor`.
        ema_decay: of the averaged weights, which are what is evaluated and exported.
    """

    lr: Positive = 1.5e-3
    backbone_lr_factor: NotNegative = 0.4
    weight_decay: NotNegative = 0.01
    clip_norm: Positive = 20.0
    ema_decay: Share = 0.998


@dataclass(frozen=True, config=CHECKED)
class Records:
    """Log, checkpoints and validation of a run.

    Attributes:
        log_every: steps between two rows of the log.
    """

    log_every: Count = 20
    checkpoint_minutes: NotNegative = 3.0
    validate_minutes: NotNegative = 10.0
