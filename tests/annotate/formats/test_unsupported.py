"""Files that are not read are named for what they are, with the way on."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from poseunion.annotate.formats import read_annotations
from poseunion.models.errors import BadFileError

CASES: dict[str, tuple[bytes, str]] = {
    "a.json.gz": (gzip.compress(b"{}"), "packed with gzip: unpack it"),
    "a.zip": (b"PK\x03\x04rest", "zip archive"),
    "lfs.json": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
    "page.json": (b"<!DOCTYPE html><html></html>", "HTML page"),
    "lines.json": (b'{"id": 1}\n{"id": 2}\n', "JSON lines"),
    "latin1.json": ('{"a": "é"}'.encode("latin1"), "not UTF-8"),
    "empty.json": (b" \n", "empty"),
    "cvat.txt": (b'<?xml version="1.0"?><annotations><version>1.1</version></annotations>', "the ending .xml"),
    "type.xml": (b'<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>', "document type"),
    "voc.xml": (b"<annotation><folder>a</folder></annotation>", "Pascal VOC"),
    "dlc.csv": (b"scorer,me,me\nbodyparts,nose,nose\ncoords,x,y\n", "DeepLabCut"),
    "studio.json": (json.dumps([{"image": "a.jpg", "kp": [{"keypointlabels": ["nose"]}]}]).encode(), "JSON_MIN"),
    "via.json": (json.dumps({"_via_img_metadata": {}}).encode(), "VGG Image Annotator"),
    "cpm.json": (json.dumps([{"img_paths": "a.jpg", "joint_self": []}]).encode(), "pytorch-pose"),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_it_is_named_and_led_on(name: str, tmp_path: Path) -> None:
    content, expected = CASES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadFileError, match=expected):
        read_annotations(tmp_path / name)


def test_a_folder_names_the_file_in_it(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("names: [person]\n")
    with pytest.raises(BadFileError, match=r"a folder.*data\.yaml"):
        read_annotations(tmp_path)


def test_a_file_that_is_something_else_altogether_lists_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"a": 1}')
    with pytest.raises(BadFileError, match="none of the known annotation formats"):
        read_annotations(tmp_path / "x.json")
