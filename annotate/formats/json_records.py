"""A JSON document whose long lists stay text: for files whose parsed form would fill the memory.

Parsed, a person of 600 bytes takes 3,000. `Records` keeps each item as the bytes it was read from and parses it at
every access: in the life of an annotation to be read, and where it cannot be written back as text. A change of a parsed
item changes nothing in the list, so only `extend`, which changes nothing of its input, reads this way.

msgspec finds where the items end, and parses them, in a third of the time that the standard library takes for it
(`benchmarks/annotation/json_speed.py`). What it does not take (numbers beyond a float, half surrogate pairs) the
standard library reads, or refuses with a message.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, SupportsIndex, overload

import msgspec

from poseunion.models.errors import BadFileError
from poseunion.models.files import MOST_JSON_BYTES, read_json, read_regular

LONG = 1000  # items; shorter lists are parsed

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])


class Records(list[Any]):
    """A list of JSON objects, held as text. It is a `list` for readers that check for one."""

    @overload
    def __getitem__(self, index: SupportsIndex) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        if isinstance(index, slice):
            return [_parsed(item) for item in super().__getitem__(index)]
        return _parsed(super().__getitem__(index))

    def __iter__(self) -> Iterator[Any]:
        return map(_parsed, self.texts())

    def texts(self) -> Iterator[msgspec.Raw]:
        """The items as they stand in the file."""
        return super().__iter__()

    def fields(self, index: int) -> dict[str, Any] | None:
        """One item, its values as they stand in the file; None where msgspec does not take it."""
        try:
            return _OBJECT.decode(super().__getitem__(index))
        except msgspec.MsgspecError:
            return None


def streamed(items: list[Any]) -> Iterator[Any]:
    """The items to be written: as they stand in the file where they are held as text."""
    return items.texts() if isinstance(items, Records) else iter(items)


def partly(records: list[Any], shape: msgspec.json.Decoder[Any]) -> Iterator[Any]:
    """The records; of items held as text the fields of `shape` (a TypedDict) alone: outlines are not parsed."""
    if not isinstance(records, Records):
        yield from records
        return
    for text in records.texts():
        try:
            yield shape.decode(text)
        except msgspec.MsgspecError:
            yield _parsed(text)


def read_lean(path: Path) -> Any:
    """As `read_json`, with `Records` in place of long lists of objects, at the top or one level below it."""
    try:
        content = read_regular(path, MOST_JSON_BYTES)
        if not content.isascii():
            content.decode()  # validates: the text of items is decoded later
        if content.lstrip()[:1] == b"{":
            return {key: _value(value) for key, value in _OBJECT.decode(content).items()}
        return _value(content)
    except (OSError, ValueError, RecursionError, BadFileError):
        return read_json(path)  # its message names the fault and the place


def _value(text: bytes | msgspec.Raw) -> Any:
    """The value of a text; a long list of objects as `Records`."""
    if memoryview(text)[:1] != b"[":
        return _parsed(text)
    items = _LIST.decode(text)
    if len(items) < LONG or any(memoryview(item)[:1] != b"{" for item in items):
        return [_parsed(item) for item in items]
    return Records(items)


def _parsed(text: bytes | msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return json.loads(bytes(text))
