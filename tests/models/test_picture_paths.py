"""A picture is found under the spellings that annotation files have, where exactly one file fits."""

from __future__ import annotations

from pathlib import Path

import pytest

from poseunion.models.errors import BadArgumentError
from poseunion.models.picture_paths import picture_path, refuse_wrong_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("sub/a.jpg", "b c.png", "twice.jpg", "twice.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"picture")
    return tmp_path


@pytest.mark.parametrize(
    ("stated", "found"),
    [
        ("sub/a.jpg", "sub/a.jpg"),
        ("sub\\a.jpg", "sub/a.jpg"),
        ("C:\\data\\sub\\a.jpg", "sub/a.jpg"),
        ("/home/me/images/sub/a.jpg", "sub/a.jpg"),
        ("../images/sub/a.jpg", "sub/a.jpg"),
        ("SUB/../sub/A.JPG", "sub/a.jpg"),
        ("sub/a.png", "sub/a.jpg"),
        ("b%20c.png", "b c.png"),
        ("twice.png", "twice.png"),
    ],
)
def test_spellings_of_one_file(stated: str, found: str, folder: Path) -> None:
    assert picture_path(folder, stated).resolve() == (folder / found).resolve()


@pytest.mark.parametrize("stated", ["twice.bmp", "other.jpg", "a.jpg", "..", "x" * 5000, "sub"])
def test_where_none_or_several_fit_the_stated_name_stays(stated: str, folder: Path) -> None:
    assert picture_path(folder, stated) == folder / stated


def test_nothing_outside_the_folder_is_taken(folder: Path) -> None:
    (folder / "inner").mkdir()
    assert not picture_path(folder / "inner", "/elsewhere/twice.jpg").is_file()


def test_a_picture_that_comes_later_is_found(folder: Path) -> None:
    assert not picture_path(folder, "late.png").is_file()
    (folder / "late.jpg").write_bytes(b"picture")
    assert picture_path(folder, "late.png").is_file()


def test_a_folder_without_any_of_the_first_pictures_is_refused(folder: Path) -> None:
    missing = [f"{n}.jpg" for n in range(100)]
    with pytest.raises(BadArgumentError, match=r"0 of the first 64 pictures of train\.json are in .*0\.jpg.*--images"):
        refuse_wrong_folder(folder, missing, "train.json")
    refuse_wrong_folder(folder, [*missing[:63], "sub/a.jpg"], "train.json")
    refuse_wrong_folder(folder, [], "train.json")
