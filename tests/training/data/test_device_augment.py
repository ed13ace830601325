"""Augmentation on the device does what the CPU's does; the device here is the CPU."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from poseunion.models.codec.crop import Crop, affine_to_crop, cut_crop
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.errors import BadArgumentError
from poseunion.models.skeleton import load_skeleton
from poseunion.training.config.augmentation import NONE, Augmentation
from poseunion.training.config.overrides import changed
from poseunion.training.config.recipe import Recipe, Stage
from poseunion.training.data.augment import jitter_pixels, random_crop
from poseunion.training.data.device_augment import (
    Crops,
    box_blur,
    disturb,
    draw_crops,
    draw_disturbances,
    hsv_to_rgb,
    median_blur,
    rgb_to_hsv,
)
from poseunion.training.data.pixel_file import Pixels
from poseunion.training.densities import peaks
from poseunion.training.loop.batch import DistillationSource, LabelledStore, draw_batch
from poseunion.training.loop.device_batch import DeviceStore, render
from poseunion.training.loop.prepare import Prepared
from poseunion.training.loop.train import fit
from poseunion.training.teachers.cached_targets import TeacherPeaks

COCO = load_skeleton("coco17")
CPU, SIZE, GRID = torch.device("cpu"), (96, 128), SimccGrid((96, 128), 4.0)
MEDIUM = Augmentation(low_res_prob=0.3, blur_prob=0.3)


@pytest.fixture(scope="module")
def resident(prepared: Prepared) -> DeviceStore:
    return DeviceStore(prepared.train, CPU)


crop_values = st.tuples(st.floats(30, 120), st.floats(40, 150), st.floats(20, 700), st.floats(-80, 80), st.booleans())


@settings(max_examples=40, deadline=None)
@given(values=crop_values)
def test_crops_have_the_geometry_of_the_cpus(values: tuple[float, float, float, float, bool]) -> None:
    x, y, width, turn, flip = values
    one = affine_to_crop(Crop((x, y), width, SIZE, turn, flip))
    own = Crops(np.array([[x, y]]), np.array([width]), np.array([turn]), np.array([flip])).affines(SIZE)[0]
    np.testing.assert_allclose(own, one, atol=1e-9)


def one_picture(rgb_HW3: NDArray[np.uint8]) -> Pixels:
    return Pixels(rgb_HW3.ravel(), np.zeros(1, np.int64), np.array([rgb_HW3.shape[:2]], np.int32))


@settings(max_examples=25, deadline=None)
@given(values=crop_values)
def test_pixels_are_the_cpus(
    resident: DeviceStore, prepared: Prepared, values: tuple[float, float, float, float, bool]
) -> None:
    """Bright dots in the same places within .1 px, however far the crop shrinks them."""
    x, y, width, turn, flip = values
    crop = Crop((x, y), width, SIZE, turn, flip)
    pixels = prepared.train[0].store.pixels(0).astype(np.float32)
    smooth = np.asarray(cv2.GaussianBlur(pixels, (0, 0), 4), np.uint8)
    theirs = cut_crop(smooth, crop).astype(float)
    whole = dataclasses.replace(prepared.train[0].store, _pixels=one_picture(smooth))
    single = dataclasses.replace(prepared.train[0], store=whole, rows=np.array([0]))
    mine = DeviceStore([single], CPU).cut(np.array([0]), affine_to_crop(crop)[None], SIZE)[0].permute(1, 2, 0).numpy()
    # A tenth of a pixel moves a value by a tenth of the slope there; four grey levels are what rounding leaves.
    slope = np.hypot(*np.gradient(theirs, axis=(0, 1)))
    interior = np.s_[2:-2, 2:-2]
    outside = (theirs == 0) | (mine == 0)
    near = cv2.dilate(outside.any(-1).astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    wrong = (np.abs(mine - theirs) > 4 + 0.1 * slope)[interior].any(-1) & ~near[interior]
    assert wrong.mean() == 0


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_labels_and_pixels_move_together(resident: DeviceStore, seed: int) -> None:
    """Every labelled keypoint is a bright dot of the picture, and stays one."""
    gentle = dataclasses.replace(NONE, rotation_deg=80, rotation_prob=1, scale=(0.4, 0.8), flip_prob=0.5, shift=0.1)
    grid = SimccGrid((192, 256))
    batch = resident.draw(np.random.default_rng(seed), 4, grid, gentle)
    seen = 0
    for image, xy, weight in zip(batch.image_NHW3, batch.xy_NK2, batch.weight_NK, strict=True):
        for (x, y), w in zip(xy, weight, strict=True):
            column, row = round(float(x)), round(float(y))
            if w == 1 and 2 <= column < 190 and 2 <= row < 254:
                derived = image[row - 2 : row + 3, column - 2 : column + 3].max() < 100
                seen += not derived
    labels = int((batch.weight_NK == 1).sum())
    # Pelvis and thorax are midpoints, where no dot was drawn; of the others all must be there.
    assert seen >= labels - 4 * 3 - 4


def test_distributions_are_the_cpus() -> None:
    """Means and spreads of everything that is drawn."""
    rng, n = np.random.default_rng(0), 4000
    box = np.array([10.0, 20.0, 30.0, 80.0])
    xy = np.random.default_rng(2).uniform([10, 20], [40, 100], (len(COCO), 2))
    known = np.ones(len(COCO), bool)
    own = draw_crops(
        *(rng, np.tile(box, (n, 1)), np.tile(xy, (n, 1, 1)), np.tile(known, (n, 1))), COCO, SIZE, 1.25, Augmentation()
    )
    cpu = [random_crop(rng, box, xy, known, COCO, SIZE, 1.25, Augmentation()) for _ in range(n)]
    theirs = np.array([(*c.center_xy, c.width, c.rotation_deg, c.flip) for c in cpu], float)
    mine = np.column_stack([own.centre_N2, own.width_N, own.rotation_N, own.flip_N])
    error = np.sqrt((mine.var(0) + theirs.var(0)) / n)
    assert (np.abs(mine.mean(0) - theirs.mean(0)) < 5 * error).all()
    np.testing.assert_allclose(mine.std(0), theirs.std(0), rtol=0.06)
    assert np.mean(own.rotation_N == 0) == pytest.approx(np.mean(theirs[:, 3] == 0), abs=0.04)


def test_disturbed_pixels_are_distributed_like_the_cpus() -> None:
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.integers(0, 256, (64, 48, 3)).astype(np.uint8), (0, 0), 1).astype(np.uint8)
    n = 1200
    theirs = np.stack([jitter_pixels(rng, picture, MEDIUM) for _ in range(n)]).astype(float)
    image = torch.from_numpy(picture).permute(2, 0, 1).float().expand(n, -1, -1, -1).clone()
    mine = disturb(image, draw_disturbances(rng, n, (48, 64), MEDIUM)).permute(0, 2, 3, 1).numpy()

    def facts(images: np.ndarray) -> np.ndarray:
        black = (images == 0).all(-1).mean((1, 2))
        detail = np.abs(np.diff(images, axis=1)).mean((1, 2, 3))
        return np.column_stack([images.mean((1, 2)), images.std((1, 2)), black, detail])

    a, b = facts(mine), facts(theirs)
    error = np.sqrt((a.var(0) + b.var(0)) / n)
    assert (np.abs(a.mean(0) - b.mean(0)) < 5 * error + 0.01 * b.mean(0)).all()


def test_colours_and_blurs_are_opencvs() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (40, 30, 3)).astype(np.uint8)
    tensor = torch.from_numpy(picture).permute(2, 0, 1)[None].float()

    def host(x: torch.Tensor) -> np.ndarray:
        return x[0].permute(1, 2, 0).numpy()

    hsv, ours = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV).astype(float), host(rgb_to_hsv(tensor))
    hue = np.abs(hsv[..., 0] - ours[..., 0])
    assert np.minimum(hue, 180 - hue).max() <= 1
    assert np.abs(hsv - ours)[..., 1:].max() <= 1
    np.testing.assert_allclose(host(hsv_to_rgb(rgb_to_hsv(tensor))), picture, atol=0.01)
    for side in (3, 5, 7):
        assert np.abs(host(box_blur(tensor, side)) - cv2.blur(picture, (side, side))).max() <= 0.51
        assert (host(median_blur(tensor, side)) == cv2.medianBlur(picture, side)).all()


def test_low_resolution_is_opencvs() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (128, 96, 3)).astype(np.uint8)
    low = dataclasses.replace(NONE, low_res_prob=1, low_res_height_px=(37, 37))
    rng = np.random.default_rng(0)
    theirs = jitter_pixels(rng, picture, low).astype(float)
    tensor = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    mine = disturb(tensor, draw_disturbances(rng, 1, (96, 128), low))[0].permute(1, 2, 0).numpy()
    assert np.abs(mine - theirs).max() < 2


def taught(prepared: Prepared) -> list[LabelledStore]:
    """Both stores with a teacher that knows the labels of the first."""
    first, second = prepared.train
    n, k = first.xy.shape[:2]
    rng = np.random.default_rng(3)
    xy = np.stack([first.xy, first.xy + 5, first.xy - 9], 2).astype(np.float32)
    spread = rng.uniform(0, 9, (n, k, 3, 3)).astype(np.float32)
    spread[..., 1] = 0
    share = rng.dirichlet([1, 1, 1], (n, k)).astype(np.float32)
    known = peaks.Peaks(xy, spread, share, rng.random((n, k)).astype(np.float32))
    source = DistillationSource(TeacherPeaks("t", "coco17", known), np.arange(n) % 3 > 0)
    return [dataclasses.replace(first, distilled=(source,)), second]


def test_teachers_are_rendered_as_on_the_cpu(prepared: Prepared) -> None:
    stores = taught(prepared)
    known = stores[0].distilled[0].peaks.modes
    tensors = [torch.from_numpy(a) for a in (known.xy / 2, known.cov, known.weight)]
    theirs = peaks.render(dataclasses.replace(known, xy=(known.xy / 2).astype(np.float32)), GRID)
    for mine, one in zip(render(tensors[0], tensors[1], tensors[2], GRID), theirs, strict=True):
        np.testing.assert_allclose(mine.numpy(), one, atol=1e-5)


def test_a_batch_is_distributed_like_the_cpus(prepared: Prepared) -> None:
    stores = taught(prepared)
    mine = DeviceStore(stores, CPU).draw(np.random.default_rng(0), 600, GRID, Augmentation(), wide_wh=(48, 64))
    theirs = draw_batch(stores, np.random.default_rng(1), 600, GRID, Augmentation(), wide_wh=(48, 64))
    for one, other in (
        (mine.image_NHW3, theirs.image_NHW3),
        (mine.wide_NHW3, theirs.wide_NHW3),
        (mine.weight_NK, theirs.weight_NK),
        (mine.flip_N, theirs.flip_N),
        (mine.dataset_N, theirs.dataset_N),
        (mine.teachers["coco17"].weight_NK, theirs.teachers["coco17"].weight_NK),
        (mine.teachers["coco17"].x_NKW.argmax(-1), theirs.teachers["coco17"].x_NKW.argmax(-1)),
    ):
        assert other is not None
        array = np.asarray(one)
        assert (array.shape, array.dtype) == (other.shape, other.dtype)
        people_1, people_2 = (a.reshape(600, -1).astype(float).mean(1) for a in (array, other))
        error = np.sqrt((people_1.var() + people_2.var()) / 600)
        assert abs(people_1.mean() - people_2.mean()) < 4.5 * error


def test_training_on_the_device(prepared: Prepared, tmp_path: Path) -> None:
    """The loop trains with it, and a run can be repeated."""
    recipe = changed(
        Recipe("tiny"), pretrained=False, stages=(Stage((32, 64), 4.0, 1.0, 2),), steps=3, augment_on="device"
    )
    states = []
    for name in ("first", "second"):
        fit(recipe, prepared, tmp_path / name, accelerator="cpu")
        states.append(torch.load(tmp_path / name / "last.ckpt", weights_only=True)["network"])
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    with pytest.raises(BadArgumentError, match="augment_on=cpu"):
        changed(recipe, online=True)
