"""A JSON document whose long lists stay text: for files whose parsed form would fill the memory.

Parsed, a person of 600 bytes takes 3,000. `Records` keeps each item as the bytes it was read from and parses it
whenever it is asked for: twice in the life of an annotation, to be read and to be written. Changing what it gives
changes nothing in the list, so only `extend`, which changes nothing of its input, reads this way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, SupportsIndex, overload

from poseunion.models.errors import BadFileError
from poseunion.models.files import read_json, read_regular

LONG = 1000  # items; shorter lists are parsed as ever

_SPACE = re.compile(r"[ \t\n\r]*")
_Scan = Callable[[str, int], tuple[Any, int]]


class Records(list[Any]):
    """A list of JSON objects, held as text. It is a `list` so that readers who ask for one accept it."""

    @overload
    def __getitem__(self, index: SupportsIndex) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        if isinstance(index, slice):
            return [json.loads(item) for item in super().__getitem__(index)]
        return json.loads(super().__getitem__(index))

    def __iter__(self) -> Iterator[Any]:
        return (json.loads(item) for item in super().__iter__())


def read_lean(path: Path) -> Any:
    """As `read_json`, with `Records` in place of long lists of objects, at the top or one level below it."""

    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    scan: _Scan = json.JSONDecoder(parse_constant=refuse).scan_once  # type: ignore[attr-defined]
    try:
        text = read_regular(path).decode()
        start = _skip(text, 0)
        document, end = _object(text, start, scan) if text[start] == "{" else _value(text, start, scan)
        if _skip(text, end) != len(text):
            raise ValueError("more than one value")
        return document
    except (OSError, ValueError, StopIteration, IndexError, RecursionError, BadFileError):
        return read_json(path)  # says what is wrong, and where


def _skip(text: str, at: int) -> int:
    """Where the white space from `at` on ends."""
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _expect(text: str, at: int, character: str) -> int:
    """The position of the next thing behind `character`, which must stand at `at`."""
    if text[at] != character:
        raise ValueError(f"{character!r} expected")
    return _skip(text, at + 1)


def _object(text: str, at: int, scan: _Scan) -> tuple[dict[str, Any], int]:
    """The object at `at`, and where it ends."""
    result: dict[str, Any] = {}
    at = _expect(text, at, "{")
    while text[at] != "}":
        key, at = scan(text, at)
        if not isinstance(key, str):
            raise ValueError("a name expected")
        result[key], at = _value(text, _expect(text, _skip(text, at), ":"), scan)
        at = _skip(text, at)
        if text[at] != "}":
            at = _expect(text, at, ",")
            if text[at] == "}":
                raise ValueError("a name expected")
    return result, at + 1


def _value(text: str, at: int, scan: _Scan) -> tuple[Any, int]:
    """The value at `at`, and where it ends; a list that turns out long and of objects as `Records`."""
    if text[at] != "[" or text[_skip(text, at + 1)] != "{":
        return scan(text, at)
    held, position = Records(), _skip(text, at + 1)
    while True:
        value, end = scan(text, position)
        if not isinstance(value, dict):
            return scan(text, at)
        held.append(text[position:end].encode())
        end = _skip(text, end)
        if text[end] == "]":
            return (held if len(held) >= LONG else list(held)), end + 1
        position = _expect(text, end, ",")
