"""A training person as three small files of a WebDataset shard: picture (WebP), labels (JSON), teachers' peaks (NPY).

Labels and peaks are in px of the whole picture. A sample's `scale` and `origin` map its own pixels there:
image = origin + (crop + 1/2) * scale - 1/2. Nothing in a sample depends on where or when it was written.

Shapes: K keypoints, T teachers, M modes a keypoint, P peaks.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from poseunion.models.errors import BadFileError, ItemError
from poseunion.models.images import read_image
from poseunion.training.data.arrays import take
from poseunion.training.data.crop_store import CropStore, context_half
from poseunion.training.densities.peaks import MODES, Peaks

# Of the box, which is first widened to the crop's shape: what scale 1.3 of an upright crop can show.
BOX_CONTEXT = 1.6
# A labelled point is kept to a millionth of a px: decimal numbers of an annotation file come back as they were.
DECIMALS = 6
# One row of a sample's `.npy`.
PEAK = ("teacher", "keypoint", "mode", "x", "y", "xx", "xy", "yy", "weight", "confidence")


@dataclass(frozen=True)
class Sample:
    """One training person: pixels, labels, teachers' peaks.

    Attributes:
        pixels: (h, w, 3) uint8 RGB.
        scale: px of the whole picture per px of `pixels`; origin_xy: the picture's point at the corner of `pixels`.
        image: the picture's name below the data set's folder; whether it is held out depends on it.
        box_xywh, xy (K, 2), visibility (K,), weight (K,): as in `CropStore`, but in px of the whole picture.
        modes: of each teacher, (1, K, …), px of the whole picture.
    """

    pixels: NDArray[np.uint8]
    scale: float
    origin_xy: NDArray[np.float64]
    image: str
    person_id: int
    box_xywh: NDArray[np.float64]
    xy: NDArray[np.float64]
    visibility: NDArray[np.int8]
    weight: NDArray[np.float64]
    modes: tuple[Peaks, ...] = ()


def cut_sample(store: CropStore, index: int, modes: Sequence[Peaks], height_px: int, name: str) -> Sample:
    """One person of a store, on the pixels within `BOX_CONTEXT` of the box.

    Args:
        modes: each teacher's, of the whole store, store px.
        height_px: of the box in the sample; a smaller person is not enlarged.
        name: of the picture, below the data set's folder.
    """
    pixels, box = store.pixels(index), store.box_xywh[index]
    box_height, half = context_half(box[2], box[3], BOX_CONTEXT)
    size, centre = np.array(pixels.shape[1::-1]), box[:2] + box[2:] / 2
    low = np.clip(np.floor(centre - half), 0, size - 1).astype(int)
    high = np.clip(np.ceil(centre + half), low + 1, size).astype(int)
    cut, shrink = shrunk(pixels[low[1] : high[1], low[0] : high[0]], box_height / height_px)
    scale = float(store.image_px_per_store_px[index])
    back = np.array([[[scale, 0, 0], [0, scale, 0]]])
    back[0, :, 2] = store.origin_xy[index] + 0.5 * scale - 0.5
    return Sample(
        pixels=cut,
        scale=shrink * scale,
        origin_xy=store.origin_xy[index] + low * scale,
        image=name,
        person_id=int(store.person_id[index]),
        box_xywh=np.concatenate([store.to_image(index, box[:2]), box[2:] * scale]),
        xy=store.to_image(index, store.xy[index]),
        visibility=store.visibility[index],
        weight=store.weight[index],
        modes=tuple(take(one, slice(index, index + 1)).mapped(back) for one in modes),
    )


def shrunk(pixels: NDArray[np.uint8], factor: float) -> tuple[NDArray[np.uint8], float]:
    """A picture made smaller by about a factor, and the exact one of its longer side; never enlarged."""
    if factor <= 1:
        return np.ascontiguousarray(pixels), 1.0
    height, width = pixels.shape[:2]
    small = max(1, round(width / factor)), max(1, round(height / factor))
    exact = height / small[1] if height >= width else width / small[0]
    return np.asarray(cv2.resize(pixels, small, interpolation=cv2.INTER_AREA), np.uint8), exact


def encode_picture(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """WebP of a quality from 1 to 100; 100 is lossless."""
    # Method 6 writes 3 % less in 1.6 times the time.
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=quality, method=4, lossless=quality == 100)
    return file.getvalue()


def encode(sample: Sample, quality: int) -> dict[str, bytes]:
    """A sample's files by their endings."""
    labels = {
        "image": sample.image,
        "person": sample.person_id,
        "box_xywh": _rounded(sample.box_xywh),
        "xy": [_rounded(point) for point in sample.xy],
        "visibility": [int(v) for v in sample.visibility],
        "scale": sample.scale,
        "origin": [float(v) for v in sample.origin_xy],
    }
    if not np.array_equal(sample.weight, sample.visibility > 0):
        labels["weight"] = [float(w) for w in sample.weight]
    files = {
        "webp": encode_picture(sample.pixels, quality),
        "json": json.dumps(labels, ensure_ascii=False, separators=(",", ":")).encode(),
    }
    if sample.modes:
        peaks = io.BytesIO()
        np.save(peaks, _table(sample.modes), allow_pickle=False)
        files["npy"] = peaks.getvalue()
    return files


