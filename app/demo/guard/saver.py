"""Log of decisions beside the file: append-only, checksummed, on disk before they are shown as saved, folded in later.

Rewriting a file of 20,000 people takes seconds; a line and an fsync take milliseconds. A process that is killed in
between loses nothing: opening the file for review folds in what its log still holds.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from poseunion.annotate.review.decisions import Decision, one_writer, read_extended, record, write_document
from poseunion.models.errors import BadFileError, PoseUnionError
from poseunion.models.files import read_regular

log = logging.getLogger(__name__)


def log_path(path: Path) -> Path:
    """The log beside a file under review."""
    return path.with_name(path.name + ".decisions.jsonl")


def refused_path(path: Path) -> Path:
    """File that keeps the log's lines that cannot be recorded."""
    return path.with_name(path.name + ".refused.jsonl")


def to_line(decision: Decision) -> bytes:
    """A line of the log: CRC-32, then the decision."""
    content = json.dumps(dataclasses.asdict(decision), ensure_ascii=False, allow_nan=False).encode()
    return b"%08x %s\n" % (zlib.crc32(content), content)


def from_line(line: bytes) -> Decision:
    """Back from a line; raises ValueError where it is cut short or damaged."""
    checksum, _, content = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(content):
        raise ValueError("the line is damaged")
    fields: dict[str, Any] = json.loads(content)
    for name in ("from_xyv", "to_xyv"):
        fields[name] = None if fields[name] is None else tuple(fields[name])
    try:
        return Decision(**fields)
    except (TypeError, PoseUnionError) as error:
        raise ValueError(str(error)) from error


class Saver:
    """Saves decisions: at once in the log, and at leisure in the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._condition = threading.Condition()
        self._busy = self._wanted = False
        self._faults: list[str] = []

    def add(self, decisions: Sequence[Decision]) -> None:
        """Put these on disk, then begin to fold them into the file.

        Raises:
            BadFileError: they are not on disk.
        """
        content = b"".join(map(to_line, decisions))
        with one_writer(self.path.parent):
            append(log_path(self.path), content)
        with self._condition:
            self._wanted = True
            if not self._busy:
                self._busy = True
                threading.Thread(target=self._work, name=f"save {self.path.name}").start()

    def finish(self) -> None:
        """Wait until the file holds everything; raises BadFileError where it could not."""
        with self._condition:
            self._condition.wait_for(lambda: not self._busy)
        if faults := self.faults():
            raise BadFileError(" ".join(faults))

    def faults(self) -> list[str]:
        """Errors since the last call, a sentence each."""
        with self._condition:
            found, self._faults = self._faults, []
        return found

    def _work(self) -> None:
        while True:
            with self._condition:
                if not self._wanted:
                    self._busy = False
                    self._condition.notify_all()
                    return
                self._wanted = False
            try:
                found = fold(self.path)
            except Exception as error:  # whatever it was: the log has the decisions, and the next one tries again
                log.error("Decisions could not be written into %s", self.path, exc_info=error)
                fault = str(error) if isinstance(error, PoseUnionError) else f"{type(error).__name__} while saving."
                found = [f"{fault} The decisions are kept in {log_path(self.path).name}."]
            with self._condition:
                self._faults += found


def fold(path: Path) -> list[str]:
    """Record the log's decisions in the file, then empty the log; gives what could not be recorded, a sentence each.

    Raises:
        BadFileError: the file cannot be read or written; the log is as it was.
    """
    with one_writer(path.parent):
        here = log_path(path)
        if not here.exists():
            return []
        faults: list[str] = []
        decisions: list[Decision] = []
        refused: list[bytes] = []
        for number, line in enumerate(read_regular(here).splitlines(keepends=True), 1):
            try:
                decisions.append(from_line(line))
            except ValueError as error:
                refused.append(line.rstrip(b"\n") + b"\n")
                faults.append(f"Line {number} of {here.name} was not recorded: {error}.")
        if decisions:
            recorded = record(read_extended(path), decisions)
            if recorded.added:
                write_document(path, recorded.document)
            refused += [to_line(decision) for decision, _ in recorded.refused]
            faults += [
                f"{d.keypoint.replace('_', ' ')} of annotation {d.annotation_id} was not recorded: {why}."
                for d, why in recorded.refused
            ]
        if refused:
            append(refused_path(path), b"".join(refused))
            faults.append(f"It is kept in {refused_path(path).name}.")
        try:
            here.unlink()
        except OSError as error:
            raise BadFileError(f"Cannot remove {here}: {error.strerror or error}.") from error
        return faults


def append(path: Path, content: bytes) -> None:
    """Append and wait until it is on disk; raises BadFileError, and the file is as it was then."""
    try:
        new = not path.exists()
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NONBLOCK", 0), 0o666)
        try:
            end = os.fstat(handle).st_size
            # A line that was cut off by a crash must not swallow the next one.
            if end and os.pread(handle, 1, end - 1) != b"\n":
                content = b"\n" + content
            try:
                if os.write(handle, content) != len(content):
                    raise OSError("the disk is full")
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, end)
                raise
        finally:
            os.close(handle)
        if new and hasattr(os, "O_DIRECTORY"):  # the name of a new file is on disk once its folder is
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise BadFileError(f"Cannot write {path}: {error.strerror or error}; the decision was not saved.") from error
