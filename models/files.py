"""File input and output: atomic writes, checked reads, checksums."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from poseunion.models.errors import BadFileError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Descriptions and skeletons have about 2 kB.
MOST_TOML_BYTES = 1_000_000
# Ten times the keypoint annotations of COCO's training set. Parsed, a file takes about seven times its size in memory.
MOST_JSON_BYTES = 2_000_000_000


@contextlib.contextmanager
def atomic_writer(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open `path` for an atomic write: it gets the whole content or stays as it was.

    Writes beside the target, syncs, then renames over it. Anything that goes wrong removes the part file.

    Raises:
        BadFileError: the folder cannot be written, the disk is full, or `path` is a device or a pipe.
    """
    path = Path(path)
    if path.is_symlink():  # its target is replaced, not the link
        path = path.resolve()
    refuse_irregular(path)
    part = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with os.fdopen(handle, "wb", buffering=1 << 20) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(part, 0o666 & ~umask)  # noqa: PTH101  mkstemp makes 0600; give what open() would
        os.replace(part, path)  # noqa: PTH105
    except OSError as error:
        raise BadFileError(
            f"Cannot write {path}: {error.strerror or error}; nothing was changed, free space or choose another folder."
        ) from error
    finally:
        if part and Path(part).exists():
            Path(part).unlink()


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Folder that becomes `path` once it is complete; after an error `path` stays as it was.

    Raises:
        BadFileError: `path` is there already (and is not to be replaced), or the disk is full.
    """
    path = Path(path)
    if path.is_symlink():  # its target is replaced, not the link
        path = path.resolve()
    if path.exists() and not (overwrite and path.is_dir()):
        raise BadFileError(f"{path} exists: choose another folder, or replace it with --overwrite.")
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        new, old = part / "new", part / "old"
        new.mkdir()
        yield new
        if path.exists():
            path.replace(old)
        new.replace(path)
    except OSError as error:
        raise BadFileError(
            f"Cannot write {path}: {error.strerror or error}; nothing was changed, free space or choose another folder."
        ) from error
    finally:
        if part is not None:
            if (part / "old").exists() and not path.exists():  # the second move failed: put back what was there
                (part / "old").replace(path)
            shutil.rmtree(part, ignore_errors=True)


def read_regular(path: str | os.PathLike[str], most_bytes: int | None = None) -> bytes:
    """Content of a regular file; a FIFO or device is refused at once, where open() or read() would block.

    Raises:
        BadFileError: absent, unreadable, no regular file, or larger than `most_bytes`.
    """
    path = Path(path)
    try:
        # O_NONBLOCK: opening a FIFO that has no writer returns; it changes nothing for files.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise BadFileError(f"{path} is {kind_of(found.st_mode)}: give a file.")
            if most_bytes is not None and found.st_size > most_bytes:
                raise BadFileError(
                    f"{path} has {found.st_size / 1e6:.1f} MB, more than the {most_bytes / 1e6:g} MB that such a file "
                    "may have: is it another kind of file?"
                )
            return file.read()
    except OSError as error:
        raise BadFileError(f"Cannot read {path}: {error.strerror or error}.") from error


def check_unpacked(path: str | os.PathLike[str], most_bytes: int = MOST_JSON_BYTES) -> None:
    """Check the declared unpacked size of a zip archive; raises BadFileError above `most_bytes`.

    Readers of archives (Python's zipfile, numpy's, torch's) unpack no more of a member than its declared size.
    """
    refuse_irregular(path)
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return  # no archive, or a damaged one: an error when it is read
    if unpacked > most_bytes:
        raise BadFileError(
            f"{path} would unpack to {unpacked / 1e9:.1f} GB, more than the {most_bytes / 1e9:g} GB that it may have."
        )


def kind_of(mode: int) -> str:
    """Kind of a path that is no regular file (folder, pipe, socket, device), from its `st_mode`."""
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def refuse_irregular(path: str | os.PathLike[str]) -> None:
    """Check that `path` is a file or a folder where it exists; raises BadFileError: reading a pipe may never end."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except (OSError, ValueError):
        return  # an error when it is opened
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise BadFileError(f"{path} is {kind_of(mode)}: give a file.")


def refuse_existing(*outputs: Path | None, overwrite: bool) -> None:
    """Raise BadFileError where one of the outputs is in the way; None: an output that is not wanted."""
    if not overwrite and (there := next((path for path in outputs if path and path.exists()), None)):
        raise BadFileError(f"{there} exists: choose another --out, or replace it with --overwrite.")


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write `content` atomically."""
    with atomic_writer(path) as file:
        file.write(content)


def write_json(path: str | os.PathLike[str], value: Any, *, indent: int | None = None) -> None:
    """Write `value` as JSON, atomically; a NaN or infinity is an error, never written."""
    with atomic_writer(path) as file:
        encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, indent=indent)
        try:
            for chunk in _batched(encoder.iterencode(value), 4096):
                file.write(chunk.encode("utf-8", "backslashreplace"))  # half a surrogate pair stays an escape
        except ValueError as error:
            raise BadFileError(f"Cannot write {path}: {error}; a number in the result is not finite.") from error
        file.write(b"\n")


def _batched(pieces: Iterator[str], size: int) -> Iterator[str]:
    held: list[str] = []
    for piece in pieces:
        held.append(piece)
        if len(held) >= size:
            yield "".join(held)
            held.clear()
    yield "".join(held)


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file.

    Raises:
        BadFileError: absent, unreadable, not JSON (with line and column), or holding NaN/Infinity.
    """
    path = Path(path)

    def refuse(constant: str) -> Any:
        raise BadFileError(f"{path} holds {constant}, which is not a number JSON allows: remove or replace it.")

    try:
        return json.loads(read_regular(path, MOST_JSON_BYTES), parse_constant=refuse)
    except OSError as error:
        raise BadFileError(f"Cannot read {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise BadFileError(
            f"{path} is not UTF-8 text (byte {error.start}): is it another kind of file? Text in another encoding is "
            "converted with iconv -f latin1 -t utf-8."
        ) from error
    except json.JSONDecodeError as error:
        raise BadFileError(
            f"{path} is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}; is it cut short?"
        ) from error
    except ValueError as error:  # Python refuses to read numbers of thousands of digits
        raise BadFileError(f"{path} holds a number that cannot be read: {error}.") from error
    except RecursionError as error:
        raise BadFileError(f"{path} is nested too deeply to be an annotation file.") from error


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a TOML file; raises BadFileError with the place when it cannot be parsed."""
    path = Path(path)
    try:
        return tomllib.loads(read_regular(path, MOST_TOML_BYTES).decode("utf-8"))
    except OSError as error:
        raise BadFileError(f"Cannot read {path}: {error.strerror or error}.") from error
    except RecursionError as error:
        raise BadFileError(f"{path} is nested too deeply to be a description.") from error
    except ValueError as error:  # also of numbers of thousands of digits, of bytes that are no text
        raise BadFileError(f"{path} is not valid TOML: {error}.") from error


def first_fault(error: ValidationError, whole: str = "") -> str:
    """First schema violation of a file as half a sentence, `place: message`.

    Args:
        whole: name of the place where a violation concerns all of it.
    """
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or whole
    return f"{place}: {first['msg']}" if place else str(first["msg"])


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    digest = hashlib.sha256()
    refuse_irregular(path)
    try:
        with Path(path).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise BadFileError(f"Cannot read {path}: {error.strerror or error}.") from error
    return digest.hexdigest()
