"""Skeletons without pictures, for models of joints given other joints.

Sources: annotation files of any format; COCO's keypoints as an array file of fractions (`.npz` with a
`coco_image_sizes.json` beside it); and MPII's joints as a table (`.csv`: picture, then x and y of the 16 joints).

Shapes: N people, K keypoints of the target skeleton.
"""

from __future__ import annotations

import csv
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.models.errors import BadFileError
from poseunion.models.files import check_unpacked, read_json
from poseunion.models.keypoint_offsets import to_model_keypoints
from poseunion.models.skeleton import Skeleton, load_skeleton
from poseunion.training.data.arrays import concatenate, take
from poseunion.training.data.data_file import DatasetEntry
from poseunion.training.data.read_people import read_people
from poseunion.training.data.splits import is_held_out

# Fewer joints than this carry no information about joints given others.
MIN_KNOWN = 3
SIZES = "coco_image_sizes.json"


@dataclass(frozen=True)
class Skeletons:
    """People as points.

    Attributes:
        xy_NK2: px, 0 where unknown.
        known_NK: labelled, or derived as the midpoint of labelled parents.
        box_N4: x, y, w, h px; NaN where the file has none.
        picture: (N,) file names.
        source: (N,) number of the file.
    """

    xy_NK2: NDArray[np.float32]
    known_NK: NDArray[np.bool_]
    box_N4: NDArray[np.float32]
    picture: NDArray[np.str_]
    source: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.xy_NK2)


def read_skeletons(path: Path, target: Skeleton, definitions: str | None = None) -> Skeletons:
    """The people of one file in the target's order and definitions.

    Args:
        definitions: skeleton whose definitions humans followed, where it is not the file's: a file that was extended.

    Raises:
        BadFileError: unreadable, or not one of the files above.
    """
    if path.suffix == ".npz":
        found = _read_fractions(path, target)
    elif path.suffix == ".csv":
        found = _read_table(path, target)
    else:
        found = _read_annotations(path, target, definitions)
    return take(found, found.known_NK.sum(1) >= MIN_KNOWN)


def split(found: Sequence[Skeletons], exclude: Sequence[str]) -> tuple[Skeletons, Skeletons]:
    """People to fit on and people held out of every fit (`is_held_out`), without the pictures named in `exclude`."""
    everyone = replace(concatenate(found), source=np.repeat(np.arange(len(found)), [len(f) for f in found]))
    names, index = np.unique(everyone.picture, return_inverse=True)
    unwanted = np.isin(names, list(exclude))[index]
    held = np.array([is_held_out(str(name)) for name in names])[index]
    return take(everyone, ~held & ~unwanted), take(everyone, held & ~unwanted)


def _read_annotations(path: Path, target: Skeleton, definitions: str | None) -> Skeletons:
    entry = DatasetEntry(name=path.stem, annotations=path, images=Path(), definitions=definitions)
    people = read_people(entry, target)
    if not people:
        raise BadFileError(f"{path} has no labelled person with a box.")
    visibility = np.stack([p.visibility for p in people])
    xy, box = np.stack([p.xy for p in people]), np.array([p.box_xywh for p in people])
    return _skeletons(xy, visibility > 0, box, [p.image.name for p in people])


def _skeletons(
    xy_NK2: NDArray[np.floating], known_NK: NDArray[np.bool_], box_N4: NDArray[np.floating], picture: Sequence[str]
) -> Skeletons:
    xy = np.where(known_NK[..., None], xy_NK2, 0).astype(np.float32)
    return Skeletons(xy, known_NK, box_N4.astype(np.float32), np.array(picture), np.zeros(len(xy), np.intp))


def _read_fractions(path: Path, target: Skeleton) -> Skeletons:
    check_unpacked(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            fraction, visibility = file["xy_u16"] / 65535, file["visibility"]
            ids, box = file["image_id"], file["bbox_cxcywh_u16"] / 65535
    except (OSError, KeyError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise BadFileError(f"{path} is not an array file of COCO keypoints: {error}.") from error
    sizes = read_json(path.parent / SIZES)
    wh = np.array([sizes.get(str(i), (0, 0)) for i in ids], np.float64)
    usable = wh[:, 0] > 0  # where the picture's size is unknown, so is the shape of its people
    xy = fraction * wh[:, None]
    xy, seen = to_model_keypoints(xy, visibility.astype(np.int8), load_skeleton("coco17"), target)
    box = box * np.tile(wh, 2)
    box[:, :2] -= box[:, 2:] / 2
    return _skeletons(xy, (seen > 0) & usable[:, None], box, [f"{int(i):012d}.jpg" for i in ids])


def _read_table(path: Path, target: Skeleton) -> Skeletons:
    source = load_skeleton("mpii16")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if row]
        values = np.array([[float(v) for v in row[1:]] for row in rows]).reshape(len(rows), len(source), 2)
    except (OSError, ValueError) as error:
        raise BadFileError(f"{path} is not a table of a picture and 16 joints a row: {error}.") from error
    visibility = np.where((values > 0).all(-1), 2, 0).astype(np.int8)
    xy, seen = to_model_keypoints(values, visibility, source, target)
    return _skeletons(xy, seen > 0, np.full((len(rows), 4), np.nan), [row[0] for row in rows])
