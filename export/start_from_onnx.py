"""Conversion of a public heatmap network's ONNX file to a union SimCC student with a branch for added keypoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from poseunion.export.convert import write_pair
from poseunion.export.starts import Layer, Start, find_start, read_layers
from poseunion.models.codec.heads import SimccOutput
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.errors import ModelError
from poseunion.models.files import sha256_of
from poseunion.models.networks.build import build_network
from poseunion.models.networks.weights import NetworkSpec
from poseunion.models.runtime.description import ModelDescription
from poseunion.models.skeleton import load_skeleton

# Heatmaps peak at 1, logits of a distribution over 3,072 cells must be larger. 12 to 26 gave the same COCO AP
# (66.5 to 66.7, coco/train people); training keeps 20.
HEATMAP_GAIN = 20.0
# The branch starts from random weights: the same ones, so that a conversion can be repeated to the byte.
SEED = 0


def convert_start(file: Path, stem: Path, skeleton: str = "union21", *, licence: str = "") -> ModelDescription:
    """Convert a public network: write `<stem>.safetensors` and `<stem>.onnx`; the added keypoints are untrained.

    Both files are written or neither.

    Args:
        skeleton: begins with the public network's keypoints, in its order.
        licence: for the files, in place of the publishers' statement.

    Raises:
        BadFileError: not an ONNX file. ModelError: none of `STARTS`, or another skeleton.
    """
    layers = read_layers(file)
    start = find_start(layers, str(file))
    known, own = load_skeleton(skeleton), load_skeleton(start.skeleton)
    if known.keypoints[: len(own)] != own.keypoints:
        raise ModelError(f"{start.name} predicts {own.name}, and {known.name} does not begin with these keypoints.")
    grid = SimccGrid(start.size_wh)
    torch.manual_seed(SEED)
    network = build_network(start.network, "", len(known), grid)
    network.get_submodule("backbone").load_state_dict(_as_logits(start, layers))
    sha256 = sha256_of(file)
    published = start.published.get(sha256, "a file of the same graph")
    description = ModelDescription(
        name=stem.name,
        skeleton=skeleton,
        size_wh=grid.size_wh,
        head=SimccOutput(split=grid.split, sigma_bins=grid.sigma_bins),
        source=f"converted from {start.name} ({published}; {file.name}, sha256 {sha256}), added keypoints untrained",
        licence=licence or start.licence,
    )
    write_pair(stem, network, NetworkSpec(network=start.network, backbone=""), description)
    return description


def _as_logits(start: Start, layers: list[Layer]) -> dict[str, torch.Tensor]:
    state = start.state(layers)
    for name in ("heatmap.weight", "heatmap.bias"):
        state[name] = state[name] * np.float32(HEATMAP_GAIN)
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in state.items()}
