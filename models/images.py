"""Image decoding, the only place for it: every picture becomes (H, W, 3) uint8 RGB or an `ItemError`.

Greyscale is repeated; 16 bits are scaled to 8, not clipped; transparent pixels are laid on white, as a viewer shows
them; of an animation the first frame is taken; colour profiles are ignored. What cannot be read whole is refused: half
a picture is never returned.
"""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile

from poseunion.models.errors import BadArgumentError, BadFileError, ItemError
from poseunion.models.files import refuse_irregular

Source = str | Path | bytes
ImageLike = Source | Image.Image | NDArray[np.generic]  # whatever a caller in Python has

MAX_PIXELS = 100_000_000  # 300 MB of RGB; phones take up to 108 Mpx but save 12
# Brands of HEIF files with HEVC pictures (ISO/IEC 23008-12); what phones write.
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

BEHIND_ALPHA = (255, 255, 255)

_ORIENTATION_TAG = 0x0112
# What Pillow reads an orientation from, besides EXIF: texts of a PNG.
_TURNING = frozenset({"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"})
# EXIF orientation -> the operation that makes the picture upright, and the one that undoes it.
_UPRIGHT = {
    2: (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_LEFT_RIGHT),
    3: (Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_180),
    4: (Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.FLIP_TOP_BOTTOM),
    5: (Image.Transpose.TRANSPOSE, Image.Transpose.TRANSPOSE),
    6: (Image.Transpose.ROTATE_270, Image.Transpose.ROTATE_90),
    7: (Image.Transpose.TRANSVERSE, Image.Transpose.TRANSVERSE),
    8: (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270),
}
_SWAPS_SIDES = (5, 6, 7, 8)


