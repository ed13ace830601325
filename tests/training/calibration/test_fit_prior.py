"""Fitting the prior: what is read, what is hidden, and that fitting finds what there is to be found."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner

from poseunion.models.conditioning.prior import components_of, load_prior, save_prior
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.skeleton import load_skeleton
from poseunion.training.calibration.fit_prior import (
    Masks,
    PriorConfig,
    fit_prior,
    held_out_error,
    log_likelihood,
    mean_pose,
    training_batch,
)
from poseunion.training.cli.main import app
from poseunion.training.data.pose_files import Skeletons, read_skeletons, split
from poseunion.training.data.splits import is_held_out

UNION, TEMPLATE = load_skeleton("union21"), load_prior().template_K2
K = len(UNION)


def crowd(count: int, seed: int, *, lean: float = 0.4) -> Skeletons:
    """People who differ in place, size, and in how far the head leans, which their arms tell."""
    rng = np.random.default_rng(seed)
    tilt = rng.normal(size=(count, 1)) * lean
    pose = np.repeat(TEMPLATE[None], count, 0)
    for names in (("upper_neck", "head_top", "nose"), ("left_wrist", "right_wrist")):
        pose[:, [UNION.index(k) for k in names], 0] += tilt
    xy = pose * rng.uniform(20, 200, (count, 1, 1)) + rng.uniform(0, 1000, (count, 1, 2))
    everything = np.ones((count, K), bool)
    box = np.full((count, 4), np.nan, np.float32)
    return Skeletons(xy.astype(np.float32), everything, box, np.array(["x.jpg"] * count), np.zeros(count, np.intp))


def test_the_fit_finds_what_joints_tell_of_each_other(tmp_path: Path) -> None:
    config = PriorConfig(width=64, layers=2, components=2, steps=150, batch_size=64, turned=0.0, blurred=0.2)
    prior = fit_prior(crowd(2000, 0), UNION, config)
    error = held_out_error(prior, crowd(200, 1))
    assert error["head_top"] < 0.5 * 0.4 * 0.67  # half of what the template alone is off, as a median
    save_prior(prior, tmp_path / "prior.npz")
    again = held_out_error(load_prior(tmp_path / "prior.npz"), crowd(200, 1))
    assert again["head_top"] == pytest.approx(error["head_top"], abs=0.01)  # half precision


def test_the_same_seed_gives_the_same_prior() -> None:
    config = PriorConfig(width=8, layers=1, components=1, steps=3, batch_size=16)
    one, two = (fit_prior(crowd(50, 0), UNION, config) for _ in range(2))
    for (a, _), (b, _) in zip(one.layers, two.layers, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_likelihood_is_that_of_the_mixture_that_is_used() -> None:
    rng = np.random.default_rng(0)
    raw, target = rng.normal(size=(4, K, 3, 6)), rng.normal(size=(4, K, 2))
    weight, mean, factor = components_of(raw, TEMPLATE)
    cov = factor @ np.swapaxes(factor, -1, -2)
    away = (target + TEMPLATE)[:, :, None] - mean
    exponent = np.einsum("nkmi,nkmij,nkmj->nkm", away, np.linalg.inv(cov), away)
    density = (weight * np.exp(-0.5 * exponent) / (2 * np.pi * np.sqrt(np.linalg.det(cov)))).sum(-1)
    found = log_likelihood(torch.from_numpy(raw), torch.from_numpy(target)).numpy()
    np.testing.assert_allclose(found, np.log(density), rtol=1e-6)


def test_hidden_joints_are_not_seen_and_midpoints_are_not_asked_of_their_parents() -> None:
    people, masks, config = crowd(300, 2), Masks(UNION), PriorConfig(blurred=0.0)
    seen, _, asked = training_batch(np.random.default_rng(3), people, masks, TEMPLATE, config)
    noise = np.random.default_rng(4).normal(size=people.xy_NK2.shape).astype(np.float32) * 5
    # The box comes from all joints, so it is given here, or moving a joint would show in it.
    box = np.tile(np.array([0, 0, 500, 500], np.float32), (300, 1))
    one, other = (
        dataclasses.replace(people, box_N4=box, xy_NK2=people.xy_NK2 + noise * asked[..., None] * part)
        for part in (0, 1)
    )
    a, b = (training_batch(np.random.default_rng(3), p, masks, TEMPLATE, config) for p in (one, other))
    np.testing.assert_array_equal(a[2], b[2])
    np.testing.assert_allclose(a[0], b[0], atol=1e-4)
    known = seen[:, 2 * K : 3 * K] > 0
    assert not (asked & known).any()
    for name, parents in UNION.midpoints.items():
        both = known[:, [UNION.index(p) for p in parents]].all(1)
        assert both.any()
        assert not asked[both, UNION.index(name)].any()


def test_mean_pose_is_symmetric_and_needs_every_keypoint() -> None:
    people = crowd(100, 5)
    pose = mean_pose(people, UNION)
    np.testing.assert_allclose(pose[UNION.flip_indices] * [-1, 1], pose, atol=1e-9)
    known = people.known_NK.copy()
    known[:, UNION.index("nose")] = False
    with pytest.raises(BadArgumentError, match="nose"):
        mean_pose(dataclasses.replace(people, known_NK=known), UNION)


def fractions(folder: Path, count: int = 3) -> tuple[Path, NDArray[np.float64]]:
    """COCO's keypoints as fractions of pictures of 200x100; one picture's size is unknown."""
    xy = np.random.default_rng(0).uniform(0, [200, 100], (count, 17, 2))
    np.savez(
        folder / "coco.npz",
        xy_u16=(xy / [200, 100] * 65535).round().astype(np.uint16),
        visibility=np.full((count, 17), 2, np.uint8),
        image_id=np.arange(count, dtype=np.uint32),
        bbox_cxcywh_u16=np.full((count, 4), 32768, np.uint16),
    )
    (folder / "coco_image_sizes.json").write_text(json.dumps({str(i): [200, 100] for i in range(count - 1)}))
    return folder / "coco.npz", xy


def test_fractions_become_px_and_midpoints_are_derived(tmp_path: Path) -> None:
    path, xy = fractions(tmp_path)
    found = read_skeletons(path, UNION)
    assert found.picture.tolist() == ["000000000000.jpg", "000000000001.jpg"]
    np.testing.assert_allclose(found.xy_NK2[:, :17], xy[:2], atol=0.01)
    np.testing.assert_allclose(found.xy_NK2[:, UNION.index("pelvis")], xy[:2, 11:13].mean(1), atol=0.01)
    np.testing.assert_allclose(found.box_N4, [[50, 25, 100, 50]] * 2, atol=0.01)
    assert not found.known_NK[:, -2:].any()


def test_a_table_of_mpii_joints(tmp_path: Path) -> None:
    joints = np.arange(1, 33, dtype=float).reshape(16, 2)
    joints[0] = -1
    (tmp_path / "joints.csv").write_text("a.jpg," + ",".join(map(str, joints.ravel())) + "\n")
    found = read_skeletons(tmp_path / "joints.csv", UNION)
    assert found.picture.tolist() == ["a.jpg"]
    assert not found.known_NK[0, UNION.index("right_ankle")]
    np.testing.assert_allclose(found.xy_NK2[0, UNION.index("head_top")], joints[9])
    (tmp_path / "joints.csv").write_text("a.jpg,1,2\n")
    with pytest.raises(BadFileError, match=r"joints\.csv"):
        read_skeletons(tmp_path / "joints.csv", UNION)


def test_held_out_and_excluded_pictures_are_never_fitted_on(drawn_dataset: Path) -> None:
    found = [read_skeletons(drawn_dataset / name, UNION) for name in ("coco17.json", "lsp14.json")]
    everybody = sorted({*found[0].picture, *found[1].picture})
    unwanted = [name for name in everybody if name.endswith("-1.png")]
    people, held = split(found, unwanted)
    assert not set(unwanted) & {*people.picture, *held.picture}
    assert not any(is_held_out(name) for name in people.picture)
    assert all(is_held_out(name) for name in held.picture)
    assert len(people) + len(held) == len(everybody) - len(unwanted)
    assert set(people.source.tolist()) == {0, 1}


def test_the_command_line(tmp_path: Path, drawn_dataset: Path) -> None:
    out = tmp_path / "prior.npz"
    arguments = ["fit-prior", "--annotations", str(drawn_dataset / "lsp14.json"), "--out"]
    wrong = CliRunner().invoke(app, [*arguments, str(tmp_path / "prior.onnx")])
    assert isinstance(wrong.exception, BadArgumentError)
    out.write_bytes(b"mine")
    kept = CliRunner().invoke(app, [*arguments, str(out), "--steps", "1"])
    assert isinstance(kept.exception, BadFileError)
    assert out.read_bytes() == b"mine"
    # Nobody in the drawn file has a face: the template cannot be made, and nothing is written.
    lacking = CliRunner().invoke(app, [*arguments, str(out), "--steps", "1", "--overwrite"])
    assert isinstance(lacking.exception, BadArgumentError)
    assert out.read_bytes() == b"mine"
