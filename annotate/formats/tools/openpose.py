"""OpenPose's json, one file a picture: `pose_keypoints_2d` of BODY_25 (or HALPE_26, or COCO's 18), read and written.

    a_keypoints.json: {"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": [x, y, c] * 25,
                       "face_keypoints_2d": [], "hand_left_keypoints_2d": [], "hand_right_keypoints_2d": []}]}

Give one file or the folder of them; `a_keypoints.json` is the picture `a`, whatever its ending. OpenPose writes
predictions: they keep their confidence and are no human's. Written, it is a zip of such files, whose confidence is 1 at
human and derived points; BODY_25's neck and hips' middle are the midpoints that OpenPose takes them for.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats.added_fields import blocks
from poseunion.annotate.formats.boxes import fill_boxes
from poseunion.annotate.formats.coco.coco_json import are_numbers
from poseunion.annotate.formats.coco.results import PREDICTIONS, SURE
from poseunion.annotate.formats.extension import Extension, Origin
from poseunion.annotate.formats.json_stream import add_to_zip, dump
from poseunion.annotate.formats.tools.scattered import one_file_a_picture, pages_of
from poseunion.annotate.formats.types import (
    CROWD,
    MALFORMED,
    NO_HUMAN_KEYPOINT,
    NO_PICTURE,
    AnnotationSet,
    ImageRef,
    Problem,
    Report,
    Source,
    empty_rows,
    is_another_class,
    refuse,
)
from poseunion.models.errors import BadFileError
from poseunion.models.skeleton import Skeleton, Visibility, derive_midpoints, load_skeleton, project, project_indices

NAME = "openpose"
ENDING = "_keypoints.json"
BODY = "pose_keypoints_2d"
VERSION = 1.3
SKELETONS = {25: "openpose25", 26: "halpe26", 18: "openpose18"}  # 26: Pose2Sim's, in this form
EMPTY = ("face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d")
NO_PLACE = "points that BODY_25 does not have"


def is_openpose(document: Any) -> bool:
    """Whether these are a picture's people as OpenPose writes them."""
    return isinstance(document, dict) and isinstance(document.get("people"), list) and "version" in document


def detect(source: Source) -> bool:
    """Whether this is such a file, or a folder that holds one."""
    return one_file_a_picture(source, is_openpose)


def read(source: Source, skeleton: Skeleton | None = None, report: Report | None = None) -> AnnotationSet:
    """Read OpenPose's json, one file or a folder; arguments and errors as in `coco_json.read`."""
    report = report or refuse(source.path)
    pages = pages_of(source, is_openpose, report)
    people = [(i, n, p) for i, page in enumerate(pages.document) for n, p in enumerate(page["people"])]
    lengths = [len(p[BODY]) for _, _, p in people if isinstance(p, dict) and isinstance(p.get(BODY), list) and p[BODY]]
    count = Counter(lengths).most_common(1)[0][0] // 3 if lengths else 25
    if skeleton is None and count not in SKELETONS:
        raise BadFileError(
            f"{source.path} has {count} keypoints a person; BODY_25's, HALPE_26's and COCO's 18 are read."
        )
    found = skeleton or load_skeleton(SKELETONS[count])
    images = [
        ImageRef(position, f"{_stem(file, source.path)}.jpg", *_size(page))
        for position, (file, page) in enumerate(zip(pages.files, pages.document, strict=True))
    ]
    rows = empty_rows(len(people), len(found))
    xy_NK2, visibility_NK, box_N4, image_N = rows
    visibility_NK[:] = Visibility.ABSENT
    records: list[dict[str, Any]] = []
    skip: dict[int, str] = {}
    for row, (image, number, person) in enumerate(people):
        image_N[row] = image
        values = person.get(BODY) if isinstance(person, dict) else None
        records.append({"image": images[image].file_name, "item": number, "keypoints": values or []})
        if not isinstance(person, dict):
            report(Problem(f"{pages.files[image].name}, person {number}", "a person is an object"))
            skip[row] = MALFORMED
            continue
        records[-1] |= {key: value for key, value in person.items() if key != BODY}
        if values and not are_numbers(values, 3 * len(found)):
            report(Problem(f"{pages.files[image].name}, person {number}", f"{BODY} is not {3 * len(found)} numbers"))
            skip[row] = MALFORMED
        elif values:
            points = np.array(values, np.float64).reshape(-1, 3)
            there = (points[:, 2] > 0) & points[:, :2].any(-1)
            visibility_NK[row] = np.where(there, Visibility.VISIBLE, Visibility.ABSENT)
            xy_NK2[row] = np.where(there[:, None], points[:, :2], 0.0)
        if row not in skip and not (visibility_NK[row] > 0).any():
            skip[row] = NO_HUMAN_KEYPOINT
    fill_boxes(box_N4, xy_NK2, visibility_NK, found)
    return AnnotationSet(NAME, found, pages, records, images, image_N, xy_NK2, visibility_NK, box_N4, None, skip, 1)


