"""The fields that an extended record has beyond its original ones, shared by all formats.

`keypoint_source`      one of human, proposed, derived, none for each keypoint of the output.
`keypoint_confidence`  what the model says of its proposal, null where no model was asked (human, derived, impossible).
`proposals`            every missing keypoint the model has an answer for: name, x, y, confidence, accepted.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from poseunion.annotate.completion import ORIGIN_NAMES, Completion, Extension, Origin
from poseunion.annotate.formats.types import AnnotationSet
from poseunion.models.skeleton import Skeleton, project_indices

BLOCK = 512  # records completed and encoded at a time: memory stays flat, arrays stay worthwhile


def blocks(n: int, extension: Extension) -> Iterator[tuple[int, Completion]]:
    """(record index, the completion that holds it) for all `n` records, in order."""
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        completion = extension.rows(start, stop)
        yield from zip(range(start, stop), itertools.repeat(completion))


def own_positions(annotations: AnnotationSet, output: Skeleton) -> list[int]:
    """Where each of the file's own keypoints stands in the output."""
    return [int(k) for k in project_indices(output, annotations.skeleton)]


def added_fields(completion: Completion, row: int, names: tuple[str, ...], shift: int = 0) -> dict[str, Any]:
    """`keypoint_source`, `keypoint_confidence` and `proposals` of one record.

    Args:
        shift: added to x and y: 1 in a file that counts pixels from 1.
    """
    origin = completion.origin[row].tolist()
    # NaN is the only value that differs from itself; a Python loop over 21 floats beats numpy's calls here.
    confidence = [None if c != c else c for c in completion.confidence[row].tolist()]
    xy = completion.xy[row].tolist()
    return {
        "keypoint_source": [ORIGIN_NAMES[o] for o in origin],
        "keypoint_confidence": confidence,
        "proposals": [
            {
                "name": name,
                "x": round(x + shift, 2),
                "y": round(y + shift, 2),
                "confidence": c,
                "accepted": o == Origin.PROPOSED,
            }
            for name, (x, y), c, o in zip(names, xy, confidence, origin, strict=True)
            if c is not None
        ],
    }


def dump(value: Any) -> bytes:
    """One value as JSON; not-finite numbers raise ValueError."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


def write_list(file: BinaryIO, items: Iterator[Any]) -> None:
    """A JSON list with one item a line, streamed."""
    separator = b"[\n"
    for item in items:
        file.write(separator + dump(item))
        separator = b",\n"
    file.write(b"[]" if separator == b"[\n" else b"\n]")


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
