"""Overlays: what humans labelled white, what a model proposes red, what is derived amber; opacity by confidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.datasets import picture_folder
from poseunion.annotate.extend.image_reader import read_framed
from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.added_fields import field_problems, has_added_fields
from poseunion.models.drawing import draw_people
from poseunion.models.errors import BadArgumentError, BadFileError, ItemError
from poseunion.models.files import write_bytes
from poseunion.models.picture_paths import picture_path, refuse_wrong_folder

# A proposal is never so faint that it cannot be found.
FAINTEST = 0.25


@dataclass(frozen=True)
class ShowReport:
    """Overlays written, and pictures that could not be: (name, reason)."""

    written: list[str]
    bad: list[tuple[str, str]]


def show(
    annotations: AnnotationSet,
    images: Path,
    out: Path,
    *,
    limit: int | None = None,
    rejected: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ShowReport:
    """Write one overlay per annotated picture into `out`, as JPEG named after the picture.

    Args:
        limit: only the first so many pictures.
        rejected: draw proposals that were not accepted, too.

    Raises:
        BadArgumentError: `images` is no folder, `limit` is below 1; and see `refuse_folder`.
        BadFileError: an extended record's own fields are damaged, or an overlay cannot be written.
    """
    if limit is not None and limit < 1:
        raise BadArgumentError(f"--limit {limit} leaves nothing to do: give at least 1.")
    refuse_folder(out, picture_folder(images))
    by_image: dict[int, list[int]] = {}
    for index in range(len(annotations)):
        if annotations.image_index[index] >= 0:
            by_image.setdefault(int(annotations.image_index[index]), []).append(index)
    chosen = sorted(by_image)[:limit]
    refuse_wrong_folder(images, (annotations.images[i].file_name for i in chosen), annotations.source.path)
    written: list[str] = []
    bad: list[tuple[str, str]] = []
    for done, position in enumerate(chosen, 1):
        image = annotations.images[position]
        try:
            picture = read_framed(picture_path(images, image.file_name), image)
            target = out / overlay_name(image.file_name)
            write_bytes(target, _jpeg(draw(picture, annotations, by_image[position], rejected=rejected)))
            written.append(str(target))
        except ItemError as error:
            bad.append((image.file_name, str(error)))
        if progress is not None:
            progress(done, len(chosen))
    return ShowReport(written, bad)


def refuse_folder(out: Path, images: Path) -> None:
    """Raise BadArgumentError where overlays cannot go: a file, or the pictures' own folder, where names are equal."""
    if out.exists() and not out.is_dir():
        raise BadArgumentError(f"{out} is a file: give a folder for the overlays.")
    if out.resolve() == images.resolve():
        raise BadArgumentError(f"{out} holds the pictures themselves: give another folder for the overlays.")


def overlay_name(file_name: str) -> str:
    """A flat file name, so that a picture named `../x.jpg` cannot be written outside the folder.

    >>> overlay_name("val/a/000001.png")
    'val__a__000001.png.jpg'
    """
    parts = [p for p in Path(file_name.replace("\\", "/")).parts if p not in ("/", "..", ".")]
    name = "__".join(parts) or "picture"
    return name if name.lower().endswith((".jpg", ".jpeg")) else f"{name}.jpg"


def draw(
    picture: NDArray[np.uint8], annotations: AnnotationSet, indices: list[int], *, rejected: bool = False
) -> NDArray[np.uint8]:
    """`picture` with the people `indices` on it; raises BadFileError where an extended record's fields are damaged."""
    k = len(annotations.skeleton)
    xy = np.full((len(indices), k, 2), np.nan)
    opacity = np.ones((len(indices), k))
    role = np.full((len(indices), k), "none", dtype="<U8")
    for row, index in enumerate(indices):
        labelled = annotations.visibility[index] > 0
        xy[row, labelled] = annotations.xy[index, labelled]
        record = annotations.records[index]
        role[row] = np.where(labelled, "human", "none")
        if has_added_fields(record):
            for problem in field_problems(record, annotations.skeleton):
                raise BadFileError(f"{annotations.source.path}, record {index}: {problem}.")
            role[row] = np.where(labelled, np.asarray(record["keypoint_source"]), "none")
            _add_proposals(record, annotations, xy[row], opacity[row], role[row], rejected)
    return draw_people(picture, annotations.skeleton, xy, role_NK=role, opacity_NK=opacity)


def _add_proposals(
    record: dict[str, Any],
    annotations: AnnotationSet,
    xy_K2: NDArray[np.float64],
    opacity_K: NDArray[np.float64],
    role_K: NDArray[np.str_],
    rejected: bool,
) -> None:
    for proposal in record.get("proposals") or []:
        keypoint = annotations.skeleton.index(proposal["name"])
        if proposal["accepted"] or rejected:
            opacity_K[keypoint] = max(FAINTEST, min(1.0, proposal["confidence"]))
        if rejected and not proposal["accepted"]:
            xy_K2[keypoint] = proposal["x"], proposal["y"]
            role_K[keypoint] = "proposed"


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    ok, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not ok:
        raise BadFileError("An overlay could not be encoded as JPEG.")
    return bytes(encoded.tobytes())
