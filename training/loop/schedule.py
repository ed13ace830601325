"""Progress of a run, and its learning rate: linear warm-up, constant, then a cosine."""

from __future__ import annotations

import math
from dataclasses import dataclass

from poseunion.training.config.groups import Schedule


@dataclass
class Clock:
    """Steps and seconds of a run so far, over all sessions."""

    step: int = 0
    seconds: float = 0.0

    def progress(self, schedule: Schedule) -> float:
        """Share of the budget that is spent, in [0, 1]."""
        share = self.seconds / (schedule.minutes * 60) if schedule.minutes else self.step / schedule.steps
        return min(share, 1.0)


def warm_up(schedule: Schedule, step: int) -> float:
    """Factor of the learning rate in the first steps."""
    share = min(1.0, (step + 1) / max(schedule.warmup_steps, 1))
    return schedule.warmup_factor + (1 - schedule.warmup_factor) * share


def cosine(schedule: Schedule, progress: float) -> float:
    """Factor of the learning rate at a share of the budget."""
    if progress <= schedule.decay_from:
        return 1.0
    share = (progress - schedule.decay_from) / max(1e-9, 1 - schedule.decay_from)
    floor = schedule.final_lr_factor
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * share))
