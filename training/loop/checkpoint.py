"""Checkpoints that survive a kill, and the averaged weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from poseunion.models.errors import BadFileError
from poseunion.models.files import atomic_writer, check_unpacked
from poseunion.training.loop.schedule import Clock
from poseunion.training.loop.stages import Origin

Weights: TypeAlias = dict[str, Tensor]


class Ema:
    """Exponential moving average of a network's weights and batch statistics."""

    def __init__(self, network: nn.Module, decay: float, state: Weights | None = None) -> None:
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in (state or network.state_dict()).items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Average in the current weights; early on the average is short, so that it does not lag."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[name].lerp_(value, 1 - decay)
            else:
                self.state[name].copy_(value)


@dataclass
class RunState:
    """State of a student's run: the content of its `last.ckpt`.

    Attributes:
        stage: index of the recipe's stage.
        network, ema: weights of that stage, and their average; None before the first step of a run without a start.
        optimizer, distiller: None at the beginning of a stage; a distiller only where the recipe has one.
    """

    clock: Clock = field(default_factory=Clock)
    stage: int = 0
    network: Weights | None = None
    ema: Weights | None = None
    optimizer: dict[str, Any] | None = None
    distiller: Weights | None = None
    origin: Origin = field(default_factory=Origin)

    def save(self, path: Path) -> None:
        """Write the checkpoint atomically."""
        content = {
            "origin": dataclasses.asdict(self.origin),
            **dataclasses.asdict(self.clock),
            **{name: getattr(self, name) for name in ("stage", "network", "ema", "optimizer")},
        }
        save_checkpoint(path, content | ({"distiller": self.distiller} if self.distiller is not None else {}))

    @classmethod
    def load(cls, path: Path) -> RunState:
        """Read a checkpoint; BadFileError where it is not one of a student's run."""
        saved = load_checkpoint(path)
        if not {"step", "seconds", "stage", "network", "ema", "optimizer"} <= set(saved):
            raise BadFileError(f"{path} is not a checkpoint of a run: give the folder of one, or remove the file.")
        return cls(
            Clock(saved["step"], saved["seconds"]),
            *(saved["stage"], saved["network"], saved["ema"], saved["optimizer"], saved.get("distiller")),
            Origin(**saved.get("origin", {})),
        )


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write a training checkpoint atomically; BadFileError where it does not fit."""
    with atomic_writer(path) as file:
        try:
            torch.save(dict(content), file)
        except RuntimeError as error:
            # On a full disk torch fails in its own clean-up and hides the reason.
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
