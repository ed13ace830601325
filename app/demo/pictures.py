"""Uploads: read whole, made small enough, encoded anew. Nothing of the file that came in is kept or shown."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from poseunion.models.drawing import ROLE_COLOURS
from poseunion.models.errors import BadArgumentError, ItemError
from poseunion.models.images import read_image

# Decoding takes 3 to 7 bytes a pixel; the largest common phone setting saves 50 Mpx.
MAX_PIXELS = 50_000_000
# Longest side of what is kept of an upload: screens show less, and crops of a person rarely need more.
KEPT_SIDE_PX = 2048
JPEG_QUALITY = 92
TILE_PX = 900  # wide enough to be enlarged


@dataclass(frozen=True)
class Picture:
    """An upload that could be read.

    Attributes:
        jpeg: the picture encoded anew, at most `KEPT_SIDE_PX` wide and high.
        size_wh: its size, pixels.
        original_wh: size of the upload, upright, pixels.
        name: what the upload was called; for messages only.
    """

    jpeg: bytes
    size_wh: tuple[int, int]
    original_wh: tuple[int, int]
    name: str

    @property
    def original_px(self) -> float:
        """Pixels of the upload for each pixel kept."""
        return self.original_wh[0] / self.size_wh[0]

    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB."""
        return read_image(self.jpeg)


def read_upload(content: bytes, name: str = "The picture", max_pixels: int = MAX_PIXELS) -> Picture:
    """Read an upload.

    Raises:
        ItemError: a sentence for the visitor: too large, truncated, not a picture.
    """
    try:
        image = read_image(content, max_pixels=max_pixels)
    except ItemError as error:
        reason = str(error).removeprefix("picture ")
        raise ItemError(f"{name} {reason}: choose another picture (JPEG, PNG or WebP).") from error
    height, width = image.shape[:2]
    shrink = max(width, height) / KEPT_SIDE_PX
    if shrink > 1:
        image = shrunk(image, (max(1, round(width / shrink)), max(1, round(height / shrink))))
    return Picture(to_jpeg(image), (image.shape[1], image.shape[0]), (width, height), name)


def shrunk(image: NDArray[np.uint8], wh: tuple[int, int]) -> NDArray[np.uint8]:
    """A smaller copy, areas averaged."""
    return np.asarray(cv2.resize(image, wh, interpolation=cv2.INTER_AREA), np.uint8)


def safe_name(name: str | None) -> str:
    """Name of an upload for messages: the last part, short and printable; never used as a path.

    >>> safe_name("../../etc/pass<b>wd.jpg"), safe_name(None)
    ('passbwd.jpg', 'The picture')
    """
    last = Path(str(name or "").replace("\\", "/")).name
    kept = "".join(c for c in last if c.isalnum() or c in " ._-()")[-60:].strip()
    return kept or "The picture"


def to_jpeg(image: NDArray[np.uint8], quality: int = JPEG_QUALITY) -> bytes:
    """An RGB picture as JPEG, with full colour resolution: red points stay red."""
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    done, encoded = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), options)
    if not done:
        raise BadArgumentError(f"A picture of {image.shape} cannot be encoded as JPEG.")
    return bytes(encoded.tobytes())


def data_url(jpeg: bytes) -> str:
    """A JPEG as a data URL in the page: no file is left on the server, and no path is exposed."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def figure(image: NDArray[np.uint8], alt: str, caption: str) -> str:
    """HTML of a picture, at most `TILE_PX` wide, with its caption (HTML)."""
    height, width = image.shape[:2]
    small = image if width <= TILE_PX else shrunk(image, (TILE_PX, round(height * TILE_PX / width)))
    source, described = data_url(to_jpeg(small)), escape(alt, quote=True)
    enlarge = f"<button type='button' class='tile' title='Enlarge'><img src='{source}' alt='{described}'></button>"
    return f"<figure>{enlarge}<figcaption>{caption}</figcaption></figure>"


def colour_legend(roles: dict[str, str]) -> str:
    """HTML legend of the colours of `models.drawing`: role -> text."""
    dots = (f'<span><i style="background: rgb{ROLE_COLOURS[role]}"></i>{text}</span>' for role, text in roles.items())
    return f'<div class="legend">{"".join(dots)}</div>'
