"""Folders that are whole or absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from poseunion.models.errors import BadFileError
from poseunion.models.files import atomic_folder


def test_it_appears_when_all_went_well_and_not_before(tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    with atomic_folder(out) as folder:
        (folder / "a").write_text("1")
        assert not out.exists()
    assert (out / "a").read_text() == "1"
    assert [p.name for p in out.parent.iterdir()] == ["folder"]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "folder"
    with pytest.raises(ZeroDivisionError), atomic_folder(out):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    out.mkdir()
    (out / "old").write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_folder(out, overwrite=True) as folder:
        _write_and_fail(folder)
    assert [p.name for p in out.iterdir()] == ["old"]
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def _write_and_fail(folder: Path) -> None:
    (folder / "a").write_text("1")
    raise ZeroDivisionError


def test_only_overwrite_replaces(tmp_path: Path) -> None:
    out = tmp_path / "folder"
    out.mkdir()
    (out / "old").write_text("old")
    with pytest.raises(BadFileError, match="--overwrite"), atomic_folder(out):
        pass
    with atomic_folder(out, overwrite=True) as folder:
        (folder / "a").write_text("1")
    assert [p.name for p in out.iterdir()] == ["a"]
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(BadFileError), atomic_folder(file, overwrite=True):
        pass
    assert file.read_text() == "mine"


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match="free space"), atomic_folder(tmp_path / "folder"):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []
