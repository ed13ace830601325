"""Pictures of a YOLO-pose dataset that Ultralytics' label check drops, with its reasons.

Its label check drops a picture with all of its people for one bad line, and reports it only in a training's log.
These are its documented demands as version 8.4 has them, and where releases differ the stricter: older ones allow
nothing outside 0 … 1, newer ones 1 % more. `make test-consumers` compares the prediction with the check itself.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from poseunion.annotate.formats import AnnotationSet, Problem
from poseunion.annotate.formats.yolo.yolo_labels import NAME, SPLITS, class_names, label_path, root_of
from poseunion.models.errors import BadArgumentError

FEWEST_PX = 10
# Formats that its loader opens; by Pillow's names.
FORMATS = frozenset(
    {"AVIF", "BMP", "DNG", "HEIC", "HEIF", "JP2", "JPEG", "JPEG2000", "JPG", "MPO", "PNG", "TIF", "TIFF", "WEBP"}
)


def dropped(annotations: AnnotationSet) -> Iterator[Problem]:
    """What Ultralytics refuses of a data.yaml, the pictures that it drops (fatal), and lines that it removes.

    Raises:
        BadArgumentError: the annotations are of another format.
    """
    if annotations.format != NAME:
        raise BadArgumentError("--for ultralytics checks a data.yaml and its label files: give one.")
    path, document = annotations.source.path, annotations.source.document
    yield from _of_yaml(document, path)
    k, numbers = document["kpt_shape"]
    classes = len(class_names(document, path))
    root = root_of(path, document)
    for image in annotations.images:
        picture = root / image.file_name
        label = label_path(picture)
        tokens = [line.split() for line in _text(label).splitlines() if line.strip()] if label.is_file() else []
        people = f" with its {len(tokens)} {'person' if len(tokens) == 1 else 'people'}"
        reason = _picture_fault(picture) or (_label_fault(tokens, k, numbers, classes) if tokens else None)
        if reason is not None:
            yield Problem(f"picture {image.file_name}", f"Ultralytics drops it{people}: {reason}")
        elif repeated := len(tokens) - len({tuple(map(np.float32, line)) for line in tokens}):
            yield Problem(label.name, f"Ultralytics removes {repeated} of its {len(tokens)} lines, the same twice")
    yield from _unlisted(document, path)


def _of_yaml(document: dict[str, Any], path: Path) -> Iterator[Problem]:
    place, root = path.name, document.get("path")
    if isinstance(root, str) and not Path(root).is_absolute():
        text = (
            f"Ultralytics takes path {root!r} to be below the folder that it is started in, or below its own datasets; "
            "without path, the yaml's folder is taken"
        )
        yield Problem(place, text, False)
    for key in ("train", "val"):
        if not document.get(key) and not (key == "val" and document.get("validation")):
            yield Problem(place, f"Ultralytics refuses it: it has no {key}")
    names, nc = document.get("names"), document.get("nc")
    if names is None and nc is None:
        yield Problem(place, "Ultralytics refuses it: it has neither names nor nc")
    elif names is not None and nc is not None and len(names) != nc:
        yield Problem(place, f"Ultralytics refuses it: nc is {nc}, and there are {len(names)} names")
    elif isinstance(names, dict) and names and sorted(map(str, names)) != sorted(map(str, range(len(names)))):
        yield Problem(place, f"Ultralytics refuses it: the classes are not numbered 0 to {len(names) - 1}")
    k = document["kpt_shape"][0]
    flip = document.get("flip_idx")
    if isinstance(flip, list) and flip and len(flip) != k:
        yield Problem(place, f"Ultralytics refuses it: flip_idx has {len(flip)} entries for {k} keypoints")
    elif not flip:
        yield Problem(place, "without flip_idx Ultralytics trains on no mirrored pictures", False)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig", errors="replace")


def _picture_fault(path: Path) -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it has no limit for large pictures
            with Image.open(path) as image:
                size, kind = image.size, image.format or ""
                image.verify()
    except Exception as error:  # Pillow's readers raise any exception
        there = "cannot be read" if path.is_file() else "is not there"
        return f"the picture {there} ({str(error)[:80]})" if path.is_file() else f"the picture {there}"
    if min(size) < FEWEST_PX:
        return f"it is {size[0]}x{size[1]}, less than {FEWEST_PX} px"
    if kind.upper() not in FORMATS:
        return f"it is a {kind} file"
    return None


def _label_fault(tokens: list[list[str]], k: int, numbers: int, classes: int) -> str | None:
    """Reason why its check drops a label file; None: it keeps all lines."""
    columns = 5 + k * numbers
    for number, line in enumerate(tokens, 1):
        if len(line) != columns:
            return f"line {number} has {len(line)} values, not {columns}"
        try:
            values = np.array(line, np.float32)
        except ValueError:
            return f"line {number} holds {next(v for v in line if not _is_number(v))!r}, which is no number"
        if np.isnan(values).any():
            return f"line {number} holds NaN"
        xy = values[5:].reshape(k, numbers)[:, :2]
        if xy.max(initial=0) > 1:
            return f"line {number} has a keypoint at {xy.max():g}, outside 0 … 1"
        if values.min() < 0:
            return f"line {number} has a negative value ({values.min():g})"
        if values[0] % 1:
            return f"line {number} has the class {values[0]:g}, which is no whole number"
        if values[0] >= classes:
            return f"line {number} has the class {values[0]:g}, and there are {classes}"
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _unlisted(document: dict[str, Any], path: Path) -> Iterator[Problem]:
    """Entries of lists of pictures that are relative to wherever the training is started."""
    root = root_of(path, document)
    for split in SPLITS:
        stated = document.get(split)
        for entry in stated if isinstance(stated, list) else [stated]:
            place = root / str(entry)
            if not entry or place.suffix.lower() != ".txt" or not place.is_file():
                continue
            lines = [line.strip() for line in _text(place).splitlines() if line.strip()]
            loose = Counter(line.startswith("./") or Path(line).is_absolute() for line in lines)[False]
            if loose:
                text = (
                    f"{loose} of {len(lines)} pictures are neither ./ nor absolute: Ultralytics searches them where "
                    "the training is started"
                )
                yield Problem(place.name, text, False)
