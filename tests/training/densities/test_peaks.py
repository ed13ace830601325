from __future__ import annotations

import numpy as np
import pytest

from poseunion.models.codec import simcc
from poseunion.models.codec.crop import Crop, affine_to_crop
from poseunion.models.codec.heads import Alignment, HeatmapOutput
from poseunion.models.codec.simcc import SimccGrid
from poseunion.training.densities.peaks import MODES, Peaks, from_heatmaps, from_simcc, render

GRID = SimccGrid((192, 256), 2.0)
HEAD = HeatmapOutput(output="h", size_wh=(48, 64), alignment=Alignment.CLASSIC)


def gaussians(points_px: list[tuple[float, float, float]], sigma_cells: float = 2.0) -> np.ndarray:
    """(1, 1, 64, 48) sum of Gaussians x, y (px), height."""
    rows, columns = np.mgrid[:64, :48]
    heat = sum(
        a * np.exp(-((columns - x / 4) ** 2 + (rows - y / 4) ** 2) / (2 * sigma_cells**2)) for x, y, a in points_px
    )
    return np.asarray(heat, np.float32)[None, None]


def test_a_confident_heatmap_becomes_the_students_label() -> None:
    """However coarse the teacher's grid: same place within a pixel, same width."""
    for x, y in [(80.0, 120.0), (81.3, 118.2), (60.7, 99.9)]:
        rendered_x, rendered_y, share = render(from_heatmaps(gaussians([(x, y, 0.9)]), HEAD, (192, 256)), GRID)
        label_x, label_y, _ = simcc.encode(np.array([[[x, y]]]), GRID)
        assert share[0, 0] == pytest.approx(1)
        for rendered, label in ((rendered_x, label_x), (rendered_y, label_y)):
            assert rendered.sum() == pytest.approx(1, abs=1e-5)
            assert abs(int(rendered.argmax()) - int(label.argmax())) <= 2
            assert float(rendered.max()) == pytest.approx(float(simcc.softmax(label).max()), rel=0.05)


def test_two_peaks_keep_their_proportion() -> None:
    modes = from_heatmaps(gaussians([(40, 60, 0.6), (140, 200, 0.3)]), HEAD, (192, 256))
    np.testing.assert_allclose(modes.weight[0, 0, :2], [2 / 3, 1 / 3], atol=0.02)
    np.testing.assert_allclose(modes.xy[0, 0, :2], [[40, 60], [140, 200]], atol=1)
    x, _, _ = render(modes, GRID)
    assert x[0, 0, :190].sum() == pytest.approx(2 / 3, abs=0.03)


def test_simcc_teachers_on_another_grid() -> None:
    other = SimccGrid((256, 256), 2.0, (6.0, 6.0))
    x, y, _ = simcc.encode(np.array([[[101.0, 77.0], [30.0, 200.0]]]), other)
    modes = from_simcc(x, y, other)
    np.testing.assert_allclose(modes.xy[0, :, 0], [[101, 77], [30, 200]], atol=0.1)
    assert (modes.cov[..., 0] >= 0).all()


def test_modes_follow_a_rotated_and_mirrored_crop() -> None:
    modes = from_heatmaps(gaussians([(80, 120, 0.9)]), HEAD, (192, 256))
    wide = Peaks(
        modes.xy, np.full_like(modes.cov, 0) + np.array([90, 0, 10], np.float32), modes.weight, modes.confidence
    )
    quarter = Crop((80.0, 120.0), 192.0, (192, 256), rotation_deg=90, flip=True)
    turned = wide.mapped(affine_to_crop(quarter)[None])
    np.testing.assert_allclose(turned.xy[0, 0, 0], [95, 128], atol=1)
    np.testing.assert_allclose(turned.cov[0, 0, 0], [10, 0, 90], atol=1e-3)
    half = Crop((80.0, 120.0), 384.0, (192, 256))
    np.testing.assert_allclose(wide.mapped(affine_to_crop(half)[None]).cov[0, 0, 0], [22.5, 0, 2.5], atol=1e-3)


def test_what_leaves_the_crop_has_no_share() -> None:
    modes = Peaks(
        np.array([[[[500.0, 10], [20, 30], [0, 0]]]], np.float32),
        np.zeros((1, 1, MODES, 3), np.float32),
        np.array([[[0.7, 0.3, 0]]], np.float32),
        np.ones((1, 1), np.float32),
    )
    x, _, share = render(modes, GRID)
    assert share[0, 0] == pytest.approx(0.3)
    assert int(x.argmax()) == 40
    gone = Peaks(modes.xy + 1000, modes.cov, modes.weight, modes.confidence)
    x, y, share = render(gone, GRID)
    assert share[0, 0] == 0
    np.testing.assert_allclose(x, 1 / 384)
    np.testing.assert_allclose(y.sum(-1), 1, rtol=1e-5)


def test_unknown_keypoints() -> None:
    modes = from_heatmaps(gaussians([(80, 120, 0.9)]), HEAD, (192, 256)).reordered(np.array([-1, 0]))
    assert modes.weight[0, 0].sum() == 0
    assert modes.confidence[0, 0] == 0
    assert modes.weight[0, 1].sum() == pytest.approx(1)
