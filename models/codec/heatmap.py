"""Heatmap codec: decoding and flip test.

Shapes: N people, K keypoints, h and w cells.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from poseunion.models.codec.heads import Alignment, HeatmapOutput


def unflip(heat_NKhw: NDArray[np.float32], flip_indices: NDArray[np.intp], shift_px: int = 0) -> NDArray[np.float32]:
    """Heatmaps of mirrored crops mapped back to the crops themselves, for the flip test.

    Args:
        shift_px: cells to move to the right; networks with the classic alignment need 1, since the mirrored picture's
            column W - 1 - u is not a multiple of the stride where u is.
    """
    back = heat_NKhw[:, flip_indices, :, ::-1]
    if shift_px:
        back = np.concatenate([back[..., :shift_px], back[..., :-shift_px]], -1)
    return np.asarray(back, np.float32)


def keys_matrix(out: int, cells: int, scale: float, shift: float = 0.0) -> NDArray[np.float32]:
    """Matrix of cubic resampling along an axis (Keys, 1981, a = -1/2): exact at cells, and for parabolas between them.

    Returns:
        (out, cells), rows summing to one; output i reads the axis at cell `scale * i + shift`. Beyond the ends the
        first or last cell goes on.
    """
    at = scale * np.arange(out) + shift
    base = np.floor(at).astype(int)
    matrix = np.zeros((out, cells))
    for step in (-1, 0, 1, 2):
        t = np.abs(at - (base + step))
        near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
        np.add.at(matrix, (np.arange(out), np.clip(base + step, 0, cells - 1)), np.where(t <= 1, near, far))
    return matrix.astype(np.float32)


def decode(
    heat_NKhw: NDArray[np.float32], output: HeatmapOutput, size_wh: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Keypoints from heatmaps: maximum refined by a parabola through its neighbours.

    Returns:
        (N, K, 2) crop pixels and (N, K) peak values, not clipped.
    """
    n, k, h, w = heat_NKhw.shape
    flat = heat_NKhw.reshape(n * k, h, w)
    peak_value = flat.reshape(n * k, -1).max(-1)
    if output.blur_px > 0:
        flat = np.stack([cv2.GaussianBlur(m, (0, 0), output.blur_px) for m in flat])
    row, column = np.divmod(flat.reshape(n * k, -1).argmax(-1), w)
    maps = np.arange(n * k)
    cell = np.stack([column, row], -1).astype(np.float64)
    for axis, (index, size) in enumerate(((column, w), (row, h))):
        inside = (index > 0) & (index < size - 1)
        middle = np.clip(index, 1, max(size - 2, 1))
        values = [
            flat[maps, row, np.clip(middle + d, 0, w - 1)]
            if axis == 0
            else flat[maps, np.clip(middle + d, 0, h - 1), column]
            for d in (-1, 0, 1)
        ]
        curvature = values[0] - 2 * values[1] + values[2]
        with np.errstate(divide="ignore", invalid="ignore"):
            offset = np.where(inside & (curvature < -1e-9), 0.5 * (values[0] - values[2]) / curvature, 0.0)
        cell[:, axis] += np.clip(np.nan_to_num(offset), -0.5, 0.5)
    stride = np.asarray(size_wh, np.float64) / np.asarray([w, h])
    xy = cell * stride if output.alignment is Alignment.CLASSIC else (cell + 0.5) * stride - 0.5
    return xy.reshape(n, k, 2).astype(np.float32), peak_value.reshape(n, k).astype(np.float32)
