"""Streamed writing of large JSON documents, one list item a line, and reproducible entries of zips."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec

_ENCODER = msgspec.json.Encoder()
_EPOCH = (1980, 1, 1, 0, 0, 0)  # equal content gives equal bytes


def dump(value: Any) -> bytes:
    """One value as JSON; not-finite numbers raise ValueError."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace")  # half a surrogate pair stays the escape that it was


def dump_fields(fields: Any) -> bytes:
    """As `dump`, in a tenth of its time: text of JSON is copied, all numbers are finite (others would become null)."""
    return _ENCODER.encode(fields)


def write_list(file: BinaryIO, items: Iterator[Any]) -> None:
    """A JSON list with one item a line, streamed; bytes and `msgspec.Raw` are JSON already."""
    separator = b"[\n"
    for item in items:
        text = _one_line(bytes(item)) if isinstance(item, (bytes, msgspec.Raw)) else dump(item)
        file.write(separator + text)
        separator = b",\n"
    file.write(b"[]" if separator == b"[\n" else b"\n]")


def _one_line(text: bytes) -> bytes:
    if b"\n" not in text:
        return text
    try:
        return msgspec.json.format(text, indent=-1)
    except msgspec.MsgspecError:  # half a surrogate pair
        return dump(json.loads(text))


def write_object(file: BinaryIO, members: Iterator[tuple[str, Any]]) -> None:
    """A JSON object whose values are plain values or, streamed, iterators of list items."""
    separator = b"{"
    for key, value in members:
        file.write(separator + dump(key) + b": ")
        if isinstance(value, Iterator):
            write_list(file, value)
        else:
            file.write(dump(value))
        separator = b",\n"
    file.write(b"}\n")


def add_to_zip(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """One file of a zip that depends on its content alone."""
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)
