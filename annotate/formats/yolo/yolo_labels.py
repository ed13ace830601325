"""YOLO-pose as Ultralytics reads it: a `data.yaml`, and beside every picture's folder a `labels` folder of txt files.

A line is `class cx cy w h` and for each keypoint `x y` or `x y v` (`kpt_shape: [K, 2 or 3]`), all but class and v as
shares of the width and height of the picture, upright by its EXIF. Names of keypoints stand in `kpt_names` (newer
files) or come from the skeleton given; without either, 17 keypoints with COCO's `flip_idx` are COCO's.

Pictures are found as Ultralytics finds them: `train`, `val`, `test` are folders, txt lists or lists of those, below
`path`, which is relative to the yaml; a `path` that does not exist is taken for the yaml's own folder. Picture names
are relative to that folder: it is the one to give as the folder of pictures. Sizes are read from the pictures' headers.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats.coco.categories import is_animal, is_chosen, reason_of, unknown_choice
from poseunion.annotate.formats.skeleton_match import skeleton_of_names
from poseunion.annotate.formats.types import (
    MALFORMED,
    NO_HUMAN_KEYPOINT,
    NO_SIZE,
    NOT_LISTED,
    ORPHAN,
    AnnotationSet,
    ImageRef,
    Problem,
    Report,
    Source,
    empty_rows,
    refuse,
)
from poseunion.annotate.formats.visibility import COCO, placed
from poseunion.models.errors import BadFileError, ItemError, SkeletonError
from poseunion.models.files import sha256_of
from poseunion.models.images import image_size
from poseunion.models.picture_paths import picture_path
from poseunion.models.progress import long_range
from poseunion.models.skeleton import Skeleton, Visibility, load_skeleton

NAME = "yolo-pose"
SPLITS = ("train", "val", "test")
STEP = 256  # pictures between two updates of the progress bar
PICTURES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class LabelledSource(Source):
    """A data.yaml with its label files: all of them are the input.

    Attributes:
        labels: (file, its lines); a file that is not there has none.
    """

    labels: tuple[Path, ...] = ()

    @cached_property
    def sha256(self) -> str:
        """Hex SHA-256 over the yaml and all label files, in their order."""
        total = hashlib.sha256(sha256_of(self.path).encode())
        for path in self.labels:
            total.update((hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "none").encode())
        return total.hexdigest()


def detect(source: Source) -> bool:
    """Whether this is a YAML file with a `kpt_shape`."""
    if source.path.suffix.lower() not in (".yaml", ".yml"):
        return False
    return isinstance(source.document, dict) and "kpt_shape" in source.document


def read(source: Source, skeleton: Skeleton | None = None, report: Report | None = None) -> AnnotationSet:
    """Read a data.yaml with the label files of all its splits; arguments and errors as in `coco_json.read`."""
    report = report or refuse(source.path)
    document = source.document
    if not isinstance(document, dict):
        raise BadFileError(
            f"{source.path} is not a data.yaml: kpt_shape and the pictures of train and val are expected."
        )
    k, numbers = _shape(document, source.path)
    found = _skeleton(document, k, skeleton, source.path)
    names = class_names(document, source.path)
    if fault := unknown_choice(source.categories, names):
        raise BadFileError(f"{source.path}, names: {fault}.")
    wanted = source.categories
    people = {
        number: name
        for number, name in names.items()
        if (is_chosen(wanted, number, name) if wanted else not is_animal(name))
    }
    root = root_of(source.path, document)
    pictures = list(
        dict.fromkeys(p for split in SPLITS for p in _pictures(root, document.get(split), source.path, report))
    )
    labels = [label_path(picture) for picture in pictures]
    images: list[ImageRef] = []
    records: list[dict[str, Any]] = []
    of_picture: list[int] = []
    for start in long_range(0, len(pictures), STEP, "label files read"):
        for index in range(start, min(start + STEP, len(pictures))):
            text = _lines(labels[index], absent=True)
            name, place = _below(pictures[index], root), _below(labels[index], root)
            images.append(_image(pictures[index], name, index, needed=bool(text), report=report))
            for number, line in enumerate(text, 1):
                if tokens := line.split():
                    of_picture.append(index)
                    records.append({"image": name, "label_file": place, "line": number, "tokens": tokens})

    rows = empty_rows(len(records), k)
    rows[3][:] = of_picture
    faults = _read_lines([record["tokens"] for record in records], numbers, [images[i] for i in of_picture], rows)
    skip: dict[int, str] = {}
    class_of = [_class_of(record["tokens"]) for record in records]
    labelled = np.asarray((rows[1] > 0).any(1)).tolist()
    for row, (record, of, fault) in enumerate(zip(records, class_of, faults, strict=True)):
        place = f"{record['label_file']}, line {record['line']}"
        if fault not in (None, NO_SIZE):
            report(Problem(place, fault or "", True))
            skip[row] = MALFORMED
        elif of not in people:
            name_of_class = None if of is None else names.get(of)
            skip[row] = reason_of(of, name_of_class, animal=name_of_class is not None and is_animal(name_of_class))
            if of not in names:
                report(Problem(place, f"class {of} is not among the names of {source.path.name}", False))
        elif fault is not None:
            skip[row] = fault
        elif not labelled[row]:
            skip[row] = NO_HUMAN_KEYPOINT
    unread: dict[str, int] = {}
    for label, reason in _other_labels(pictures, labels):
        count = sum(bool(line.split()) for line in _lines(label))
        unread[reason] = unread.get(reason, 0) + count
        if count:
            text_of = "has no picture" if reason == ORPHAN else "has a picture that none of train, val and test names"
            people_of = "person is" if count == 1 else "people are"
            report(Problem(_below(label, root), f"{text_of} ({count} {people_of} not read)", False))
    whole = LabelledSource(source.path, categories=source.categories, labels=tuple(labels))
    whole.__dict__["document"] = document  # parsed once
    unread = {reason: count for reason, count in unread.items() if count}
    xy, states, box, image, first = *rows, next(iter(people), 0)
    return AnnotationSet(
        NAME, found, whole, records, images, image, xy, states, box, None, skip, first, people, names, class_of, unread
    )


def class_names(document: dict[str, Any], path: Path) -> dict[int, str]:
    """Class number -> name; a file without names has the one class `person`."""
    names = document.get("names")
    if not isinstance(names, (dict, list, type(None))):
        raise BadFileError(
            f"{path}: names {names!r} is neither a list of class names nor a mapping of numbers to names."
        )
    pairs = list(names.items()) if isinstance(names, dict) else list(enumerate(names or ["person"]))
    return {int(number): str(name) for number, name in pairs if str(number).lstrip("-").isdecimal()}


def _other_labels(pictures: list[Path], labels: list[Path]) -> Iterator[tuple[Path, str]]:
    """Label files beside those of `pictures` that belong to none of them, and why they are not read."""
    used: dict[Path, set[str]] = {}
    pictures_of: dict[Path, Path] = {}
    for picture, label in zip(pictures, labels, strict=True):
        folder = label.parent
        used.setdefault(folder, set()).add(label.name)
        pictures_of.setdefault(folder, picture.parent)
    for folder in sorted(used.keys() - set(pictures_of.values())):
        there = {path.name for path in folder.iterdir() if path.suffix == ".txt"} if folder.is_dir() else set()
        beside = pictures_of[folder]
        if others := there - used[folder] - {"classes.txt"}:
            stems = {p.stem for p in beside.iterdir() if p.suffix.lower() in PICTURES} if beside.is_dir() else set()
            yield from ((folder / n, NOT_LISTED if Path(n).stem in stems else ORPHAN) for n in sorted(others))


def _class_of(tokens: list[str]) -> int | None:
    try:
        return int(float(tokens[0]))
    except (ValueError, OverflowError):
        return None


def _shape(document: dict[str, Any], path: Path) -> tuple[int, int]:
    shape = document.get("kpt_shape")
    if not isinstance(shape, list) or len(shape) != 2 or shape[1] not in (2, 3) or not isinstance(shape[0], int):
        raise BadFileError(f"{path}: kpt_shape {shape!r} is not [number of keypoints, 2 or 3].")
    return shape[0], shape[1]


def _skeleton(document: dict[str, Any], k: int, given: Skeleton | None, path: Path) -> Skeleton:
    names = document.get("kpt_names")
    if isinstance(names, dict):  # one list for each class
        names = next(iter(names.values()), None)
    try:
        if isinstance(names, list):
            found = skeleton_of_names([str(n) for n in names], given)
        elif given is not None:
            found = given
        elif k == 17 and document.get("flip_idx") in (None, load_skeleton("coco17").flip_indices.tolist()):
            found = load_skeleton("coco17")
        else:
            raise SkeletonError(
                f"it names no keypoints (kpt_names), so its {k} are unknown: describe them in a "
                "dataset .toml with a skeleton (`check` and `show` also take --skeleton)"
            )
    except SkeletonError as error:
        raise BadFileError(f"{path}: {str(error).rstrip('.')}.") from error
    if len(found) != k:
        raise BadFileError(f"{path}: kpt_shape has {k} keypoints, {found.name} has {len(found)}.")
    return found


def root_of(path: Path, document: dict[str, Any]) -> Path:
    """The folder that `train` and `val` are relative to."""
    stated = document.get("path")
    root = path.parent / str(stated) if stated else path.parent
    return (root if root.is_dir() else path.parent).resolve()


def _pictures(root: Path, stated: Any, path: Path, report: Report) -> Iterator[Path]:
    for entry in stated if isinstance(stated, list) else [stated]:
        if not entry:
            continue
        place = root / str(entry)
        if not place.exists() and str(entry).startswith("../"):  # Roboflow's; Ultralytics searches there, too
            place = root / str(entry)[3:]
        if place.is_dir():
            files = (os.path.join(folder, name) for folder, _, names in os.walk(place) for name in names)  # noqa: PTH118
            pictures = (Path(file) for file in files if os.path.splitext(file)[1].lower() in PICTURES)  # noqa: PTH122
            yield from sorted(pictures, key=lambda picture: picture.parts)  # comparing paths takes ten times as long
        elif place.suffix.lower() == ".txt" and place.is_file():
            names = (line.strip() for line in _lines(place))
            listed = [(place.parent if n.startswith("./") else root, n.removeprefix("./")) for n in names if n]
            found = [picture_path(folder, name) for folder, name in listed]
            moved = [(n, p) for (folder, n), p in zip(listed, found, strict=True) if p != folder / n]
            if moved:
                name, there = moved[0][0], _below(moved[0][1], root)
                text = f"{len(moved)} of {len(listed)} pictures lie elsewhere: {name} is taken to be {there}"
                report(Problem(place.name, text, False))
            yield from found
        else:
            raise BadFileError(f"{path}: {place} is neither a folder of pictures nor a list of them (.txt).")


def label_path(picture: Path) -> Path:
    """Where a picture's labels lie: the last folder `images` of its path becomes `labels`."""
    return _label_folder(picture.parts[:-1]) / f"{picture.stem}.txt"


