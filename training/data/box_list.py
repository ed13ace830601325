"""Boxes without keypoints, from a JSON list of `{file_name, boxes: [[x, y, w, h], …] or null}`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import BaseModel, FiniteFloat, TypeAdapter, ValidationError

from poseunion.models.errors import BadFileError
from poseunion.models.files import first_fault, read_json
from poseunion.models.skeleton import Skeleton, Visibility
from poseunion.training.data.labels import TrainingPerson


class ListedBoxes(BaseModel):
    """One picture of a file of boxes; other fields are not looked at."""

    file_name: str
    boxes: list[tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]] | None = None


def read_listed_boxes(path: Path) -> list[ListedBoxes]:
    """The annotations of a data set of kind boxes.

    Raises:
        BadFileError: the file is something else.
    """
    try:
        return TypeAdapter(list[ListedBoxes]).validate_python(read_json(path))
    except ValidationError as error:
        raise BadFileError(
            f"{path}, {first_fault(error, 'file')}; kind boxes is a list of objects with file_name and "
            "boxes [[x, y, width, height], …]."
        ) from error


def people_in_boxes(path: Path, images: Path, target: Skeleton) -> list[TrainingPerson]:
    """The people of a data set of kind boxes, without a keypoint."""
    nothing = np.zeros((len(target), 2)), np.full(len(target), Visibility.UNDEFINED, np.int8)
    people: list[TrainingPerson] = []
    for picture in read_listed_boxes(path):
        for box in picture.boxes or ():
            people.append(TrainingPerson(images / picture.file_name, len(people), box, *nothing))
    return people
