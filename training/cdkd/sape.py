"""Scale-adaptive projector ensemble, aligning features of two resolutions: paper B, section III-A, and Table V.

Shapes: N people; C, h, w of the student's last map; D channels, u x v cells of the teacher's; K projectors, B branches.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  torch's own convention

from poseunion.models.errors import BadArgumentError
from poseunion.training.config.cdkd import Cdkd

Shape = tuple[int, int, int]


class Projector(nn.Module):
    """A fully connected layer over the cells, the same for every channel, and ReLU.

    Where the channels differ, a 1x1 convolution comes first: at the student's resolution it costs least.
    """

    def __init__(self, student: Shape, teacher: Shape, *, relu: bool = True) -> None:
        super().__init__()
        (c, h, w), (d, u, v) = student, teacher
        self.channels = nn.Identity() if c == d else nn.Conv2d(c, d, 1)
        self.space = nn.Linear(h * w, u * v)
        self.cells_hw, self.relu = (u, v), relu

    def forward(self, map_NChw: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, D, u, v)."""
        y = self.space(self.channels(map_NChw).flatten(2))
        return (F.relu(y) if self.relu else y).unflatten(2, self.cells_hw)


class ScaleAdaptiveUnit(nn.Module):
    """Weight of each projector, from the student's map through several kernels (eq. 1-3)."""

    def __init__(self, channels: int, out_channels: int, kernels: tuple[int, ...], projectors: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(channels, channels, side, padding=side // 2) for side in kernels)
        self.fusion = nn.Conv2d(channels * len(kernels), channels * len(kernels), 1)
        self.select = nn.ModuleList(nn.Linear(channels, out_channels) for _ in range(projectors))

    def forward(self, map_NChw: Tensor) -> Tensor:
        """(N, C, h, w) -> weights (N, K, D) that sum to one over the projectors."""
        scales = torch.cat([branch(map_NChw) for branch in self.branches], 1)  # eq. 1
        # eq. 2: fully connected layer (at every cell), global pooling, sum over the branches.
        pooled_NC = self.fusion(scales).mean((2, 3)).unflatten(1, (len(self.branches), -1)).sum(1)
        return torch.softmax(torch.stack([layer(pooled_NC) for layer in self.select], 1), 1)  # eq. 3


class Sape(nn.Module):
    """The projector ensemble, merged by the scale-adaptive unit or, without `kernels`, by the mean (eq. 4)."""

    def __init__(self, student: Shape, teacher: Shape, projectors: int, kernels: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.projectors = nn.ModuleList(Projector(student, teacher) for _ in range(projectors))
        self.unit = ScaleAdaptiveUnit(student[0], teacher[0], kernels, projectors) if kernels else None

    def forward(self, map_NChw: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, D, u, v)."""
        projected = torch.stack([projector(map_NChw) for projector in self.projectors], 1)
        if self.unit is None:
            return projected.mean(1)
        return (self.unit(map_NChw)[..., None, None] * projected).sum(1)


class StridedAlignment(nn.Module):
    """Table V's "conv downsample": the teacher's map is brought to the student's by one strided convolution."""

    def __init__(self, student: Shape, teacher: Shape) -> None:
        super().__init__()
        (c, h, w), (d, u, v) = student, teacher
        if u % h or v % w:
            raise BadArgumentError(f"A teacher's {v}x{u} cells are no multiple of a student's {w}x{h}: use projectors.")
        self.conv = nn.Conv2d(d, c, (u // h, v // w), (u // h, v // w))

    def forward(self, map_NDuv: Tensor) -> Tensor:
        """(N, D, u, v) -> (N, C, h, w)."""
        return self.conv(map_NDuv)


class FeatureAlignment(nn.Module):
    """The feature loss of a recipe, with the student's map aligned to the teacher's or the reverse."""

    def __init__(self, config: Cdkd, student: Shape, teacher: Shape) -> None:
        super().__init__()
        self.on_teacher = config.features == "conv"
        self.align: nn.Module
        if config.features == "conv":
            self.align = StridedAlignment(student, teacher)
        elif config.features == "pointwise":
            # Few parameters beside the features themselves.
            self.align = nn.Conv2d(student[0], teacher[0], 1)
        elif config.features == "linear":
            self.align = Projector(student, teacher, relu=False)
        else:
            kernels = config.kernel_sides if config.features == "sape" else ()
            self.align = Sape(student, teacher, config.projectors, kernels)

    def forward(self, student_NChw: Tensor, teacher_NDuv: Tensor) -> Tensor:
        """The last maps of both -> the mean loss."""
        if self.on_teacher:
            return cosine_loss(student_NChw, self.align(teacher_NDuv))
        ours = self.align(student_NChw)
        # The same region on more cells: their mean. With alignments to the teacher's cells nothing changes.
        theirs = F.adaptive_avg_pool2d(teacher_NDuv, ours.shape[-2:])
        return cosine_loss(ours, theirs)


def cosine_loss(ours: Tensor, theirs: Tensor) -> Tensor:
    """1 - cos over each person's whole map (eq. 5), the mean over people."""
    return (1 - F.cosine_similarity(ours.flatten(1), theirs.flatten(1), dim=1)).mean()
