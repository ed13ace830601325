"""Manifest beside every exported file: checksums, command, versions, agreement and accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from poseunion.export.contract import Accuracy, Agreement
from poseunion.models.files import write_json

NOT_MEASURED: Literal["not measured"] = "not measured"


class Manifest(BaseModel):
    """Manifest of one exported file.

    Attributes:
        sha256: of the file; `weights_sha256`: of the trained weights.
        device: of the figures: the runtime's execution provider and the processor.
        agreement: with the trained network, crop by crop.
        accuracy: on labelled people, or that it was not measured.
        max_drop: allowed loss of accuracy, in points.
        details: of this format only: layers left float, the largest value, an engine's GPU.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    format: str
    sha256: str
    bytes: int
    weights_sha256: str
    command: str
    versions: dict[str, str]
    device: str
    agreement: list[Agreement]
    accuracy: list[Accuracy] | Literal["not measured"]
    max_drop: float
    details: dict[str, Any]

    def summary(self) -> str:
        """Summary as one line for the terminal."""
        parts = [f"{self.format}, {self.bytes / 1e6:.1f} MB"]
        parts += [f"{100 * a.equal_bins:.2f} % equal bins on {a.crops}" for a in self.agreement if a.crops != "noise"]
        if self.accuracy == NOT_MEASURED:
            return ", ".join([*parts, f"accuracy {NOT_MEASURED}"])
        parts += [f"{a.measure} {a.exported:.2f} on {a.file} ({a.exported - a.trained:+.2f})" for a in self.accuracy]
        return ", ".join(parts)


def manifest_path(exported: Path) -> Path:
    """Path of a file's manifest: `unified-int8.onnx` -> `unified-int8.manifest.json`."""
    return exported.with_suffix(".manifest.json")


def write_manifest(exported: Path, manifest: Manifest) -> None:
    """Write a manifest beside its file, atomically."""
    write_json(manifest_path(exported), manifest.model_dump(mode="json"), indent=1)
