"""Record beside a TensorRT engine: it runs on one version of TensorRT and one kind of GPU only."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from poseunion.models.errors import BadFileError, DeviceError
from poseunion.models.files import first_fault, read_json
from poseunion.models.runtime.description import ModelDescription

ENGINE_SUFFIX = ".engine"


class Gpu(BaseModel):
    """GPU name and compute capability."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    compute_capability: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.name} ({'.'.join(map(str, self.compute_capability))})"


class EngineRecord(BaseModel):
    """Build record of an engine; written as `FILE.engine.json` beside `FILE.engine`.

    Attributes:
        sha256: of the engine.
        source, source_sha256: the ONNX file that it was built from.
        batch: smallest, usual and largest number of crops a call.
        logit_difference: the most by which an output differed from the ONNX file's on the CPU, when it was built.
        equal_bins: share of keypoint coordinates that were in the same bin then.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    description: ModelDescription
    precision: Literal["fp32", "fp16", "int8"]
    sha256: str
    source: str
    source_sha256: str
    batch: tuple[int, int, int]
    workspace_mb: int = Field(gt=0)
    tensorrt: str
    gpu: Gpu
    logit_difference: float | None = None
    equal_bins: float | None = None


def record_path(engine: Path) -> Path:
    """Path of the record beside an engine."""
    return engine.with_name(f"{engine.name}.json")


def read_record(engine: Path) -> EngineRecord:
    """Read the record beside an engine; raises BadFileError."""
    path = record_path(engine)
    if not path.is_file():
        raise BadFileError(f"{engine} has no {path.name} beside it, the record of its GPU: build it again.")
    try:
        return EngineRecord.model_validate(read_json(path))
    except ValidationError as error:
        raise BadFileError(f"{path} does not describe an engine: {first_fault(error, 'file')}.") from error


def refuse_elsewhere(engine: Path, record: EngineRecord, sha256: str, tensorrt: str, gpu: Gpu) -> None:
    """Check that an engine matches its record, TensorRT and GPU.

    Raises:
        BadFileError: it is not the file that was recorded. DeviceError: it is for another TensorRT or GPU.
    """
    if sha256 != record.sha256:
        raise BadFileError(f"{engine} is not the engine that {record_path(engine).name} describes: build it again.")
    if record.tensorrt != tensorrt:
        raise DeviceError(
            f"{engine} was built with TensorRT {record.tensorrt}, here is {tensorrt}: build it again from "
            f"{record.source}."
        )
    if record.gpu != gpu:
        raise DeviceError(f"{engine} was built for {record.gpu}, here is {gpu}: build it again from {record.source}.")
