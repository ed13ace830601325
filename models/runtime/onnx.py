"""ONNX runtime: runs a described ONNX file with onnxruntime, and reports the execution provider actually used."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.models.errors import BadArgumentError, DeviceError, MissingExtraError, ModelError, install_command
from poseunion.models.runtime.base import PoseModel, check_threads, cores, model_file
from poseunion.models.runtime.description import METADATA_KEY, ModelDescription, parse_description, read_description

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
# Execution providers of each device, best first. Operators that one provider lacks run on the next.
DEVICES = {"cpu": (CPU,), "cuda": (CUDA, CPU), "tensorrt": (TENSORRT, CUDA, CPU)}
# On one thread of a CPU, inputs of at least so many px are run one by one: the values between layers of one fit the
# cache. 192x256: .75 of the CPU time of 8 at once; 64x64 and 32x32: 1.7 and 2.0
# (benchmarks/notes/2026-11-27-batch-cpu.md).
ONE_BY_ONE_FROM_PX = 192 * 256
# Descriptions of well-known models whose files have none, by file stem.
DESCRIPTIONS = Path(__file__).parents[1] / "descriptions"


class OnnxModel(PoseModel):
    """ONNX pose model with its description.

    Args:
        path: the `.onnx` file.
        description: overrides the file's own; where the file has none, a `.toml` of the same stem beside it counts,
            then one that comes with the package.
        device: `cpu`, `cuda` or `tensorrt` (onnxruntime's own TensorRT provider).
        threads: of one call on the CPU; default: onnxruntime's choice.
        allow_fallback: where the device is absent, run on the next best, which `provider` names. Off: an error.

    Raises:
        BadFileError: no such file. ModelError: it differs from its description. DeviceError: the device is not there.
        BadArgumentError: no such device, or a number of threads outside 1 to `MOST_THREADS`.
    """

    def __init__(
        self,
        path: str | Path,
        description: ModelDescription | None = None,
        *,
        device: str = "cpu",
        threads: int | None = None,
        allow_fallback: bool = False,
    ) -> None:
        check_threads(threads)
        check_device(device)
        self.path, self.sha256 = model_file(path)
        self._again = partial(
            OnnxModel, self.path.absolute(), description, device=device, allow_fallback=allow_fallback
        )
        self._given_threads, self._lock = threads, threading.Lock()
        self._alone: OnnxModel | None = None
        self.session = open_session(self.path, DEVICES[device], threads, allow_fallback=allow_fallback)
        self.description = description or _own_description(self.session, self.path)
        self.provider = str(self.session.get_providers()[0])
        self.threads = (threads or cores()) if self.provider == CPU else 1
        self._check_names([i.name for i in self.session.get_inputs()], [o.name for o in self.session.get_outputs()])
        # Networks exported in half precision may also take their input so.
        fed = self.session.get_inputs()[0]
        self._dtype = np.float16 if fed.type == "tensor(float16)" else np.float32
        width, height = self.description.size_wh
        on_one_thread = self.provider == CPU and self.threads == 1
        is_fixed = isinstance(fed.shape[0], int)  # the file takes batches of this size alone
        self._one_by_one = on_one_thread and not is_fixed and width * height >= ONE_BY_ONE_FROM_PX

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as path and options: another process opens a session of its own."""
        return partial(self._again, threads=self._given_threads), ()

    def forward(self, input_N: NDArray[np.float32]) -> list[NDArray[np.floating]]:
        """Outputs for a normalised input, see `PoseModel.forward`."""
        fed = input_N.astype(self._dtype, copy=False)
        size = 1 if self._one_by_one else max(len(fed), 1)
        try:
            parts = [
                self.session.run(self.output_names, {self.description.input: fed[start : start + size]})
                for start in range(0, max(len(fed), 1), size)
            ]
            return parts[0] if len(parts) == 1 else [np.concatenate(output) for output in zip(*parts, strict=True)]
        except Exception as error:  # onnxruntime's own classes: a batch that the file does not take, no memory
            raise ModelError(
                f"onnxruntime cannot run {self.path} on an input of {input_N.shape}: {str(error).splitlines()[0]}"
            ) from error

    def alone(self) -> PoseModel:
        """Single-threaded session, opened at the first use."""
        if self.threads == 1:
            return self
        with self._lock:
            if self._alone is None:
                self._alone = self._again(threads=1)
        return self._alone


def check_device(device: str) -> None:
    """Check a device's name; raises BadArgumentError."""
    if device not in DEVICES:
        raise BadArgumentError(f"No device {device!r}: choose {', '.join(DEVICES)}.")


def open_session(
    path: Path,
    providers: Sequence[str],
    threads: int | None = None,
    *,
    allow_fallback: bool = False,
    profile: Path | None = None,
) -> Any:
    """Open an onnxruntime session on the first of `providers` or, with `allow_fallback`, on the next available one.

    With `profile` it writes the time of every node to a file whose name begins so.

    Raises:
        ModelError: the file cannot be loaded. DeviceError: it would run elsewhere. MissingExtraError: no onnxruntime.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingExtraError("onnxruntime", "cpu") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    if threads is not None:
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a provider that is not built in raises a DeviceError below
            session = onnxruntime.InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:  # onnxruntime raises its own classes, and ValueError for unknown providers
        first_line = str(error).strip().splitlines()[0]
        raise ModelError(f"onnxruntime cannot load {path}: {first_line}") from error
    # Available providers are compiled in, not present: only the created session has the ones in use.
    got = session.get_providers()[0]
    if got != providers[0] and not allow_fallback:
        raise DeviceError(
            f"{providers[0]} was requested, but {path.name} would run on {got}: install its libraries "
            f"({install_command('gpu')}, in place of onnxruntime), choose the CPU, or allow a fallback."
        )
    return session


def _own_description(session: Any, path: Path) -> ModelDescription:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text:
        return parse_description(text, str(path))
    beside, shipped = path.with_suffix(".toml"), DESCRIPTIONS / f"{path.stem}.toml"
    for described in (beside, shipped):
        if described.is_file():
            return read_description(described)
    raise ModelError(
        f"{path} has no description: it has no '{METADATA_KEY}' metadata, there is no {beside.name} beside it, "
        f"and no description of {path.stem} comes with poseunion."
    )
