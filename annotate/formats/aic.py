"""AI Challenger's own json: a list of pictures with their people (Wu et al., 2019).

A picture is `{"image_id", "url", "human_annotations": {"human1": [x1, y1, x2, y2]}, "keypoint_annotations":
{"human1": [x, y, v] * 14}}`; its file is `image_id` + `.jpg`. v is 1 visible, 2 not visible, 3 not labelled (the
reverse of COCO's). Files converted to COCO style, as mmpose's, are read as COCO.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from poseunion.annotate.formats.added_fields import added_fields, blocks, own_positions
from poseunion.annotate.formats.boxes import fill_boxes
from poseunion.annotate.formats.coco.coco_json import are_numbers
from poseunion.annotate.formats.extension import Extension
from poseunion.annotate.formats.json_stream import write_list
from poseunion.annotate.formats.skeleton_match import reordered
from poseunion.annotate.formats.types import (
    MALFORMED,
    NO_HUMAN_KEYPOINT,
    AnnotationSet,
    ImageRef,
    Problem,
    Report,
    Source,
    empty_rows,
    refuse,
)
from poseunion.annotate.formats.visibility import AIC
from poseunion.models.errors import BadFileError
from poseunion.models.skeleton import Skeleton, Visibility, load_skeleton

NAME = "aic"
BOXES, KEYPOINTS = "human_annotations", "keypoint_annotations"
UNLABELLED = [0, 0, 3]


def detect(source: Source) -> bool:
    """Whether this is a list of objects with `keypoint_annotations`."""
    return KEYPOINTS in source.first


def read(source: Source, skeleton: Skeleton | None = None, report: Report | None = None) -> AnnotationSet:
    """Read AI Challenger's json; arguments and errors as in `coco_json.read`. One record is one person."""
    report = report or refuse(source.path)
    aic = load_skeleton("aic14")
    aic = reordered(aic, skeleton.keypoints) if skeleton else aic
    if not isinstance(source.document, list):
        raise BadFileError(f"{source.path} is not AI Challenger's json: a list of pictures is expected.")
    images: list[ImageRef] = []
    people: list[tuple[int, str, Any, Any]] = []
    for index, entry in enumerate(source.document):
        problem = _picture_problem(entry)
        if problem:
            report(Problem(f"picture {index}", problem))
            entry = {"image_id": "", KEYPOINTS: {}}
        images.append(ImageRef(entry["image_id"], f"{entry['image_id']}.jpg" if entry["image_id"] else ""))
        boxes = entry.get(BOXES) or {}
        people += [(index, human, points, boxes.get(human)) for human, points in entry[KEYPOINTS].items()]

    xy_NK2, visibility_NK, box_N4, image_N = empty_rows(len(people), len(aic))
    records: list[dict[str, Any]] = []
    skip: dict[int, str] = {}
    for row, (index, human, points, box) in enumerate(people):
        records.append({"image": images[index].file_name, "human": human})
        image_N[row] = index
        problems = _person_problems(points, box, len(aic))
        for text in problems:
            report(Problem(f"picture {index} ({images[index].id}), {human}", text))
        if problems:
            skip[row] = MALFORMED
            continue
        values = np.array(points, np.float64).reshape(-1, 3)
        states = AIC.read(values[:, 2])
        assert states is not None  # checked above
        visibility_NK[row] = states
        xy_NK2[row] = np.where(states[:, None] > 0, values[:, :2], 0.0)
        if box is not None:
            box_N4[row] = box[0], box[1], box[2] - box[0], box[3] - box[1]
        if not (states > 0).any():
            skip[row] = NO_HUMAN_KEYPOINT
    fill_boxes(box_N4, xy_NK2, visibility_NK, aic)
    return AnnotationSet(NAME, aic, source, records, images, image_N, xy_NK2, visibility_NK, box_N4, None, skip, 1)


def _picture_problem(entry: Any) -> str | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("image_id"), str) or not entry["image_id"]:
        return "a picture needs an image_id"
    if not isinstance(entry.get(KEYPOINTS), dict):
        return f"{KEYPOINTS} is not an object of people"
    if not isinstance(entry.get(BOXES, {}), dict):
        return f"{BOXES} is not an object of people"
    return None


def _person_problems(points: Any, box: Any, k: int) -> list[str]:
    problems = []
    if not are_numbers(points, 3 * k):
        problems.append(f"its keypoints are not {3 * k} finite numbers")
    elif not set(points[2::3]) <= set(AIC.to_state):
        odd = next(v for v in points[2::3] if v not in AIC.to_state)
        problems.append(f"a keypoint has visibility {odd:g}, where 1, 2 or 3 is expected")
    if box is not None and not are_numbers(box, 4):
        problems.append(f"its box {box!r} is not four finite numbers")
    return problems


def write(file: BinaryIO, annotations: AnnotationSet, extension: Extension) -> None:
    """The file as it was, every picture with `keypoint_union` beside its `keypoint_annotations`.

    `keypoint_union` holds for each person `keypoints` (x, y, v in AI Challenger's numbers, in the order of the output's
    skeleton, which the first picture names in `keypoint_names`), `keypoint_source`, `keypoint_confidence` and
    `proposals`.
    """
    names = extension.skeleton.keypoints
    own = own_positions(annotations, extension.skeleton)
    rows = blocks(len(annotations), extension)

    def pictures() -> Iterator[dict[str, Any]]:
        for position, entry in enumerate(annotations.source.document):
            added: dict[str, Any] = {}
            for human, points in entry[KEYPOINTS].items():
                index, completion = next(rows)
                row = index - completion.start
                triples = [list(UNLABELLED) for _ in names]
                for k, place in enumerate(own):
                    triples[place] = points[3 * k : 3 * k + 3]
                for k in completion.new(row):
                    v = AIC.from_state[Visibility(int(completion.visibility[row, k]))]
                    triples[k] = [*completion.xy[row, k].tolist(), v]
                flat = [value for triple in triples for value in triple]
                added[human] = {"keypoints": flat, **added_fields(completion, row, names)}
            heading = {"keypoint_names": list(names)} if position == 0 else {}
            yield {**entry, **heading, "keypoint_union": added}

    write_list(file, pictures())
    file.write(b"\n")
