"""The decoder: every kind of picture becomes RGB of the right values, every bad one an `ItemError`."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile

from poseunion.models.errors import BadArgumentError, ItemError
from poseunion.models.images import image_size, read_annotated_image, read_image, rgb_image

RANDOM = np.random.default_rng(5)
RGB = RANDOM.integers(0, 256, (7, 11, 3), dtype=np.uint8)  # 11 wide, 7 high, no symmetry


def encoded(image: Image.Image, file_format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def smooth(width: int, height: int) -> NDArray[np.uint8]:
    """A picture that survives JPEG."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], -1).astype(np.uint8)


def with_orientation(image: Image.Image, orientation: int, file_format: str) -> bytes:
    if file_format == "TIFF":
        return encoded(image, "TIFF", tiffinfo={0x0112: orientation})
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, file_format, exif=exif)


# What a viewer does to the stored pixels, written with numpy instead of Pillow.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_exif_orientation(orientation: int, file_format: str) -> None:
    stored = smooth(64, 40) if file_format == "JPEG" else RGB
    options = {"lossless": True} if file_format == "WEBP" else {}
    if options:
        exif = Image.Exif()
        exif[0x0112] = orientation
        content = encoded(Image.fromarray(stored), file_format, exif=exif, **options)
    else:
        content = with_orientation(Image.fromarray(stored), orientation, file_format)
    upright = UPRIGHT[orientation](stored)
    atol = 12 if file_format == "JPEG" else 0
    np.testing.assert_allclose(read_image(content).astype(int), upright, atol=atol)
    np.testing.assert_allclose(read_image(content, exif=False).astype(int), stored, atol=atol)
    assert image_size(content) == upright.shape[1::-1]
    assert image_size(content, exif=False) == stored.shape[1::-1]
    height, width = stored.shape[:2]
    np.testing.assert_allclose(read_annotated_image(content, (width, height)).astype(int), stored, atol=atol)
    np.testing.assert_allclose(read_annotated_image(content, None).astype(int), stored, atol=atol)
    if orientation >= 5:
        np.testing.assert_allclose(read_annotated_image(content, (height, width)).astype(int), upright, atol=atol)


def test_an_annotation_of_another_size_is_refused() -> None:
    content = encoded(Image.fromarray(RGB))
    with pytest.raises(ItemError, match=r"is 11x7, but its annotation has 7x11"):
        read_annotated_image(content, (7, 11))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_an_unknown_or_damaged_orientation_is_ignored() -> None:
    np.testing.assert_array_equal(read_image(with_orientation(Image.fromarray(RGB), 9, "PNG")), RGB)
    damaged = encoded(Image.fromarray(RGB), "PNG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff\xff\xff")
    np.testing.assert_array_equal(read_image(damaged), RGB)


def test_greyscale_is_repeated() -> None:
    grey = read_image(encoded(Image.fromarray(RGB[..., 0])))
    np.testing.assert_array_equal(grey, np.repeat(RGB[..., :1], 3, -1))


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled(file_format: str) -> None:
    ramp = np.array([[0, 128, 129, 257, 32768, 65407, 65535]], np.uint16)
    pixels = read_image(encoded(Image.fromarray(ramp), file_format))
    assert pixels[0, :, 0].tolist() == np.round(ramp[0] / 257).astype(int).tolist() == [0, 0, 1, 1, 128, 255, 255]


def test_sixteen_bit_pgm() -> None:
    content = b"P5 3 1 65535\n" + np.array([0, 32768, 65535], ">u2").tobytes()
    assert read_image(content)[0, :, 0].tolist() == [0, 128, 255]


def test_one_bit() -> None:
    pixels = np.array([[True, False, True]])
    assert read_image(encoded(Image.fromarray(pixels)))[0, :, 1].tolist() == [255, 0, 255]


def test_cmyk() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    for file_format in ("JPEG", "TIFF"):
        pixel = read_image(encoded(red, file_format))[8, 8]
        np.testing.assert_allclose(pixel.astype(int), (255, 0, 0), atol=3)


def test_transparent_pixels_are_laid_on_white() -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 0], rgba[0, :, 3] = 200, (0, 255, 128)
    pixels = read_image(encoded(Image.fromarray(rgba)))[0].astype(int)
    np.testing.assert_allclose(pixels, [(255, 255, 255), (200, 0, 0), (227, 127, 127)], atol=1)
    grey = read_image(encoded(Image.fromarray(rgba[..., [0, 3]])))[0, :, 0].astype(int)
    np.testing.assert_allclose(grey, [255, 200, 227], atol=1)


def test_palettes_with_and_without_transparency() -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "L").convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    assert read_image(encoded(image))[0].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert read_image(encoded(image, transparency=1))[0].tolist() == [[255, 0, 0], [255, 255, 255], [0, 0, 255]]
    assert read_image(encoded(image, "GIF"))[0].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]


def test_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (4, 4), c) for c in ("red", "blue")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read_image(content)[0, 0].tolist() == [255, 0, 0]


