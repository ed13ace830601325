"""Base class of runtimes: a described network from pixels of crops to raw outputs.

Shapes: N crops, H and W input size, K keypoints, X and Y bins or cells of the output axes.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from poseunion.models.errors import BadArgumentError, BadFileError, ModelError
from poseunion.models.files import sha256_of
from poseunion.models.runtime.description import ModelDescription

MOST_THREADS = 1024  # more than any machine has cores; beyond it is a typing error


class PoseModel(ABC):
    """Pose network that is ready to run.

    Attributes:
        path: its file.
        description: of the file.
        provider: the device actually used: an onnxruntime execution provider, or TensorRT.
        threads: CPU cores that may work on one call; 1 where the CPU only waits for another device.
        sha256: of the file.
    """

    path: Path
    description: ModelDescription
    provider: str
    threads: int
    sha256: str

    @abstractmethod
    def forward(self, input_N: NDArray[np.float32]) -> list[NDArray[np.floating]]:
        """Outputs in the order of `output_names` for a normalised input in the network's layout."""

    def alone(self) -> PoseModel:
        """Single-threaded version of this model, for several calls at once; the same object every time."""
        return self

    @property
    def output_names(self) -> list[str]:
        """Output names in the file: [simcc_x, simcc_y] or [heatmap]."""
        return self.description.output_names

    def normalise(self, crop_NHW3: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Normalised float32 input, in the network's layout and colour order, from (N, H, W, 3) uint8 RGB."""
        rgb = self.description.colour == "RGB"
        mean, std = (np.asarray(values, np.float32) * 255 for values in (self.description.mean, self.description.std))
        if self.description.layout == "NHWC":
            normalised = (crop_NHW3 if rgb else crop_NHW3[..., ::-1]).astype(np.float32)
            normalised -= mean
            normalised /= std
            return normalised
        n, h, w, _ = crop_NHW3.shape
        normalised = np.empty((n, 3, h, w), np.float32)
        # Plane by plane, while it is in the cache: a quarter less time than all at once.
        for crop, planes in zip(crop_NHW3, normalised, strict=True):
            for channel, plane in enumerate(cv2.split(crop) if rgb else cv2.split(crop)[::-1]):
                planes[channel] = plane
                planes[channel] -= mean[channel]
                planes[channel] /= std[channel]
        return normalised

    def run(self, crop_NHW3: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Raw outputs of crops: [simcc_x (N,K,X), simcc_y (N,K,Y)] or [heatmap (N,K,Y,X)].

        Raises:
            ModelError: the output has another shape than described, or is not finite.
        """
        head = self.description.head
        outputs = self.forward(self.normalise(crop_NHW3))
        if head.kind == "heatmap" and self.description.layout == "NHWC":
            outputs = [outputs[0].transpose(0, 3, 1, 2)]
        k = len(self.description.resolved_skeleton)
        expected: list[tuple[int, ...]]
        if head.kind == "heatmap":
            expected = [(len(crop_NHW3), k, head.size_wh[1], head.size_wh[0])]
        else:
            expected = [(len(crop_NHW3), k, bins) for bins in self.description.grid.bins_wh]
        for output, shape in zip(outputs, expected, strict=True):
            if output.shape != shape:
                raise ModelError(f"{self.path} returned {output.shape}, but its description has {shape}.")
            if not np.isfinite(output).all():
                raise ModelError(f"{self.path} returned values that are not finite: the file is damaged or overflows.")
        return [np.asarray(o, np.float32) for o in outputs]

    def _check_names(self, inputs: list[str], outputs: list[str]) -> None:
        missing = [n for n in self.output_names if n not in outputs]
        missing += [n for n in [self.description.input] if n not in inputs]
        if missing:
            raise ModelError(
                f"{self.path} has inputs {inputs} and outputs {outputs}, "
                f"but its description names {', '.join(missing)}."
            )


def cores() -> int:
    """Number of CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def model_file(path: str | Path) -> tuple[Path, str]:
    """Path and SHA-256 of an existing model file; raises BadFileError."""
    path = Path(path)
    if not path.is_file():
        raise BadFileError(f"No model file {path}: give the path of a model or the name of a shipped one.")
    return path, sha256_of(path)


def check_threads(threads: int | None) -> None:
    """Check the number of threads; raises BadArgumentError outside 1 to `MOST_THREADS`."""
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise BadArgumentError(f"{threads} threads cannot be had: give 1 to {MOST_THREADS}.")
