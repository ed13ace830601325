"""The network of each stage of a recipe: fresh, resumed, grown, or started from trained weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from torch import Tensor, nn

from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.errors import BadArgumentError
from poseunion.models.networks.build import build_network
from poseunion.models.networks.equivariant import EquivariantSimcc, MarginalSimcc
from poseunion.models.networks.lite_hrnet_simcc import LiteHrnetPair
from poseunion.models.networks.rtmpose import RTMPose
from poseunion.models.networks.weights import load_described, read_weights
from poseunion.models.networks.widen import can_widen, widened
from poseunion.models.skeleton import load_skeleton
from poseunion.training.config.recipe import Recipe, Stage

# The code's, and what binds whoever uses weights trained on the data sets of this field.
LICENCE = "Apache-2.0 (code); trained on pictures licensed for research only"


def trained_licence(start: str) -> str:
    """Licence of trained weights: the code's, the pictures', and `start`, that of start weights from elsewhere."""
    if not start or start.startswith(LICENCE):
        return start or LICENCE
    return f"{LICENCE}; began as weights under {start}"


def grid_of(stage: Stage) -> SimccGrid:
    """The bins of a stage."""
    return SimccGrid.for_bins(
        stage.size_wh, (round(stage.size_wh[0] * stage.split), round(stage.size_wh[1] * stage.split))
    )


def stage_index(recipe: Recipe, progress: float) -> int:
    """Index of the stage at a share of the budget."""
    return next((i for i, s in enumerate(recipe.stages) if progress < s.until), len(recipe.stages) - 1)


def network_for(stage_number: int, recipe: Recipe, state: dict[str, Tensor] | None) -> nn.Module:
    """A fresh network for a stage; `state` is of the same stage."""
    stage, student = recipe.stages[stage_number], recipe.student
    keypoints = len(load_skeleton(recipe.skeleton))
    pretrained = student.pretrained and state is None and student.network == "equivariant"
    network = build_network(student.network, student.backbone, keypoints, grid_of(stage), pretrained=pretrained)
    if state is not None:
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise BadArgumentError(
                f"The run holds weights of another network than recipe {recipe.name}'s: choose another --out."
            ) from error
    return network


def grown_state(recipe: Recipe, stage_number: int, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of one stage as weights of the next."""
    old, new = recipe.stages[stage_number], recipe.stages[stage_number + 1]
    network = network_for(stage_number, recipe, state)
    if old.size_wh == new.size_wh:
        return state
    if not isinstance(network, (EquivariantSimcc, RTMPose)) or not _is_double(grid_of(new), grid_of(old)):
        raise BadArgumentError(
            f"{recipe.student.network} cannot grow from {old.size_wh} at {old.split:g} bins a pixel to {new.size_wh} "
            f"at {new.split:g}: double the size and halve the split."
        )
    return dict(network.grown().state_dict())


def _is_double(big: SimccGrid, small: SimccGrid) -> bool:
    """Twice the size with the same bins."""
    return big.size_wh == (2 * small.size_wh[0], 2 * small.size_wh[1]) and big.bins_wh == small.bins_wh


@dataclasses.dataclass(frozen=True)
class Origin:
    """Origin of a run's start weights, for its own description."""

    source: str = ""
    licence: str = ""


def origin_of(path: Path) -> Origin:
    """Source and licence of a weights file; errors as `read_weights`."""
    _, _, description = read_weights(path)
    return Origin(description.source, description.licence)


def initial_state(recipe: Recipe, path: Path) -> dict[str, Tensor]:
    """Trained weights as the weights of a recipe's first stage.

    A network whose logits are marginals of heatmaps has no layer over positions: it may start at any size from weights
    with as many bins a cell (the equivariant one also with half as many). A Lite-HRNet may start from a pair, of which
    it is the first; an RTMPose from a smaller one, see `widen`.

    Raises:
        BadFileError: not weights of `poseunion train`. BadArgumentError: of another network, skeleton, size or bins.
    """
    first, student = grid_of(recipe.stages[0]), recipe.student
    network, spec, description = load_described(path)
    is_rtmpose, size = student.network.startswith("rtmpose-"), student.network.removeprefix("rtmpose-")
    own = (student.network,) if is_rtmpose else (student.network, student.backbone)
    if isinstance(network, RTMPose) and can_widen(network.size, size):
        network = widened(network, size)
        spec = spec.model_copy(update={"network": student.network})
    if isinstance(network, LiteHrnetPair) and student.network == "lite-hrnet":
        network = network.first()
        spec = spec.model_copy(update={"network": student.network})
    has = spec.network, spec.backbone
    if has[: len(own)] != own or description.resolved_skeleton.name != recipe.skeleton:
        raise BadArgumentError(
            f"{path} holds {spec.network} {spec.backbone} for {description.resolved_skeleton.name}, recipe "
            f"{recipe.name} trains {' '.join(own)} for {recipe.skeleton}: start from weights of the same network."
        )
    size_wh, bins_wh = description.size_wh, description.grid.bins_wh
    if isinstance(network, EquivariantSimcc) and first.split == 2 * description.grid.split:
        network = network.shrunk()
    fits_any_size = isinstance(network, MarginalSimcc) and first.split == network.grid.split
    if not fits_any_size and (size_wh, bins_wh) != (first.size_wh, first.bins_wh):
        raise BadArgumentError(
            f"{path} reads crops of {size_wh} and gives {bins_wh} bins, recipe "
            f"{recipe.name} starts at {first.size_wh} with {first.bins_wh}: give it stages that start there."
        )
    return dict(network.state_dict())
