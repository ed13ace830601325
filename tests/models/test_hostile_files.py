"""Files that would hang, crash or fill memory: one sentence, at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from poseunion.annotate.formats.yolo.yaml_file import load_yaml
from poseunion.models.errors import BadFileError
from poseunion.models.files import read_json, read_regular, read_toml, write_bytes


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def test_a_fifo_never_hangs_and_a_device_is_refused(fifo: Path) -> None:
    for read in (read_json, read_toml, load_yaml, read_regular):
        with pytest.raises(BadFileError, match="is a pipe"):
            read(fifo)
        with pytest.raises(BadFileError, match="is a device"):
            read(Path("/dev/zero"))


def test_outputs_go_through_a_link_and_into_no_device(fifo: Path, tmp_path: Path) -> None:
    real, link = tmp_path / "deeper" / "real", tmp_path / "link"
    link.symlink_to("deeper/real")
    for content in (b"first", b"second"):  # there is nothing yet, then something
        write_bytes(link, content)
        assert link.is_symlink()
        assert real.read_bytes() == content
    for path in (fifo, Path("/dev/null")):
        with pytest.raises(BadFileError, match=r"a pipe|a device"):
            write_bytes(path, b"x")
    assert fifo.is_fifo()
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("content", ["a = " + "[" * 5000, "a = " + "9" * 5000, "a = 1" + " " * 1_000_001])
def test_toml(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(content)
    with pytest.raises(BadFileError, match=r"a\.toml"):
        read_toml(tmp_path / "a.toml")


@pytest.mark.parametrize(
    "content", ["a: " + "[" * 5000, "a: " + "9" * 5000, "a: 2024-99-99", "a: !!bool x", "a: !!int x", "{[]: 1}: 2"]
)
def test_yaml(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(BadFileError, match=r"a\.yaml"):
        load_yaml(tmp_path / "a.yaml")
