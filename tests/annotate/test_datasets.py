"""Search for the files of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from poseunion.annotate.datasets import KNOWN, find_dataset
from poseunion.models.errors import BadArgumentError, BadFileError


@pytest.mark.parametrize("name", KNOWN)
def test_known_datasets_are_found_below_the_data_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSEUNION_DATA", str(tmp_path))
    with pytest.raises(BadFileError) as caught:
        find_dataset(name)
    for place in (KNOWN[name].annotations, KNOWN[name].images):
        assert str(tmp_path / place) in str(caught.value)
    (tmp_path / KNOWN[name].annotations).parent.mkdir(parents=True)
    (tmp_path / KNOWN[name].annotations).write_text("{}")
    (tmp_path / KNOWN[name].images).mkdir(parents=True)
    found = find_dataset(name)
    assert found.annotations == tmp_path / KNOWN[name].annotations
    assert found.skeleton is not None


def test_a_file_describes_a_dataset(folder: Any, coco: Any, tmp_path: Path) -> None:
    folder.write(coco(1, skeleton="lsp14"))
    toml = tmp_path / "mine.toml"
    toml.write_text('format = "coco"\nannotations = "in.json"\nimages = "images"\nskeleton = "lsp14"\n')
    found = find_dataset(str(toml))
    assert (found.annotations, found.images, found.format) == (folder.file, folder.images, "coco")
    assert found.skeleton is not None
    assert found.skeleton.name == "lsp14"
    assert find_dataset(str(toml), images=tmp_path).images == tmp_path


@pytest.mark.parametrize(
    "content",
    ['images = "x"', 'annotations = "a"\nimages = "b"\nskelleton = "coco17"', "annotations = 3\nimages = 4", "="],
)
def test_a_file_that_describes_none(content: str, tmp_path: Path) -> None:
    toml = tmp_path / "mine.toml"
    toml.write_text(content)
    with pytest.raises(BadFileError, match=r"mine\.toml"):
        find_dataset(str(toml))


def test_too_little_or_unknown() -> None:
    with pytest.raises(BadArgumentError, match="Which data"):
        find_dataset(None, Path("a.json"))
    with pytest.raises(BadArgumentError, match="No dataset 'cocoo'"):
        find_dataset("cocoo")
    with pytest.raises(BadFileError, match=r"nothing\.json"):
        find_dataset(None, Path("nothing.json"), Path())
