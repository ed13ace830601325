"""Dynamic soft label assignment of cells to people (RTMDet, section 3.3).

A person gets as many cells as the sum of the best IoUs of their predicted boxes with the person's, those of the least
cost first; the cost is made of the IoU, the score, and the distance of the cell's corner from the person's centre.

Shapes: M cells of all levels, G people.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch's own convention
from torchvision.ops import box_iou

# RTMDet's constants: mmdet's DynamicSoftLabelAssigner in configs/rtmdet/rtmdet_l_8xb32-300e_coco.py.
CANDIDATES = 13
IOU_WEIGHT = 3.0
CENTRE_RADIUS = 3.0
# Cost of a pair that is excluded.
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
    """Assign cells to people.

    Args:
        logit_M: score logits.
        box_M4: predicted corners, input px.
        cell_M2: the cells' corners; only those inside a person can be assigned.
        person_G4: corners of people.
    """
    if not len(person_G4):
        return Assignment(torch.full_like(logit_M, -1, dtype=torch.long), torch.zeros_like(logit_M))
    inside_MG = ((cell_M2[:, None] > person_G4[:, :2]) & (cell_M2[:, None] < person_G4[:, 2:])).all(-1)
    rows = inside_MG.any(1).nonzero()[:, 0]
    iou_RG = box_iou(box_M4[rows], person_G4)
    inside_RG = inside_MG[rows]
    logit_RG = logit_M[rows, None].expand_as(iou_RG)
    soft = (iou_RG - logit_RG.sigmoid()).abs().square()
    score_cost = F.binary_cross_entropy_with_logits(logit_RG, iou_RG, reduction="none") * soft
    centre_G2 = (person_G4[:, :2] + person_G4[:, 2:]) / 2
    distance_RG = (cell_M2[rows, None] - centre_G2).norm(dim=-1) / stride_M[rows, None]
    cost_RG = score_cost - IOU_WEIGHT * (iou_RG + 1e-7).log() + 10.0 ** (distance_RG - CENTRE_RADIUS)
    cost_RG = torch.where(inside_RG, cost_RG, NEVER)
    iou_RG = torch.where(inside_RG, iou_RG, 0.0)
    best_KG = iou_RG.topk(min(CANDIDATES, len(rows)), dim=0).values
    count_G = best_KG.sum(0).int().clamp(min=1)
    # The rank of every cell among a person's costs, the cheapest 0.
    rank_RG = cost_RG.argsort(dim=0, stable=True).argsort(dim=0, stable=True)
    taken_RG = (rank_RG < count_G) & inside_RG
    # A cell of two people's is assigned to the one of the lower cost.
    owner_R = torch.where(taken_RG, cost_RG, NEVER * 10).argmin(1)
    is_taken_R = taken_RG.any(1)
    person_M = torch.full_like(logit_M, -1, dtype=torch.long)
    overlap_M = torch.zeros_like(logit_M)
    person_M[rows[is_taken_R]] = owner_R[is_taken_R]
    overlap_M[rows[is_taken_R]] = iou_RG.gather(1, owner_R[:, None])[:, 0][is_taken_R]
    return Assignment(person_M, overlap_M)
