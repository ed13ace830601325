"""Batches drawn on the GPU: crops stay there as uint8 tensors, labels and teachers' peaks move with them.

`batch.draw_batch` for `augment_on=device`: the same people, weights and distributions, no loader between disk and
step. Every person's pixels are kept with their halved versions (a mip map of OpenCV's area averages), so that one
`grid_sample` of the right one is anti-aliased as `crop.cut_crop` is.

Shapes: P people of all stores, N of a batch, K keypoints, M modes, H and W crop size, h and w canvas size, X and Y
bins.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from poseunion.models.codec.crop import ANTIALIAS_FROM
from poseunion.models.codec.simcc import BETA, SimccGrid
from poseunion.models.errors import BadArgumentError
from poseunion.models.progress import track
from poseunion.training.config.augmentation import Augmentation
from poseunion.training.data.crop_store import PADDING
from poseunion.training.data.device_augment import disturb, draw_crops, draw_disturbances, sample
from poseunion.training.loop.batch import LabelledStore, chances, source_of, teachers_of

# Versions of a person's pixels: whole, half, quarter, eighth. A crop of 32 px of the largest stored person needs three.
LEVELS = 4
# Of a GPU's free memory; the rest is for the network.
MEMORY_SHARE = 0.6
# Pixels of so many people are one tensor.
PEOPLE_A_BLOCK = 256


@dataclass(frozen=True)
class DeviceTarget:
    """`batch.TeacherTarget`, on the device."""

    x_NKW: Tensor
    y_NKH: Tensor
    weight_NK: Tensor


@dataclass(frozen=True)
class DeviceBatch:
    """`batch.Batch`, on the device."""

    image_NHW3: Tensor
    xy_NK2: Tensor
    weight_NK: Tensor
    flip_N: Tensor
    dataset_N: Tensor
    teachers: dict[str, DeviceTarget] = field(default_factory=dict)
    wide_NHW3: Tensor | None = None


@dataclass(frozen=True)
class DevicePeaks:
    """One teacher's peaks of all people, on the device; `used_P` is 0 where they are not distilled."""

    xy_PKM2: Tensor
    cov_PKM3: Tensor
    weight_PKM: Tensor
    confidence_PK: Tensor
    used_P: Tensor


