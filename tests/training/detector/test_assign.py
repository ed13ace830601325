"""Cells answer for the people they lie in, as many as their overlap gives, and never for two."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import box_iou

from poseunion.training.detector.assign import CANDIDATES, assign
from poseunion.training.detector.losses import cells

SIDE = (96, 64)


def scene(seed: int, people: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random logits, predictions around the cells, and people."""
    generator = torch.Generator().manual_seed(seed)
    corner, stride = cells(SIDE)
    reach = 4 * torch.rand(len(corner), 4, generator=generator) * stride[:, None]
    box = torch.cat([corner - reach[:, :2], corner + reach[:, 2:]], 1)
    low = torch.rand(people, 2, generator=generator) * torch.tensor([60.0, 30.0])
    size = 12 + torch.rand(people, 2, generator=generator) * 22
    return torch.randn(len(corner), generator=generator), box, torch.cat([low, low + size], 1)


@given(st.integers(0, 2**31), st.integers(0, 6))
def test_who_answers_lies_inside(seed: int, people: int) -> None:
    logit, box, person = scene(seed, people)
    corner, stride = cells(SIDE)
    found = assign(logit, box, corner, stride, person)
    for cell in found.person.ge(0).nonzero()[:, 0]:
        owner = person[found.person[cell]]
        assert (corner[cell] > owner[:2]).all()
        assert (corner[cell] < owner[2:]).all()
        assert torch.isclose(found.iou[cell], box_iou(box[cell][None], owner[None])[0, 0])
    assert (found.iou[found.person < 0] == 0).all()
    assert int(found.person.max()) < people


@given(st.integers(0, 2**31))
def test_a_person_alone_gets_as_many_cells_as_their_best_boxes_overlap(seed: int) -> None:
    logit, box, person = scene(seed, 1)
    corner, stride = cells(SIDE)
    found = assign(logit, box, corner, stride, person)
    inside = ((corner > person[0, :2]) & (corner < person[0, 2:])).all(1)
    overlap = box_iou(box[inside], person)[:, 0]
    expected = max(1, int(overlap.topk(min(CANDIDATES, len(overlap))).values.sum()))
    assert int((found.person == 0).sum()) == expected


@given(st.integers(0, 2**31), st.permutations(range(4)))
def test_the_order_of_people_does_not_matter(seed: int, order: list[int]) -> None:
    logit, box, person = scene(seed, 4)
    corner, stride = cells(SIDE)
    there = assign(logit, box, corner, stride, person)
    moved = assign(logit, box, corner, stride, person[order])
    owner = torch.where(moved.person >= 0, torch.tensor(order)[moved.person.clamp(min=0)], -1)
    assert torch.equal(there.person, owner)
    assert torch.equal(there.iou, moved.iou)


def test_of_equal_cells_the_one_in_the_middle_answers() -> None:
    corner, stride = cells((64, 64), (8,))
    person = torch.tensor([[4.0, 4.0, 60.0, 60.0]])
    # All have the same score, and predict a sliver: one cell is assigned.
    sliver = torch.tensor([[30.0, 30.0, 34.0, 34.0]]).repeat(len(corner), 1)
    found = assign(torch.zeros(len(corner)), sliver, corner, stride, person)
    assert corner[found.person == 0].tolist() == [[32.0, 32.0]]


def test_nobody_takes_no_cell() -> None:
    corner, stride = cells(SIDE)
    found = assign(torch.zeros(len(corner)), torch.zeros(len(corner), 4), corner, stride, torch.zeros(0, 4))
    assert (found.person == -1).all()
    assert (found.iou == 0).all()
