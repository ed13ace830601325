"""Losses of the person detector: quality focal loss of the scores, and IoU of the boxes.

Shapes: N pictures, M cells of all levels, P cells that are assigned to a person, G people of a picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch's own convention
from torchvision.ops import generalized_box_iou_loss

from poseunion.models.networks.person_detector import STRIDES
from poseunion.training.detector.assign import assign

# RTMDet's: of the boxes against the scores, and the exponent of quality focal loss.
BOX_WEIGHT = 2.0
BETA = 2.0


def cells(side_wh: tuple[int, int], strides: Sequence[int] = STRIDES) -> tuple[Tensor, Tensor]:
    """(M, 2) upper left corners of all cells, row by row, level by level, and (M,) their strides, in input px."""
    corners, sizes = [], []
    for stride in strides:
        y, x = torch.meshgrid(torch.arange(side_wh[1] // stride), torch.arange(side_wh[0] // stride), indexing="ij")
        corners.append(torch.stack([x.flatten(), y.flatten()], 1).float() * stride)
        sizes.append(torch.full((x.numel(),), float(stride)))
    return torch.cat(corners), torch.cat(sizes)


def detector_losses(
    outputs: Sequence[Tensor], corner: Sequence[Tensor], ignored: Sequence[Tensor], side_wh: tuple[int, int]
) -> dict[str, Tensor]:
    """`score` and `box` loss and `total`, each for one unit of assigned overlap.

    Args:
        outputs: of `PersonDetector`.
        corner: for each picture (G, 4) corners of people, input px.
        ignored: for each picture (G,) which of them have no loss: cells inside are no background either.
    """
    raw_NM5 = torch.cat(list(outputs), 1)
    cell_M2, stride_M = (t.to(raw_NM5.device) for t in cells(side_wh))
    logit_NM = raw_NM5[..., 0]
    box_NM4 = torch.cat([cell_M2 - raw_NM5[..., 1:3], cell_M2 + raw_NM5[..., 3:5]], -1)
    target_NM, counts_NM = torch.zeros_like(logit_NM), torch.ones_like(logit_NM)
    predicted, wanted, weights = [], [], []
    for n, (person_G4, ignored_G) in enumerate(zip(corner, ignored, strict=True)):
        found = assign(logit_NM[n], box_NM4[n], cell_M2, stride_M, person_G4[~ignored_G])
        positive_M = found.person >= 0
        target_NM[n] = found.iou
        if bool(ignored_G.any()):
            unclear_M = inside_any(cell_M2, person_G4[ignored_G])
            counts_NM[n] = (positive_M | ~unclear_M).float()
        predicted.append(box_NM4[n][positive_M])
        wanted.append(person_G4[~ignored_G][found.person[positive_M]])
        weights.append(found.iou[positive_M])
    weight_P = torch.cat(weights)
    unit = weight_P.sum().clamp(min=1.0)
    score = (quality_focal_loss(logit_NM, target_NM) * counts_NM).sum() / unit
    box = (generalized_box_iou_loss(torch.cat(predicted), torch.cat(wanted)) * weight_P).sum() / unit
    return {"score": score, "box": box, "total": score + BOX_WEIGHT * box}


def inside_any(point_M2: Tensor, corner_G4: Tensor) -> Tensor:
    """(M,) whether a point lies in any of the boxes."""
    return ((point_M2[:, None] >= corner_G4[:, :2]) & (point_M2[:, None] <= corner_G4[:, 2:])).all(-1).any(1)


def quality_focal_loss(logit: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy with a target in [0, 1], weighed by how far the score is from it (Li et al. 2020, eq. 6)."""
    distance = (target - logit.sigmoid()).abs().pow(BETA)
    return F.binary_cross_entropy_with_logits(logit, target, reduction="none") * distance
