"""Cross-class alignment of bins at two resolutions: paper B, section III-B, and the alternative of its Table V.

The paper sums m adjacent bins of the teacher (eq. 6). Here that sum is `regrid`'s redistribution from the teacher's
axis to the student's, for any split and size: the same where bins tile the crop, and exact where they sit at b / split.

Shapes: N people, K keypoints, S teacher's bins, T student's bins of one axis.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  torch's own convention

from poseunion.models.codec.crop import Crop
from poseunion.models.codec.regrid import Axis, axis_map, regrid
from poseunion.models.codec.simcc import BETA, SimccGrid


def merging(teacher: SimccGrid, student: SimccGrid, axis: int) -> Tensor:
    """(2, S, T): the redistribution of one axis for crops as they are, and for mirrored ones.

    There are two since mirroring counts pixels from the other end, and the two grids' last pixels lie at other places.
    """
    matrices = []
    for flip in (False, True):
        seen = Crop((0.0, 0.0), float(student.size_wh[0]), student.size_wh, flip=flip)
        scale, shift = axis_map(replace(seen, size_wh=teacher.size_wh), seen, axis)
        matrices.append(regrid(Axis.of(teacher, axis), Axis.of(student, axis), scale=scale, shift_px=shift).dense())
    return torch.from_numpy(np.stack(matrices)).float()


class ClassAlignment(nn.Module):
    """The class loss of a recipe.

    Args:
        learned: Table V's "fully connected layer" from the student's bins to the teacher's, instead of the merged bins.
    """

    def __init__(self, student: SimccGrid, teacher: SimccGrid, *, learned: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for axis, (ours, theirs) in enumerate(zip(student.bins_wh, teacher.bins_wh, strict=True)):
            if learned:
                self.layers.append(nn.Linear(ours, theirs))
            else:
                self.register_buffer(f"merge_{axis}", merging(teacher, student, axis), persistent=False)

    def forward(
        self,
        ours: tuple[Tensor, Tensor],
        theirs: tuple[Tensor, Tensor],
        flip_N: Tensor,
        weight_NK: Tensor,
        tau: Tensor,
    ) -> Tensor:
        """Logits of both axes, (N, K, T) of the student, (N, K, S) of the teacher -> the axes' losses' sum (eq. 7)."""
        loss = weight_NK.new_zeros(())
        for axis in (0, 1):
            teacher = torch.softmax(BETA * theirs[axis] / tau, -1)
            if self.layers:
                student = self.layers[axis](ours[axis])
            else:
                student = ours[axis]
                teacher = merged(teacher, self.get_buffer(f"merge_{axis}"), flip_N)
            loss = loss + class_loss(student, teacher, weight_NK, tau)
        return loss


def merged(teacher_NKS: Tensor, merge_2ST: Tensor, flip_N: Tensor) -> Tensor:
    """A teacher's distributions on the student's bins (eq. 6), (N, K, T) summing to one.

    Mass beyond the student's last bin is left out, as in `regrid`; the rest is normalised.
    """
    both = torch.stack([teacher_NKS @ matrix for matrix in merge_2ST], 1)
    chosen = both[torch.arange(len(flip_N), device=flip_N.device), flip_N.long()]
    return chosen / chosen.sum(-1, keepdim=True).clamp_min(1e-9)


def class_loss(logit_NKT: Tensor, teacher_NKT: Tensor, weight_NK: Tensor, tau: Tensor) -> Tensor:
    """tau^2 KL(teacher || softmax(beta logit / tau)) of one axis (eq. 7), the weighted mean over keypoints."""
    log_p = F.log_softmax(BETA * logit_NKT / tau, -1)
    # `torch.special.entr` has no finite gradient at 0, and tau may be learned through the teacher's distribution.
    log_t = teacher_NKT.clamp_min(1e-12).log()
    divergence = (teacher_NKT * (log_t - log_p)).sum(-1)
    return tau**2 * (divergence * weight_NK).sum() / weight_NK.sum().clamp_min(1e-6)
