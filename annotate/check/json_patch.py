"""Patches: what `check` would mend, as a JSON Patch (RFC 6902) that a person can read, trim and apply.

A patch is a JSON list of operations. Every change stands behind a `test` of the value it replaces, so that a patch
applied to another file, or twice, stops instead of doing harm. Each operation also has a `reason`, which by RFC 6902
other programs ignore. Removals come last and from the end of their list, so that no position moves under a later
operation.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jsonpatch import InvalidJsonPatch, JsonPatch, JsonPatchException
from jsonpointer import JsonPointerException

from poseunion.annotate.formats.types import Problem
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.files import read_json, write_json

Operation = dict[str, Any]


def replace(pointer: str, old: Any, new: Any) -> tuple[Operation, ...]:
    """Replace a value that is there."""
    return ({"op": "test", "path": pointer, "value": old}, {"op": "replace", "path": pointer, "value": new})


def remove(pointer: str, old: Any) -> tuple[Operation, ...]:
    """Remove an item of a list."""
    return ({"op": "test", "path": pointer, "value": old}, {"op": "remove", "path": pointer})


def pointer(*parts: str | int) -> str:
    """A JSON pointer (RFC 6901).

    >>> pointer("annotations", 3, "a/b")
    '/annotations/3/a~1b'
    """
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def operations(problems: Iterable[Problem]) -> list[Operation]:
    """The operations that mend `problems`, in an order in which all of them hold."""
    changes: list[Operation] = []
    removals: list[tuple[tuple[str, int], list[Operation]]] = []
    for problem in problems:
        reasoned = [{**operation, "reason": f"{problem.place}: {problem.text}"} for operation in problem.fix]
        if any(operation["op"] == "remove" for operation in reasoned):
            parent, _, last = reasoned[-1]["path"].rpartition("/")
            removals.append(((parent, int(last)), reasoned))
        else:
            changes += reasoned
    gone = {f"{parent}/{last}" for (parent, last), _ in removals}
    changes = [c for c in changes if not any(c["path"].startswith(place + "/") for place in gone)]
    removals.sort(key=lambda removal: removal[0], reverse=True)
    return changes + [operation for _, group in removals for operation in group]


def write_patch(path: Path, problems: Sequence[Problem], source: Path) -> int:
    """Write what mends `problems` to `path`; returns how many problems it mends.

    Raises:
        BadArgumentError: `source` is no JSON file. BadFileError: `path` is there already.
    """
    if source.suffix.lower() != ".json":
        raise BadArgumentError(f"A patch mends JSON files, and {source} is none: mend what is listed by hand.")
    if path.exists():
        raise BadFileError(f"{path} exists: choose another name for the patch, or remove it.")
    write_json(path, operations(problems), indent=1)
    return sum(bool(problem.fix) for problem in problems)


def apply_patch(document: Any, patch: Sequence[Operation], *, in_place: bool = False) -> Any:
    """A mended copy of `document`; with `in_place` no copy is made, and `document` is half mended after an error.

    Raises:
        BadFileError: an operation does not fit: the document is another one, or is mended already.
    """
    result = document if in_place else copy.deepcopy(document)
    for number, operation in enumerate(patch):
        try:
            result = JsonPatch([operation]).apply(result, in_place=True)
        except InvalidJsonPatch as error:
            raise BadFileError(f"operation {number} of the patch is none of RFC 6902: {error}.") from error
        except (JsonPatchException, JsonPointerException) as error:
            raise BadFileError(
                f"operation {number} of the patch ({operation['op']} {operation['path']}) does not fit: the patch is "
                "of another file, or was applied before."
            ) from error
    return result


def apply_file(file: Path, patch: Path, out: Path) -> int:
    """Apply a patch file to `file` and write the result as a new file; returns the number of operations.

    Raises:
        BadFileError: see `apply_patch`; or `out` is there already.
    """
    if out.exists():
        raise BadFileError(f"{out} exists: choose another --out; a patched file never replaces one.")
    steps = read_json(patch)
    if not isinstance(steps, list):
        raise BadFileError(f"{patch} is not a JSON Patch: a list of operations is expected.")
    write_json(out, apply_patch(read_json(file), steps, in_place=True))
    return len(steps)
