"""The flat file of pictures that both stores keep."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from poseunion.training.data.pixel_file import PixelsWriter, open_pixels, whole_index

RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((1, 1), (7, 3), (20, 30))]


def written(folder: Path) -> tuple[Path, Path]:
    path, index = folder / "a.pixels", folder / "a.npz"
    with path.open("wb") as file:
        writer = PixelsWriter(file)
        for picture in PICTURES:
            writer.add(picture)
    np.savez(index, **writer.facts(path))
    return path, index


def test_pictures_come_back(tmp_path: Path) -> None:
    path, index = written(tmp_path)
    assert whole_index(path, index) is not None
    pixels = open_pixels(path, np.load(index))
    assert all((pixels[i] == picture).all() for i, picture in enumerate(PICTURES))


def test_a_changed_byte_a_shorter_file_and_a_lost_index_are_seen(tmp_path: Path) -> None:
    path, index = written(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])
    assert whole_index(path, index) is None
    path.write_bytes(content[:-1])
    assert whole_index(path, index) is None
    path.write_bytes(content)
    assert whole_index(path, index) is not None
    index.write_bytes(b"no index")
    assert whole_index(path, index) is None
    index.unlink()
    assert whole_index(path, index) is None
