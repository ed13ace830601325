"""Safe reading of public `.pth` checkpoints, without running code from them.

A checkpoint is a pickle, and a pickle can call whatever it names. `torch.load(weights_only=True)` builds tensors and
plain containers only. mmengine's checkpoints hold a little more beside the weights, and only these names are allowed:

- numpy's arrays, scalars and dtypes: colours and sigmas in `meta.dataset_meta`, curves in `message_hub`;
- `mmengine.logging.history_buffer.HistoryBuffer`, and the `builtins.getattr` by which it names its own methods: both
  become placeholders that keep nothing and call nothing.

A file with any other name is refused.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from poseunion.models.errors import BadFileError
from poseunion.models.files import check_unpacked


class _Nothing:
    """Placeholder for a training log: it takes any state and drops it."""

    def __setstate__(self, state: object) -> None:
        """Drop the state."""


def _nothing(*_: object) -> None:
    """Placeholder for `getattr` in a checkpoint."""


_DTYPES = ("Bool", "UInt8", "Int8", "Int16", "Int32", "Int64", "Float16", "Float32", "Float64")


def _allowed() -> list[Any]:
    internals = [("_reconstruct", np.zeros(0).__reduce__()[0]), ("scalar", np.float64(0).__reduce__()[0])]
    return [
        np.ndarray,
        np.dtype,
        *(getattr(np.dtypes, f"{name}DType") for name in _DTYPES),
        # numpy 1 and 2 call the same two functions by different paths.
        *((function, f"numpy.{core}.multiarray.{name}") for name, function in internals for core in ("core", "_core")),
        (_Nothing, "mmengine.logging.history_buffer.HistoryBuffer"),
        (_nothing, "builtins.getattr"),
    ]


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint: of its `state_dict`, or of the file where it is nothing but that.

    Raises:
        BadFileError: unreadable, not a checkpoint, holding objects other than those above, or values not finite.
    """
    check_unpacked(path)
    try:
        with torch.serialization.safe_globals(_allowed()):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise BadFileError(f"Cannot read {path}: {error.strerror or error}.") from error
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"a pickled {named[1]}" if named else "more than tensors"
        raise BadFileError(
            f"{path} is refused: it holds {what}, and reading that could run its code; "
            "on a machine where that is safe, save its state_dict alone with torch.save and convert that."
        ) from error
    except Exception as error:  # a damaged archive or pickle may raise any exception in torch
        raise BadFileError(f"{path} is not a checkpoint that torch can read, or is damaged.") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise BadFileError(f"{path} holds no network: a state_dict of tensors is expected, as mmpose saves it.")
    for name, value in state.items():
        if not torch.isfinite(value).all():
            raise BadFileError(f"{path} is damaged: {name} holds values that are not finite.")
    return {str(name): value for name, value in state.items()}
