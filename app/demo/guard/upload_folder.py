"""Folder of uploads, removed with the page, also after SIGTERM, and after SIGKILL when the next page starts."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from poseunion.models.locks import lock_folder

PREFIX = "poseunion-demo-"


@contextlib.contextmanager
def upload_folder() -> Iterator[Path]:
    """A folder of this process, removed at the end; folders that killed pages have left are removed first."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        _remove_if_left(left)
    # SIGTERM and SIGHUP end a process without any clean-up unless they become an exception.
    ends = [s for s in (signal.SIGTERM, getattr(signal, "SIGHUP", None)) if s is not None]
    before = {}
    with contextlib.suppress(ValueError):  # not the main thread: its owner handles signals
        before = {number: signal.signal(number, _leave) for number in ends}
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name, _locked(Path(name)):
        yield Path(name)
    for number, handler in before.items():
        signal.signal(number, handler)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock, which ends with the process however that ends; gives False where another has it."""
    if sys.platform == "win32":
        yield False
        return
    with lock_folder(folder, wait=False) as held:
        yield held


def _remove_if_left(folder: Path) -> None:
    with contextlib.suppress(OSError):
        if (
            folder.is_symlink()
            or not folder.is_dir()
            or (sys.platform != "win32" and folder.stat().st_uid != os.getuid())
        ):
            return
        with _locked(folder) as left:
            if left:
                shutil.rmtree(folder, ignore_errors=True)
