"""Locks between processes; the system releases them when the process ends, also if it is killed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from poseunion.models.errors import BadArgumentError, BadFileError

if TYPE_CHECKING:
    from filelock import AcquireReturnProxy


def lock_file(path: Path, busy: str | None = None) -> AcquireReturnProxy:
    """Exclusive lock of the empty file `path`, a context manager.

    Args:
        busy: message of the error where another process or thread has it; None: wait.

    Raises:
        BadArgumentError: `busy`. BadFileError: the file system has no locks, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout  # it loads asyncio: 40 ms that most processes need not spend

    # Other users of a shared folder have to open it, too; it holds nothing.
    lock = FileLock(path, timeout=-1 if busy is None else 0, mode=0o666, thread_local=False)
    try:
        return lock.acquire(poll_interval=0.01)
    except Timeout as error:
        raise BadArgumentError(busy or str(error)) from error
    except (OSError, NotImplementedError) as error:
        raise BadFileError(f"Cannot lock {path}: {error}; use a folder that can be written.") from error


@contextlib.contextmanager
def lock_folder(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Exclusive lock of a folder itself, so that no file is left in it; not on Windows, which cannot open folders.

    Args:
        wait: until another process releases it; else give False at once.

    Raises:
        OSError: the folder cannot be opened.
    """
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            held = True
        except BlockingIOError:
            held = False
        yield held
    finally:
        os.close(handle)
