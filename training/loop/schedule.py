"""How far a run is, and how fast it learns there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


class Budget(Protocol):
    """What a run may cost: steps or, where it is not 0, minutes."""

    @property
    def steps(self) -> int: ...

    @property
    def minutes(self) -> float: ...


class Cosine(Protocol):
    """Linear warm-up over steps, constant, then a cosine over the last part of the budget."""

    @property
    def warmup_steps(self) -> int: ...

    @property
    def warmup_factor(self) -> float: ...

    @property
    def decay_from(self) -> float: ...

    @property
    def final_lr_factor(self) -> float: ...


@dataclass
class Clock:
    """Where a run is: steps and seconds, over all sessions."""

    step: int = 0
    seconds: float = 0.0

    def progress(self, budget: Budget) -> float:
        """Share of the budget that is spent, in [0, 1]."""
        share = self.seconds / (budget.minutes * 60) if budget.minutes else self.step / budget.steps
        return min(share, 1.0)


def warm_up(schedule: Cosine, step: int) -> float:
    """The share of the learning rate that the first steps have reached."""
    share = min(1.0, (step + 1) / max(schedule.warmup_steps, 1))
    return schedule.warmup_factor + (1 - schedule.warmup_factor) * share


def cosine(schedule: Cosine, progress: float) -> float:
    """The share of the learning rate that is left at a share of the budget."""
    if progress <= schedule.decay_from:
        return 1.0
    share = (progress - schedule.decay_from) / max(1e-9, 1 - schedule.decay_from)
    floor = schedule.final_lr_factor
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * share))
