"""`annotate extend` on uploads: an annotation file and its pictures in a folder of their own, which then disappears."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from gradio_client.utils import strip_invalid_filename_characters
from numpy.typing import NDArray

from poseunion.annotate.extend.image_reader import read_framed
from poseunion.annotate.extend.report import ExtendReport
from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import AnnotationSet, read_annotations
from poseunion.annotate.show import draw
from poseunion.app.demo.pictures import MAX_PIXELS, to_jpeg
from poseunion.models.errors import BadArgumentError, BadFileError, ItemError, PoseUnionError
from poseunion.models.files import write_bytes
from poseunion.models.images import image_size
from poseunion.models.inference.conditioned import ConditionedPredictor, supports_labels
from poseunion.models.inference.predictor import Predictor
from poseunion.models.picture_paths import picture_path

# Limits of one request: half a minute of two cores. The command line has no such limits.
MOST_PICTURES = 30
MOST_PEOPLE = 200
NOT_GIVEN = "picture not given"


@dataclass(frozen=True)
class Extended:
    """Extended annotation file, with its report.

    Attributes:
        content: the extended file.
        overlays: names and pictures with all people drawn, (H, W, 3) uint8 RGB.
        bad: picture or record, and why it could not be used.
        pictures: path in the file -> JPEG of the pictures that were given, in the annotations' frame.
    """

    content: bytes
    report: ExtendReport
    overlays: list[tuple[str, NDArray[np.uint8]]]
    bad: list[tuple[str, str]]
    pictures: dict[str, bytes]


def extend_uploads(
    annotations: Path, pictures: Sequence[Path], predictor: Predictor, *, fill_gaps: bool = False
) -> Extended:
    """Complete `annotations` with those of its pictures that were uploaded.

    Args:
        fill_gaps: also what its annotators left out, see `annotate.extend.requested_keypoints`.

    Raises:
        PoseUnionError: a sentence for the visitor, without the server's paths.
    """
    if annotations.suffix.lower() != ".json":
        raise BadArgumentError("This page takes JSON annotation files; the command line takes all formats.")
    if not 1 <= len(pictures) <= MOST_PICTURES:
        raise BadArgumentError(f"Give 1 to {MOST_PICTURES} of the file's pictures; the command line takes any number.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            return _extend(annotations, pictures, predictor, folder, fill_gaps)
        except PoseUnionError as error:
            raise BadFileError(_without_paths(str(error), folder, annotations.parent)) from error


def _extend(
    annotations: Path, pictures: Sequence[Path], predictor: Predictor, folder: Path, fill_gaps: bool
) -> Extended:
    records = read_annotations(annotations)
    images, out = folder / "images", folder / "extended.json"
    placed, bad = _place(records, pictures, images)
    if not placed:
        first = records.images[0].file_name if records.images else "none"
        raise ItemError(
            f"None of the pictures given is one that the file names and that can be read (its first is {first})."
        )
    # As on the command line: conditioned on human labels.
    conditioned = ConditionedPredictor(predictor) if supports_labels(predictor) else predictor
    options = Options(limit=MOST_PEOPLE, max_bad=1.0, fill_gaps=fill_gaps)
    report = extend(_only(records, placed), images, conditioned, out, options)
    bad += [(str(b["image"]), _without_paths(str(b["reason"]), folder)) for b in report.bad]
    extended = read_annotations(out)
    overlays, jpegs = [], {}
    for index in sorted(placed):
        image = extended.images[index]
        pixels = read_framed(picture_path(images, image.file_name), image)
        jpegs[image.file_name] = to_jpeg(pixels)
        people = np.flatnonzero(extended.image_index == index).tolist()
        overlays.append((image.file_name, draw(pixels, extended, people)))
    return Extended(out.read_bytes(), report, overlays, bad, jpegs)


def _place(records: AnnotationSet, pictures: Sequence[Path], images: Path) -> tuple[set[int], list[tuple[str, str]]]:
    """Put the uploads at the file's picture paths, encoded anew without loss, in the annotations' frame.

    Returns:
        Indices of the pictures that are there, and (name, why not) of the others that were given.
    """
    uploads = {path.name: path for path in pictures}
    placed: set[int] = set()
    refused: list[tuple[str, str]] = []
    for index, image in enumerate(records.images):
        relative = PurePosixPath(image.file_name.replace("\\", "/"))
        upload = uploads.get(strip_invalid_filename_characters(relative.name))
        if upload is None:
            continue
        if relative.is_absolute() or ".." in relative.parts:
            raise BadFileError(f"The file names a picture outside its folder ({image.file_name}): none is read there.")
        try:
            image_size(upload, max_pixels=MAX_PIXELS)
            pixels = read_framed(upload, image)
        except ItemError as error:
            refused.append((relative.name, _without_paths(str(error), upload.parent)))
            continue
        _, encoded = cv2.imencode(".bmp", np.ascontiguousarray(pixels[..., ::-1]))  # the fastest without loss
        write_bytes(images / relative, encoded.tobytes())
        placed.add(index)
    return placed, refused


def _only(records: AnnotationSet, placed: set[int]) -> AnnotationSet:
    """The file, of which only people in these pictures are completed."""
    elsewhere = {
        row: NOT_GIVEN for row, image in enumerate(records.image_index.tolist()) if image >= 0 and image not in placed
    }
    return dataclasses.replace(records, skip={**elsewhere, **records.skip})


def _without_paths(sentence: str, *folders: Path) -> str:
    """The sentence with file names where it has paths of this machine."""
    for folder in folders:
        sentence = sentence.replace(f"{folder}/images/", "").replace(f"{folder}/", "")
    return sentence
