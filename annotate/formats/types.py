"""Annotation files as values: what every format is read into and written from.

Legend of shape suffixes: N records of the file, in its order; K keypoints of the file's skeleton.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats.json_records import read_lean
from poseunion.models.errors import BadFileError
from poseunion.models.files import read_json, sha256_of
from poseunion.models.skeleton import Skeleton, Visibility

# Why a record is passed through untouched; the wording is what reports print.
CROWD = "iscrowd"
OTHER_CATEGORY = "another category"  # stands before the category's name
ANIMAL = "an animal by its category, and the model predicts people only"  # stands before the category's name
NO_HUMAN_KEYPOINT = "no human keypoint"
MALFORMED = "malformed"
NO_SIZE = "its picture cannot be read, and without its size the shares mean nothing"
ORPHAN = "its label file has no picture"
NOT_LISTED = "its picture is in none of train, val and test"
# Why a record has no place in another format.
NO_PICTURE = "no picture"
NOTHING = "neither box nor points"
# Faults of the file rather than its author's decision: they count against `--max-bad`.
UNUSABLE = frozenset({MALFORMED, NO_SIZE, ORPHAN})


def is_another_class(reason: str | None) -> bool:
    """Whether a record is passed through because its category is not one of people."""
    return reason is not None and reason.startswith((OTHER_CATEGORY, ANIMAL))


class Problem(NamedTuple):
    """Something wrong in a file.

    Attributes:
        place: where, to be searched for: `annotations[3] (id 17)`.
        text: what, and what is expected.
        fatal: the file cannot be used as it is (otherwise: suspicious, worth a look).
        fix: JSON Patch operations that mend it (see `annotate.check.json_patch`); empty where a person has to decide.
    """

    place: str
    text: str
    fatal: bool = True
    fix: tuple[dict[str, Any], ...] = ()


Report = Callable[[Problem], None]


def refuse(path: Path) -> Report:
    """A report that turns the first fatal problem into a BadFileError and ignores the rest."""

    def report(problem: Problem) -> None:
        if problem.fatal:
            raise BadFileError(f"{path}, {problem.place}: {problem.text}.")

    return report


@dataclass(frozen=True)
class Source:
    """An annotation file on disk, parsed and hashed once, at first use.

    Attributes:
        lean: keep long lists as text, see `lean`: slower, in a fifth of the memory, and not to be changed.
        categories: names or ids of the categories that are people; empty: recognised, see `classes`.
    """

    path: Path
    lean: bool = False
    categories: tuple[str, ...] = ()

    @cached_property
    def document(self) -> Any:
        """The parsed content: JSON, or by its ending YAML, XML or MATLAB. Raises BadFileError, MissingExtraError."""
        ending = self.path.suffix.lower()
        if ending == ".mat":
            from poseunion.annotate.formats.matlab import load_mat

            return load_mat(self.path)
        if ending in (".yaml", ".yml"):
            from poseunion.annotate.formats.yolo.yaml_file import load_yaml

            return load_yaml(self.path)
        if ending == ".xml":
            from poseunion.annotate.formats.tools.xml_file import load_xml

            return load_xml(self.path)
        return read_lean(self.path) if self.lean else read_json(self.path)

    @property
    def json(self) -> Any:
        """The document of a json file; None for any other."""
        return self.document if self.path.suffix.lower() == ".json" else None

    @property
    def first(self) -> dict[str, Any]:
        """The first item of a json file that is a list of objects; {} for any other."""
        first = self.json[0] if isinstance(self.json, list) and self.json else None
        return first if isinstance(first, dict) else {}

    @cached_property
    def sha256(self) -> str:
        """Hex SHA-256 of the file."""
        return sha256_of(self.path)


class ImageRef(NamedTuple):
    """A picture as the file names it; width and height (pixels) are None where the file does not state them."""

    id: Any
    file_name: str
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class PersonRecord:
    """One record of an annotation file (a view: the arrays belong to the set).

    Attributes:
        index: position in the file's list of records.
        image: the picture, None for a record that names none of the file.
        xy: (K, 2) float64 image pixels, 0-based; 0 where there is no label.
        visibility: (K,) int8 `Visibility`.
        box_xywh: image pixels, 0-based; NaN where the record has no box.
        skip: why nothing is to be predicted for it, or None.
    """

    index: int
    image: ImageRef | None
    xy: NDArray[np.float64]
    visibility: NDArray[np.int8]
    box_xywh: NDArray[np.float64]
    skip: str | None


class ProtocolBoxes(NamedTuple):
    """Crops of a dataset's evaluation protocol, where they are not the people's boxes (MPII: centre and scale).

    Attributes:
        xywh: (N, 4) image pixels, 0-based; NaN where a record has none.
        padding: factor by which the protocol grows them.
    """

    xywh: NDArray[np.float64]
    padding: float


@dataclass(frozen=True)
class AnnotationSet:
    """An annotation file, read and checked.

    Attributes:
        format: name in the registry of formats.
        skeleton: the file's keypoints, in the file's order.
        source: the file; `source.document` is kept, so that unknown fields can be written back.
        records: the list inside the document that the rows below describe.
        images: the pictures, in the file's order (MPII: of first mention).
        image_index: (N,) index into `images`, -1 for none.
        xy: (N, K, 2) float64 image pixels, 0-based; 0 where there is no label.
        visibility: (N, K) int8 `Visibility`.
        box_xywh: (N, 4) the person's box, image pixels, 0-based: the file's own, or grown from the labelled joints
            (`boxes.boxes_of_joints`) where the file has none; NaN where there is neither.
        protocol: what `poseunion evaluate` crops instead; None: the people's boxes.
        skip: record index -> why nothing is to be predicted for it.
        category: id of the category that holds the persons (COCO style); the first where several do.
        people: id -> name of the categories (COCO) or classes (YOLO) that are completed; empty: the format has none.
        names: id -> name of all of them.
        class_of: (N,) each record's; empty: the format has none.
        unread: why people of the raw file have no record -> how many.
    """

    format: str
    skeleton: Skeleton
    source: Source
    records: list[dict[str, Any]]
    images: list[ImageRef]
    image_index: NDArray[np.int32]
    xy: NDArray[np.float64]
    visibility: NDArray[np.int8]
    box_xywh: NDArray[np.float64]
    protocol: ProtocolBoxes | None = None
    skip: dict[int, str] = field(default_factory=dict)
    category: Any = None
    people: dict[Any, str] = field(default_factory=dict)
    names: dict[Any, str] = field(default_factory=dict)
    class_of: list[Any] = field(default_factory=list)
    unread: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.records)

    def person(self, index: int) -> PersonRecord:
        """The record at `index`."""
        image = int(self.image_index[index])
        return PersonRecord(
            index=index,
            image=self.images[image] if image >= 0 else None,
            xy=self.xy[index],
            visibility=self.visibility[index],
            box_xywh=self.box_xywh[index],
            skip=self.skip.get(index),
        )

    def persons(self) -> Iterator[PersonRecord]:
        """All records in the file's order."""
        return (self.person(index) for index in range(len(self)))


def name_of(record: dict[str, Any], index: int) -> Any:
    """What to call a record in a report: its id, or its position where it has none."""
    return record.get("id", index)


def empty_rows(n: int, k: int) -> tuple[NDArray[np.float64], NDArray[np.int8], NDArray[np.float64], NDArray[np.int32]]:
    """(N, K, 2) zeros, (N, K) undefined, (N, 4) NaN boxes, (N,) no image: what a reader fills in."""
    return (
        np.zeros((n, k, 2)),
        np.full((n, k), Visibility.UNDEFINED, np.int8),
        np.full((n, 4), np.nan),
        np.full(n, -1, np.int32),
    )
