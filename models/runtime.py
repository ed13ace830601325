"""Running a described ONNX file: one session, one honest answer to "where does it run?", arrays in and arrays out.

Shapes: N crops, H and W input size, K keypoints, X and Y bins or cells of the output axes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.models.errors import BadArgumentError, BadFileError, MissingExtraError, ModelError
from poseunion.models.files import sha256_of
from poseunion.models.metadata import METADATA_KEY, ModelDescription, parse_description, read_description

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
# What a device's name asks onnxruntime for, best first. What one provider cannot compute falls to the next.
DEVICES = {"cpu": (CPU,), "cuda": (CUDA, CPU), "tensorrt": ("TensorrtExecutionProvider", CUDA, CPU)}
MOST_THREADS = 1024  # more than any machine has cores; a slip of the finger beyond
# Descriptions of well-known models that do not describe themselves, by file stem.
DESCRIPTIONS = Path(__file__).parent / "descriptions"


class OnnxModel:
    """An ONNX pose model with its description.

    Args:
        path: the `.onnx` file.
        description: overrides what the file says of itself; where it says nothing, a `.toml` of the same stem beside it
            counts, then one that comes with the package.
        providers: onnxruntime execution providers, best first; default: the CPU.
        threads: intra-op threads; default: onnxruntime's choice.

    Attributes:
        provider: the execution provider that the session really uses.
        sha256: of the file.

    Raises:
        BadFileError: no such file. ModelError: it is not what it is described as. BadArgumentError: a number of
            threads that nobody has.
    """

    def __init__(
        self,
        path: str | Path,
        description: ModelDescription | None = None,
        *,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
    ) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise BadFileError(
                f"No model file {self.path}: give the path of an .onnx file or the name of a shipped model."
            )
        if threads is not None and not 1 <= threads <= MOST_THREADS:
            raise BadArgumentError(f"{threads} threads cannot be had: give 1 to {MOST_THREADS}.")
        self._again = partial(OnnxModel, self.path.absolute(), description, providers=providers, threads=threads)
        self.session = _open_session(self.path, list(providers or [CPU]), threads)
        self.description = description or _own_description(self.session, self.path)
        self.sha256 = sha256_of(self.path)
        self.provider = str(self.session.get_providers()[0])
        self._check_names()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its path and options: another process opens a session of its own."""
        return self._again, ()

    def _check_names(self) -> None:
        inputs = [i.name for i in self.session.get_inputs()]
        outputs = [o.name for o in self.session.get_outputs()]
        head = self.description.head
        wanted = [head.output] if head.kind == "heatmap" else [head.output_x, head.output_y]
        missing = [n for n in wanted if n not in outputs] + [n for n in [self.description.input] if n not in inputs]
        if missing:
            raise ModelError(
                f"{self.path} has inputs {inputs} and outputs {outputs}, "
                f"but its description names {', '.join(missing)}."
            )

    def normalise(self, crop_NHW3: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, H, W, 3) uint8 RGB -> the network's float32 input in its own layout and colour order."""
        mean = np.asarray(self.description.mean, np.float32) * 255
        std = np.asarray(self.description.std, np.float32) * 255
        x = crop_NHW3 if self.description.colour == "RGB" else crop_NHW3[..., ::-1]
        if self.description.layout == "NCHW":
            x, mean, std = x.transpose(0, 3, 1, 2), mean[:, None, None], std[:, None, None]
        # Bytes are laid out anew while they are small, and planes are worked on in place: five times as fast.
        normalised = x.astype(np.float32, order="C")
        normalised -= mean
        normalised /= std
        return normalised

    def run(self, crop_NHW3: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Crops -> [simcc_x (N,K,X), simcc_y (N,K,Y)] or [heatmap (N,K,Y,X)].

        Raises:
            ModelError: the output has another shape than described, or is not finite.
        """
        head = self.description.head
        names = [head.output] if head.kind == "heatmap" else [head.output_x, head.output_y]
        outputs = self.session.run(names, {self.description.input: self.normalise(crop_NHW3)})
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
                raise ModelError(f"{self.path} returned {output.shape}, but its description promises {shape}.")
            if not np.isfinite(output).all():
                raise ModelError(f"{self.path} returned values that are not finite: the file is damaged or overflows.")
        return [np.asarray(o, np.float32) for o in outputs]


def providers_for(device: str) -> tuple[str, ...]:
    """Execution providers of a device's name; raises BadArgumentError."""
    if device not in DEVICES:
        raise BadArgumentError(f"No device {device!r}: choose {', '.join(DEVICES)}.")
    return DEVICES[device]


def _open_session(path: Path, providers: list[str], threads: int | None) -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingExtraError("onnxruntime", "cpu") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a provider is not built in is said below, in one sentence
            session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime raises its own classes, and ValueError for unknown providers
        first_line = str(error).strip().splitlines()[0]
        raise ModelError(f"onnxruntime cannot load {path}: {first_line}") from error
    if providers[0] != CPU and session.get_providers()[0] != providers[0]:
        # Available providers are compiled in, not present: only the created session knows.
        raise ModelError(
            f"{providers[0]} was asked for, but {path.name} would run on {session.get_providers()[0]}: "
            "install its libraries (pip install 'poseunion[gpu]' in place of onnxruntime), or ask for the CPU."
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
        f"{path} does not say what it is: it has no '{METADATA_KEY}' metadata, there is no {beside.name} beside it, "
        f"and no description of {path.stem} comes with poseunion."
    )