@lru_cache(maxsize=1024)
def _label_folder(parts: tuple[str, ...]) -> Path:
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        parts = (*parts[:last], "labels", *parts[last + 1 :])
    return Path(*parts)


def label_name(file_name: str) -> str:
    """As `label_path`, inside a dataset's folder, for a picture of any dataset.

    >>> label_name("images/train/a.jpg"), label_name("b.jpg")
    ('labels/train/a.txt', 'labels/b.txt')
    """
    parts = [p for p in PurePosixPath(file_name.replace("\\", "/")).parts if p not in ("/", "..", ".")]
    if "images" in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index("images")] = "labels"
    else:
        parts.insert(0, "labels")
    return PurePosixPath(*parts).with_suffix(".txt").as_posix()


def _below(path: Path, root: Path) -> str:
    """The path's name below `root`, with forward slashes; in full where it lies elsewhere."""
    whole, folder = path.as_posix(), root.as_posix().rstrip("/") + "/"
    return whole.removeprefix(folder)


def _lines(path: Path, *, absent: bool = False) -> list[str]:
    """The lines of a text file; none of a file that may be `absent` and is."""
    try:
        return path.read_bytes().decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        if absent and not path.is_file():
            return []
        raise BadFileError(
            f"Cannot read {path}: {getattr(error, 'strerror', None) or 'it is not a text file'}."
        ) from error


