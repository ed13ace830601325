"""The journal of a long run: JSON lines beside the output, one finished chunk a line, on disk before the next begins.

Line 1 describes the work (checksums of the annotation file and the model, and the options that change predictions);
a journal of other work is refused. Every further line is `{"chunk": i, ...}`; a chunk written twice counts as its last
line. Every line begins with the CRC-32 of the rest: a line that a crash cut off or a disk damaged is counted, dropped,
and its chunk is done again.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.files import refuse_irregular
from poseunion.models.locks import lock_file

if TYPE_CHECKING:
    from filelock import AcquireReturnProxy

VERSION = 3  # 2: a checksum a line, and the stamps of the pictures; 3: `in_picture` of each keypoint


class Journal:
    """An open journal. Use `create` or `resume`.

    Attributes:
        chunks: lines of finished work in it.
        damaged: lines that were dropped.
    """

    def __init__(self, path: Path, handle: int, end: int, chunks: int = 0, damaged: int = 0) -> None:
        self.path, self.chunks, self.damaged = path, chunks, damaged
        self._handle, self._end = handle, end
        self._lock_path = path.with_name(f".{path.name}.lock")
        busy = f"{path} is in use by another run: wait for it, or choose another --out."
        self._lock: AcquireReturnProxy | None = None
        try:
            self._lock = lock_file(self._lock_path, busy)
        except BadArgumentError:
            os.close(handle)
            raise
        except BadFileError:
            pass  # some network file systems have no locks
        os.ftruncate(handle, end)
        os.lseek(handle, end, os.SEEK_SET)

    @classmethod
    def create(cls, path: Path, work: dict[str, Any]) -> Journal:
        """Start a journal, dropping one that may lie there."""
        journal = cls._open(path, 0)
        journal.append({"poseunion_journal": VERSION, "work": work})
        return journal

    @classmethod
    def resume(cls, path: Path, work: dict[str, Any]) -> tuple[Journal, Iterator[dict[str, Any]]]:
        """Open a journal to go on with it; also returns its chunk lines, read lazily, the last one of
        each chunk. Starts one where there is none.

        Raises:
            BadFileError: it belongs to other work, or is no journal.
        """
        refuse_irregular(path)
        first, spans, end, damaged = _survey(path) if path.exists() else (None, {}, 0, 0)
        if first is None:
            journal = cls.create(path, work)
            journal.damaged = damaged
            return journal, iter(())
        if first.get("poseunion_journal") != VERSION:
            raise BadFileError(f"{path} is not a journal this version can go on with: start again with --overwrite.")
        if first.get("work") != work:
            raise BadFileError(
                f"{path} belongs to other work ({_difference(first.get('work'), work)}): "
                "give the same input, model and options, or start again with --overwrite."
            )
        return cls._open(path, end, len(spans), damaged), _lines(path, spans.values())

    @classmethod
    def _open(cls, path: Path, end: int, chunks: int = 0, damaged: int = 0) -> Journal:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise BadFileError(
                f"Cannot write {path}: {error.strerror or error}; choose another folder with --out."
            ) from error
        return cls(path, handle, end, chunks, damaged)

    def append(self, line: dict[str, Any]) -> None:
        """Write one line and wait until it is on disk.

        Raises:
            BadFileError: the disk is full; what was written before stays.
        """
        content = _sealed(json.dumps(line, allow_nan=False, separators=(",", ":")).encode())
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
            if self._lock is not None:
                with contextlib.suppress(OSError):  # Windows removes no open file: it stays, and is empty
                    self._lock_path.unlink()
                self._lock.lock.release()

    def remove(self) -> None:
        """The work is done: delete the journal."""
        self.close()
        self.path.unlink(missing_ok=True)


def _sealed(content: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(content), content)


def _opened(line: bytes) -> dict[str, Any] | None:
    """What a line holds; None where it is damaged. Nothing is parsed before its checksum is right."""
    checksum, _, content = line[:-1].partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(content):
        return None
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _survey(path: Path) -> tuple[dict[str, Any] | None, dict[str, tuple[int, int]], int, int]:
    """The first line, where each chunk's last line lies, the byte where the last whole line ends, damaged lines."""
    first: dict[str, Any] | None = None
    spans: dict[str, tuple[int, int]] = {}
    end = damaged = position = 0
    try:
        with path.open("rb") as file:
            for content in file:
                start, position = position, position + len(content)
                line = _opened(content)
                if start == 0:
                    # Without its head the work is unknown; a head that was cut off has nothing behind it.
                    if line is None and content.endswith(b"\n") and not _is_head(content):
                        raise BadFileError(
                            f"{path} is not a journal this version can go on with: start again with --overwrite."
                        )
                    first = line
                    if first is None:
                        return None, {}, 0, 1
                    end = position
                elif line is None:
                    damaged += content.endswith(b"\n")  # the last one, cut off, is no damage but a crash
                else:
                    end = position
                    spans[str(line.get("chunk"))] = (start, end)
    except OSError as error:
        raise BadFileError(f"Cannot read {path}: {error.strerror or error}.") from error
    return first, spans, end, damaged


def _is_head(content: bytes) -> bool:
    """Whether a damaged first line was a journal's, by what is left of it."""
    return b'"poseunion_journal"' in content[:64]


def _lines(path: Path, spans: Iterable[tuple[int, int]]) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for start, end in spans:
            file.seek(start)
            if (line := _opened(file.read(end - start))) is not None:
                yield line


def _difference(theirs: Any, ours: dict[str, Any]) -> str:
    if not isinstance(theirs, dict):
        return "its first line is unreadable"
    different = [k for k in ours if theirs.get(k) != ours[k]] or ["an option"]
    return "another " + ", ".join(different)
