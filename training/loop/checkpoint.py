"""Checkpoints that survive a kill, and the averaged weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from poseunion.models.errors import BadFileError
from poseunion.models.files import atomic_writer, check_unpacked


class Ema:
    """Exponential moving average of a network's weights and batch statistics."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Average in the current weights; early on the average is short, so that it does not lag."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[name].lerp_(value, 1 - decay)
            else:
                self.state[name].copy_(value)


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write a training checkpoint atomically; BadFileError where it does not fit."""
    with atomic_writer(path) as file:
        try:
            torch.save(dict(content), file)
        except RuntimeError as error:
            # On a full disk torch trips over its own clean-up and hides the reason.
            raise error.__context__ if isinstance(error.__context__, OSError) else error from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint: tensors and plain values only.

    Raises:
        BadFileError: absent, damaged, or holding anything else.
    """
    check_unpacked(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise BadFileError(f"Cannot read {path}: {error.strerror or error}.") from error
    except Exception as error:  # torch raises pickle, zip and runtime errors alike
        raise BadFileError(f"{path} is not a checkpoint of tensors: {str(error).splitlines()[0]}") from error
    return dict(content)
