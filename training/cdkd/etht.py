"""Easy-to-hard training: tau, alpha and beta by gradient ascent against the student (paper B, eq. 9-12; CTKD).

Each is a sigmoid within bounds: without them, the weights of a positive loss would grow as long as training lasts.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from poseunion.training.config.cdkd import LEARNED, Cdkd


def difficulty(progress: float) -> float:
    """xi of eq. 12: (1 - cos(pi t)) / 2, from 0 to 1 over the training; CTKD's curve, since the paper names none."""
    return (1 - math.cos(math.pi * min(max(progress, 0.0), 1.0))) / 2


def reversed_gradient(x: Tensor, xi: float) -> Tensor:
    """Gradient reversal scaled by xi: the identity forward, ascent backward (eq. 10-11)."""
    return _Reversal.apply(x, xi)


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, xi: float) -> Tensor:
        ctx.xi = xi
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return -ctx.xi * grads[0], None


class Curriculum(nn.Module):
    """tau, alpha and beta: fixed numbers, or learned ones."""

    def __init__(self, config: Cdkd) -> None:
        super().__init__()
        self.fixed = {"tau": config.tau, "alpha": config.alpha, "beta": config.beta}
        self.bounds = {
            "tau": (1.0, config.tau_most),
            **{name: (value / 2, value * 2) for name, value in self.fixed.items() if name != "tau"},
        }
        self.rate = config.learned_rate
        self.raw = nn.ParameterDict()
        for name in (n for n in LEARNED if n in config.learned and self.fixed[n] > 0):
            low, high = self.bounds[name]
            share = (self.fixed[name] - low) / (high - low)
            self.raw[name] = nn.Parameter(torch.tensor(math.log(share / (1 - share))))

    def forward(self, xi: float, device: torch.device) -> dict[str, Tensor]:
        """The values of this step."""
        values = {name: torch.tensor(value, device=device) for name, value in self.fixed.items()}
        for name, raw in self.raw.items():
            low, high = self.bounds[name]
            values[name] = low + (high - low) * torch.sigmoid(reversed_gradient(raw, xi))
        return values

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """theta + lr * d(xi L)/d theta (eq. 11), with plain gradients: Adam would undo the scaling by xi."""
        for raw in self.raw.values():
            if raw.grad is not None:
                raw -= lr * self.rate * raw.grad
                raw.grad = None