def test_floating_point_is_refused() -> None:
    with pytest.raises(ItemError, match="floating-point"):
        read_image(encoded(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF"))
    with pytest.raises(ItemError, match="32-bit"):
        read_image(encoded(Image.fromarray(np.full((2, 2), 1 << 20, np.int32)), "TIFF"))


def test_one_pixel_and_all_kinds_of_source(tmp_path: Path) -> None:
    path = tmp_path / "ünï cödé.png"
    path.write_bytes(encoded(Image.new("RGB", (1, 1), (1, 2, 3))))
    for source in (path, str(path), path.read_bytes()):
        pixels = read_image(source)
        assert pixels.tolist() == [[[1, 2, 3]]]
        assert pixels.dtype == np.uint8
        assert pixels.flags.writeable
        assert pixels.flags.c_contiguous
        assert image_size(source) == (1, 1)


def test_the_limit_is_checked_before_decoding() -> None:
    # A header that claims 60000 x 60000 and no pixels at all: only a decoder would notice that they are missing.
    content = bytearray(encoded(Image.new("RGB", (2, 2))))
    content[16:24] = (60000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    with pytest.raises(ItemError, match="60000x60000, over the limit of 100 million pixels"):
        read_image(bytes(content))
    with pytest.raises(ItemError, match="over the limit"):
        image_size(bytes(content))
    assert image_size(bytes(content), max_pixels=10**10) == (60000, 60000)  # Pillow's own limit has no say
    assert Image.MAX_IMAGE_PIXELS is not None


@pytest.mark.parametrize(
    ("file_format", "options"),
    [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {}), ("GIF", {}), ("TIFF", {}), ("BMP", {})],
)
def test_a_truncated_file_is_never_half_a_picture(file_format: str, options: dict[str, Any]) -> None:
    picture = Image.fromarray(RANDOM.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    content = encoded(picture, file_format, **options)
    whole = read_image(content)
    refused = 0
    for share in np.linspace(0, 0.995, 40):
        try:
            pixels = read_image(content[: int(len(content) * share)])
        except ItemError:
            refused += 1
        else:
            np.testing.assert_array_equal(pixels, whole)
    assert refused >= 36


def test_truncation_is_found_whatever_another_library_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    content = encoded(Image.fromarray(smooth(200, 200)), "JPEG")
    with pytest.raises(ItemError, match="truncated"):
        read_image(content[: len(content) // 2])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True  # their setting is given back


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"", "is empty"), (b"hello, world" * 9, "is not a picture"), (b"\x89PNG\r\n\x1a\n", "picture|x.jpg")],
)
def test_what_is_not_a_picture(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    for source in (path, content):
        with pytest.raises(ItemError, match=complaint) as caught:
            read_image(source)
        assert "\n" not in str(caught.value)
        assert "Traceback" not in str(caught.value)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ItemError, match=r"gone\.jpg does not exist"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(ItemError, match="cannot be opened"):
        read_image(tmp_path)
    with pytest.raises(ItemError, match="cannot be opened"):
        image_size("a\0b.jpg")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_random_damage_raises_nothing_else() -> None:
    random = np.random.default_rng(3)
    for file_format in ("JPEG", "PNG", "WEBP", "GIF", "TIFF"):
        content = encoded(Image.fromarray(smooth(40, 30)), file_format)
        for _ in range(60):
            damaged = bytearray(content)
            for place in random.integers(0, len(content), 4):
                damaged[place] = int(random.integers(256))
            with contextlib.suppress(ItemError):
                assert read_image(bytes(damaged), max_pixels=10**6).ndim == 3


def test_threads_read_at_once() -> None:
    content = encoded(Image.fromarray(smooth(300, 300)), "PNG")
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    shapes: list[tuple[int, ...]] = []
    threads = [threading.Thread(target=lambda: shapes.append(read_image(content).shape)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shapes == [(300, 300, 3)] * 8
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


def test_heic_is_named_with_the_way_on(tmp_path: Path) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic")
    with pytest.raises(ItemError, match="is HEIC, which is not read: convert it to JPEG"):
        read_image(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes have no names here")
def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(ItemError, match="is a pipe"):
        read_image(tmp_path / "a.jpg")


@given(st.sampled_from([(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4)]), st.sampled_from([np.uint8, np.float32, np.float64]))
def test_arrays_become_rgb(shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    values = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    rgb = rgb_image(values if dtype is np.uint8 else (values / 255).astype(dtype))
    assert (rgb.shape, rgb.dtype) == ((5, 7, 3), np.uint8)
    if shape[2:] == (3,):
        np.testing.assert_array_equal(rgb, values)
    elif shape[2:] in ((), (1,)):
        np.testing.assert_array_equal(rgb, np.repeat(values.reshape(5, 7, 1), 3, 2))
    else:  # laid on white, as files are
        opaque = values[..., 3:] / 255
        np.testing.assert_allclose(rgb, values[..., :3] * opaque + 255 * (1 - opaque), atol=1)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 4, 5)), r"shape \(3, 4, 5\)"),
        (np.zeros((2, 4, 5, 3), np.uint8), "shape"),
        (np.zeros((0, 5, 3), np.uint8), "shape"),
        (np.full((4, 5, 3), 254.0), "from 254 to 254"),
        (np.full((4, 5, 3), -0.5), "from -0.5"),
        (np.full((4, 5, 3), np.nan), "from nan"),
        (np.zeros((4, 5, 3), np.uint16), "uint16 values"),
        (np.zeros((4, 5, 3), bool), "bool values"),
        (None, "shape"),
    ],
)
def test_arrays_of_unknown_range_are_refused(array: object, message: str) -> None:
    with pytest.raises(BadArgumentError, match=message):
        rgb_image(array)  # type: ignore[arg-type]
