"""Long lists kept as text read like the lists they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import json_records, read_annotations
from poseunion.annotate.formats.json_records import Records, read_lean
from poseunion.models.errors import BadFileError
from poseunion.models.files import read_json

scalar = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
value = st.recursive(
    scalar, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(), v, max_size=3), max_leaves=8
)
objects = st.lists(st.dictionaries(st.text(), value, max_size=3), max_size=4)
document = st.dictionaries(st.text(), objects | value, max_size=4) | objects | value


def plain(content: Any) -> Any:
    """With lists in place of `Records`."""
    if isinstance(content, dict):
        return {k: list(v) if isinstance(v, Records) else v for k, v in content.items()}
    return list(content) if isinstance(content, Records) else content


@settings(max_examples=150)
@given(document=document, indent=st.sampled_from([None, 0, 2]), ascii_only=st.booleans())
def test_every_document_reads_as_it_is(
    document: Any, indent: int | None, ascii_only: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("lean") / "file.json"
    path.write_text(json.dumps(document, indent=indent, ensure_ascii=ascii_only), encoding="utf-8")
    long, json_records.LONG = json_records.LONG, 1
    try:
        read = read_lean(path)
    finally:
        json_records.LONG = long
    assert repr(plain(read)) == repr(read_json(path))


def test_records_are_a_list(tmp_path: Path) -> None:
    items = [{"id": i, "name": "ü", "x": [0.1 * i]} for i in range(json_records.LONG)]
    path = tmp_path / "file.json"
    path.write_text(json.dumps({"short": items[:5], "long": items}))
    read = read_lean(path)
    assert type(read["short"]) is list
    records = read["long"]
    assert isinstance(records, Records)
    assert isinstance(records, list)
    assert (len(records), records[3], records[-1], records[2:4]) == (len(items), items[3], items[-1], items[2:4])
    assert [*records] == items
    assert list(enumerate(records))[7] == (7, items[7])
    assert json.loads(json.dumps(records)) == items


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" ",
        b"{",
        b"[",
        b'[{"a": 1},]',
        b'{"a": [{"b": 1}, ]}',
        b'{"a": 1,}',
        b'{"a": [{"b": NaN}]}',
        b"{1: 2}",
        b'{"a" 1}',
        b'{"a": 1} 2',
        b'{"a": [{"b": 1}',
        b"\xff",
        b"[" * 100_000,
        b'[{"a": ' + b"1" * 5000 + b"}]",
    ],
)
def test_what_is_wrong_is_said_as_ever(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(BadFileError) as expected:
        read_json(path)
    with pytest.raises(BadFileError) as caught:
        read_lean(path)
    assert str(caught.value) == str(expected.value)
    with pytest.raises(BadFileError, match="absent"):
        read_lean(tmp_path / "absent.json")


@pytest.mark.parametrize("style", ["coco", "mpii"])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_file_read_lean_extends_to_the_same_records(
    style: str,
    indent: int | None,
    folder: Any,
    fake: Any,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = request.getfixturevalue(style)(30)
    folder.write(document)
    folder.file.write_text(json.dumps(document, indent=indent))
    extend(read_annotations(folder.file), folder.images, fake(), folder.out)
    expected = folder.out.read_bytes()
    monkeypatch.setattr(json_records, "LONG", 2)
    annotations = read_annotations(folder.file, lean=True)
    assert isinstance(annotations.records, Records)
    extend(annotations, folder.images, fake(), folder.out, Options(overwrite=True))
    found = folder.out.read_bytes()
    assert json.dumps(json.loads(found)) == json.dumps(json.loads(expected))  # keys in the same order
    assert found.count(b"\n") == expected.count(b"\n")  # one record a line
