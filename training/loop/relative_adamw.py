"""AdamW whose steps are relative to the size of what they change, for networks with folded batch norm.

A converted network has rows (output channels) of very different scale and no batch norm that would make up for it, so
that one learning rate is too much for some rows and nothing for others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# A row that is nearly zero must be able to move: it counts at least this share of its tensor's root mean square.
LEAST_OF_TENSOR = 0.1


class RelativeAdamW(torch.optim.AdamW):
    """AdamW; in groups with `relative` on, a row's step is multiplied by the row's root mean square.

    A bias, or any other tensor of one axis, counts as one row. Weight decay and momentum are AdamW's.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One step; see `torch.optim.AdamW.step`."""
        before = [
            (one, one.detach().clone())
            for group in self.param_groups
            if group.get("relative")
            for one in group["params"]
            if one.grad is not None
        ]
        loss = super().step(closure)
        for parameter, old in before:
            parameter.copy_(old + (parameter - old) * row_scale(old))
        return loss


def row_scale(tensor: Tensor) -> Tensor:
    """Root mean square of each row, at least `LEAST_OF_TENSOR` of the whole tensor's; it broadcasts to the tensor."""
    whole = tensor.square().mean().sqrt()
    if tensor.ndim < 2:
        return whole
    rows = tensor.flatten(1).square().mean(1).sqrt().clamp_min(LEAST_OF_TENSOR * float(whole))
    return rows.view(-1, *[1] * (tensor.ndim - 1))
