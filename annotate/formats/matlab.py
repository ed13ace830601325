"""MATLAB files: read into numpy's structs and cells, written so that the same content gives the same bytes."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from poseunion.models.errors import BadFileError, MissingExtraError
from poseunion.models.files import read_regular

# A MAT file begins with 116 bytes of text for people. scipy writes the time there; then no two runs would be equal.
_HEADER = b"MATLAB 5.0 MAT-file, written by poseunion".ljust(116)


def load_mat(path: Path) -> dict[str, Any]:
    """The variables of a MAT file (version 5 to 7.2); every value keeps MATLAB's two dimensions.

    Raises:
        BadFileError: unreadable, or not such a file. MissingExtraError: scipy is not installed.
    """
    loadmat = _scipy().loadmat
    content = read_regular(path)
    _survive(path, content)
    try:
        variables = loadmat(io.BytesIO(content), squeeze_me=False, struct_as_record=True, chars_as_strings=True)
    except OSError as error:
        raise BadFileError(f"Cannot read {path}: {error.strerror or error}.") from error
    except NotImplementedError as error:
        raise BadFileError(f"{path} is a MATLAB 7.3 file: save it with -v7 in MATLAB first.") from error
    except Exception as error:  # scipy raises any exception on damaged bytes
        raise BadFileError(
            f"{path} is not a MATLAB file, or is damaged ({str(error).splitlines()[0][:100]})."
        ) from error
    return {name: value for name, value in variables.items() if not name.startswith("__")}


# scipy's reader is compiled code that a damaged file can crash (declared sizes are not checked): the same bytes are
# read in a child first, so that what dies is the child. Reading twice is the cheap way: of 12,000 pictures' annotations
# the reader takes 2.1 s, handing its result over as a pickle 13.7 s.
_CHILD = """
import io, sys
try:
    import resource
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    least = 8 << 30 if most == resource.RLIM_INFINITY else min(most, 8 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (least, most))
except ImportError:
    pass
import scipy.io
try:
    content = io.BytesIO(sys.stdin.buffer.read())
    scipy.io.loadmat(content, squeeze_me=False, struct_as_record=True, chars_as_strings=True)
except Exception:
    pass  # the parent meets it, too, and reports it
"""
CHILD_S = 600  # MPII's own file takes half a minute on a slow core


def _survive(path: Path, content: bytes) -> None:
    """Raise BadFileError where reading `content` crashes the reader, or never ends."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _CHILD], input=content, capture_output=True, timeout=CHILD_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BadFileError(f"{path} takes more than {CHILD_S} s to read: it is damaged.") from error
    if done.returncode:
        raise BadFileError(f"{path} is not a MATLAB file, or is damaged (it crashes MATLAB files' reader).")


def save_mat(file: BinaryIO, variables: dict[str, Any]) -> None:
    """Write variables as a MAT file of version 5; equal content gives equal bytes."""
    buffer = io.BytesIO()
    _scipy().savemat(buffer, variables, do_compression=True, long_field_names=True)
    content = buffer.getbuffer()
    file.write(_HEADER)
    file.write(content[len(_HEADER) :])


def _scipy() -> Any:
    try:
        import scipy.io
    except ModuleNotFoundError as error:
        raise MissingExtraError("scipy", "formats") from error
    return scipy.io


def fields(value: Any) -> tuple[str, ...]:
    """Field names of a struct (array); none for anything else."""
    names = getattr(getattr(value, "dtype", None), "names", None)
    return tuple(names or ())


def elements(value: Any) -> list[Any]:
    """The structs of a struct array, or the values of a cell array, in MATLAB's order; [] for empty."""
    return [] if value is None else list(np.asarray(value).ravel(order="F"))


def field(struct: Any, name: str) -> Any:
    """A field's value, None where the struct has no such field."""
    return struct[name] if name in fields(struct) else None


def inner(value: Any) -> Any:
    """The one struct inside a 1x1 struct array; None where it is empty or no struct."""
    found = elements(value) if fields(value) else []
    return found[0] if found else None


def number(value: Any) -> float | None:
    """A scalar as a float, also where it was stored as a character ('1'); None where it is empty or no number."""
    if value is None:
        return None
    array = np.asarray(value).ravel()
    while array.size == 1 and array.dtype == object:
        array = np.asarray(array[0]).ravel()
    if array.size != 1:
        return None
    try:
        return float(array[0])
    except (TypeError, ValueError):
        return None


def text(value: Any) -> str | None:
    """A character array as a string."""
    array = np.asarray(value).ravel() if value is not None else np.zeros(0)
    while array.size == 1 and array.dtype == object:
        array = np.asarray(array[0]).ravel()
    return str(array[0]) if array.size == 1 and array.dtype.kind == "U" else None


def struct_array(rows: list[dict[str, Any]], names: tuple[str, ...] | None = None) -> NDArray[Any]:
    """A 1xN struct array; every row has the same fields, an absent value is MATLAB's []."""
    columns = names if names is not None else tuple(dict.fromkeys(key for row in rows for key in row))
    array = np.empty((1, len(rows)), dtype=[(name, object) for name in columns])
    for index, row in enumerate(rows):
        for name in columns:
            value = row.get(name)
            array[0, index][name] = np.zeros((0, 0)) if value is None else value
    return array


def cell_row(values: list[Any]) -> NDArray[Any]:
    """A 1xN cell array."""
    array = np.empty((1, len(values)), dtype=object)
    for index, value in enumerate(values):
        array[0, index] = value
    return array
