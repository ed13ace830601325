"""Conversion of a public network's ONNX file: to a union SimCC student, or a detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from poseunion.export.convert import write_pair
from poseunion.export.detector import convert_detector
from poseunion.export.starts import Layer, Start, find_start, read_layers
from poseunion.models.codec.heads import SimccOutput
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.errors import BadArgumentError, ModelError
from poseunion.models.inference.detector import DetectorDescription
from poseunion.models.networks.build import build_network
from poseunion.models.networks.weights import NetworkSpec
from poseunion.models.runtime.description import ModelDescription
from poseunion.models.skeleton import load_skeleton

# The branch starts from random weights: the same ones, so that a conversion can be repeated to the byte.
SEED = 0


def convert_start(
    file: Path, stem: Path, skeleton: str | None = None, *, licence: str = ""
) -> ModelDescription | DetectorDescription:
    """Convert a public network: write `<stem>.safetensors` and `<stem>.onnx`, both or neither.

    A student has a branch for the keypoints that the public network lacks; it is untrained.

    Args:
        skeleton: of a student, union21 if not given; it begins with the public network's keypoints, in its order.
        licence: for the files, in place of the publishers' statement.

    Raises:
        BadFileError: not an ONNX file. ModelError: none of `STARTS`, or another skeleton.
    """
    layers = read_layers(file)
    start = find_start(layers, str(file))
    if not start.skeleton:
        if skeleton is not None:
            raise BadArgumentError(f"--skeleton {skeleton}: {file} is {start.name}, which predicts boxes.")
        return convert_detector(file, layers, start, stem, licence)
    known, own = load_skeleton(skeleton or "union21"), load_skeleton(start.skeleton)
    if known.keypoints[: len(own)] != own.keypoints:
        raise ModelError(f"{start.name} predicts {own.name}, and {known.name} does not begin with these keypoints.")
    grid = SimccGrid(start.size_wh)
    torch.manual_seed(SEED)
    network = build_network(start.network, "", len(known), grid)
    network.get_submodule("backbone").load_state_dict(_as_logits(start, layers))
    description = ModelDescription(
        name=stem.name,
        skeleton=skeleton or known.name,
        size_wh=grid.size_wh,
        head=SimccOutput(split=grid.split, sigma_bins=grid.sigma_bins),
        source=f"converted from {start.origin(file)}, added keypoints untrained",
        licence=licence or start.licence,
    )
    write_pair(stem, network, NetworkSpec(network=start.network, backbone=""), description)
    return description


def _as_logits(start: Start, layers: list[Layer]) -> dict[str, torch.Tensor]:
    state = start.state(layers)
    for name in ("heatmap.weight", "heatmap.bias"):
        state[name] = state[name] * np.float32(start.gain)
    return {name: torch.tensor(value) for name, value in state.items()}
