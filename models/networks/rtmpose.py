"""RTMPose: CSPNeXt, a 7x7 convolution, a gated attention unit over keypoints, two linear layers (Jiang et al., 2023).

Modules and parameters are named as in mmpose (`head.gau.uv.weight` …): its checkpoints load with `strict=True`.

Shapes: N people, K keypoints (the tokens of the attention), h and w cells of the last map, D = 256 hidden, E = 512
expanded, S = 128 attention, W and H bins of the two axes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  torch's own convention

from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.networks.cspnext import build_cspnext

STRIDE = 32
HIDDEN, EXPANSION, ATTENTION = 256, 2, 128


class Simcc(NamedTuple):
    """SimCC logits on the beta-10 scale, (N, K, W) and (N, K, H); named as the outputs of the exported file."""

    simcc_x: Tensor
    simcc_y: Tensor


class ScaleNorm(nn.Module):
    """Scale norm: g x / RMS(x) over the last axis, with one learned number g (Nguyen and Salazar, 2019)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.root = width**-0.5
        self.g = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        rms = torch.linalg.vector_norm(x, dim=-1, keepdim=True) * self.root
        return x / rms.clamp(min=1e-5) * self.g


class Scale(nn.Module):
    """Learned factor for each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return x * self.scale


class GatedAttention(nn.Module):
    """Gated attention unit (Hua et al., Transformer Quality in Linear Time, 2022), RTMPose's form of it.

    With z = SiLU(x_norm Uv) split into gate u, value v and base b:  out = scale x + O (u * (relu(q k^T / sqrt S)^2 v)),
    where q and k are b times a learned gamma plus a learned beta. No dropout, no relative position bias.
    """

    def __init__(self, width: int = HIDDEN) -> None:
        super().__init__()
        self.expanded = width * EXPANSION
        self.ln = ScaleNorm(width)
        self.uv = nn.Linear(width, 2 * self.expanded + ATTENTION, bias=False)
        self.gamma = nn.Parameter(torch.rand(2, ATTENTION))
        self.beta = nn.Parameter(torch.rand(2, ATTENTION))
        self.o = nn.Linear(self.expanded, width, bias=False)
        self.res_scale = Scale(width)

    def forward(self, x_NKD: Tensor) -> Tensor:
        """(N, K, D) -> (N, K, D)."""
        z = F.silu(self.uv(self.ln(x_NKD)))
        u_NKE, v_NKE, base_NKS = z.split([self.expanded, self.expanded, ATTENTION], dim=-1)
        q_NKS = base_NKS * self.gamma[0] + self.beta[0]
        k_NKS = base_NKS * self.gamma[1] + self.beta[1]
        weight_NKK = F.relu(q_NKS @ k_NKS.transpose(1, 2) / ATTENTION**0.5).square()
        return self.res_scale(x_NKD) + self.o(u_NKE * (weight_NKK @ v_NKE))


class RTMCCHead(nn.Module):
    """RTMPose head: SimCC logits from the last feature map."""

    def __init__(self, in_channels: int, keypoints: int, grid: SimccGrid, stride: int = STRIDE) -> None:
        super().__init__()
        self.cells_hw = (-(-grid.size_wh[1] // stride), -(-grid.size_wh[0] // stride))
        cells = self.cells_hw[0] * self.cells_hw[1]
        self.final_layer = nn.Conv2d(in_channels, keypoints, 7, padding=3)
        self.mlp = nn.Sequential(ScaleNorm(cells), nn.Linear(cells, HIDDEN, bias=False))
        self.gau = GatedAttention()
        self.cls_x = nn.Linear(HIDDEN, grid.bins_wh[0], bias=False)
        self.cls_y = nn.Linear(HIDDEN, grid.bins_wh[1], bias=False)
        for module in self.modules():  # mmpose's `default_init_cfg`
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
        nn.init.normal_(self.final_layer.weight, std=0.001)
        nn.init.zeros_(self.final_layer.bias)  # type: ignore[arg-type]

    def forward(self, map_NChw: Tensor) -> Simcc:
        """(N, C, h, w) -> logits (N, K, W) and (N, K, H)."""
        x_NKD = self.gau(self.mlp(self.final_layer(map_NChw).flatten(2)))
        return Simcc(self.cls_x(x_NKD), self.cls_y(x_NKD))


class RTMPose(nn.Module):
    """RTMPose of size t, s, m or l for any number of keypoints and any grid.

    Args:
        size: one of `cspnext.SIZES`.
        keypoints: K.
        grid: input size and bins of the output.

    Raises:
        BadArgumentError: unknown size.
    """

    def __init__(self, size: str, keypoints: int, grid: SimccGrid) -> None:
        super().__init__()
        self.size, self.keypoints, self.grid = size, keypoints, grid
        self.backbone = build_cspnext(size)
        self.head = RTMCCHead(self.backbone.channels[-1], keypoints, grid)

    def features(self, image_N3HW: Tensor) -> Tensor:
        """Last map before the head, (N, C, H/32, W/32), from (N, 3, H, W) ImageNet-normalised RGB."""
        return self.backbone(image_N3HW)[-1]

    def forward(self, image_N3HW: Tensor) -> Simcc:
        """SimCC logits simcc_x (N, K, W), simcc_y (N, K, H) from (N, 3, H, W) ImageNet-normalised RGB."""
        return self.head(self.features(image_N3HW))

    @torch.no_grad()
    def grown(self) -> RTMPose:
        """Network for an input twice as wide and high with the same bins.

        Only the linear layer over cells changes: each new cell gets its weight from the old map, resampled, and a
        quarter of it since there are four times as many.
        """
        (width, height), split = self.grid.size_wh, self.grid.split
        bigger = RTMPose(self.size, self.keypoints, SimccGrid((2 * width, 2 * height), split / 2, self.grid.sigma_bins))
        state = self.state_dict()
        ours, theirs = self.head.cells_hw, bigger.head.cells_hw
        cells = state["head.mlp.1.weight"].unflatten(1, (1, *ours))
        resampled = F.interpolate(cells.flatten(1, 1), size=theirs, mode="bilinear", align_corners=False)
        share = ours[0] * ours[1] / (theirs[0] * theirs[1])
        bigger.load_state_dict({**state, "head.mlp.1.weight": resampled.flatten(1) * share})
        return bigger
