"""The README's picture: the bundled example as people labelled it, and completed.

make example && .venv/bin/python docs/headline_screen.py      # writes docs/headline.jpg
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np

from poseunion.annotate.example import LABELS, example_dataset
from poseunion.annotate.formats import read_annotations
from poseunion.annotate.show import show

HEIGHT_PX, GAP_PX = 420, 8
EXTENDED = Path("runs/example/extended.json")


def row(annotations: Path, pictures: Path, out: Path) -> np.ndarray:
    """One line of overlays of the same height."""
    report = show(read_annotations(annotations), pictures, out)
    read = [cv2.imread(path) for path in report.written]
    tiles = [cv2.resize(t, (round(t.shape[1] * HEIGHT_PX / t.shape[0]), HEIGHT_PX)) for t in read if t is not None]
    gap = np.full((HEIGHT_PX, GAP_PX, 3), 255, np.uint8)
    return np.hstack([part for tile in tiles for part in (tile, gap)][:-1])


with tempfile.TemporaryDirectory() as folder:
    _, pictures = example_dataset(Path(folder) / "pictures")
    before = row(LABELS, pictures, Path(folder) / "before")
    after = row(EXTENDED, pictures, Path(folder) / "after")
gap = np.full((GAP_PX, before.shape[1], 3), 255, np.uint8)
cv2.imwrite("docs/headline.jpg", np.vstack([before, gap, after]), [cv2.IMWRITE_JPEG_QUALITY, 70])
