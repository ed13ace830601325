"""Weights files: tensors with their network specification and model description.

A training run writes safetensors; a shipped or exported file is an ONNX that holds the same (`onnx_state`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from poseunion.models.codec.heads import SimccOutput
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.errors import BadFileError, ModelError
from poseunion.models.files import refuse_irregular, write_bytes
from poseunion.models.networks.build import build_network
from poseunion.models.networks.onnx_state import read_packed
from poseunion.models.runtime.description import METADATA_KEY, ModelDescription, parse_description

NETWORK_KEY = "network"


class NetworkSpec(BaseModel):
    """Specification of the network that the tensors belong to; see `build_network`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: str
    backbone: str


def save_weights(path: Path, state: Mapping[str, Tensor], spec: NetworkSpec, description: ModelDescription) -> None:
    """Write weights as safetensors, atomically."""
    write_tensors(path, state, spec, description)


def write_tensors(path: Path, state: Mapping[str, Tensor], spec: BaseModel, description: BaseModel) -> None:
    """Write tensors of any network as safetensors, atomically, with its specification and description."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in state.items()}
    facts = {METADATA_KEY: description.model_dump_json(), NETWORK_KEY: spec.model_dump_json()}
    write_bytes(path, save_tensors(tensors, facts))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata of an .onnx or a safetensors file; raises BadFileError where it is neither."""
    if path.suffix == ".onnx":
        return read_packed(path)
    refuse_irregular(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {k: file.get_tensor(k) for k in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118  not a mapping
    except (OSError, SafetensorError) as error:
        raise BadFileError(f"{path} is not a safetensors file: {error}.") from error


def read_weights(path: Path) -> tuple[dict[str, Tensor], NetworkSpec, ModelDescription]:
    """Read tensors, network specification and description of a weights file.

    Raises:
        BadFileError: neither ONNX nor safetensors. ModelError: it has no specification or description.
    """
    state, facts = read_tensors(path)
    try:
        spec = NetworkSpec.model_validate(json.loads(facts[NETWORK_KEY]))
        description = parse_description(facts[METADATA_KEY], str(path))
    except (KeyError, ValueError, ValidationError) as error:
        raise ModelError(
            f"{path} does not hold the weights of a network to train on from: give a file of `poseunion train`, or the "
            ".onnx that `poseunion export` wrote of it (not reduced further, as -int8 is)."
        ) from error
    return state, spec, description


def load_network(path: Path) -> tuple[nn.Module, ModelDescription]:
    """Load a trained network, in evaluation mode, and its description."""
    network, _, description = load_described(path)
    return network, description


def load_described(path: Path) -> tuple[nn.Module, NetworkSpec, ModelDescription]:
    """Load a trained network, in evaluation mode, its specification and its description."""
    state, spec, description = read_weights(path)
    keypoints = len(description.resolved_skeleton)
    # A heatmap network has no bins: of the grid only the size of the crop counts.
    grid = description.grid if isinstance(description.head, SimccOutput) else SimccGrid(description.size_wh)
    network = build_network(spec.network, spec.backbone, keypoints, grid)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"{path} does not hold the weights of {spec.network}: {str(error).splitlines()[0]}") from error
    return network.eval(), spec, description
