"""The `poseunion` block of an extended file and the added fields of its records: checked once, when it is opened."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from poseunion.annotate.formats.added_fields import field_problems, has_added_fields
from poseunion.annotate.formats.review_entries import review_of
from poseunion.annotate.formats.types import AnnotationSet
from poseunion.models.errors import BadFileError
from poseunion.models.files import first_fault

_OPEN = ConfigDict(extra="allow", allow_inf_nan=False)


class _Model(BaseModel):
    model_config = _OPEN

    name: str = ""
    sha256: str = ""
    licence: str | None = None


class _Kept(BaseModel):
    model_config = _OPEN

    threshold: float | None = None
    bound: float | None = None
    share: float


class _Guarantee(BaseModel):
    model_config = _OPEN

    risk: float
    people: str = ""
    keypoints: dict[str, _Kept] = {}


class _Bound(BaseModel):
    model_config = _OPEN

    points: int
    inspected: int
    errors: int
    at_most: float
    at_least: float


class _Certificate(BaseModel):
    model_config = _OPEN

    statement: str
    rest: str
    confidence: float
    seed: int
    population: str
    pooled: _Bound
    keypoints: dict[str, _Bound]


class _Options(BaseModel):
    model_config = _OPEN

    categories: list[str] | None = None


class _Block(BaseModel):
    """Schema of the block as far as something depends on it; files of other versions may hold more."""

    model_config = _OPEN

    version: str = ""
    original_sha256: str | None = None
    model: _Model = Field(default_factory=_Model)
    thresholds: dict[str, float | None] = {}
    guarantee: _Guarantee | None = None
    certificate: _Certificate | None = None
    options: _Options = Field(default_factory=_Options)


def check_extended(annotations: AnnotationSet) -> None:
    """Raise BadFileError where an extended file's block, or one of its records' added fields, is damaged."""
    path = annotations.source.path
    try:
        _Block.model_validate(annotations.source.document["poseunion"])
    except ValidationError as error:
        raise BadFileError(f"{path}, poseunion: {first_fault(error, 'block')}; extend the original again.") from error
    for row, record in enumerate(annotations.records):
        if not isinstance(record, dict) or not has_added_fields(record):
            continue
        problem = next(field_problems(record, annotations.skeleton), None)
        if problem is None and record.get("review"):
            try:
                review_of(record)
            except ValueError as error:
                problem = str(error)
        if problem is not None:
            raise BadFileError(f"{path}, annotations[{row}]: {problem}.")
