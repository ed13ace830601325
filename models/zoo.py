"""Model zoo: shipped models and detectors, their files, cards and names.

`weights/manifest.json` and `detectors/manifest.json` describe the files, so that listing them needs neither a runtime
nor ONNX; they are made by `python benchmarks/maintenance/shipped_manifests.py` from the files and their cards.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.files import first_fault, read_json, sha256_of
from poseunion.models.hub_files import HUB_PREFIX, model_of_reference

WEIGHTS = Path(__file__).parent / "weights"
MANIFEST = WEIGHTS / "manifest.json"
DETECTORS = Path(__file__).parent / "detectors"
DETECTOR_MANIFEST = DETECTORS / "manifest.json"


class Speed(BaseModel):
    """CPU milliseconds a person, picture and box to keypoints, on one thread of `machine`; `note` has the command."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpu_ms: float
    machine: str
    note: str


class ShippedModel(BaseModel):
    """Shipped pose model: one `.onnx` file of the package.

    Attributes:
        parameters: number of trained parameters.
        precision: `fp32`, `fp16` or `int8`.
        accuracy: measured on a file, in percent: {"coco/test.json": {"AP": 27.8}}; copied from the card.
        speed: as measured with this very file; None: it was not.
        card: the card's file name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    sha256: str
    bytes: int
    skeleton: str
    size_wh: tuple[int, int]
    parameters: int
    precision: str
    licence: str
    accuracy: dict[str, dict[str, float]]
    speed: Speed | None = None
    card: str | None

    @property
    def path(self) -> Path:
        """The file."""
        return WEIGHTS / f"{self.name}.onnx"


class ShippedDetector(BaseModel):
    """Shipped person detector; attributes as those of `ShippedModel`.

    Attributes:
        accuracy: measured on a file: {"coco/test.json": {"recall": 80.1}}, in percent; copied from the card.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    sha256: str
    bytes: int
    size_wh: tuple[int, int]
    parameters: int
    licence: str
    accuracy: dict[str, dict[str, float]]
    card: str

    @property
    def path(self) -> Path:
        """The file."""
        return DETECTORS / f"{self.name}.onnx"


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    models: list[ShippedModel]


class _DetectorManifest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    detectors: list[ShippedDetector]


def shipped_models() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.stem for path in WEIGHTS.glob("*.onnx"))


def shipped_catalogue() -> list[ShippedModel]:
    """Catalogue of the shipped models; raises BadFileError where the list is damaged."""
    try:
        return _Manifest.model_validate(read_json(MANIFEST)).models
    except ValidationError as error:
        raise BadFileError(f"{MANIFEST} is not a list of models: {first_fault(error)}.") from error


def detector_catalogue() -> list[ShippedDetector]:
    """Catalogue of the shipped detectors; raises BadFileError where the list is damaged."""
    try:
        return _DetectorManifest.model_validate(read_json(DETECTOR_MANIFEST)).detectors
    except ValidationError as error:
        raise BadFileError(f"{DETECTOR_MANIFEST} is not a list of detectors: {first_fault(error)}.") from error


class _Measured(BaseModel):
    """One row of the accuracy in an export's manifest."""

    file: str
    measure: str
    exported: float


class _ExportManifest(BaseModel):
    """Part of an export's manifest that is read here; `export/manifest.py` writes it."""

    sha256: str
    accuracy: list[_Measured] | Literal["not measured"]


def accuracy_of(path: Path) -> dict[str, dict[str, float]]:
    """Measured accuracy of a model file, percent: of a shipped one its card's, else its export manifest's.

    Empty where neither is there, or where the manifest is of another file.
    """
    sha256 = sha256_of(path)
    if shipped := next((model for model in shipped_catalogue() if model.sha256 == sha256), None):
        return shipped.accuracy
    beside = path.with_suffix(".manifest.json")
    if not beside.is_file():
        return {}
    try:
        manifest = _ExportManifest.model_validate(read_json(beside))
    except ValidationError as error:
        raise BadFileError(f"{beside} is not an export's manifest: {first_fault(error)}.") from error
    found: dict[str, dict[str, float]] = {}
    if manifest.sha256 == sha256 and manifest.accuracy != "not measured":
        for row in manifest.accuracy:
            found.setdefault(row.file, {})[row.measure] = round(row.exported, 1)
    return found


def check_shipped(models: Sequence[ShippedModel | ShippedDetector]) -> None:
    """Verify the SHA-256 of the shipped files; raises BadFileError for the first that is missing or differs."""
    for model in models:
        if sha256_of(model.path) != model.sha256:
            raise BadFileError(f"{model.path} is not the file that was shipped (SHA-256): install poseunion again.")


def model_path(name_or_path: str | Path) -> Path:
    """Path of a shipped model, of one of the Hub (`hf://owner/name`), or the path itself of an `.onnx` or `.engine`.

    Raises:
        BadArgumentError: none of these. BadFileError, MissingExtraError: as `model_of_reference`.
    """
    if str(name_or_path).startswith(HUB_PREFIX):
        return model_of_reference(str(name_or_path))
    if str(name_or_path).endswith((".onnx", ".engine")):
        return Path(name_or_path)
    path = WEIGHTS / f"{name_or_path}.onnx"
    if not path.is_file():
        shipped = ", ".join(shipped_models()) or "none yet"
        raise BadArgumentError(
            f"No model {str(name_or_path)!r}: give an .onnx file, hf://owner/name or a shipped one ({shipped})."
        )
    return path


def trainable_models() -> list[str]:
    """Names of the shipped models that can be fine-tuned: all but the quantised ones."""
    return [model.name for model in shipped_catalogue() if model.precision == "fp32"]


def weights_path(name_or_path: str | Path) -> Path:
    """Path of a shipped model's weights, or the path itself where it ends in `.safetensors` or `.onnx`.

    Raises:
        BadArgumentError: neither.
    """
    if str(name_or_path).endswith((".safetensors", ".onnx")):
        return Path(name_or_path)
    path = WEIGHTS / f"{name_or_path}.onnx"
    if not path.is_file():
        raise BadArgumentError(
            f"No weights {str(name_or_path)!r}: give a .safetensors file of a training run, an .onnx that `poseunion "
            f"export` wrote, or a shipped model ({', '.join(trainable_models()) or 'none yet'})."
        )
    return path
