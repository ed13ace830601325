"""Data file of a training (YAML): datasets and teachers, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from poseunion.annotate.formats.yolo.yaml_file import load_yaml
from poseunion.models.errors import BadFileError
from poseunion.models.files import first_fault
from poseunion.models.zoo import model_path, shipped_models
from poseunion.training.data.teacher_entries import TeacherEntry


class DatasetEntry(BaseModel):
    """One dataset of a data file.

    Attributes:
        skeleton: of a file that does not name its keypoints.
        weight: how often a person is drawn, against 1.
        definitions: skeleton whose definitions humans followed, where it is not the file's: a file that was extended.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    annotations: Path
    images: Path
    kind: Literal["keypoints", "boxes"] = "keypoints"
    skeleton: str | None = None
    weight: float = Field(default=1.0, ge=0)
    definitions: str | None = None


class PackedEntry(BaseModel):
    """A folder that `poseunion pack` wrote: data sets with their teachers' peaks, named in a data file.

    Attributes:
        weight: how often a person is drawn, times that of each data set in it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    packed: Path
    weight: float = Field(default=1.0, ge=0)


class DataFile(BaseModel):
    """Datasets and teachers of a training. Relative paths are relative to the file.

    In the file, `packed` are entries of its `datasets`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    datasets: list[DatasetEntry] = []
    packed: list[PackedEntry] = []
    teachers: list[TeacherEntry] = []

    @model_validator(mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        entries = value.get("datasets") if isinstance(value, dict) else None
        if not isinstance(entries, list):
            return value
        packed = [one for one in entries if isinstance(one, dict) and "packed" in one]
        rest = [one for one in entries if one not in packed]
        return value | {"datasets": rest} | ({"packed": packed} if packed else {})

    @model_validator(mode="after")
    def _not_empty(self) -> DataFile:
        if not self.datasets and not self.packed:
            raise ValueError("datasets is empty: name at least one")
        return self


def read_data_file(path: Path) -> DataFile:
    """Read and check a data file; every path in the result is absolute and exists.

    Raises:
        BadFileError: unreadable, an unknown key, or a path that is not there.
    """
    try:
        data = DataFile.model_validate(load_yaml(path))
    except ValidationError as error:
        raise BadFileError(f"{path}: {first_fault(error, 'file')}.") from error

    def found(relative: Path | None) -> Any:
        if relative is None:
            return None
        full = (path.parent / relative.expanduser()).resolve()
        if not full.exists():
            raise BadFileError(f"{path} names {full}, which does not exist.")
        return full

    names = [d.name for d in data.datasets]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise BadFileError(f"{path} names {twice[0]} twice: give each dataset its own name.")
    if not any([d.weight for d in data.datasets] + [d.weight for d in data.packed]):
        raise BadFileError(f"{path} gives every dataset the weight 0: no people would be drawn.")

    return DataFile(
        datasets=[
            d.model_copy(update={"annotations": found(d.annotations), "images": found(d.images)}) for d in data.datasets
        ],
        packed=[d.model_copy(update={"packed": found(d.packed)}) for d in data.packed],
        teachers=[
            t.model_copy(
                update={
                    "model": found(_shipped(t.model)),
                    "description": found(t.description),
                    "members": [
                        m.model_copy(update={"model": found(_shipped(m.model)), "description": found(m.description)})
                        for m in t.members
                    ],
                }
            )
            for t in data.teachers
        ],
    )


def _shipped(model: Path | None) -> Path | None:
    """The file of a shipped model where that is what is named."""
    if model is None:
        return None
    return model_path(str(model)) if str(model) in shipped_models() else model
