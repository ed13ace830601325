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
    parts = _parts(values.get(name))
    if name not in values or (rest and not parts):
        raise BadArgumentError(f"There is no {key!r} to set: choose among {', '.join(values)}.")
    old = values[name]
    if rest and dataclasses.is_dataclass(old):
        return dataclasses.replace(config, **{name: _changed(old, rest, key, text)})
    chosen: Sequence[int] = range(len(parts))
    if rest and rest[0].isdecimal():
        if int(rest[0]) not in chosen:
            raise BadArgumentError(f"There is no {key!r} to set: {name} are {len(parts)}, counted from 0.")
        chosen, rest = [int(rest[0])], rest[1:]
    if rest:
        changed = (_changed(p, rest, key, text) if n in chosen else p for n, p in enumerate(parts))
        return dataclasses.replace(config, **{name: tuple(changed)})
    if parts:
        raise BadArgumentError(
            f"{key} has parts: set one of {', '.join(f'{key}.{f.name}' for f in dataclasses.fields(parts[0]))}."
        )
    return dataclasses.replace(config, **{name: _parsed(old, key, text)})


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
