"""Dynamic soft label assignment of cells to people (RTMDet, section 3.3).

Each person takes as many cells as their predictions overlap with him (the sum of the best IoUs), those of the least
cost first; the cost weighs how well a cell's box fits, how sure it is, and how near its corner lies to his middle.

Shapes: M cells of all levels, G people.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch's own convention

# RTMDet's constants: mmdet's DynamicSoftLabelAssigner in configs/rtmdet/rtmdet_l_8xb32-300e_coco.py.
CANDIDATES = 13
IOU_WEIGHT = 3.0
CENTRE_RADIUS = 3.0
# Cost of a pair that cannot be.
NEVER = 1e8


@dataclass(frozen=True)
class Assignment:
    """Attributes:
    person: (M,) index of the person that a cell is assigned to, -1 for none.
    iou: (M,) overlap of the cell's box with that person's, 0 for none.
    """

    person: Tensor
    iou: Tensor


@torch.no_grad()
def assign(logit_M: Tensor, box_M4: Tensor, cell_M2: Tensor, stride_M: Tensor, person_G4: Tensor) -> Assignment:
    """Cells for people.

    Args:
        logit_M: score logits.
        box_M4: predicted corners, input px.
        cell_M2: the cells' corners; only those inside a person can be assigned to it.
        person_G4: corners of people.
    """
    if not len(person_G4):
        return Assignment(torch.full_like(logit_M, -1, dtype=torch.long), torch.zeros_like(logit_M))
    inside_MG = ((cell_M2[:, None] > person_G4[:, :2]) & (cell_M2[:, None] < person_G4[:, 2:])).all(-1)
    rows = inside_MG.any(1).nonzero()[:, 0]
    iou_RG = pairwise_iou(box_M4[rows], person_G4)
    inside_RG = inside_MG[rows]
    logit_RG = logit_M[rows, None].expand_as(iou_RG)
    soft = (iou_RG - logit_RG.sigmoid()).abs().square()
    score_cost = F.binary_cross_entropy_with_logits(logit_RG, iou_RG, reduction="none") * soft
    middle_G2 = (person_G4[:, :2] + person_G4[:, 2:]) / 2
    distance_RG = (cell_M2[rows, None] - middle_G2).norm(dim=-1) / stride_M[rows, None]
    cost_RG = score_cost - IOU_WEIGHT * (iou_RG + 1e-7).log() + 10.0 ** (distance_RG - CENTRE_RADIUS)
    cost_RG = torch.where(inside_RG, cost_RG, NEVER)
    iou_RG = torch.where(inside_RG, iou_RG, 0.0)
    best_KG = iou_RG.topk(min(CANDIDATES, len(rows)), dim=0).values
    count_G = best_KG.sum(0).int().clamp(min=1)
    # The rank of every cell among a person's costs, the cheapest 0.
    rank_RG = cost_RG.argsort(dim=0, stable=True).argsort(dim=0, stable=True)
    taken_RG = (rank_RG < count_G) & inside_RG
    # A cell of two people is assigned to the one of lower cost.
    owner_R = torch.where(taken_RG, cost_RG, NEVER * 10).argmin(1)
    is_taken_R = taken_RG.any(1)
    person_M = torch.full_like(logit_M, -1, dtype=torch.long)
    overlap_M = torch.zeros_like(logit_M)
    person_M[rows[is_taken_R]] = owner_R[is_taken_R]
    overlap_M[rows[is_taken_R]] = iou_RG.gather(1, owner_R[:, None])[:, 0][is_taken_R]
    return Assignment(person_M, overlap_M)


def pairwise_iou(a_N4: Tensor, b_M4: Tensor) -> Tensor:
    """(N, M) intersection over union of corners."""
    low = torch.maximum(a_N4[:, None, :2], b_M4[None, :, :2])
    high = torch.minimum(a_N4[:, None, 2:], b_M4[None, :, 2:])
    common = (high - low).clamp(min=0).prod(-1)
    return common / (area(a_N4)[:, None] + area(b_M4)[None] - common).clamp(min=1e-6)


def area(corner_N4: Tensor) -> Tensor:
    """(N,) of corners (…, 4)."""
    return (corner_N4[..., 2:] - corner_N4[..., :2]).clamp(min=0).prod(-1)
