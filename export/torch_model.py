"""Trained network run by torch, the reference that every exported file is compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from poseunion.models.networks.inputs import normalise
from poseunion.models.networks.weights import load_described
from poseunion.models.runtime.base import PoseModel, model_file


class TorchModel(PoseModel):
    """Weights file as a `PoseModel`.

    Pixels are normalised as in training, not by the description: an export with a wrong description differs.

    Raises:
        BadFileError, ModelError: as `load_described`.
    """

    def __init__(self, weights: Path) -> None:
        self.path, self.sha256 = model_file(weights)
        self.network, self.spec, self.description = load_described(weights)
        self.provider, self.threads = "torch", torch.get_num_threads()

    def normalise(self, crop_NHW3: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Normalised input (N, 3, H, W) from (N, H, W, 3) uint8 RGB, by training's own code."""
        return normalise(torch.from_numpy(np.ascontiguousarray(crop_NHW3))).numpy()

    def forward(self, input_N: NDArray[np.float32]) -> list[NDArray[np.floating]]:
        """Outputs for a normalised input, see `PoseModel.forward`."""
        with torch.no_grad():
            answer = self.network(torch.from_numpy(input_N))
            return [output.numpy() for output in ([answer] if isinstance(answer, torch.Tensor) else answer)]
