"""TensorRT runtime: runs an engine that `poseunion export --format tensorrt` built.

Every name of `tensorrt` and `cuda` used here is checked by a test against the vendor's bindings; the code itself has to
run on a machine with an NVIDIA GPU.
"""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.models.errors import DeviceError, ModelError
from poseunion.models.runtime.base import PoseModel, model_file
from poseunion.models.runtime.engine_record import Gpu, read_record, refuse_elsewhere


class EngineModel(PoseModel):
    """TensorRT pose model: an engine with the record beside it.

    Raises:
        BadFileError: no such file, or no record beside it that fits. DeviceError: TensorRT or a GPU is missing, or the
            engine was built for another. ModelError: TensorRT cannot load it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path, self.sha256 = model_file(path)
        self.record = read_record(self.path)
        self.description, self.provider, self.threads = self.record.description, "TensorRT", 1
        trt, cuda = load_libraries()
        refuse_elsewhere(self.path, self.record, self.sha256, trt.__version__, gpu_of(cuda))
        # The runtime must outlive its engine, and the engine its context.
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        self._engine = self._runtime.deserialize_cuda_engine(self.path.read_bytes())
        if self._engine is None:
            raise ModelError(f"TensorRT cannot load {self.path}: build it again from {self.record.source}.")
        self._context = self._engine.create_execution_context()
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        inputs = [n for n in names if self._engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
        self._check_names(inputs, [n for n in names if n not in inputs])
        self._cuda, self._lock = cuda, threading.Lock()
        self._dtypes = {n: np.dtype(trt.nptype(self._engine.get_tensor_dtype(n))) for n in names}
        self._stream = checked(cuda.cudaStreamCreate())
        self._buffers: dict[str, int] = {}
        for name in names:
            shape = (self.record.batch[2], *tuple(self._engine.get_tensor_shape(name))[1:])
            self._buffers[name] = int(checked(cuda.cudaMalloc(int(np.prod(shape)) * self._dtypes[name].itemsize)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as path: another process loads the engine for itself."""
        return partial(EngineModel, self.path.absolute()), ()

    def forward(self, input_N: NDArray[np.float32]) -> list[NDArray[np.floating]]:
        """Outputs for a normalised input; more crops than the engine takes at once are split into several calls."""
        most = self.record.batch[2]
        with self._lock:  # a context serves one caller at a time
            parts = [self._call(input_N[i : i + most]) for i in range(0, len(input_N), most)]
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def _call(self, input_N: NDArray[np.float32]) -> list[NDArray[np.floating]]:
        cuda, kind, name = self._cuda, self._cuda.cudaMemcpyKind, self.description.input
        fed = np.ascontiguousarray(input_N, self._dtypes[name])
        self._context.set_input_shape(name, fed.shape)
        copy = partial(cuda.cudaMemcpyAsync, stream=self._stream)
        checked(copy(self._buffers[name], fed.ctypes.data, fed.nbytes, kind.cudaMemcpyHostToDevice))
        for tensor, address in self._buffers.items():
            self._context.set_tensor_address(tensor, address)
        if not self._context.execute_async_v3(int(self._stream)):
            raise ModelError(f"TensorRT could not run {self.path} on {len(fed)} crops.")
        outputs = []
        for tensor in self.output_names:
            got = np.empty(tuple(self._context.get_tensor_shape(tensor)), self._dtypes[tensor])
            checked(copy(got.ctypes.data, self._buffers[tensor], got.nbytes, kind.cudaMemcpyDeviceToHost))
            outputs.append(got)
        checked(cuda.cudaStreamSynchronize(self._stream))
        return outputs


def load_libraries() -> tuple[Any, Any]:
    """Import the modules `tensorrt` and `cuda.bindings.runtime`.

    Raises:
        DeviceError: one of them, or a library that it loads, is missing.
    """
    try:
        import tensorrt
        from cuda.bindings import runtime
    except (ImportError, OSError) as error:  # OSError: a library of theirs is not there
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise DeviceError(
            f"TensorRT cannot be used here ({reason}): it needs an NVIDIA GPU, and tensorrt and cuda-bindings from the "
            "vendor's index (docs/deploy.md)."
        ) from error
    return tensorrt, runtime


def gpu_of(cuda: Any) -> Gpu:
    """First GPU's name and compute capability; raises DeviceError where there is none."""
    status, count = cuda.cudaGetDeviceCount()
    if status != cuda.cudaError_t.cudaSuccess or not count:
        raise DeviceError(f"TensorRT needs an NVIDIA GPU with its driver, and there is none here ({status.name}).")
    properties = checked(cuda.cudaGetDeviceProperties(0))
    return Gpu(name=properties.name.decode(), compute_capability=(properties.major, properties.minor))


def checked(result: Any) -> Any:
    """Return value of a CUDA runtime call; raises DeviceError where it failed."""
    status, *values = result
    if int(status) != 0:
        raise DeviceError(f"CUDA failed ({status.name}): is the GPU's memory full?")
    return values[0] if values else None
