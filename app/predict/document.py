"""A COCO-style file that is written while people are still being found: memory does not grow with it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from poseunion.annotate.formats.json_stream import dump
from poseunion.app import pose_records
from poseunion.app.pose_records import DisplayedPoses
from poseunion.app.predict.people import People
from poseunion.models.files import atomic_writer
from poseunion.models.poses.person_score import person_score

IN_MEMORY = 1 << 20  # bytes of either list before it goes to a temporary file


class Document:
    """Pictures and people so far; `write` makes the file."""

    def __init__(self, head: dict[str, Any], images: IO[bytes], people: IO[bytes]) -> None:
        self._head, self._images, self._people = head, images, people
        self.images = self.people = self.keypoints = 0

    def add(
        self, name: str, size_wh: tuple[int, int], found: People, view: DisplayedPoses, threshold: float, **facts: Any
    ) -> None:
        """One picture and its people.

        Args:
            facts: more fields of the picture.
        """
        self.images += 1
        width, height = size_wh
        image = {"id": self.images, "file_name": name, "width": width, "height": height, **facts}
        _append(self._images, image, first=self.images == 1)
        stands = view.accepted(threshold, size_wh)
        for n, box in enumerate(found.poses.box_xywh.astype(np.float64)):
            self.people += 1
            self.keypoints += int(stands[n].sum())
            person = {"id": self.people, "image_id": self.images, **pose_records.record(view, n, stands[n], box)}
            person["score"] = _score(found, view, n)
            if found.track is not None:
                person["track_id"] = int(found.track[n]) or None
            _append(self._people, person, first=self.people == 1)

    def write(self, path: Path) -> None:
        """The whole file, atomically."""
        with atomic_writer(path) as file:
            file.write(b"{")
            for key, value in self._head.items():
                file.write(dump(key) + b": " + dump(value) + b",\n")
            for key, entries in (("images", self._images), ("annotations", self._people)):
                file.write(dump(key) + b": [\n")
                entries.seek(0)
                shutil.copyfileobj(entries, file)
                file.write(b"\n],\n" if key == "images" else b"\n]}\n")


@contextmanager
def document(head: dict[str, Any]) -> Iterator[Document]:
    """An empty document; what it has on disk disappears with the block."""
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as images, tempfile.SpooledTemporaryFile(IN_MEMORY) as people:
        yield Document(head, images, people)


def _append(entries: IO[bytes], value: dict[str, Any], *, first: bool) -> None:
    entries.write((b"" if first else b",\n") + dump(value))


def _score(found: People, view: DisplayedPoses, n: int) -> float:
    """Detection score times the person's score, by which COCO's AP ranks."""
    known = np.isfinite(view.xy[n]).all(-1)
    box = 1.0 if found.box_score is None else float(found.box_score[n])
    in_picture = None if np.isnan(view.in_picture[n, known]).any() else view.in_picture[n, known]
    return round(box * float(person_score(view.score[n, known], in_picture)), 4) if known.any() else 0.0
