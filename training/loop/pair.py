"""Two trained Lite-HRNets as one network, whose output is the mean of their densities."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from poseunion.models.errors import BadArgumentError
from poseunion.models.files import refuse_existing
from poseunion.models.networks.weights import read_weights, save_weights

PARTS = ("backbone", "added")


def pair(first: Path, second: Path, out: Path, *, overwrite: bool = False) -> None:
    """Write two students side by side as one: `models.networks.lite_hrnet_simcc.LiteHrnetPair`.

    Their upsampling from cells to bins, which differs little, is the first one's.

    Raises:
        BadArgumentError: other networks, skeletons or sizes. BadFileError: a file cannot be read or written.
    """
    refuse_existing(out, overwrite=overwrite)
    read = [read_weights(path) for path in (first, second)]
    (_, spec, described), (_, its_spec, its) = read
    same = all(getattr(its, name) == getattr(described, name) for name in ("skeleton", "size_wh", "padding"))
    if spec.network != "lite-hrnet" or its_spec != spec or not same or its.grid.bins_wh != described.grid.bins_wh:
        raise BadArgumentError(f"{first} and {second} are not two lite-hrnet students of one skeleton, size and bins.")
    state: dict[str, Tensor] = {}
    for number, (tensors, _, _) in enumerate(read):
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            if part in PARTS:
                state[f"{part}.{number}.{rest}"] = tensor
            elif number == 0:
                state[name] = tensor
    source = f"pair of ({described.source}) and ({its.source})"
    licence = described.licence if its.licence == described.licence else f"{described.licence}; {its.licence}"
    pair_spec = spec.model_copy(update={"network": "lite-hrnet-pair"})
    facts = {"source": source, "licence": licence, "calibration": None}
    save_weights(out, state, pair_spec, described.model_copy(update=facts))
