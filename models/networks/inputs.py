"""Input normalisation in torch, as `OnnxModel.normalise`, for training and validation."""

from __future__ import annotations

import torch
from torch import Tensor

from poseunion.models.runtime.description import IMAGENET_MEAN, IMAGENET_STD


def normalise(image_NHW3: Tensor) -> Tensor:
    """Normalise (N, H, W, 3) uint8 RGB to (N, 3, H, W) float32, channels last."""
    mean = torch.tensor(IMAGENET_MEAN, device=image_NHW3.device) * 255
    std = torch.tensor(IMAGENET_STD, device=image_NHW3.device) * 255
    return ((image_NHW3.float() - mean) / std).permute(0, 3, 1, 2)
