"""Faster CPU kernels for depthwise convolution and ReLU6, with the same results.

Measured by `benchmarks/training/step_speed.py`. They are not used on a GPU and leave no trace in a weights file:
the replaced layers' names and parameters stay.

Shapes: N people, C channels, h and w cells, k the side of a kernel.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  torch's own convention

# With AMX, oneDNN's bfloat16 gradients of convolutions on maps of a few cells are not numbers (torch 2.14, RTMPose-t at
# 32x64). oneDNN reads this once, before its first convolution; single precision does not use AMX.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16")

# glibc's malloc.h. A block below the threshold comes from the heap, and the heap is never given back.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
NEVER, LARGEST_BLOCK = -1, 2**30

# oneDNN's weight gradient of a depthwise convolution is fast up to this width of the kernel, whatever its height; a 5x5
# costs five times as much as a 5x3 and a 5x2 together.
FAST_COLUMNS = 3

# In bfloat16, oneDNN's weight gradient of a convolution has uninitialised memory where half the kernel is wider than
# the map, as RTMPose's 7x7 on the 2x2 cells of a 64x64 crop; half of a 3x3 never is.
SOUND_SIDE = 3


def keep_freed_memory() -> None:
    """Keep freed memory for the next step instead of returning it to the system page by page.

    Activations are blocks of up to 100 MB, which glibc otherwise returns when they are freed. Elsewhere than on glibc
    this does nothing.
    """
    try:
        malloc = ctypes.CDLL(None)
        malloc.mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)
        malloc.mallopt(M_TRIM_THRESHOLD, NEVER)
    except (OSError, AttributeError, TypeError):  # no such library, or no such function in it
        return


def use_fast_kernels(network: nn.Module) -> None:
    """Replace, in place, the layers of a network whose training on a CPU can be faster."""
    for parent in network.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.ReLU6) and child.inplace:
                setattr(parent, name, FastReLU6())
            elif type(child) is nn.Conv2d and _can_be_fast(child):
                setattr(parent, name, FastDepthwise(child))
            elif type(child) is nn.Conv2d and child.groups == 1 and max(child.kernel_size) > SOUND_SIDE:
                child.__class__ = WideConvolution


class FastReLU6(nn.Module):
    """`nn.ReLU6(inplace=True)` that saves its result for the gradient; torch's own saves a copy of its input."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return _ReLU6.apply(x) if x.requires_grad else x.clamp_(0.0, 6.0)


class FastDepthwise(nn.Module):
    """A depthwise convolution of stride 1, with the parameter of the one that it replaces."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight = convolution.weight

    def forward(self, x_NChw: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w), in autocast's precision where it is on, as any convolution."""
        weight_C1kk: Tensor = self.weight
        if torch.is_autocast_enabled("cpu"):
            # Here, not in the function: its backward pass runs outside of autocast, and needs one precision.
            lower = torch.get_autocast_dtype("cpu")
            x_NChw, weight_C1kk = x_NChw.to(lower), weight_C1kk.to(lower)
        return _Depthwise.apply(x_NChw, weight_C1kk)


class WideConvolution(nn.Conv2d):
    """A convolution that autocast leaves in its own precision, see `SOUND_SIDE`."""

    def forward(self, x_NChw: Tensor) -> Tensor:
        """As `nn.Conv2d`."""
        with torch.autocast("cpu", enabled=False):
            return super().forward(x_NChw.to(self.weight.dtype))


def _can_be_fast(convolution: nn.Conv2d) -> bool:
    side = convolution.kernel_size[0]
    return (
        convolution.groups == convolution.in_channels == convolution.out_channels
        and convolution.kernel_size == (side, side)
        and side % 2 == 1
        and convolution.padding == (side // 2, side // 2)
        and (convolution.stride, convolution.dilation) == ((1, 1), (1, 1))
        and convolution.padding_mode == "zeros"
        and convolution.bias is None
    )


class _ReLU6(torch.autograd.Function):
    """The gradient passes where the result is neither 0 nor 6, so that the argument need not be kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        x.clamp_(0.0, 6.0)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(grads[0], y, 0.0, 6.0)


class _Depthwise(torch.autograd.Function):
    """Stride 1: the input's gradient is the convolution with the rotated kernel; the kernel's is computed for a few of
    its columns at a time."""

    @staticmethod
    def forward(ctx: Any, x_NChw: Tensor, weight_C1kk: Tensor) -> Tensor:
        ctx.save_for_backward(x_NChw, weight_C1kk)
        return F.conv2d(x_NChw, weight_C1kk, padding=weight_C1kk.shape[-1] // 2, groups=x_NChw.shape[1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (grad_NChw,) = grads
        x_NChw, weight_C1kk = ctx.saved_tensors
        channels, side = x_NChw.shape[1], weight_C1kk.shape[-1]
        half = side // 2
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = F.conv2d(grad_NChw, weight_C1kk.flip(2, 3), padding=half, groups=channels)
        if ctx.needs_input_grad[1]:
            parts, at_once = [], FAST_COLUMNS if x_NChw.shape[-1] >= side else side
            for first in range(0, side, at_once):
                columns = min(at_once, side - first)
                # The input cells of these columns, from the first output's to the last one's.
                padded = F.pad(x_NChw, (half - first, first + columns - 1 - half))
                part = weight_C1kk[..., first : first + columns].contiguous(memory_format=torch.channels_last)
                gradients = torch.ops.aten.convolution_backward(
                    *(grad_NChw, padded, part, None, [1, 1], [half, 0], [1, 1], False, [0, 0], channels),
                    [False, True, False],
                )
                parts.append(gradients[1])
            grad_weight = torch.cat(parts, -1)
        return grad_x, grad_weight
