"""What each data set has of its own while a student is trained; the student that is left has no trace of it.

Data sets differ in more than their keypoints: in whom they show, and in where their annotators point. The network may
be told which one a person comes from (a token), or its answer may be bent to each one's habits (a residual) before it
is compared with the labels. The mean of either over the data sets is nought: a student without them answers as for a
data set between all of them.

Shapes: N people, D data sets, C channels, h and w cells, K keypoints, T taps, W and H bins of the axes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  torch's own convention

from poseunion.models.skeleton import Skeleton

# The residual sees the logits this many steps to either side; a step is one pixel of a crop of 96x128 at split 4, and
# definitions of shoulder, hip, knee or ankle lie up to two of them apart (.05 of a torso of 40).
TAPS_BESIDE, BINS_A_STEP = 3, 4


class Own(nn.Module):
    """The parameters of all data sets.

    Args:
        backbone: whose last map the token is added to, deep enough that it is more than a constant to any head; None:
            no token.
        channels: C of that map.
        skeleton: of the answers that the residual bends; None: no residual.
    """

    def __init__(self, datasets: int, backbone: nn.Module | None, channels: int, skeleton: Skeleton | None) -> None:
        super().__init__()
        self.token = self.taps = None
        if backbone is not None:
            self.token = nn.Parameter(torch.zeros(datasets, channels))
            backbone.register_forward_hook(self._add_token)
        if skeleton is not None:
            self.taps = nn.Parameter(torch.zeros(datasets, 2, len(skeleton), 2 * TAPS_BESIDE + 1))
            self.register_buffer("flip_K", torch.tensor(skeleton.flip_indices), persistent=False)
        self._dataset_N: Tensor | None = None

    def now(self, dataset_N: Tensor) -> None:
        """Whose people the next picture batch shows."""
        self._dataset_N = dataset_N

    def _add_token(self, _: nn.Module, __: Any, maps: Any) -> Any:
        assert self.token is not None
        assert self._dataset_N is not None
        if isinstance(maps, Tensor):
            last, before = maps, None
        else:
            *before, last = maps
        own_NC = (self.token - self.token.mean(0))[self._dataset_N].to(last.dtype)
        last = last + own_NC[..., None, None]
        return last if before is None else [*before, last]

    def bent(self, answer: tuple[Tensor, Tensor], flip_N: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, K, W), (N, K, H) as each person's annotators have it; mirrored crops with mirrored habits."""
        if self.taps is None:
            return answer
        assert self._dataset_N is not None
        taps_N2KT = (self.taps - self.taps.mean(0))[self._dataset_N]
        mirrored = taps_N2KT[:, :, self.get_buffer("flip_K")]
        mirrored = torch.stack([mirrored[:, 0].flip(-1), mirrored[:, 1]], 1)
        taps_N2KT = torch.where(flip_N[:, None, None, None], mirrored, taps_N2KT)
        x, y = (logit + _filtered(logit, taps_N2KT[:, axis]) for axis, logit in enumerate(answer))
        return x, y


def _filtered(logit_NKB: Tensor, taps_NKT: Tensor) -> Tensor:
    """Each keypoint's logits, weighted over bins `BINS_A_STEP` apart; beyond an end is the end's."""
    bins, reach = logit_NKB.shape[-1], TAPS_BESIDE * BINS_A_STEP
    wide = F.pad(logit_NKB, (reach, reach), mode="replicate")
    result = torch.zeros_like(logit_NKB)
    for number, tap_NK in enumerate(taps_NKT.unbind(-1)):
        first = number * BINS_A_STEP
        result = result + tap_NK[..., None] * wide[..., first : first + bins]
    return result


def own_for(network: nn.Module, skeleton: Skeleton, datasets: int, *, token: bool, residual: bool) -> Own | None:
    """What a recipe gives each data set; None for nothing."""
    if not token and not residual:
        return None
    backbone: nn.Module = network.backbone  # type: ignore[assignment]
    channels = _last_channels(backbone) if token else 0
    return Own(datasets, backbone if token else None, channels, skeleton if residual else None)


@torch.no_grad()
def _last_channels(backbone: nn.Module) -> int:
    """C of a backbone's last map; leaves the backbone as it was."""
    was_training = backbone.training
    maps = backbone.eval()(torch.zeros(1, 3, 64, 64))
    backbone.train(was_training)
    return int((maps if isinstance(maps, Tensor) else maps[-1]).shape[1])
