"""Gallery of the worst cases: labels in white, predictions in red, a line between the two.

Shapes: K keypoints of the data set.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.types import name_of
from poseunion.models.drawing import draw_people
from poseunion.models.errors import BadFileError, ItemError
from poseunion.models.files import write_bytes, write_json
from poseunion.models.images import read_annotated_image
from poseunion.models.metrics import oks
from poseunion.models.picture_paths import picture_path
from poseunion.training.evaluation.predictions import Predictions, person_areas

COUNT = 24
# Of a person with one or two labels the worst OKS is chance.
FEWEST_LABELS = 5
LONG_SIDE_PX = 720
MARGIN = 0.25  # of the longer side of what is shown


@dataclass(frozen=True)
class Case:
    """A labelled person and how badly it was predicted.

    Attributes:
        row: in the predictions.
        oks: in [0, 1].
        errors: keypoint -> distance in px from its label, the largest first.
    """

    row: int
    oks: float
    errors: dict[str, float]


def worst_cases(annotations: AnnotationSet, predictions: Predictions, count: int = COUNT) -> list[Case]:
    """The people of the lowest OKS over the keypoints that the model predicts, worst first."""
    rows = predictions.rows
    truth, known = annotations.xy[rows], predictions.known
    visibility = np.where(known, annotations.visibility[rows], -1)
    area, sigma = person_areas(annotations, rows), annotations.skeleton.sigma_array
    similarity = oks(predictions.xy, truth, visibility, area, sigma)
    eligible = np.flatnonzero((visibility > 0).sum(-1) >= FEWEST_LABELS)
    chosen = eligible[np.argsort(similarity[eligible], kind="stable")][:count]
    cases = []
    for row in chosen:
        distance = np.linalg.norm(predictions.xy[row] - truth[row], axis=-1)
        labelled = [k for k in np.flatnonzero(visibility[row] > 0) if np.isfinite(distance[k])]
        labelled.sort(key=lambda k: -distance[k])
        errors = {annotations.skeleton.keypoints[k]: round(float(distance[k]), 1) for k in labelled}
        cases.append(Case(int(row), float(similarity[row]), errors))
    return cases


def write_gallery(
    folder: Path, annotations: AnnotationSet, predictions: Predictions, images: Path, count: int = COUNT
) -> list[Path]:
    """Write one JPEG a case into `folder`, named by rank and OKS, and `gallery.json`, which lists them.

    Returns:
        The pictures written; a case whose picture cannot be read is listed with the reason.
    """
    written: list[Path] = []
    index: list[dict[str, Any]] = []
    for rank, case in enumerate(worst_cases(annotations, predictions, count), 1):
        record = annotations.person(int(predictions.rows[case.row]))
        if record.image is None:
            continue
        entry: dict[str, Any] = {
            "picture": record.image.file_name,
            "annotation": name_of(annotations.records[record.index], record.index),
            "oks": round(case.oks, 4),
            "errors_px": case.errors,
        }
        try:
            width, height = record.image.width, record.image.height
            path = picture_path(images, record.image.file_name)
            picture = read_annotated_image(path, (width, height) if width and height else None)
            drawn = draw_case(picture, annotations, predictions, case.row)
            stem = re.sub(r"[^\w.-]+", "_", Path(record.image.file_name).stem)
            target = folder / f"{rank:02d}-oks{100 * case.oks:02.0f}-{stem}.jpg"
            write_bytes(target, _jpeg(drawn))
            written.append(target)
            entry["overlay"] = target.name
        except ItemError as error:
            entry["reason"] = str(error)
        index.append(entry)
    write_json(folder / "gallery.json", index, indent=1)
    return written


def draw_case(
    picture: NDArray[np.uint8], annotations: AnnotationSet, predictions: Predictions, row: int
) -> NDArray[np.uint8]:
    """The part of a picture around one person, enlarged, with label and prediction on it."""
    record = annotations.person(int(predictions.rows[row]))
    labelled = np.where(record.visibility[:, None] > 0, record.xy, np.nan)
    predicted = np.where(predictions.known[:, None], predictions.xy[row], np.nan)
    left, top, right, bottom = _window(picture, record.box_xywh, np.concatenate([labelled, predicted]))
    shown = picture[top:bottom, left:right]
    factor = LONG_SIDE_PX / max(shown.shape[:2])
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    shown = np.asarray(cv2.resize(shown, None, fx=factor, fy=factor, interpolation=how), np.uint8)
    # Pixel centres are integers: a point moves with the pixel's centre, not with its corner.
    predicted, labelled = ((xy - [left, top] + 0.5) * factor - 0.5 for xy in (predicted, labelled))
    for start, end in zip(labelled, predicted, strict=True):
        if np.isfinite([start, end]).all():
            _error_line(shown, start, end)
    skeleton = annotations.skeleton
    # Only the prediction has limbs, blue on the left: with two sets of them neither could be read.
    shown = draw_people(shown, skeleton, predicted[None], role_NK=[["proposed"] * len(skeleton)])
    return draw_people(shown, skeleton, labelled[None], role_NK=[["human"] * len(skeleton)], limbs=False)


def _error_line(picture: NDArray[np.uint8], start: NDArray[np.float64], end: NDArray[np.float64]) -> None:
    """A white line with a dark rim, which shows on any ground; `picture` is changed."""
    a, b = (tuple(int(v) for v in np.round(np.clip(point, -1e5, 1e5)).astype(int)) for point in (start, end))
    for colour, width in (((25, 25, 30), 4), ((255, 255, 255), 2)):
        cv2.line(picture, a, b, colour, width, cv2.LINE_AA)


def _window(
    picture: NDArray[np.uint8], box_xywh: NDArray[np.float64], points_N2: NDArray[np.float64]
) -> tuple[int, int, int, int]:
    """left, top, right, bottom around the box and the finite points, with a margin, inside the picture."""
    corners = [points_N2[np.isfinite(points_N2).all(-1)]]
    if np.isfinite(box_xywh).all():
        corners.append(np.array([box_xywh[:2], box_xywh[:2] + box_xywh[2:]]))
    low, high = np.concatenate(corners).min(0), np.concatenate(corners).max(0)
    margin = MARGIN * (high - low).max() + 2
    wh = picture.shape[1::-1]
    left, top = (int(np.clip(v, 0, size - 2)) for v, size in zip(low - margin, wh, strict=True))
    right, bottom = (int(np.clip(v, 2, size)) for v, size in zip(np.ceil(high + margin), wh, strict=True))
    return left, top, max(right, left + 2), max(bottom, top + 2)


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    ok, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not ok:
        raise BadFileError("An overlay could not be encoded as JPEG.")
    return bytes(encoded.tobytes())
