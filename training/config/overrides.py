"""`key=value` changes of a frozen configuration, as they come from a command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

from poseunion.models.errors import BadArgumentError

T = TypeVar("T")


def with_overrides(config: T, overrides: Sequence[str]) -> T:
    """A copy of a dataclass with values changed; `part.key=value` reaches into a part, `key=1,2` sets a tuple.

    A list of parts takes `stages.batch_size=16` for all of them, or `stages.1.batch_size=16` for the second.

    Raises:
        BadArgumentError: not `key=value`, an unknown key, a value of the wrong type or out of its range.
    """
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator:
            raise BadArgumentError(f"{override!r} is not an override: write key=value.")
        config = _changed(config, key.split("."), key, text)
    return config


def _changed(config: Any, path: list[str], key: str, text: str) -> Any:
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.name != "name"}
    name, *rest = path
    if name not in values or (rest and not _parts(values[name])):
        raise BadArgumentError(f"There is no {key!r} to set: choose among {', '.join(values)}.")
    return dataclasses.replace(config, **{name: _set(values[name], name, rest, key, text)})


def _set(old: Any, name: str, path: list[str], key: str, text: str) -> Any:
    """`old`, the value of `name`, with what `path` leads to changed: a plain value, a part, or a list of parts."""
    parts = _parts(old)
    if not parts:
        return _parsed(old, key, text)
    if not path:
        fields = ", ".join(f"{key}.{f.name}" for f in dataclasses.fields(parts[0]))
        raise BadArgumentError(f"{key} has parts: set one of {fields}.")
    if dataclasses.is_dataclass(old):
        return _changed(old, path, key, text)
    first, *rest = path
    if not first.isdecimal():
        return tuple(_changed(part, path, key, text) for part in parts)
    index = int(first)
    if index >= len(parts):
        raise BadArgumentError(f"There is no {key!r} to set: {name} are {len(parts)}, counted from 0.")
    return (*parts[:index], _set(parts[index], name, rest, key, text), *parts[index + 1 :])


def _parts(value: Any) -> tuple[Any, ...]:
    """A part, or the parts of a list of them; empty for a plain value."""
    listed = value if isinstance(value, tuple) else (value,)
    return tuple(part for part in listed if dataclasses.is_dataclass(part))


def _parsed(old: Any, key: str, text: str) -> Any:
    """`text` as a value of the kind that `old` is."""
    if isinstance(old, tuple):
        if not all(isinstance(v, (int, float, str)) for v in old):
            raise BadArgumentError(f"{key} cannot be set on the command line: write a recipe for it.")
        words = [word.strip() for word in text.split(",") if word.strip()]
        if all(isinstance(v, str) for v in old):
            return tuple(words)
        if len(words) != len(old):
            raise BadArgumentError(f"{key} takes {len(old)} values, as in {key}={','.join(map(str, old))}.")
        return tuple(_parsed(v, key, word) for v, word in zip(old, words, strict=True))
    try:
        if isinstance(old, bool):
            return {"true": True, "false": False}[text.lower()]
        return type(old)(text)
    except (ValueError, KeyError):
        kind = {bool: "true or false", int: "a whole number", float: "a number"}[type(old)]
        raise BadArgumentError(f"{key} takes {kind}, not {text!r}.") from None
