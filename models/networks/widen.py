"""Function-preserving widening (Net2Net) of a small RTMPose, to initialise a bigger one.

Net2Net's idea (Chen, Goodfellow and Shlens, 2016) with another construction: their copies of a channel need noise to
diverge, and copying is not exact where channels are squeezed together (channel attention). Here the old channels keep
their weights and have weights of 0 from the new ones, which start as a fresh network's; the weights that read the new
channels start at 0 and get gradients from the first step.
"""

from __future__ import annotations

import torch
from torch import Tensor

from poseunion.models.errors import BadArgumentError
from poseunion.models.networks.cspnext import SIZES, CSPLayer
from poseunion.models.networks.rtmpose import RTMPose

# Names' ends: of how many equal parts a tensor's outputs and inputs are made (maps that CSPNeXt concatenates).
PARTS = {
    "final_conv.conv.weight": (1, 2),
    "attention.fc.weight": (2, 2),
    "attention.fc.bias": (2, 1),
    "stage4.1.conv2.conv.weight": (1, 4),
}


def can_widen(small: str, size: str) -> bool:
    """Whether an RTMPose of size `small` can be widened to `size`.

    The last stage has no identities: a block that is added there would change the output.
    """
    order = list(SIZES)
    if small not in order or size not in order or order.index(small) >= order.index(size):
        return False
    return _last_blocks(small) == _last_blocks(size)


def _last_blocks(size: str) -> int:
    return max(round(3 * SIZES[size][0]), 1)


@torch.no_grad()
def widened(network: RTMPose, size: str) -> RTMPose:
    """Widened RTMPose with the same output for every picture.

    Raises:
        BadArgumentError: not a bigger size, or one whose last stage has more blocks.
    """
    if not can_widen(network.size, size):
        raise BadArgumentError(f"RTMPose-{network.size} cannot become RTMPose-{size}: only t can become s.")
    bigger = RTMPose(size, network.keypoints, network.grid)
    small = network.state_dict()
    # Tensors of a state share their memory with the network.
    for name, tensor in bigger.state_dict().items():
        if name in small:
            _put(small[name], tensor, *next((p for end, p in PARTS.items() if name.endswith(end)), (1, 1)))
    for name, module in bigger.named_modules():
        if isinstance(module, CSPLayer):
            old = network.get_submodule(name)
            assert isinstance(old, CSPLayer)
            for block in list(module.blocks)[len(old.blocks) :]:
                # SiLU(0) is 0: the block adds nothing to its identity, but gets a gradient (SiLU'(0) is 1/2).
                torch.nn.init.zeros_(block.conv2.pointwise_conv.bn.weight)  # type: ignore[union-attr, arg-type]
    return bigger.train(network.training)


def _put(old: Tensor, new: Tensor, parts_out: int, parts_in: int) -> None:
    """Copy `old` into `new`'s first channels, part by part; there the weights of the other inputs are 0."""
    if not new.dim():
        new.copy_(old)
        return
    rows = _first(new.shape[0], old.shape[0], parts_out)
    if new.dim() == 1:
        new[rows] = old
        return
    new[rows] = 0
    new[rows[:, None], _first(new.shape[1], old.shape[1], parts_in)] = old


def _first(many: int, few: int, parts: int) -> Tensor:
    """Indices of the first `few / parts` in each of `parts` parts of `many`."""
    starts = torch.arange(parts)[:, None] * (many // parts)
    return (starts + torch.arange(few // parts)).flatten()