class DeviceStore:
    """All people that a run may draw, with pixels, labels and teachers' peaks on the device.

    Args:
        stores: as `draw_batch` takes them; only their `rows` are kept.
        agreement_mask: see `draw_batch`.

    Raises:
        BadArgumentError: the pixels do not fit into the GPU's memory.
    """

    def __init__(self, stores: Sequence[LabelledStore], device: torch.device, *, agreement_mask: bool = True) -> None:
        self.device, self.skeleton, self.agreement_mask = device, stores[0].store.skeleton, agreement_mask
        self._stores, self._counts = stores, np.array([len(s.rows) for s in stores])
        self._first = np.cumsum(self._counts) - self._counts
        self.box_P4 = np.concatenate([s.store.box_xywh[s.rows] for s in stores])
        self.xy_PK2 = np.concatenate([s.xy[s.rows] for s in stores])
        self.weight_PK = np.concatenate([s.weight[s.rows] for s in stores])
        self._load_pixels()
        self._xy = torch.as_tensor(self.xy_PK2, dtype=torch.float32, device=device)
        self._weight = torch.as_tensor(self.weight_PK, dtype=torch.float32, device=device)
        self._swapped = torch.as_tensor(self.skeleton.flip_indices, device=device)
        self._peaks = {name: self._load_peaks(name) for name in teachers_of(stores)}

    def _load_pixels(self) -> None:
        everyone = [(s, int(i)) for s in self._stores for i in s.rows]
        self._blocks: list[Tensor] = []
        shapes, starts = [], []
        free = self._free_bytes()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            label = f"{len(everyone)} people to {self.device}"
            for first in track(range(0, len(everyone), PEOPLE_A_BLOCK), label):
                block = everyone[first : first + PEOPLE_A_BLOCK]
                people = list(pool.map(lambda one: pyramid(one[0].store.pixels(one[1])), block))
                if self._free_bytes() < (1 - MEMORY_SHARE) * free:
                    raise BadArgumentError(
                        f"The pixels of {len(everyone)} people do not fit into {MEMORY_SHARE:.0%} of the GPU's free "
                        f"memory ({free / 1e9:.1f} GB), and the network needs the rest: train with augment_on=cpu."
                    )
                sizes = np.array([[level.size for level in levels] for levels in people])
                starts.append((np.cumsum(sizes) - sizes.ravel()).reshape(sizes.shape))
                shapes.append([[level.shape[:2] for level in levels] for levels in people])
                flat = np.concatenate([level.ravel() for levels in people for level in levels])
                self._blocks.append(torch.from_numpy(flat).to(self.device))
        self._start_PL, self._shape_PL2 = np.concatenate(starts), np.concatenate(shapes).astype(np.int64)

    def _free_bytes(self) -> float:
        return torch.cuda.mem_get_info(self.device)[0] if self.device.type == "cuda" else np.inf

    def _load_peaks(self, name: str) -> DevicePeaks:
        """Peaks of all people by one teacher; zeros for people of stores that lack it."""
        sources = [source_of(s, name) for s in self._stores]
        k, m = next(one.peaks.modes.xy.shape[1:3] for one in sources if one is not None)
        parts: list[tuple[NDArray[np.generic], ...]] = []
        for s, source in zip(self._stores, sources, strict=True):
            n = len(s.rows)
            if source is None:
                shapes = ((n, k, m, 2), (n, k, m, 3), (n, k, m), (n, k), (n,))
                parts.append(tuple(np.zeros(shape, np.float32) for shape in shapes))
                continue
            used = source.agrees[s.rows] if self.agreement_mask else np.ones(n, bool)
            modes = source.peaks.modes
            parts.append((*(getattr(modes, of)[s.rows] for of in ("xy", "cov", "weight", "confidence")), used))
        columns = (np.concatenate(one) for one in zip(*parts, strict=True))
        return DevicePeaks(*(torch.as_tensor(one, dtype=torch.float32, device=self.device) for one in columns))

    def draw(
        self,
        rng: np.random.Generator,
        count: int,
        grid: SimccGrid,
        strength: Augmentation,
        *,
        sampling_power: float = 1.0,
        wide_wh: tuple[int, int] | None = None,
    ) -> DeviceBatch:
        """Draw and augment people; arguments as `batch.draw_batch`. Everything random comes from `rng`."""
        which = rng.choice(len(self._stores), count, p=chances(self._stores, sampling_power)).astype(np.int64)
        people = self._first[which] + rng.integers(0, self._counts[which])
        weight_NK = self.weight_PK[people]
        crops = draw_crops(
            *(rng, self.box_P4[people], self.xy_PK2[people], weight_NK > 0),
            *(self.skeleton, grid.size_wh, PADDING, strength),
        )
        affine_N23 = crops.affines(grid.size_wh)
        image = disturb(
            self.cut(people, affine_N23, grid.size_wh), draw_disturbances(rng, count, grid.size_wh, strength)
        )
        wide = None if wide_wh is None else _bytes(self.cut(people, crops.affines(wide_wh), wide_wh))
        rows = torch.as_tensor(people, device=self.device)
        affine = torch.as_tensor(affine_N23, dtype=torch.float32, device=self.device)
        flip = torch.as_tensor(crops.flip_N, device=self.device)
        # Of each crop, the person's keypoint at each index.
        order_NK = torch.where(flip[:, None], self._swapped, torch.arange(len(self.skeleton), device=self.device))
        pick = rows[:, None], order_NK
        xy = _mapped(self._xy[pick], affine)
        inside = _inside(xy, grid.size_wh)
        teachers = {name: self._target(peaks, pick, affine, grid) for name, peaks in self._peaks.items()}
        dataset = torch.as_tensor(which, device=self.device)
        return DeviceBatch(_bytes(image), xy, self._weight[pick] * inside, flip, dataset, teachers, wide)

    def cut(self, people_N: NDArray[np.int64], affine_N23: NDArray[np.floating], size_wh: tuple[int, int]) -> Tensor:
        """(N, 3, H, W) float32 crops in [0, 255], anti-aliased."""
        store_px_per_crop_px = 1 / np.sqrt(np.abs(np.linalg.det(affine_N23[:, :, :2])))
        with np.errstate(divide="ignore"):
            level = np.ceil(np.log2(store_px_per_crop_px / ANTIALIAS_FROM)).clip(0, LEVELS - 1).astype(np.int64)
        # A person of few pixels has fewer versions.
        shape = self._shape_PL2[people_N]
        level = np.minimum(level, (shape.min(-1) > 1).sum(1).clip(1) - 1)
        shape = shape[np.arange(len(level)), level]
        canvas = torch.zeros((len(level), *shape.max(0), 3), dtype=torch.uint8, device=self.device)
        starts, blocks = self._start_PL[people_N, level].tolist(), (people_N // PEOPLE_A_BLOCK).tolist()
        for n, (block, start, (h, w)) in enumerate(zip(blocks, starts, shape.tolist(), strict=True)):
            canvas[n, :h, :w] = self._blocks[block][start : start + h * w * 3].view(h, w, 3)
        # Pixel areas tile the picture: the centre of block u of 2^l pixels is at 2^l u + (2^l - 1) / 2.
        side = 2.0**level
        own = np.array(affine_N23, np.float64)
        own[:, :, 2] += own[:, :, :2].sum(-1) * ((side - 1) / 2)[:, None]
        own[:, :, :2] *= side[:, None, None]
        return sample(canvas.permute(0, 3, 1, 2).float(), own, size_wh)

    def _target(
        self, peaks: DevicePeaks, pick: tuple[Tensor, Tensor], affine_N23: Tensor, grid: SimccGrid
    ) -> DeviceTarget:
        modes_xy, cov = _mapped(peaks.xy_PKM2[pick], affine_N23), _mapped_cov(peaks.cov_PKM3[pick], affine_N23)
        x, y, share = render(modes_xy, cov, peaks.weight_PKM[pick], grid)
        confidence = peaks.confidence_PK[pick] if self.agreement_mask else 1.0
        return DeviceTarget(x, y, share * confidence * peaks.used_P[pick[0]])


def pyramid(pixels_hw3: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """All versions of a person's pixels; a last odd row or column is left out, as `cut_crop` does."""
    versions = [pixels_hw3]
    for _ in range(1, LEVELS):
        h, w = (max(1, side // 2) for side in versions[-1].shape[:2])
        half = cv2.resize(versions[-1][: 2 * h, : 2 * w], (w, h), interpolation=cv2.INTER_AREA)
        versions.append(np.asarray(half, np.uint8))
    return versions


def render(xy_NKM2: Tensor, cov_NKM3: Tensor, weight_NKM: Tensor, grid: SimccGrid) -> tuple[Tensor, Tensor, Tensor]:
    """Modes in crop px as distributions over the student's bins; the torch twin of `peaks.render`."""
    weight = weight_NKM * _inside(xy_NKM2, grid.size_wh)
    share = weight.sum(-1)
    weight = weight / share.clamp_min(1e-12)[..., None]
    rows = []
    for axis, variance in ((0, cov_NKM3[..., 0]), (1, cov_NKM3[..., 2])):
        bins = torch.arange(grid.bins_wh[axis], device=xy_NKM2.device, dtype=torch.float32)
        centre = torch.round(xy_NKM2[..., axis] * grid.split)
        sigma2 = grid.sigma_bins[axis] ** 2 + variance * grid.split**2
        label = torch.softmax(BETA * torch.exp(-((bins - centre[..., None]) ** 2) / (2 * sigma2[..., None])), -1)
        mixed = (label * weight[..., None]).sum(-2)
        rows.append(torch.where(share[..., None] > 0, mixed, 1 / grid.bins_wh[axis]))
    return rows[0], rows[1], share


def _mapped(xy_NK2: Tensor, affine_N23: Tensor) -> Tensor:
    """(N, ..., 2) points under one affine map a person."""
    flat = xy_NK2.flatten(1, -2)
    return (flat @ affine_N23[:, :, :2].mT + affine_N23[:, None, :, 2]).view_as(xy_NK2)


def _mapped_cov(cov_NKM3: Tensor, affine_N23: Tensor) -> Tensor:
    """Covariances (xx, xy, yy) under one affine map a person."""
    full = cov_NKM3[..., [0, 1, 1, 2]].unflatten(-1, (2, 2))
    linear = affine_N23[:, None, None, :, :2]
    mapped = linear @ full @ linear.mT
    return torch.stack([mapped[..., 0, 0], mapped[..., 0, 1], mapped[..., 1, 1]], -1)


def _inside(xy_px: Tensor, size_wh: tuple[int, int]) -> Tensor:
    size = torch.tensor(size_wh, device=xy_px.device)
    return ((xy_px > -0.5) & (xy_px < size - 0.5)).all(-1)


def _bytes(image_N3HW: Tensor) -> Tensor:
    """(N, H, W, 3) uint8, as `Batch` has it."""
    return image_N3HW.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