def _stem(file: Path, given: Path) -> str:
    below = file.relative_to(given).as_posix() if given.is_dir() else file.name
    return below.removesuffix(ENDING) if below.endswith(ENDING) else PurePosixPath(below).with_suffix("").as_posix()


def _size(page: dict[str, Any]) -> tuple[int | None, int | None]:
    """OpenPose states none; other tools' files in its form (ControlNet's) do, as canvas_width and canvas_height."""
    size = (page.get("canvas_width"), page.get("canvas_height"))
    return (size[0], size[1]) if all(type(v) is int and 0 < v < 1 << 20 for v in size) else (None, None)


def write(file: BinaryIO, annotations: AnnotationSet, extension: Extension) -> dict[str, int] | None:
    """Write any annotations as a zip of one file a picture; returns what was left out -> how many.

    Raises:
        BadFileError: two pictures would share one file.
    """
    body = load_skeleton("openpose25")
    where = project_indices(extension.skeleton, body)  # (25,) place in the output, -1 for none
    own = project_indices(annotations.skeleton, body)
    mine = annotations.format == NAME
    pages = annotations.source.document if mine else []
    left_out: Counter[str] = Counter()
    by_image: dict[int, list[dict[str, Any]]] = {i: [] for i in range(len(annotations.images))}
    for index, completion in blocks(len(annotations), extension):
        image = int(annotations.image_index[index])
        reason = annotations.skip.get(index)
        if mine and reason == MALFORMED:
            by_image[image].append(pages[image]["people"][annotations.records[index]["item"]])
            continue
        if image < 0 or reason in (CROWD, MALFORMED) or is_another_class(reason):
            left_out[reason or NO_PICTURE] += 1
            continue
        row = index - completion.start
        points = _points(annotations, index, body, own)
        for k, position in enumerate(where.tolist()):
            origin = completion.origin[row, position] if position >= 0 else Origin.NONE
            if points[k][2] == 0 and origin in (Origin.DERIVED, Origin.PROPOSED):
                confidence = SURE if origin == Origin.DERIVED else float(completion.confidence[row, position])
                points[k] = [*completion.xy[row, position].tolist(), confidence]
        labelled = np.zeros(len(extension.skeleton), bool)
        labelled[project_indices(extension.skeleton, annotations.skeleton)] = annotations.visibility[index] > 0
        labelled |= np.isin(completion.origin[row], (Origin.DERIVED, Origin.PROPOSED))
        labelled[where[where >= 0]] = False
        left_out[NO_PLACE] += int(labelled.sum())
        flat = [v for point in points for v in point]
        kept = pages[image]["people"][annotations.records[index]["item"]] if mine else {}
        by_image[image].append({"person_id": [-1], **{key: [] for key in EMPTY}, **kept, BODY: flat})
    with zipfile.ZipFile(file, "w") as archive:
        for name, image in _names(annotations):
            page = pages[image] if mine else {"version": VERSION}
            add_to_zip(archive, name, dump({**page, "people": by_image[image]}))
    return {reason: count for reason, count in left_out.items() if count} or None


def _points(annotations: AnnotationSet, index: int, body: Skeleton, own: NDArray[np.intp]) -> list[list[Any]]:
    """(25, 3) what was read of one person, and the midpoints that follow from it."""
    xy, visibility = annotations.xy[index][None], annotations.visibility[index][None]
    there, states = project(xy, visibility, annotations.skeleton, body)
    filled, filled_states, derived = derive_midpoints(there, states, body)
    points: list[list[Any]] = [[0, 0, 0] for _ in body.keypoints]
    for k, position in enumerate(own.tolist()):
        if position >= 0 and annotations.format in PREDICTIONS:  # to the digit, whatever they are
            points[k] = annotations.records[index]["keypoints"][3 * position : 3 * position + 3] or points[k]
        elif derived[0, k]:
            points[k] = [*filled[0, k].tolist(), SURE]
        elif filled_states[0, k] > 0:
            points[k] = [*there[0, k].tolist(), SURE]
    return points


def _names(annotations: AnnotationSet) -> Iterator[tuple[str, int]]:
    """Each picture's file in the zip."""
    seen: dict[str, str] = {}
    for position, image in enumerate(annotations.images):
        parts = [p for p in PurePosixPath(image.file_name.replace("\\", "/")).parts if p not in ("/", "..", ".")]
        name = PurePosixPath(*parts).with_suffix("").as_posix() + ENDING if parts else f"{position}{ENDING}"
        if seen.setdefault(name, image.file_name) != image.file_name:
            raise BadFileError(
                f"{seen[name]} and {image.file_name} would share the file {name}: rename one of the pictures."
            )
        yield name, position
