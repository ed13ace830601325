"""Who takes whom: the example's three people near and far, each framed in the colour of the model that took them.

.venv/bin/python docs/route_picture.py      # writes docs/low-resolution-route.jpg
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np

from poseunion.annotate.example import example_dataset
from poseunion.models import read_image
from poseunion.models.drawing import draw_people
from poseunion.models.files import read_json
from poseunion.models.router import load_routed

WIDTH, GAP = 1500, 14
# Heights of the people in each line of the crowd, px: far away above, near below.
LINES = (
    (30, 36, 42, 46, 52, 58, 40, 34, 48, 55, 38, 44, 60, 50),
    (70, 80, 92, 64, 86, 76, 94, 72),
    (110, 150, 125, 180, 138),
    (250, 330, 290),
)
GROUND = (214, 218, 224)
CONTEXT = 0.3  # surroundings of a person, as a share of the longer side
COLOURS = ((235, 25, 45), (0, 110, 220), (120, 80, 200))  # the base is the last model, and green
BASE = (20, 150, 70)


def people() -> list[tuple[np.ndarray, np.ndarray]]:
    """The example's people: what is around each, and the box in it."""
    with tempfile.TemporaryDirectory() as folder:
        labels, pictures = example_dataset(Path(folder))
        document, found = read_json(labels), []
        names = {image["id"]: image["file_name"] for image in document["images"]}
        for person in document["annotations"]:
            image = read_image(pictures / names[person["image_id"]])
            x, y, w, h = person["bbox"]
            more = CONTEXT * max(w, h)
            left, top = max(0, round(x - more)), max(0, round(y - more))
            right, bottom = min(image.shape[1], round(x + w + more)), min(image.shape[0], round(y + h + more))
            found.append((image[top:bottom, left:right], np.array([x - left, y - top, w, h])))
        return found


def crowd() -> tuple[np.ndarray, np.ndarray]:
    """The picture, and (N, 4) boxes."""
    known, lines, boxes, top = people(), [], [], GAP
    for number, heights in enumerate(LINES):
        tiles = []
        for place, height in enumerate(heights):
            image, box = known[(place + number) % len(known)]
            scale = height / max(box[2:])
            size = round(image.shape[1] * scale), round(image.shape[0] * scale)
            tiles.append((cv2.resize(image, size, interpolation=cv2.INTER_AREA), box * scale))
        deep = max(tile.shape[0] for tile, _ in tiles)
        line = np.full((deep + GAP, WIDTH, 3), GROUND, np.uint8)
        free = WIDTH - sum(tile.shape[1] for tile, _ in tiles)
        step = free / (len(tiles) + 1)
        left = step
        for tile, box in tiles:
            x, y = round(left), deep - tile.shape[0]
            line[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
            boxes.append(box + np.array([x, top + y, 0, 0]))
            left += tile.shape[1] + step
        lines.append(line)
        top += deep + GAP
    return np.vstack([np.full((GAP, WIDTH, 3), GROUND, np.uint8), *lines]), np.array(boxes)


def main() -> None:
    image, boxes = crowd()
    routed = load_routed("unified")
    poses, names = routed(image, boxes), routed.names(boxes)
    *students, base = [model.name for model in routed.models]
    colours = {**dict(zip(students, COLOURS, strict=False)), base: BASE}
    drawn = image
    shown = poses.score >= routed.metadata.confidence_threshold
    for one, box in enumerate(boxes):
        role = np.where(shown[one : one + 1], "proposed", "none")
        scale = 0.25 + 0.75 * min(1.0, max(box[2:]) / 300)
        drawn = draw_people(drawn, poses.skeleton, poses.xy[one : one + 1], role_NK=role, scale=scale)
        x, y, w, h = np.rint(box).astype(int).tolist()
        cv2.rectangle(drawn, (x, y), (x + w, y + h), colours[names[one]], 2 if max(w, h) > 100 else 1, cv2.LINE_AA)
    legend = np.full((34, WIDTH, 3), 255, np.uint8)
    left = GAP
    for name, colour in colours.items():
        below = next(row["below_px"] for row in routed.to_json() if row["model"] == name)
        said = f"{name}: {names.count(name)} people" + (f", below {below:g} px" if below else "")
        cv2.rectangle(legend, (left, 9), (left + 16, 25), colour, -1)
        cv2.putText(legend, said, (left + 24, 23), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (40, 40, 40), 1, cv2.LINE_AA)
        left += 60 + 10 * len(said)
    content = np.vstack([legend, drawn])[..., ::-1]
    cv2.imwrite("docs/low-resolution-route.jpg", content, [cv2.IMWRITE_JPEG_QUALITY, 82])


if __name__ == "__main__":
    main()
