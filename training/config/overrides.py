"""Changes of a frozen configuration by the names of its settings, from Python or as `key=value` of a command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from poseunion.models.errors import BadArgumentError

T = TypeVar("T")
_VALUE_ERROR = "Value error, "
# pydantic's types of errors -> what to give.
_FAULTS = {
    "greater_than": "give a number above {gt:g}",
    "greater_than_equal": "give a number from {ge:g}",
    "less_than_equal": "give a number up to {le:g}",
    "multiple_of": "give a multiple of {multiple_of:g}",
    "finite_number": "give a finite number",
    "float_parsing": "give a number",
    "int_parsing": "give a whole number",
    "bool_parsing": "give true or false",
    "literal_error": "choose among {expected}",
    "missing": "give more values",
}


def changed(config: T, **settings: Any) -> T:
    """A copy of a configuration with settings changed, each by its own name: `changed(recipe, lr=1e-3, steps=100)`.

    Raises:
        BadArgumentError: an unknown name, a value of the wrong type or out of its range.
    """
    return _replaced(config, settings)


def with_overrides(config: T, overrides: Sequence[str]) -> T:
    """A copy of a configuration with `key=value` changes; a key is a setting's name, or its path: `cdkd.alpha`.

    `key=1,2` sets a tuple. A list of parts takes `stages.batch_size=16` for all of them, or `stages.1.batch_size=16`
    for the second.

    Raises:
        BadArgumentError: not `key=value`, an unknown key, a value of the wrong type or out of its range.
    """
    settings = {}
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or key == "name":
            raise BadArgumentError(f"{override!r} is not an override: write key=value.")
        settings[key] = text
    return _replaced(config, settings)


def differences(config: Any, base: Any) -> list[str]:
    """Settings of a configuration that are not those of `base`, each by its path: `schedule.steps=20 (10000)`."""
    old, new = _leaves(dataclasses.asdict(base)), _leaves(dataclasses.asdict(config))
    return [f"{key}={value} ({old.get(key, 'none')})" for key, value in new.items() if value != old.get(key)]


def _leaves(tree: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Path -> value of all settings; parts of a list are numbered."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        parts = value if isinstance(value, dict) else None
        if isinstance(value, tuple) and value and isinstance(value[0], dict):
            parts = {str(number): part for number, part in enumerate(value)}
        found |= {f"{path}{name}": value} if parts is None else _leaves(parts, f"{path}{name}.")
    return found


def _replaced(config: T, settings: Mapping[str, Any]) -> T:
    tree = dataclasses.asdict(config)  # type: ignore[call-overload]
    for key, value in settings.items():
        for holder, name in _places(tree, key):
            holder[name] = _parsed(holder[name], key, value) if isinstance(value, str) else value
    try:
        return TypeAdapter(type(config)).validate_python(tree)
    except ValidationError as error:
        raise BadArgumentError(_sentence(error)) from error


def _places(tree: dict[str, Any], key: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Position of a setting in the tree of groups: its path, or the first group that has its name."""
    *path, name = key.split(".")
    holders: list[Any] = [tree]
    if not path and name not in tree:
        holders = [part for part in tree.values() if isinstance(part, dict) and name in part][:1]
    for step in path:
        holders = _parts(holders, step)
    holders = [part for holder in holders for part in (holder if isinstance(holder, tuple) else (holder,))]
    if not holders or not all(isinstance(holder, dict) and name in holder for holder in holders):
        raise BadArgumentError(f"There is no {key!r} to set: choose among {', '.join(_keys(tree))}.")
    yield from ((holder, name) for holder in holders)


def _parsed(old: Any, key: str, text: str) -> Any:
    """A text as pydantic takes it for the setting: parts of a tuple, else the text."""
    first = next(iter(old), None) if isinstance(old, tuple) else old
    if isinstance(first, dict):
        raise BadArgumentError(f"{key} has parts: set one of {', '.join(f'{key}.{part}' for part in first)}.")
    if isinstance(first, tuple):
        raise BadArgumentError(f"{key} cannot be set on the command line: write a recipe for it.")
    return [word.strip() for word in text.split(",") if word.strip()] if isinstance(old, tuple) else text


def _parts(holders: Sequence[Any], step: str) -> list[Any]:
    """Value at a step of a path; of a list of parts, one part by its number, or the value at the step in each."""
    found: list[Any] = []
    for holder in holders:
        if isinstance(holder, tuple):
            found += holder[int(step) : int(step) + 1] if step.isdecimal() else _parts(holder, step)
        elif isinstance(holder, dict) and step in holder:
            found.append(holder[step])
    return found


def _keys(tree: Mapping[str, Any]) -> Iterator[str]:
    """Names of all settings, those of a group after its name."""
    for name, value in tree.items():
        first = next(iter(value), None) if isinstance(value, tuple) else value
        if isinstance(first, dict):
            yield from (f"{name}.{inner}" for inner in first)
        elif name != "name":
            yield name


def _sentence(error: ValidationError) -> str:
    """The first fault: which setting, its value, and what to give."""
    first = error.errors()[0]
    value, loc, message = first["input"], first["loc"], str(first["msg"])
    if first["type"] == "missing":
        loc = loc[:-1]
    if message.startswith(_VALUE_ERROR):
        message = message.removeprefix(_VALUE_ERROR)
        if not loc or isinstance(value, dict):
            return f"{message}."
    elif first["type"] in _FAULTS:
        message = _FAULTS[first["type"]].format(**first.get("ctx", {}))
    shown = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else repr(value)
    return f"{'.'.join(map(str, loc))} is {shown}: {message}."
