"""Conversion of mmpose's RTMPose checkpoints to safetensors and self-describing ONNX files.

The architecture follows from the shapes: the size from the stem's channels, the keypoints and bins from the head, the
input from the bins at mmpose's split of 2, checked against the cells that the head expects.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from poseunion.export.mmpose_checkpoint import read_checkpoint
from poseunion.export.onnx.graph_export import export_onnx
from poseunion.models.codec.heads import SimccOutput
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.errors import BadArgumentError, ModelError
from poseunion.models.files import sha256_of, write_bytes
from poseunion.models.networks.cspnext import SIZES, STEM_CHANNELS
from poseunion.models.networks.rtmpose import STRIDE, RTMPose
from poseunion.models.networks.weights import NetworkSpec, save_weights
from poseunion.models.runtime.description import ModelDescription
from poseunion.models.skeleton import load_skeleton

# Tensors that sizes are read from: name and number of axes.
_TELLING = {
    "backbone.stem.0.conv.weight": 4,
    "head.final_layer.weight": 4,
    "head.mlp.1.weight": 2,
    "head.cls_x.weight": 2,
    "head.cls_y.weight": 2,
}
MMPOSE_SPLIT = 2


def convert(
    checkpoint: Path,
    stem: Path,
    skeleton: str,
    *,
    network: str | None = None,
    size_wh: tuple[int, int] | None = None,
    licence: str = "",
) -> ModelDescription:
    """Convert an RTMPose checkpoint: write `<stem>.safetensors` and `<stem>.onnx`, both or neither.

    Args:
        skeleton: name or file of the skeleton whose keypoints, in its order, the network predicts.
        network: the expected network, `rtmpose-m`; only checked.
        size_wh: input size, where it is not bins / 2.
        licence: of the checkpoint, to be noted in the files.

    Raises:
        BadFileError: not a checkpoint, or one that holds more than tensors and logs. ModelError: not an RTMPose of size
            t, s, m or l, or not of these keypoints and this size.
    """
    state = read_checkpoint(checkpoint)
    size, keypoints, grid = network_of(state, checkpoint, size_wh)
    if network is not None and network != f"rtmpose-{size}":
        raise ModelError(f"{checkpoint} is an rtmpose-{size}, not {network}.")
    known = load_skeleton(skeleton)
    if len(known) != keypoints:
        raise ModelError(
            f"{checkpoint} predicts {keypoints} keypoints, but skeleton {known.name} has {len(known)}: name its own."
        )
    module = RTMPose(size, keypoints, grid)
    _load(module, state, checkpoint)
    description = ModelDescription(
        name=stem.name,
        skeleton=skeleton,
        size_wh=grid.size_wh,
        head=SimccOutput(split=grid.split, sigma_bins=grid.sigma_bins),
        source=f"converted from {checkpoint.name}, sha256 {sha256_of(checkpoint)}",
        licence=licence,
    )
    write_pair(stem, module, NetworkSpec(network=f"rtmpose-{size}", backbone=""), description)
    return description


def write_pair(stem: Path, network: torch.nn.Module, spec: NetworkSpec, description: ModelDescription) -> None:
    """Write a network as `<stem>.safetensors` and `<stem>.onnx`, both or neither."""
    with both_files(stem) as (weights, onnx):
        save_weights(weights, network.state_dict(), spec, description)
        export_onnx(weights, onnx)


@contextlib.contextmanager
def both_files(stem: Path) -> Iterator[tuple[Path, Path]]:
    """Temporary paths of weights and ONNX: after the block `<stem>.safetensors` and `<stem>.onnx`, both or neither."""
    with tempfile.TemporaryDirectory() as folder:
        parts = Path(folder) / f"{stem.name}.safetensors", Path(folder) / f"{stem.name}.onnx"
        yield parts
        for part in parts:
            write_bytes(stem.parent / part.name, part.read_bytes())


def network_of(
    state: Mapping[str, Tensor], checkpoint: Path, size_wh: tuple[int, int] | None = None
) -> tuple[str, int, SimccGrid]:
    """Size (t, s, m, l), keypoints and grid of an RTMPose from its tensors' shapes; errors as in `convert`."""
    for name, axes in _TELLING.items():
        if name not in state or state[name].ndim != axes:
            raise ModelError(f"{checkpoint} is not an RTMPose: it has no {name} of {axes} axes.")
    stem, final, cells, x, y = (state[name].shape for name in _TELLING)
    sizes = {int(STEM_CHANNELS * widen // 2): size for size, (_, widen) in SIZES.items()}
    if stem[0] not in sizes:
        raise ModelError(
            f"{checkpoint} is no RTMPose of size {', '.join(SIZES)}: its stem has {stem[0]} channels, "
            f"RTMPose has {', '.join(map(str, sizes))}."
        )
    bins_wh = (x[0], y[0])
    width, height = size_wh or (bins_wh[0] // MMPOSE_SPLIT, bins_wh[1] // MMPOSE_SPLIT)
    if min(width, height) < 1:
        raise BadArgumentError(f"An input of {width}x{height} has no pixels: give --size WIDTHxHEIGHT.")
    if -(-width // STRIDE) * -(-height // STRIDE) != cells[1] or bins_wh[0] * height != bins_wh[1] * width:
        raise ModelError(
            f"{checkpoint} does not fit an input of {width}x{height}: its head has {cells[1]} cells of {STRIDE} px "
            f"and {bins_wh[0]} and {bins_wh[1]} bins; give its own --size WIDTHxHEIGHT."
        )
    return sizes[stem[0]], final[0], SimccGrid.for_bins((width, height), bins_wh)


def _load(module: torch.nn.Module, state: Mapping[str, Tensor], checkpoint: Path) -> None:
    own = module.state_dict()
    for name, what in [
        *((n, "lacks") for n in own if n not in state),
        *((n, "has one too many,") for n in state if n not in own),
    ]:
        raise ModelError(f"{checkpoint} {what} {name}: its other shapes are those of an RTMPose.")
    for name, value in own.items():
        if state[name].shape != value.shape:
            raise ModelError(
                f"{checkpoint} has {name} of {tuple(state[name].shape)}, where an RTMPose like this has "
                f"{tuple(value.shape)}."
            )
    module.load_state_dict(state)
