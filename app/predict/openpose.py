"""`predict --format openpose`: one JSON a picture or frame, as OpenPose writes it and Pose2Sim reads it.

    dance_json/dance_000000000012_keypoints.json: {"version": 1.3, "people": [{"person_id": [1],
                                                   "pose_keypoints_2d": [x, y, confidence] * 25, …}]}

A keypoint below the threshold, outside the picture, or that the model lacks is 0, 0, 0.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from poseunion.annotate.formats.extension import CONFIDENCE_DIGITS, XY_DIGITS
from poseunion.annotate.formats.json_stream import dump
from poseunion.annotate.formats.tools.openpose import BODY, EMPTY, ENDING, VERSION
from poseunion.app.pose_records import DisplayedPoses
from poseunion.app.predict.people import People
from poseunion.models.errors import BadArgumentError
from poseunion.models.files import atomic_folder

BODY_25 = "openpose25"
FOLDER_ENDING = "_json"  # by which Pose2Sim finds the folder of a camera
FRAME_DIGITS = 12
UNTRACKED = -1
OTHER_FIELDS = (*EMPTY, "pose_keypoints_3d", *(name.replace("2d", "3d") for name in EMPTY))


class OpenPoseFiles:
    """Files of pictures or frames so far; `write` makes the folder."""

    def __init__(self, part: Path) -> None:
        self._part = part
        self.images = self.people = self.keypoints = 0

    def add(
        self, name: str, size_wh: tuple[int, int], found: People, view: DisplayedPoses, threshold: float, **facts: Any
    ) -> None:
        """One picture or frame and its people, see `Document.add`."""
        stands_NK = view.accepted(threshold, size_wh)
        self.images += 1
        self.people += len(stands_NK)
        self.keypoints += int(stands_NK.sum())
        people = []
        for n, stands_K in enumerate(stands_NK.tolist()):
            xy, score = view.xy[n].round(XY_DIGITS).tolist(), view.score[n].round(CONFIDENCE_DIGITS).tolist()
            points = [[x, y, s] if here else [0, 0, 0] for (x, y), s, here in zip(xy, score, stands_K, strict=True)]
            track = 0 if found.track is None else int(found.track[n])
            flat = [value for point in points for value in point]
            people.append({"person_id": [track or UNTRACKED], BODY: flat, **{key: [] for key in OTHER_FIELDS}})
        path = self._part / file_of(name, facts.get("frame"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dump({"version": VERSION, "people": people}))

    def write(self, path: Path) -> None:
        """The folder, whole or not at all; one that is there is replaced."""
        with atomic_folder(path, overwrite=True) as folder:
            folder.rmdir()
            self._part.replace(folder)


@contextmanager
def openpose_files(parent: Path) -> Iterator[OpenPoseFiles]:
    """An empty set of files; what was not written disappears with the block.

    Args:
        parent: folder in which the files are collected, on the disk of the target.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".poseunion-", dir=parent) as folder:
        part = Path(folder) / "files"
        part.mkdir()
        yield OpenPoseFiles(part)


def file_of(name: str, frame: int | None) -> str:
    """File of a picture, or of a frame, which is named `VIDEO/000012.jpg`.

    >>> file_of("a/b.png", None), file_of("a/dance/000012.jpg", 12)
    ('a/b_keypoints.json', 'dance_000000000012_keypoints.json')
    """
    path = PurePosixPath(name)
    if frame is None:
        return path.with_suffix("").as_posix() + ENDING
    return f"{path.parent.name}_{frame:0{FRAME_DIGITS}d}{ENDING}"


def check_names(names: Iterable[str]) -> None:
    """Check that each picture has a file of its own; raises BadArgumentError."""
    twice = [name for name, count in Counter(file_of(name, None) for name in names).items() if count > 1]
    if twice:
        raise BadArgumentError(
            f"Two pictures would share {twice[0]}, as OpenPose names files without the pictures' endings: rename one."
        )
