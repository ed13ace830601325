"""Shifted settings of labelled people: worse pictures, wrong boxes, other labels, each person as a picture of its own.

    from shifted_people import SHIFTS, write_people

Used by `self_check_shift.py`.

Shapes: K keypoints of the file.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from poseunion.annotate.formats import AnnotationSet
from poseunion.models.images import read_image
from poseunion.models.picture_paths import picture_path
from poseunion.models.progress import track
from poseunion.models.skeleton import mirrored

GROWN = 2.2  # of the box: more than the network's crop of a box that is a third of its size off

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """A person in a picture of its own.

    Attributes:
        xy: (K, 2) px of this picture.
        visibility: (K,)
        box_xywh: (4,) px.
        other_xywh: box of the nearest other labelled person of the picture; None: there is none.
        swapped: (K,) index of each keypoint's mirror.
    """

    image: Pixels
    xy: NDArray[np.float64]
    visibility: NDArray[np.int8]
    box_xywh: NDArray[np.float64]
    area: float
    other_xywh: NDArray[np.float64] | None
    swapped: NDArray[np.intp]

    @property
    def height(self) -> float:
        """px of the box."""
        return float(self.box_xywh[3])


Shift = Callable[[Scene, np.random.Generator], "Scene | None"]


def pixels(change: Callable[[Pixels, float, np.random.Generator], NDArray[np.generic]]) -> Shift:
    """Shift of the pixels alone, given the person's height."""

    def shifted(scene: Scene, rng: np.random.Generator) -> Scene:
        return dataclasses.replace(scene, image=change(scene.image, scene.height, rng).astype(np.uint8))

    return shifted


def dark(light: float) -> Shift:
    """A share of the light, with the noise of a sensor."""
    return pixels(lambda image, height, rng: np.clip(image * light + rng.normal(0, 6, image.shape), 0, 255))


def blurred(share: float) -> Shift:
    """Out of focus: a Gaussian of a share of the person's height."""
    return pixels(lambda image, height, rng: cv2.GaussianBlur(image, (0, 0), height * share))


def _moving(image: Pixels, height: float, rng: np.random.Generator) -> NDArray[np.generic]:
    """Moved along a line of a sixth of the person's height while the shutter was open."""
    length = max(3, round(height / 6))
    kernel = np.zeros((length, length), np.float32)
    end = (length - 1) / 2 * np.array([np.cos(a := rng.uniform(0, np.pi)), np.sin(a)])
    middle = np.array([length - 1, length - 1]) / 2
    cv2.line(kernel, tuple(np.rint(middle - end).astype(int)), tuple(np.rint(middle + end).astype(int)), 1.0)
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def small(height_px: float) -> Shift:
    """Shrunk until the person is so high, and enlarged again."""

    def change(image: Pixels, height: float, rng: np.random.Generator) -> NDArray[np.generic]:
        h, w = image.shape[:2]
        scale = min(1.0, height_px / height)
        shrunk = cv2.resize(image, (max(1, round(w * scale)), max(1, round(h * scale))), interpolation=cv2.INTER_AREA)
        return cv2.resize(shrunk, (w, h), interpolation=cv2.INTER_LINEAR)

    return pixels(change)


def edges(low: int, high: int) -> Shift:
    """Black lines on white (Canny)."""
    return pixels(
        lambda image, height, rng: np.repeat(
            255 - cv2.Canny(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), low, high)[..., None], 3, 2
        )
    )


def upside_down(scene: Scene, rng: np.random.Generator) -> Scene:
    """Turned by 180 degrees."""
    size = np.array(scene.image.shape[1::-1])
    x, y, w, h = scene.box_xywh
    box = np.array([size[0] - x - w, size[1] - y - h, w, h])
    image = np.ascontiguousarray(scene.image[::-1, ::-1])
    return dataclasses.replace(scene, image=image, xy=size - 1 - scene.xy, box_xywh=box)


def box_off(scene: Scene, rng: np.random.Generator) -> Scene:
    """Box moved by a third of its size, to the left, right, top or bottom."""
    box = scene.box_xywh.copy()
    axis = rng.integers(2)
    box[axis] += rng.choice([-1, 1]) * box[2 + axis] / 3
    return dataclasses.replace(scene, box_xywh=box)


def others_box(scene: Scene, rng: np.random.Generator) -> Scene | None:
    """Box of the nearest other person; people who are alone are left out."""
    return None if scene.other_xywh is None else dataclasses.replace(scene, box_xywh=scene.other_xywh)


def viewers_sides(scene: Scene, rng: np.random.Generator) -> Scene:
    """Labels with left and right as the viewer has them."""
    return dataclasses.replace(scene, xy=scene.xy[scene.swapped], visibility=scene.visibility[scene.swapped])


