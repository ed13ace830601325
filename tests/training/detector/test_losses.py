"""The loss is least where scores and boxes are right, and does not see what is to be ignored."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from poseunion.models.networks.person_detector import STRIDES
from poseunion.training.detector.losses import cells, detector_losses, quality_focal_loss

SIDE = (96, 96)
PERSON = torch.tensor([[10.0, 14.0, 52.0, 90.0]])
CERTAIN = 12.0


def outputs(box: Tensor, logit: Tensor) -> list[Tensor]:
    """Output of a network that predicts `box` (M, 4) with `logit` (M,) in each cell."""
    corner, _ = cells(SIDE)
    raw = torch.cat([logit[:, None], corner - box[:, :2], box[:, 2:] - corner], 1)[None]
    counts = [(SIDE[0] // s) * (SIDE[1] // s) for s in STRIDES]
    return list(raw.split(counts, 1))


def predicted(shift: float = 0.0, elsewhere: float = -CERTAIN) -> list[Tensor]:
    """Cells in the middle predict the person, shifted; all others a speck, with a low score."""
    corner, _ = cells(SIDE)
    near = (corner - (PERSON[:, :2] + PERSON[:, 2:]) / 2).abs().max(1).values < 9
    logit = torch.where(near, CERTAIN, elsewhere)
    speck = torch.cat([corner - 0.1, corner + 0.1], 1)
    return outputs(torch.where(near[:, None], PERSON + shift, speck), logit)


def loss(given: list[Tensor], *, ignored: bool = False) -> dict[str, float]:
    parts = detector_losses(given, [PERSON], [torch.tensor([ignored])], SIDE)
    return {name: float(value) for name, value in parts.items()}


def test_perfect_boxes_cost_nothing() -> None:
    parts = loss(predicted())
    assert parts["box"] == pytest.approx(0, abs=1e-6)
    assert parts["total"] == pytest.approx(0, abs=1e-3)
    assert parts["total"] < loss(predicted(4.0))["total"] < loss(predicted(12.0))["total"]
    assert parts["total"] < loss(predicted(elsewhere=0.0))["total"]


def test_what_is_ignored_is_neither_person_nor_background() -> None:
    corner, _ = cells(SIDE)
    inside = ((corner >= PERSON[0, :2]) & (corner <= PERSON[0, 2:])).all(1)
    sure = outputs(PERSON.repeat(len(corner), 1), torch.where(inside, CERTAIN, -CERTAIN))
    nothing = outputs(PERSON.repeat(len(corner), 1), torch.full((len(corner),), -CERTAIN))
    assert loss(sure, ignored=True) == pytest.approx(loss(nothing, ignored=True), abs=1e-4)
    assert loss(sure, ignored=True)["total"] < 1e-3 < loss(nothing)["total"]


@given(st.floats(0, 1), st.floats(-8, 8))
def test_a_score_is_best_where_it_is_the_overlap(target: float, logit: float) -> None:
    wanted = torch.tensor(target)
    there = quality_focal_loss(torch.logit(wanted, eps=1e-4), wanted)
    assert float(there) <= float(quality_focal_loss(torch.tensor(logit), wanted)) + 1e-5


def test_a_batch_without_people_teaches_silence() -> None:
    corner, _ = cells(SIDE)
    given_ = outputs(PERSON.repeat(len(corner), 1), torch.zeros(len(corner)))
    parts = detector_losses(given_, [torch.zeros(0, 4)], [torch.zeros(0, dtype=torch.bool)], SIDE)
    assert float(parts["box"]) == 0
    assert float(parts["score"]) > 0
