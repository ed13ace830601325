"""Parts of a network that stay as they are.

The first blocks of a trained backbone work at the finest resolutions: they cost most of a step and change least. For
`efficientnet_lite0` at 192x256 on one core, the stem and the first two groups of blocks are 15 of a step's 69 ms a
person when they are only run forward.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from poseunion.models.errors import BadArgumentError


def freeze(network: nn.Module, prefixes: Sequence[str]) -> None:
    """Take the parameters whose names begin with a prefix out of the training, in place; their batch norms keep their
    statistics.

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
