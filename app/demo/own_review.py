"""Review of a file that a visitor extended: a folder of the visitor's own, removed with the session."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path

from poseunion.app.demo.extend_upload import Extended
from poseunion.app.demo.guard.limits import KEPT_S
from poseunion.app.demo.review_actions import ReviewActions, ReviewState
from poseunion.models.errors import BadArgumentError
from poseunion.models.files import write_bytes

# Reviews that are open at a time: a file of 25 MB takes about 200 MB of memory while it is under review.
MOST_OPEN = 20
EXPIRED = f"Press Extend again: the pictures are kept for {KEPT_S // 60} minutes only, unless they are under review."


@dataclass(frozen=True)
class Folder:
    """Folder that is removed when nothing refers to this object any more, at the latest with the process."""

    path: Path

    def __post_init__(self) -> None:
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True)
class KeptExtension:
    """Extended file and its pictures, in a folder.

    Attributes:
        size: bytes on disk.
    """

    folder: Folder
    file: Path
    images: Path
    size: int


class OwnReviews:
    """Extended files of all visitors.

    Args:
        place: folder where they are kept; None: the system's folder of temporary files.
        most_bytes: of all files and pictures that are kept at a time.
    """

    def __init__(self, place: Path | None, most_bytes: int) -> None:
        self._place, self._most_bytes = place, most_bytes
        self._lock = threading.Lock()
        # What no session holds any more is gone from these.
        self._kept: weakref.WeakKeyDictionary[Folder, int] = weakref.WeakKeyDictionary()
        self._open: weakref.WeakSet[ReviewActions] = weakref.WeakSet()

    def keep(self, name: str, done: Extended) -> KeptExtension | None:
        """Put a file and its pictures on disk, under the visitor's name of it; None: there is no room."""
        size = len(done.content) + sum(map(len, done.pictures.values()))
        with self._lock:
            if sum(self._kept.values()) + size > self._most_bytes:
                return None
            folder = Folder(Path(tempfile.mkdtemp(prefix="poseunion-review-", dir=self._place)))
            self._kept[folder] = size
        file, images = folder.path / name, folder.path / "images"
        write_bytes(file, done.content)
        for relative, jpeg in done.pictures.items():
            write_bytes(images / relative.replace("\\", "/"), jpeg)
        return KeptExtension(folder, file, images, size)

    def open(self, kept: KeptExtension | None) -> ReviewState:
        """The review of a file at its first person.

        Raises:
            BadArgumentError: it is not kept any more, there is nothing to review, or too many reviews are open.
        """
        if kept is None:
            raise BadArgumentError(EXPIRED)
        with self._lock:
            if len(self._open) >= MOST_OPEN:
                raise BadArgumentError(
                    f"{MOST_OPEN} reviews are open: try again later, or save the file and start poseunion demo "
                    "--review FILE --images DIR."
                )
            actions = ReviewActions([kept.file], kept.images, folder=kept.folder)
            self._open.add(actions)
        if not actions.file(0).queue.total:
            raise BadArgumentError("There is no proposal to review: the people in these pictures lack nothing.")
        return ReviewState(own=actions)
