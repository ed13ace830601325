"""The journal of a long run: JSON lines beside the output, one finished chunk a line, on disk before the next begins.

Line 1 says what the work is (checksums of the annotation file and the model, and the options that change predictions);
a journal of other work is refused. Every further line is `{"chunk": i, ...}`; a chunk written twice counts as its last
line. A line that was cut off by a crash is dropped and its chunk is done again.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from poseunion.models.errors import BadArgumentError, BadFileError

try:
    import fcntl
except ModuleNotFoundError:  # Windows: two runs at once are then the user's care
    fcntl = None  # type: ignore[assignment]

VERSION = 1


class Journal:
    """An open journal. Use `create` or `resume`.

    Attributes:
        chunks: lines of finished work in it.
    """

    def __init__(self, path: Path, handle: int, end: int, chunks: int = 0) -> None:
        self.path, self.chunks = path, chunks
        self._handle = handle
        self._end = end

    @classmethod
    def create(cls, path: Path, work: dict[str, Any]) -> Journal:
        """Start a journal, dropping one that may lie there."""
        journal = cls._open(path, 0)
        journal.append({"poseunion_journal": VERSION, "work": work})
        return journal

    @classmethod
    def resume(cls, path: Path, work: dict[str, Any]) -> tuple[Journal, Iterator[dict[str, Any]]]:
        """Open a journal to go on with it; also returns its chunk lines, read as they are asked for, the last one of
        each chunk. Starts one where there is none.

        Raises:
            BadFileError: it belongs to other work, or is damaged before its last line.
        """
        first, spans, end = _survey(path) if path.exists() else (None, {}, 0)
        if first is None:
            return cls.create(path, work), iter(())
        if first.get("poseunion_journal") != VERSION:
            raise BadFileError(f"{path} is not a journal this version can go on with: start again with --overwrite.")
        if first.get("work") != work:
            raise BadFileError(
                f"{path} belongs to other work ({_difference(first.get('work'), work)}): "
                "give the same input, model and options, or start again with --overwrite."
            )
        return cls._open(path, end, len(spans)), _lines(path, spans.values())

    @classmethod
    def _open(cls, path: Path, end: int, chunks: int = 0) -> Journal:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise BadFileError(
                f"Cannot write {path}: {error.strerror or error}; choose another folder with --out."
            ) from error
        if fcntl is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(handle)
                raise BadArgumentError(
                    f"{path} is in use by another run: wait for it, or choose another --out."
                ) from error
            except OSError:
                pass  # some network file systems have no locks
        os.ftruncate(handle, end)
        os.lseek(handle, end, os.SEEK_SET)
        return cls(path, handle, end, chunks)

    def append(self, line: dict[str, Any]) -> None:
        """Write one line and wait until it is on disk.

        Raises:
            BadFileError: the disk is full; what was written before stays.
        """
        content = json.dumps(line, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        try:
            written = 0
            while written < len(content):
                written += os.write(self._handle, content[written:])
            os.fsync(self._handle)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, self._end)
            if self._end == 0:  # not even the first line: leave nothing behind
                self.remove()
            raise BadFileError(
                f"Cannot write {self.path}: {error.strerror or error}; finished work is kept, "
                "free space and go on with --resume."
            ) from error
        self._end += len(content)
        self.chunks += "chunk" in line

    def close(self) -> None:
        """Leave the journal on disk."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def remove(self) -> None:
        """The work is done: delete the journal."""
        self.close()
        self.path.unlink(missing_ok=True)


def _survey(path: Path) -> tuple[dict[str, Any] | None, dict[str, tuple[int, int]], int]:
    """The first line, where each chunk's last line lies, and the byte where the last whole line ends."""
    first: dict[str, Any] | None = None
    spans: dict[str, tuple[int, int]] = {}
    end = 0
    try:
        with path.open("rb") as file:
            for number, content in enumerate(file, 1):
                try:
                    line = json.loads(content)
                    if not content.endswith(b"\n") or not isinstance(line, dict):
                        raise ValueError("not a whole line")
                except ValueError as error:
                    if not file.read(1):  # the last line: cut off by a crash
                        break
                    raise BadFileError(f"{path} is damaged in line {number}: start again with --overwrite.") from error
                start, end = end, end + len(content)
                if first is None:
                    first = line
                else:
                    spans[str(line.get("chunk"))] = (start, end)
    except OSError as error:
        raise BadFileError(f"Cannot read {path}: {error.strerror or error}.") from error
    return first, spans, end


def _lines(path: Path, spans: Iterable[tuple[int, int]]) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for start, end in spans:
            file.seek(start)
            yield json.loads(file.read(end - start))


def _difference(theirs: Any, ours: dict[str, Any]) -> str:
    if not isinstance(theirs, dict):
        return "its first line is unreadable"
    different = [k for k in ours if theirs.get(k) != ours[k]] or ["an option"]
    return "another " + ", ".join(different)
