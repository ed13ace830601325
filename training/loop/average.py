"""Mean of several runs' weights: better than each where they share a start (Wortsman et al., Model soups, 2022).

Runs from the same weights, with another augmentation for example, end in one minimum of the loss; its middle
generalises better than its sides. Networks with different start weights have no such mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from poseunion.models.errors import BadArgumentError
from poseunion.models.files import refuse_existing
from poseunion.models.networks.weights import read_weights, save_weights

_SAME = ("skeleton", "keypoints", "size_wh", "padding", "head")


def average(
    paths: Sequence[Path],
    out: Path,
    shares: Sequence[float] = (),
    *,
    parts: Sequence[str] = (),
    overwrite: bool = False,
) -> None:
    """Write the mean of weights files, batch statistics included.

    Args:
        paths: of one network, skeleton, size and bins.
        shares: how much each counts, above 0; they are divided by their sum. None given: all the same.
        parts: names of the parts of the network to average; the others are the first file's. None given: all.

    Raises:
        BadArgumentError: fewer than two files, other shares than files, or another network. BadFileError: a file cannot
            be read or written.
    """
    shares = list(shares) or [1.0] * len(paths)
    if len(paths) < 2:
        raise BadArgumentError("A mean needs two weights files or more.")
    if len(shares) != len(paths):
        raise BadArgumentError(f"{len(shares)} --share for {len(paths)} files: give one a file, or none.")
    if not all(math.isfinite(share) and share > 0 for share in shares):
        raise BadArgumentError("A --share is a number above 0.")
    refuse_existing(out, overwrite=overwrite)
    mean: dict[str, Tensor] = {}
    read = [read_weights(path) for path in paths]
    first, spec, description = read[0]
    for part in parts:
        if not any(_is_in(name, [part]) for name in first):
            known = ", ".join(dict.fromkeys(name.partition(".")[0] for name in first))
            raise BadArgumentError(f"--part {part!r} is no part of the network: it has {known} and theirs.")

    def shapes(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
        return {name: tuple(tensor.shape) for name, tensor in state.items() if _is_in(name, parts)}

    # The mean of another part does not depend on the head.
    same = [name for name in _SAME if not parts or name != "head"]
    sources = []
    for path, share, (state, its_spec, its) in zip(paths, shares, read, strict=True):
        differ = [name for name in same if getattr(its, name) != getattr(description, name)]
        if its_spec != spec or differ or shapes(state) != shapes(first):
            raise BadArgumentError(
                f"{path} holds {its_spec.network} {its_spec.backbone} at {its.size_wh} for {its.skeleton}, {paths[0]} "
                f"{spec.network} {spec.backbone} at {description.size_wh} for {description.skeleton}"
                + (f" (their {', '.join(differ)} differ)" if differ else "")
                + ": average the same."
            )
        for name, tensor in state.items():
            if not (tensor.is_floating_point() and _is_in(name, parts)):
                mean.setdefault(name, tensor)  # a count of batches, or of a part that is not averaged
                continue
            summand = tensor.float() * (share / sum(shares))
            mean[name] = mean[name] + summand if name in mean else summand
        sources.append(f"{share / sum(shares):.2g} of ({its.source})")
    of_what = f" of {', '.join(parts)}" if parts else ""
    source = f"mean{of_what}: " + " and ".join(sources)
    save_weights(out, mean, spec, description.model_copy(update={"source": source, "calibration": None}))


def _is_in(name: str, parts: Sequence[str]) -> bool:
    """Whether a tensor belongs to one of the parts of a network; none given: to any."""
    return not parts or any(f"{name}.".startswith(f"{part}.") for part in parts)
