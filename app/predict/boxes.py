"""`--boxes FILE`: given person boxes, by the names of their pictures."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, FiniteFloat, TypeAdapter, ValidationError

from poseunion.models.errors import BadFileError
from poseunion.models.files import first_fault, read_json

Box = tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]
Boxes = dict[str, NDArray[np.float64]]
SHAPES = "a list of objects with file_name and boxes [[x, y, width, height], …], or COCO style with bbox"


class _Listed(BaseModel):
    file_name: str
    boxes: list[Box]


class _Image(BaseModel):
    id: int | str
    file_name: str


class _Person(BaseModel):
    image_id: int | str
    category_id: int | str | None = None
    bbox: Box | None = None


class _Category(BaseModel):
    id: int | str
    name: str = ""


class _Coco(BaseModel):
    images: list[_Image]
    annotations: list[_Person]
    categories: list[_Category] = []


def read_boxes(path: Path) -> Boxes:
    """Picture name -> (N, 4) boxes x, y, width, height in pixels.

    Of a COCO-style file with several categories only people count; a picture of the file without people has no boxes.

    Raises:
        BadFileError: not JSON, or neither of the `SHAPES`.
    """
    document = read_json(path)
    try:
        found = _of_coco(_Coco.model_validate(document)) if isinstance(document, dict) else _of_list(document)
    except ValidationError as error:
        raise BadFileError(f"{path} holds no boxes, {first_fault(error, 'file')}; give {SHAPES}.") from error
    return {name: np.array(boxes, np.float64).reshape(-1, 4) for name, boxes in found.items()}


def _of_list(document: Any) -> dict[str, list[Box]]:
    found: dict[str, list[Box]] = defaultdict(list)
    for listed in TypeAdapter(list[_Listed]).validate_python(document):
        found[listed.file_name] += listed.boxes
    return found


def _of_coco(document: _Coco) -> dict[str, list[Box]]:
    people = {c.id for c in document.categories if c.name == "person"} or {c.id for c in document.categories}
    name_of = {image.id: image.file_name for image in document.images}
    found: dict[str, list[Box]] = {name: [] for name in name_of.values()}
    for person in document.annotations:
        is_person = person.category_id is None or not people or person.category_id in people
        if is_person and person.bbox is not None and person.image_id in name_of:
            found[name_of[person.image_id]].append(person.bbox)
    return found