def _image(picture: Path, name: str, index: int, *, needed: bool, report: Report) -> ImageRef:
    try:
        return ImageRef(index + 1, name, *image_size(picture))
    except ItemError as error:
        if needed:
            report(Problem(f"picture {name}", str(error), fatal=False))
        return ImageRef(index + 1, name)


def _read_lines(
    lines: list[list[str]],
    numbers: int,
    image_of: list[ImageRef],
    rows: tuple[NDArray[np.float64], NDArray[np.int8], NDArray[np.float64], NDArray[np.int32]],
) -> list[str | None]:
    """Fill the rows; returns what is wrong with each line: NO_SIZE, a description of a malformed line, or None.

    All lines at once: numpy's calls for one line take longer than its numbers.
    """
    xy_NK2, visibility_NK, box_N4, _ = rows
    n, k = visibility_NK.shape
    count = 5 + k * numbers
    faults: list[str | None] = [None] * n
    values = np.zeros((n, count))
    for row, tokens in enumerate(lines):
        try:
            found = list(map(float, tokens))
        except ValueError:
            faults[row] = "a value is not a number"
            continue
        if len(found) != count:
            faults[row] = f"{len(found)} values, where class, box and {k} keypoints are {count}"
        elif not all(map(math.isfinite, found)):
            faults[row] = "a value is not finite"
        else:
            values[row] = found
    points = values[:, 5:].reshape(n, k, numbers)
    if numbers == 3:
        known = np.asarray(np.isin(points[..., 2], list(COCO.to_state)).all(-1))
        for row in np.flatnonzero(~known).tolist():
            faults[row] = "a keypoint's visibility is not 0, 1 or 2"
        states = COCO.read(np.where(known[:, None], points[..., 2], 0.0))
        assert states is not None  # 0 is in the table
        states = placed(states, points[..., :2])
    else:
        nowhere = (points < 0).any(-1) | (points == 0).all(-1)
        states = np.where(nowhere, Visibility.ABSENT, Visibility.VISIBLE).astype(np.int8)
    whole = np.array([fault is None for fault in faults], bool)
    wh_N2 = np.array([(image.width or 0, image.height or 0) for image in image_of], np.float64).reshape(-1, 2)
    sized = np.asarray((wh_N2 > 0).all(1))
    for row in np.flatnonzero(whole & ~sized).tolist():  # no place can be computed, so no point is read
        faults[row] = NO_SIZE
    visibility_NK[whole] = np.where(sized[whole, None], states[whole], Visibility.ABSENT)
    xy_NK2[:] = np.where((visibility_NK > 0)[..., None], points[..., :2] * wh_N2[:, None], 0.0)
    extent = values[:, 3:5] * wh_N2
    box = np.concatenate([values[:, 1:3] * wh_N2 - extent / 2, extent], 1)
    box_N4[whole & sized] = box[whole & sized]
    return faults
