"""Optimiser: frozen parts of a network, AdamW's parameter groups, and steps relative to a row's size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from poseunion.models.errors import BadArgumentError
from poseunion.training.config.groups import Optimizer

# A row that is nearly zero must be able to move: it counts at least this share of its tensor's root mean square.
LEAST_OF_TENSOR = 0.1


def freeze(network: nn.Module, prefixes: Sequence[str]) -> None:
    """Take the parameters whose names begin with a prefix out of the training; their batch norms keep their statistics.

    The first blocks of a trained backbone work at the finest resolutions: they cost most of a step and change least.
    For `efficientnet_lite0` at 192x256 on one core, the stem and the first two groups of blocks are 15 of a step's
    69 ms a person when they are only run forward.

    Raises:
        BadArgumentError: no parameter begins with a prefix.
    """
    for prefix in prefixes:
        found = [p for name, p in network.named_parameters() if f"{name}.".startswith(f"{prefix}.")]
        if not found:
            children = ", ".join(name for name, _ in network.named_children())
            raise BadArgumentError(f"frozen names {prefix!r}, but the network's parts are {children} and theirs.")
        for parameter in found:
            parameter.requires_grad_(False)
        for name, module in network.named_modules():
            if f"{name}.".startswith(f"{prefix}.") and isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def adamw(
    parameters: Iterable[tuple[str, nn.Parameter]],
    settings: Optimizer,
    *,
    trained_backbone: bool = True,
    relative: str | None = None,
) -> torch.optim.AdamW:
    """AdamW of the named parameters that are not frozen; norms, biases and scales do not decay.

    Args:
        trained_backbone: the backbone's learning rate has a `factor` of its own.
        relative: prefix of the parameters with relative steps, empty for all: see `RelativeAdamW`.
    """
    groups: dict[tuple[bool, bool, bool], list[nn.Parameter]] = {}
    for name, parameter in parameters:
        if parameter.requires_grad:
            is_relative = relative is not None and name.startswith(relative)
            groups.setdefault((name.startswith("backbone."), parameter.ndim > 1, is_relative), []).append(parameter)
    return RelativeAdamW(
        [
            {
                "params": members,
                "factor": settings.backbone_lr_factor if is_backbone and trained_backbone else 1.0,
                "weight_decay": settings.weight_decay if is_matrix else 0.0,
                "relative": is_relative,
            }
            for (is_backbone, is_matrix, is_relative), members in groups.items()
        ],
        lr=settings.lr,
    )


class RelativeAdamW(torch.optim.AdamW):
    """AdamW; in groups with `relative` on, a row's step is multiplied by the row's root mean square.

    For networks with folded batch norm: their rows (output channels) differ much in scale and no batch norm makes up
    for it, so that one learning rate is too much for some rows and too little for others. A bias, or any other tensor
    of one axis, counts as one row. Weight decay and momentum are AdamW's.
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