def decode(files: dict[str, bytes], keypoints: int, teachers: int) -> Sample:
    """Decode a sample of `encode`.

    Raises:
        ItemError: it is something else.
    """
    try:
        labels = json.loads(files["json"])
        visibility = np.array(labels["visibility"], np.int8)
        sample = Sample(
            pixels=read_image(files["webp"]),
            scale=float(labels["scale"]),
            origin_xy=np.array(labels["origin"], np.float64).reshape(2),
            image=str(labels["image"]),
            person_id=int(labels["person"]),
            box_xywh=np.array(labels["box_xywh"], np.float64).reshape(4),
            xy=np.array(labels["xy"], np.float64).reshape(keypoints, 2),
            visibility=visibility.reshape(keypoints),
            weight=np.array(labels.get("weight", visibility > 0), np.float64).reshape(keypoints),
            modes=_modes(np.load(io.BytesIO(files["npy"]), allow_pickle=False), keypoints, teachers)
            if teachers
            else (),
        )
    except (KeyError, ValueError, TypeError, IndexError, EOFError) as error:
        raise ItemError(f"a person in it cannot be read ({type(error).__name__}: {error})") from error
    return sample


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(float(v), DECIMALS) + 0.0 for v in values]


def _table(modes: Sequence[Peaks]) -> NDArray[np.float32]:
    """(P, 10) the peaks of positive weight, as `PEAK` has them."""
    rows = []
    for number, one in enumerate(modes):
        for k, m in zip(*np.nonzero(one.weight[0] > 0), strict=True):
            rows.append(
                [number, k, m, *one.xy[0, k, m], *one.cov[0, k, m], one.weight[0, k, m], one.confidence[0, k]],
            )
    return np.array(rows, np.float32).reshape(-1, len(PEAK))


def _modes(table: NDArray[np.float32], keypoints: int, teachers: int) -> tuple[Peaks, ...]:
    """Of each teacher, from a table of peaks."""
    result = []
    for number in range(teachers):
        rows = table[table[:, 0] == number]
        k, m = rows[:, 1].astype(int), rows[:, 2].astype(int)
        empty = (1, keypoints, MODES)
        modes = Peaks(
            np.zeros((*empty, 2), np.float32),
            np.zeros((*empty, 3), np.float32),
            np.zeros(empty, np.float32),
            np.zeros(empty[:2], np.float32),
        )
        modes.xy[0, k, m], modes.cov[0, k, m] = rows[:, 3:5], rows[:, 5:8]
        modes.weight[0, k, m], modes.confidence[0, k] = rows[:, 8], rows[:, 9]
        result.append(modes)
    return tuple(result)


def write_shard(file: IO[bytes], samples: Iterable[tuple[str, dict[str, bytes]]]) -> None:
    """A gzipped tar of `KEY.ENDING` files, as WebDataset has them: equal samples give equal bytes.

    A tar alone has 2.4 kB of headers and padding a person, half as much as a picture.
    """
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for key, files in samples:
            for ending, content in files.items():
                # A new TarInfo has the time 0, no owner, and mode 644.
                member = tarfile.TarInfo(f"{key}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def read_shard(path: Path) -> Iterator[dict[str, bytes]]:
    """The samples of a shard in their order, each by its files' endings.

    Raises:
        BadFileError: it is no tar.
    """
    key = ""
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(path, mode="r|gz") as tar:
            for member in tar:
                stem, _, ending = member.name.partition(".")
                content = tar.extractfile(member)
                if content is None:
                    continue
                if stem != key and files:
                    yield files
                    files = {}
                key = stem
                files[ending] = content.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise BadFileError(f"{path} is no shard ({error}): copy it again from where it was packed.") from error
    if files:
        yield files
