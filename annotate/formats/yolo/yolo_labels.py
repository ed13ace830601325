"""YOLO-pose as Ultralytics reads it: a `data.yaml`, and beside every picture's folder a `labels` folder of txt files.

A line is `class cx cy w h` and for each keypoint `x y` or `x y v` (`kpt_shape: [K, 2 or 3]`), all but class and v as
shares of the width and height of the picture, upright by its EXIF. Names of keypoints stand in `kpt_names` (newer
files) or are told by the skeleton given; without either, 17 keypoints with COCO's `flip_idx` are COCO's.

Pictures are found as Ultralytics finds them: `train`, `val`, `test` are folders, txt lists or lists of those, below
`path`, which is relative to the yaml; a `path` that leads nowhere is taken for the yaml's own folder. Picture names are
relative to that folder: it is the one to give as the folder of pictures. Sizes are read from the pictures' headers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
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
from poseunion.models.skeleton import Skeleton, Visibility, load_skeleton

NAME = "yolo-pose"
SPLITS = ("train", "val", "test")
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
            total.update((sha256_of(path) if path.is_file() else "none").encode())
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
    images: list[ImageRef] = []
    lines: list[tuple[int, dict[str, Any], list[str]]] = []
    for index, picture in enumerate(pictures):
        name = picture.relative_to(root).as_posix() if picture.is_relative_to(root) else picture.as_posix()
        label = label_path(picture)
        text = _lines(label) if label.is_file() else []
        images.append(_image(picture, name, index, needed=bool(text), report=report))
        place = label.relative_to(root).as_posix() if label.is_relative_to(root) else label.as_posix()
        for number, line in enumerate(text, 1):
            if tokens := line.split():
                lines.append((index, {"image": name, "label_file": place, "line": number}, tokens))

    rows = empty_rows(len(lines), k)
    skip: dict[int, str] = {}
    class_of: list[int | None] = []
    for row, (index, record, tokens) in enumerate(lines):
        rows[3][row] = index
        record["tokens"] = tokens
        size = (images[index].width, images[index].height)
        reason, problem = _read_line(tokens, numbers, size, row, rows)
        of = _class_of(tokens)
        class_of.append(of)
        if reason != MALFORMED and of not in people:
            called = None if of is None else names.get(of)
            reason = reason_of(of, called, animal=called is not None and is_animal(called))
            if of not in names:
                problem = f"class {of} is not among the names of {source.path.name}"
        if problem is not None:
            report(Problem(f"{record['label_file']}, line {record['line']}", problem, reason == MALFORMED))
        if reason is not None:
            skip[row] = reason
    unread: dict[str, int] = {}
    for label, reason in _other_labels(pictures):
        count = sum(bool(line.split()) for line in _lines(label))
        unread[reason] = unread.get(reason, 0) + count
        if count:
            place = label.relative_to(root).as_posix() if label.is_relative_to(root) else label.as_posix()
            said = "has no picture" if reason == ORPHAN else "has a picture that none of train, val and test names"
            report(Problem(place, f"{said} ({count} {'person is' if count == 1 else 'people are'} not read)", False))
    labelled = LabelledSource(source.path, categories=source.categories, labels=tuple(label_path(p) for p in pictures))
    labelled.__dict__["document"] = document  # parsed once
    records = [record for _, record, _ in lines]
    xy_NK2, visibility_NK, box_N4, image_N = rows
    return AnnotationSet(
        NAME,
        found,
        labelled,
        records,
        images,
        image_N,
        xy_NK2,
        visibility_NK,
        box_N4,
        None,
        skip,
        next(iter(people), 0),
        people,
        names,
        class_of,
        {reason: count for reason, count in unread.items() if count},
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


def _other_labels(pictures: list[Path]) -> Iterator[tuple[Path, str]]:
    """Label files beside those of `pictures` that belong to none of them, and why they are not read."""
    used = {label_path(picture) for picture in pictures}
    stems: dict[Path, set[str]] = {}
    for folder in sorted({label.parent for label in used} - {picture.parent for picture in pictures}):
        beside = next(picture.parent for picture in pictures if label_path(picture).parent == folder)
        stems[folder] = {p.stem for p in beside.iterdir() if p.suffix.lower() in PICTURES} if beside.is_dir() else set()
        for label in sorted(folder.glob("*.txt")):
            if label not in used and label.name != "classes.txt":
                yield label, NOT_LISTED if label.stem in stems[folder] else ORPHAN


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
                f"it names no keypoints (kpt_names), so nothing says what its {k} are: describe them in a "
                "dataset .toml with a skeleton (`check` and `show` also take --skeleton)"
            )
    except SkeletonError as error:
        raise BadFileError(f"{path}: {str(error).rstrip('.')}.") from error
    if len(found) != k:
        raise BadFileError(f"{path}: kpt_shape says {k} keypoints, {found.name} has {len(found)}.")
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
        if not place.exists() and str(entry).startswith("../"):  # Roboflow's; Ultralytics looks there, too
            place = root / str(entry)[3:]
        if place.is_dir():
            yield from sorted(p for p in place.rglob("*") if p.suffix.lower() in PICTURES)
        elif place.suffix.lower() == ".txt" and place.is_file():
            names = (line.strip() for line in _lines(place))
            listed = [(place.parent if n.startswith("./") else root, n.removeprefix("./")) for n in names if n]
            found = [picture_path(folder, name) for folder, name in listed]
            moved = [(n, p) for (folder, n), p in zip(listed, found, strict=True) if p != folder / n]
            if moved:
                name, there = moved[0]
                taken = there.relative_to(root).as_posix() if there.is_relative_to(root) else there.as_posix()
                text = f"{len(moved)} of {len(listed)} pictures lie elsewhere: {name} is taken to be {taken}"
                report(Problem(place.name, text, False))
            yield from found
        else:
            raise BadFileError(f"{path}: {place} is neither a folder of pictures nor a list of them (.txt).")


def label_path(picture: Path) -> Path:
    """Where a picture's labels lie: the last folder `images` of its path becomes `labels`."""
    parts = list(picture.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


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


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
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


def _read_line(
    tokens: list[str],
    numbers: int,
    size: tuple[int | None, int | None],
    row: int,
    rows: tuple[NDArray[np.float64], NDArray[np.int8], NDArray[np.float64], NDArray[np.int32]],
) -> tuple[str | None, str | None]:
    """Fill one row; returns why it is to be skipped, and what is wrong with the line."""
    xy_NK2, visibility_NK, box_N4, _ = rows
    k = xy_NK2.shape[1]
    try:
        values = np.array(tokens, np.float64)
    except ValueError:
        return MALFORMED, "a value is not a number"
    if len(values) != 5 + k * numbers:
        return MALFORMED, f"{len(values)} values, where class, box and {k} keypoints are {5 + k * numbers}"
    if not np.isfinite(values).all():
        return MALFORMED, "a value is not finite"
    points = values[5:].reshape(k, numbers)
    if numbers == 3:
        states = COCO.read(points[:, 2])
        if states is None:
            return MALFORMED, "a keypoint's visibility is not 0, 1 or 2"
        states = placed(states, points[:, :2])
    else:
        nowhere = (points < 0).any(-1) | (points == 0).all(-1)
        states = np.where(nowhere, Visibility.ABSENT, Visibility.VISIBLE).astype(np.int8)
    if size[0] is None or size[1] is None:  # no place can be computed, so no point is read: the line is kept
        visibility_NK[row] = Visibility.ABSENT
        return NO_SIZE, None
    visibility_NK[row] = states
    wh = np.array(size, np.float64)
    xy_NK2[row] = np.where(states[:, None] > 0, points[:, :2] * wh, 0.0)
    centre, extent = values[1:3] * wh, values[3:5] * wh
    box_N4[row] = np.concatenate([centre - extent / 2, extent])
    return (None if (states > 0).any() else NO_HUMAN_KEYPOINT), None
