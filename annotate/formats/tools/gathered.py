"""People gathered from shapes: what labelling tools hold, a box and single points that belong together by an id.

Label Studio, labelme and CVAT's XML name each point; a file's skeleton is the known one with most of these names. A
point of another name stays in the file and is listed. A box without points is a person only if its class is one that
has points elsewhere in the file, or is called a person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from poseunion.annotate.formats.boxes import fill_boxes
from poseunion.annotate.formats.coco.categories import is_animal, is_chosen, reason_of, unknown_choice
from poseunion.annotate.formats.keypoint_spelling import canonical
from poseunion.annotate.formats.skeleton_match import known_skeletons, places_of_spellings, reordered
from poseunion.annotate.formats.types import (
    MALFORMED,
    NO_HUMAN_KEYPOINT,
    AnnotationSet,
    ImageRef,
    Problem,
    Report,
    Source,
    empty_rows,
)
from poseunion.models.errors import BadFileError, SkeletonError
from poseunion.models.skeleton import Skeleton, Visibility, load_skeleton

PERSON = "person"
PEOPLE = frozenset({PERSON, "people", "human", "pedestrian", "man", "woman", "child", "player", "athlete"})
# Fewer names in common than this are a coincidence.
FEWEST_NAMES = 3


@dataclass
class Found:
    """One person, or one thing of another class, as a tool's file holds it.

    Attributes:
        image: position among the pictures.
        place: where it stands in the file, to be searched for.
        label: its class.
        points: name in the file -> x, y (pixels), state.
        box_xywh: pixels, or None.
        record: what is kept of it beside the points.
        problem: why it cannot be read, or None.
    """

    image: int
    place: str
    label: str = PERSON
    points: dict[str, tuple[float, float, Visibility]] = field(default_factory=dict)
    box_xywh: tuple[float, float, float, float] | None = None
    record: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None

    def add(self, name: str, x: float, y: float, state: Visibility) -> None:
        """A point; the same name twice is a problem."""
        if name in self.points:
            self.problem = f"it has the point {name} twice"
        self.points[name] = (x, y, state)


def skeleton_of_labels(names: Iterable[str], expected: Skeleton | None, path: Path) -> tuple[Skeleton, dict[str, int]]:
    """The skeleton that most of a file's point names belong to, and which keypoint each name is.

    Raises:
        BadFileError: too few of them belong to any known skeleton.
    """
    names = list(dict.fromkeys(names))
    candidates = [expected] if expected is not None else [*map(load_skeleton, known_skeletons())]
    fitting = [(skeleton, _index_of(names, skeleton)) for skeleton in candidates]
    skeleton, index = max(fitting, key=lambda pair: (len(pair[1]), -len(pair[0])))
    if (expected is None and len(index) < FEWEST_NAMES) or (names and not index):
        listed = ", ".join(names[:30])
        fault = f"the names of its points are of no known skeleton ({listed})" if names else "it has no named points"
        raise BadFileError(f"{path}: {fault}: give the skeleton with --skeleton NAME or SKELETON.toml.")
    if len(index) == len(names) == len(skeleton):
        try:
            spelled = reordered(skeleton, sorted(names, key=lambda name: index[name]))
            return spelled, index
        except SkeletonError:
            pass
    return skeleton, index


def _index_of(names: Sequence[str], skeleton: Skeleton) -> dict[str, int]:
    places = places_of_spellings(skeleton)
    index: dict[str, int] = {}
    for name in names:
        k = places.get(canonical(name))
        if k is not None and k not in index.values():
            index[name] = k
    return index


def annotation_set(
    name: str,
    source: Source,
    images: list[ImageRef],
    found: Sequence[Found],
    skeleton: Skeleton | None,
    report: Report,
    *,
    declared: Sequence[str] = (),
    unread: Mapping[str, int] = {},
) -> AnnotationSet:
    """The people and other things of a file as its annotations.

    Args:
        name: of the format.
        declared: point names that the file lists for its skeleton, whether used or not.
        unread: see `AnnotationSet.unread`.
    """
    skeleton, index = skeleton_of_labels([*declared, *(n for f in found for n in f.points)], skeleton, source.path)
    labels = list(dict.fromkeys(f.label for f in found)) or [PERSON]
    names: dict[Any, str] = dict(zip(labels, labels, strict=True))
    if fault := unknown_choice(source.categories, names):
        raise BadFileError(f"{source.path}: {fault}.")
    wanted = source.categories
    with_points = {f.label for f in found if f.points}
    people = {
        label: label
        for label in labels
        if (
            is_chosen(wanted, label, label)
            if wanted
            else not is_animal(label) and (label in with_points or label.lower() in PEOPLE)
        )
    }
    rows = empty_rows(len(found), len(skeleton))
    xy_NK2, visibility_NK, box_N4, image_N = rows
    visibility_NK[:] = Visibility.ABSENT
    skip: dict[int, str] = {}
    foreign: Counter[str] = Counter()
    for row, person in enumerate(found):
        image_N[row] = person.image
        if person.label not in people:
            skip[row] = reason_of(person.label, person.label, animal=is_animal(person.label))
            continue
        values = [v for x, y, _ in person.points.values() for v in (x, y)] + list(person.box_xywh or ())
        problem = person.problem or (None if np.isfinite(values).all() else "a coordinate is not finite")
        if problem is not None:
            report(Problem(person.place, problem))
            skip[row] = MALFORMED
            continue
        for point, (x, y, state) in person.points.items():
            k = index.get(point)
            if k is None:
                foreign[point] += 1
            elif state > 0:
                xy_NK2[row, k], visibility_NK[row, k] = (x, y), state
        if person.box_xywh is not None and min(person.box_xywh[2:]) > 0:
            box_N4[row] = person.box_xywh
        if not (visibility_NK[row] > 0).any():
            skip[row] = NO_HUMAN_KEYPOINT
    for point, count in foreign.items():
        report(Problem("points", f"{point} is no keypoint of {skeleton.name}: {count} left as they are", False))
    fill_boxes(box_N4, xy_NK2, visibility_NK, skeleton)
    records = [person.record for person in found]
    of: list[Any] = [person.label for person in found]
    left = {reason: count for reason, count in unread.items() if count}
    xy, states, box, image, first = *rows, next(iter(people), PERSON)
    return AnnotationSet(
        name, skeleton, source, records, images, image, xy, states, box, None, skip, first, people, names, of, left
    )


def owner_of(xy: tuple[float, float], boxes: Sequence[Found]) -> Found | None:
    """The one of `boxes` that a point without an id of its own belongs to: the only one, or the only one around it."""
    if len(boxes) == 1:
        return boxes[0]
    around = [f for f in boxes if f.box_xywh is not None and _holds(f.box_xywh, xy)]
    return around[0] if len(around) == 1 else None


def _holds(box: tuple[float, float, float, float], xy: tuple[float, float]) -> bool:
    return box[0] <= xy[0] <= box[0] + box[2] and box[1] <= xy[1] <= box[1] + box[3]