def careless(share: float) -> Shift:
    """Labels off by a normal deviate of a share of the person's height, an axis."""
    return lambda scene, rng: dataclasses.replace(
        scene, xy=scene.xy + rng.normal(0, share * scene.height, scene.xy.shape)
    )


def small_area(scene: Scene, rng: np.random.Generator) -> Scene:
    """An `area` of a quarter, as of a face or torso: gross errors begin at half the distance."""
    return dataclasses.replace(scene, area=scene.area / 4)


def both(first: Shift, second: Shift) -> Shift:
    """One shift, then another."""

    def shifted(scene: Scene, rng: np.random.Generator) -> Scene | None:
        between = first(scene, rng)
        return None if between is None else second(between, rng)

    return shifted


SHIFTS: dict[str, Shift] = {
    "honest": lambda scene, rng: scene,
    "dark": dark(0.1),
    "black": dark(0.03),
    "blurred": blurred(1 / 40),
    "much blurred": blurred(1 / 15),
    "moving": pixels(_moving),
    "24 px": small(24),
    "16 px": small(16),
    "12 px": small(12),
    "edges": edges(80, 160),
    "few edges": edges(200, 400),
    "upside down": upside_down,
    "upside down, box off": both(upside_down, box_off),
    "box off": box_off,
    "another's box": others_box,
    "careless labels": careless(0.03),
    "very careless labels": careless(0.06),
    "small area": small_area,
    "viewer's sides": viewers_sides,
}
_EACH = tuple(SHIFTS.values())
SHIFTS["mixed"] = lambda scene, rng: _EACH[rng.integers(len(_EACH))](scene, rng)


def scenes(annotations: AnnotationSet, images: Path, most: int) -> list[tuple[int, Scene]]:
    """(record, scene) of labelled people, at most so many, drawn by lot."""
    names = annotations.skeleton.keypoints
    swapped = np.array([names.index(mirrored(name)) for name in names])
    people = [p for p in annotations.persons() if p.skip is None and p.image is not None]
    found = []
    chosen = np.random.default_rng(0).permutation(len(people))[:most]
    for person in track([people[i] for i in np.sort(chosen)], "people"):
        assert person.image is not None
        image = read_image(picture_path(images, person.image.file_name), exif=False)
        x, y, w, h = person.box_xywh
        low = np.maximum(0, np.floor([x + w / 2 - GROWN * w / 2, y + h / 2 - GROWN * h / 2])).astype(int)
        high = np.ceil([x + w / 2 + GROWN * w / 2, y + h / 2 + GROWN * h / 2]).astype(int)
        origin = np.array([*low, 0, 0])
        others = [
            np.asarray(p.box_xywh, np.float64) - origin
            for p in people
            if p.image is not None and p.image.file_name == person.image.file_name and p.index != person.index
        ]
        centre = np.array([x + w / 2, y + h / 2]) - low
        other = min(others, key=lambda b: float(np.linalg.norm(b[:2] + b[2:] / 2 - centre)), default=None)
        part = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
        if other is not None:  # it must lie in this person's picture
            inner = np.minimum(other[:2] + other[2:], part.shape[1::-1]) - np.maximum(other[:2], 0)
            other = other if (inner > 0.5 * other[2:]).all() else None
        record = annotations.records[person.index]
        area = float(record.get("area", w * h))
        box = np.array([x, y, w, h]) - origin
        found.append((person.index, Scene(part, person.xy - low, person.visibility, box, area, other, swapped)))
    return found


def write_people(people: list[tuple[int, Scene]], names: tuple[str, ...], setting: str, folder: Path) -> Path:
    """A picture a person in one setting, and `people.json` of them, whose path is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for number, scene in people:
        shown = SHIFTS[setting](scene, np.random.default_rng(number))
        if shown is None:
            continue
        h, w = shown.image.shape[:2]
        in_picture = ((shown.xy >= 0) & (shown.xy <= [w - 1, h - 1])).all(-1)
        visibility = np.where(in_picture, np.maximum(shown.visibility, 0), 0)
        values = np.where(visibility[:, None] > 0, np.column_stack([shown.xy, visibility]), 0)
        images.append({"id": number, "file_name": f"{number}.png", "width": w, "height": h})
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": shown.box_xywh.tolist(),
                "area": shown.area,
                "num_keypoints": int((visibility > 0).sum()),
                "keypoints": values.ravel().tolist(),
            }
        )
        Image.fromarray(shown.image).save(folder / f"{number}.png", compress_level=1)
    category = {"id": 1, "name": "person", "keypoints": list(names), "skeleton": []}
    file = folder / "people.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))
    return file
