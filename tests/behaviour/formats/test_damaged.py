"""A file with anything anywhere is read, or refused in one sentence; it never ends in a traceback."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poseunion.annotate.check.json_patch import apply_patch, operations
from poseunion.annotate.check.run import check
from poseunion.annotate.formats import FORMATS, read_annotations
from poseunion.models.errors import PoseUnionError

JSON_FORMATS = [*(n for n, known in FORMATS.items() if known.ending == ".json"), "openpose"]
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 3, 10**30, 0.5, 1e308, "", "x", "person", [], [1], {}, {"id": 1}, [[]], [None]]),
)


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(deeper for key, item in inner for deeper in places(item, (*place, key)))]


def damaged(document: Any, place: tuple[Any, ...], value: Any, *, gone: bool) -> Any:
    if not place:
        return value
    parent = document
    for key in place[:-1]:
        parent = parent[key]
    if gone:
        del parent[place[-1]]
    else:
        parent[place[-1]] = value
    return document


@pytest.mark.parametrize("name", JSON_FORMATS)
def test_one_value_is_wrong(name: str, kit: SimpleNamespace, make: Any, tmp_path: Path) -> None:
    path, _ = make(name)
    path = min(path.iterdir()) if path.is_dir() else path
    text = path.read_text()
    ways = sorted(places(json.loads(text)), key=len)

    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    # Half of the time near the top, where more hangs on a value.
    @given(
        place=st.one_of(st.sampled_from(ways[: len(ways) // 20 + 5]), st.sampled_from(ways)),
        value=ODD,
        gone=st.booleans(),
        told=st.booleans(),
    )
    def change(place: tuple[Any, ...], value: Any, gone: bool, told: bool) -> None:
        path.write_text(json.dumps(damaged(json.loads(text), place, value, gone=gone)))
        said = ""
        try:
            annotations = read_annotations(path, name if told else None)
            for write in FORMATS[annotations.format].writers.values():
                write(io.BytesIO(), annotations, kit.nothing_added(annotations))
        except PoseUnionError as error:
            said = str(error)
        except ValueError as error:  # an area of infinitely many pixels; `extend` says so
            if "JSON compliant" not in str(error):
                raise
        assert "\n" not in said
        problems = check(path, format_name=name if told else None)[1]
        apply_patch(json.loads(path.read_text()), operations(problems))

    change()
