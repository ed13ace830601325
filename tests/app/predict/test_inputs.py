"""What `predict` refuses before any model is loaded: files and folders without a picture or video."""

from __future__ import annotations

from pathlib import Path

import pytest

from poseunion.app.predict.inputs import collect
from poseunion.models.errors import PoseUnionError


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"a line of text\n" * 200),  # FFmpeg draws the letters of such a file
        ("labels.json", b'{"images": []}'),
        ("art.ans", b"hello"),
        ("empty.dat", b""),
        ("text.jpg", b"hello"),
        ("umlauts.md", "ä".encode() * 4000),
    ],
)
def test_a_file_that_is_neither_is_one_sentence(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PoseUnionError, match=r"give pictures \(JPEG, PNG, WebP …\) or videos\.$") as error:
        collect([tmp_path / name], tmp_path / "out")
    assert str(error.value).startswith(f"{name} ")
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("names", [(), ("notes.txt", "a/labels.json")])
def test_a_folder_with_neither_is_one_sentence(names: tuple[str, ...], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("[]")
    with pytest.raises(PoseUnionError, match="There are no pictures or videos in") as error:
        collect([tmp_path], tmp_path / "out")
    assert error.value.exit_code == 2


def test_text_beside_a_video_is_listed(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"\0")
    (tmp_path / "notes.txt").write_text("hello")
    found = collect([tmp_path / "a.mp4", tmp_path / "notes.txt"], tmp_path / "out")
    assert [video.name for video in found.videos] == ["a.mp4"]
    assert found.bad == [("notes.txt", "is neither a picture nor a video, but text")]
