"""Ids as files write them: whole numbers, texts, and 1.0 or "1" where the other side of the reference has 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def is_id(value: Any) -> bool:
    """A whole number (1.0 is 1) or a text."""
    if type(value) is int:
        return True
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def find(known: Mapping[Any, Any], value: Any) -> Any:
    """The key of `known` that `value` refers to: itself, or the same number as text, or the other way round; else None.

    >>> find({1: "a", "x": "b"}, "1"), find({"7": "a"}, 7.0), find({1: "a"}, "01")
    (1, '7', None)
    """
    if is_id(value) and value in known:
        return value
    if not is_id(value):
        return None
    other: Any = str(int(value)) if isinstance(value, (int, float)) else None
    if isinstance(value, str) and value.lstrip("-").isdecimal() and str(int(value)) == value:
        other = int(value)
    return other if other is not None and other in known else None