def read_image(source: Source, *, exif: bool = True, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode a picture.

    Args:
        source: path, or the file's content.
        exif: turn the picture upright by its EXIF orientation. Off gives the stored pixels.
        max_pixels: larger pictures are refused from their header, before anything is decoded.

    Returns:
        (H, W, 3) uint8 RGB, contiguous and writable.

    Raises:
        ItemError: missing, empty, truncated, too large, or not a picture.
    """
    with _opened(source, max_pixels) as (image, name):
        return _decoded(image, name, exif)


def rgb_image(picture: ImageLike) -> NDArray[np.uint8]:
    """Convert a file, PIL image or array to RGB.

    Args:
        picture: path or content of a file (`read_image`); a PIL image; or an array: (H, W, 3) RGB (OpenCV reads BGR),
            (H, W) grey, or (H, W, 4) with alpha, of uint8 from 0 to 255 or floats from 0 to 1.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ItemError: a file that cannot be read. BadArgumentError: an array of another shape, type or range.
    """
    if isinstance(picture, (str, Path, bytes)):
        return read_image(picture)
    if isinstance(picture, Image.Image):
        return np.array(_to_rgb(picture, "the picture"), np.uint8)
    array: NDArray[Any] = np.asarray(picture)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or 0 in array.shape:
        raise BadArgumentError(
            f"The picture has shape {array.shape}: give (height, width, 3) in RGB, or a file's path."
        )
    if np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if not 0 <= low <= high <= 1:
            raise BadArgumentError(
                f"The picture has floating-point values from {low:g} to {high:g}: give floats from 0 to 1, or uint8."
            )
        array = np.round(array * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        raise BadArgumentError(
            f"The picture has {array.dtype} values: give uint8 from 0 to 255, or floats from 0 to 1."
        )
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[array.shape[-1]]
    if mode == "RGB":
        return np.ascontiguousarray(array, np.uint8)
    return np.array(_to_rgb(Image.fromarray(array.squeeze(-1) if mode == "L" else array), "the picture"), np.uint8)


def image_size(source: Source, *, exif: bool = True, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height in pixels, from the header only; arguments and errors as `read_image`."""
    with _opened(source, max_pixels) as (image, _):
        stored, upright = _sizes(image)
        return upright if exif else stored


def read_annotated_image(
    source: Source, expected_wh: tuple[int, int] | None, *, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Decode the picture in the frame that its annotations were made in.

    That is the frame whose size equals the annotation's width x height: the stored pixels where they fit, else the
    EXIF-upright picture. None (a format that records no size, such as MPII's) means the stored pixels.

    Raises:
        ItemError: as `read_image`, or neither frame has the expected size.
    """
    if expected_wh is None:
        return read_image(source, exif=False, max_pixels=max_pixels)
    with _opened(source, max_pixels) as (image, name):
        stored, upright = _sizes(image)
        expected = (int(expected_wh[0]), int(expected_wh[1]))
        if expected not in (stored, upright):
            raise ItemError(f"{name} is {stored[0]}x{stored[1]}, but its annotation has {expected[0]}x{expected[1]}")
        return _decoded(image, name, expected != stored)


@contextlib.contextmanager
def _opened(source: Source, max_pixels: int) -> Iterator[tuple[Image.Image, str]]:
    """Opened picture with its size checked from the header, and its name for messages."""
    name = "picture" if isinstance(source, bytes) else str(source)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_strict_pillow())
        if not isinstance(source, bytes):
            source = Path(source) if isinstance(source, str) else source  # parsed once
            try:
                refuse_irregular(source)
            except BadFileError as error:  # a pipe, which open() would wait for
                raise ItemError(str(error).removesuffix(": give a file.")) from error
        try:
            opened: BinaryIO = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
            image = stack.enter_context(Image.open(stack.enter_context(opened)))
        except FileNotFoundError as error:
            raise ItemError(f"{name} does not exist") from error
        except UnidentifiedImageError as error:
            empty = not source if isinstance(source, bytes) else source.stat().st_size == 0
            if kind := None if empty else _unread_kind(source):
                raise ItemError(f"{name} is {kind}") from error
            raise ItemError(f"{name} is empty" if empty else f"{name} is not a picture") from error
        except Exception as error:  # no permission, a folder, a damaged header: see read_image
            raise ItemError(f"{name} cannot be opened ({_reason(error)})") from error
        width, height = image.size
        if width < 1 or height < 1:
            raise ItemError(f"{name} has no pixels")
        if width * height > max_pixels:
            raise ItemError(f"{name} is {width}x{height}, over the limit of {max_pixels / 1e6:g} million pixels")
        yield image, name


def _unread_kind(source: Source) -> str | None:
    """Kind of a file that Pillow cannot open, with the remedy, from its first bytes; None: unknown."""
    if isinstance(source, bytes):
        head = source[:64]
    else:
        with Path(source).open("rb") as file:
            head = file.read(64)
    if head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS:
        return (
            "HEIC, which is not read: convert it to JPEG (sips, heif-convert or ImageMagick do), or set the camera so"
        )
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer and not the picture itself: run git lfs pull"
    return None


def _decoded(image: Image.Image, name: str, exif: bool) -> NDArray[np.uint8]:
    """Pixels of an opened picture, upright or as stored."""
    orientation = _orientation(image)
    try:
        image.load()
        rgb = _to_rgb(image, name)
    except ItemError:
        raise
    except Exception as error:  # decoders raise any exception on damaged bytes, struct.error included
        raise ItemError(f"{name} is truncated or damaged ({_reason(error)})") from error
    applied = image.format == "TIFF"  # Pillow turns TIFF upright while loading, and only TIFF
    if orientation in _UPRIGHT and exif != applied:
        rgb = rgb.transpose(_UPRIGHT[orientation][1 if applied else 0])
    return np.array(rgb, dtype=np.uint8)


def _sizes(image: Image.Image) -> tuple[tuple[int, int], tuple[int, int]]:
    """Width and height of the stored pixels and of the upright picture, from an opened header."""
    size, swapped = image.size, (image.size[1], image.size[0])
    if _orientation(image) not in _SWAPS_SIDES:
        return size, size
    return (swapped, size) if image.format == "TIFF" else (size, swapped)


def _orientation(image: Image.Image) -> int:
    try:
        if isinstance(image, PngImageFile) and not _may_be_turned(image):
            return 1  # Pillow would decode the whole picture to find none behind the pixels
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged EXIF does not make the picture unreadable
        return 1


def _may_be_turned(png: PngImageFile) -> bool:
    """Whether a PNG file has data that may hold an orientation, before the pixels or behind them."""
    if png.fp is None or not _TURNING.isdisjoint(png.info):
        return True
    pixels, position = png.fp.tell(), 8  # behind the signature
    try:
        while True:
            png.fp.seek(position)
            head = png.fp.read(8)  # length and kind of a chunk
            if len(head) < 8 or head[4:] == b"IEND":
                return False
            if head[4:] == b"eXIf" or (position > pixels and head[4:] in (b"tEXt", b"zTXt", b"iTXt")):
                return True
            position += int.from_bytes(head[:4], "big") + 12
    finally:
        png.fp.seek(pixels)


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    """Conversion of the loaded `image` to RGB."""
    if image.mode == "F":
        raise ItemError(f"{name} has floating-point pixels, whose range is not stated")
    if image.mode.startswith("I"):  # I;16 and its byte orders, and I, which holds 16 bits for PNG and PGM
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ItemError(f"{name} has 32-bit pixels, whose range is not stated")
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        behind = Image.new("RGBA", rgba.size, (*BEHIND_ALPHA, 255))
        return Image.alpha_composite(behind, rgba).convert("RGB")
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    """Message of a library's error as half a sentence, without paths and counts that differ between runs."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0].split(" (")[0][:120]


_strict_lock = threading.Lock()
_strict_depth = 0
_before_strict: tuple[int | None, bool] = (None, False)


@contextlib.contextmanager
def _strict_pillow() -> Iterator[None]:
    """Pillow's size limit and truncation switch set for strict reading, restored after the last reader.

    Its own size limit warns, and later raises, at other sizes than ours; and another library of this process may have
    set it to fill truncated files with grey.
    """
    global _strict_depth, _before_strict
    with _strict_lock:
        if _strict_depth == 0:
            _before_strict = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
            Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, False
        _strict_depth += 1
    try:
        yield
    finally:
        with _strict_lock:
            _strict_depth -= 1
            if _strict_depth == 0:
                Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = _before_strict
