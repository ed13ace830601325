"""Building of a TensorRT engine from an ONNX file.

Networks are strongly typed: the engine computes in the file's types, so an fp16 engine comes from an fp16 file and an
int8 engine from a file of signed, symmetric Q/DQ pairs (not from the CPU's). That holds for TensorRT 10 and 11.

Every name of `tensorrt` used here is checked by a test against the vendor's bindings; the code itself has to run on a
machine with an NVIDIA GPU (docker/README.md).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from poseunion.export.onnx.graph import facts_of
from poseunion.export.tensorrt.precheck import check, precision_of
from poseunion.models.errors import BadArgumentError, BadFileError, ModelError
from poseunion.models.files import sha256_of, write_bytes, write_json
from poseunion.models.onnx_file import read_onnx
from poseunion.models.runtime.base import PoseModel
from poseunion.models.runtime.description import METADATA_KEY, ModelDescription, parse_description
from poseunion.models.runtime.engine_record import ENGINE_SUFFIX, EngineRecord, record_path
from poseunion.models.runtime.onnx import OnnxModel
from poseunion.models.runtime.tensorrt import EngineModel, gpu_of, load_libraries

BATCH = (1, 8, 32)  # smallest, usual and largest number of crops a call
WORKSPACE_MB = 1024
# Half precision keeps 11 bits: logits near 1 differ by thousandths. A larger difference is an error of the engine.
MOST_DIFFERENCE = 0.05
LEAST_EQUAL_BINS = 0.9  # on synthetic crops, where many keypoints have no clear peak; the contract checks real ones


def build_engine(
    source: Path,
    out: Path,
    *,
    batch: tuple[int, int, int] = BATCH,
    workspace_mb: int = WORKSPACE_MB,
    timing_cache: Path | None = None,
) -> dict[str, Any]:
    """Build a TensorRT engine and write it to `out`, with the record of its GPU and version beside it.

    Args:
        source: a self-describing ONNX file; its types become the engine's.
        batch: smallest, usual (which it is tuned for) and largest number of crops a call.
        timing_cache: kernels' timings, read where the file exists and written back: the next build is quicker.

    Returns:
        The record, JSON-able.

    Raises:
        BadFileError: not a file to build from. BadArgumentError: impossible batch or name. DeviceError: TensorRT or a
            GPU is missing. ModelError: TensorRT refuses the network, or the engine's output differs. Nothing is
            written then.
    """
    if out.suffix != ENGINE_SUFFIX:
        raise BadArgumentError(f"--out {out} would hold a TensorRT engine: end its name in {ENGINE_SUFFIX}.")
    if not 1 <= batch[0] <= batch[1] <= batch[2]:
        raise BadArgumentError(f"A profile of {batch} crops cannot be: give smallest, usual and largest, from 1.")
    description = _described(source)
    trt, cuda = load_libraries()
    gpu = gpu_of(cuda)
    evidence = check(source, batch)
    against = [f"{f.question}: {f.answer}" for f in evidence.findings if f.passed is False]
    if against:
        raise ModelError(f"TensorRT cannot build {source}: {'; '.join(against)}.")
    engine, cache = _built(trt, source, description, batch, workspace_mb, timing_cache)
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / out.name
        trial.write_bytes(engine)
        record = EngineRecord(
            description=description,
            precision=evidence.precision,  # type: ignore[arg-type]  # pydantic checks it
            sha256=sha256_of(trial),
            source=source.name,
            source_sha256=sha256_of(source),
            batch=batch,
            workspace_mb=workspace_mb,
            tensorrt=trt.__version__,
            gpu=gpu,
        )
        write_json(record_path(trial), record.model_dump(mode="json"))
        difference, equal = compare(EngineModel(trial), OnnxModel(source, threads=1))
    if difference > MOST_DIFFERENCE and equal < LEAST_EQUAL_BINS:
        raise ModelError(
            f"The engine built from {source} is {difference:.2g} logits off its ONNX file and has {equal:.1%} equal "
            "bins: it was not written."
        )
    record = record.model_copy(update={"logit_difference": difference, "equal_bins": equal})
    if timing_cache is not None:
        write_bytes(timing_cache, cache)
    write_bytes(out, engine)
    write_json(record_path(out), record.model_dump(mode="json"), indent=1)
    return record.model_dump(mode="json")


def compare(one: PoseModel, other: PoseModel, crops: int = 16) -> tuple[float, float]:
    """Difference of two networks on seeded noise: largest difference of logits, and share of equal bins."""
    width, height = one.description.size_wh
    grain = 8  # noise that survives the network's strides
    small = np.random.default_rng(0).integers(0, 256, (crops, height // grain, width // grain, 3), np.uint8)
    pixels = small.repeat(grain, 1).repeat(grain, 2)
    pairs = list(zip(one.run(pixels), other.run(pixels), strict=True))
    difference = max(float(np.abs(a - b).max()) for a, b in pairs)
    return difference, float(np.mean([(a.argmax(-1) == b.argmax(-1)).mean() for a, b in pairs]))


def _described(source: Path) -> ModelDescription:
    """Description of the source file; refuses files that cannot become an engine before anything is built."""
    model = read_onnx(source)
    text = facts_of(model).get(METADATA_KEY)
    if text is None:
        raise BadFileError(f"{source} has no description: export it with `poseunion export` first.")
    if precision_of(model) == "int8" and _unsigned(model):
        raise BadFileError(
            f"{source} is quantised for CPUs (unsigned bytes): give the file of --format onnx-int8-symmetric."
        )
    return parse_description(text, str(source))


def _unsigned(model: onnx.ModelProto) -> bool:
    zeros = {n.input[2] for n in model.graph.node if n.op_type == "QuantizeLinear" and len(n.input) > 2}
    return any(t.data_type == onnx.TensorProto.UINT8 for t in model.graph.initializer if t.name in zeros)


def _built(
    trt: Any,
    source: Path,
    description: ModelDescription,
    batch: tuple[int, int, int],
    workspace_mb: int,
    timing_cache: Path | None,
) -> tuple[bytes, bytes]:
    """Serialised engine and timing cache."""
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(source.read_bytes()):
        faults = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise ModelError(f"TensorRT cannot read {source}: {faults}.")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_mb << 20)
    known = timing_cache.read_bytes() if timing_cache is not None and timing_cache.is_file() else b""
    cache = config.create_timing_cache(known)
    config.set_timing_cache(cache, False)  # False: one made elsewhere is refused
    width, height = description.size_wh
    tail = (3, height, width) if description.layout == "NCHW" else (height, width, 3)
    profile = builder.create_optimization_profile()
    profile.set_shape(description.input, *((size, *tail) for size in batch))
    config.add_optimization_profile(profile)
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise ModelError(f"TensorRT could not build {source}: is --workspace of {workspace_mb} MB enough?")
    return bytes(serialized), bytes(config.get_timing_cache().serialize())
