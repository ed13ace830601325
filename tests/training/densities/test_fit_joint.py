"""Weights per keypoint: a member that is better at a keypoint gains weight there, and nothing changes without proof."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poseunion.models.codec.heads import Alignment, HeatmapOutput
from poseunion.models.inference.joint_cells import Cells
from poseunion.models.skeleton import Skeleton
from poseunion.training.densities.fit_joint import CANDIDATES, Fitted, Labels, fit_weights

CELLS = Cells((96, 128), HeatmapOutput(output="h", size_wh=(24, 32), alignment=Alignment.CLASSIC))
SKELETON = Skeleton(
    name="arm", keypoints=("left_elbow", "right_elbow", "wrist"), links=(), sigmas=(0.07, 0.07, 0.06), sigma_origin="-"
)
PEOPLE = 160
KNOWN = np.ones((2, 3), bool)


def drawn(xy_px: NDArray[np.float64]) -> NDArray[np.float32]:
    """(N, h, w) Gaussians of two cells' width."""
    u, v = np.arange(24) * 4, np.arange(32) * 4
    gx = np.exp(-((u - xy_px[:, None, 0]) ** 2) / 128)
    gy = np.exp(-((v - xy_px[:, None, 1]) ** 2) / 128)
    return (gy[:, :, None] * gx[:, None]).astype(np.float32)


def people(error_px: dict[str, tuple[float, float]]) -> tuple[NDArray[np.float32], Labels]:
    """Heatmaps of two members, with normal errors of these standard deviations, and the labels."""
    rng = np.random.default_rng(3)
    xy = rng.uniform(30, 66, (PEOPLE, 3, 2))
    heat = np.stack(
        [
            np.stack(
                [
                    drawn(xy[:, k] + rng.normal(0, error_px[name.split("_")[-1]][member], (PEOPLE, 2)))
                    for k, name in enumerate(SKELETON.keypoints)
                ],
                1,
            )
            for member in range(2)
        ]
    )
    return heat, Labels(xy, np.ones((PEOPLE, 3), bool), np.full(PEOPLE, 2000.0), np.arange(PEOPLE) % 2 == 0)


def fit(error_px: dict[str, tuple[float, float]], known: NDArray[np.bool_] = KNOWN) -> dict[str, Fitted]:
    heat, labels = people(error_px)
    return {one.keypoint: one for one in fit_weights(heat, labels, CELLS, SKELETON, known, np.ones((2, 3)))}


def test_the_better_member_of_a_keypoint_gains_weight_there_alone() -> None:
    found = fit({"elbow": (2, 20), "wrist": (20, 2)})
    assert list(found) == ["elbow", "wrist"], "left and right are one"
    assert found["elbow"].weights[0] > found["elbow"].weights[1]
    assert found["wrist"].weights[0] < found["wrist"].weights[1]
    assert all(one.gain > one.error > 0 for one in found.values())
    assert all(w in CANDIDATES for one in found.values() for w in one.weights)


def test_a_gain_that_people_split_off_do_not_confirm_changes_nothing() -> None:
    heat, labels = people({"elbow": (6, 6), "wrist": (2, 20)})
    # The people split off have the members the other way round.
    heat[:, labels.split_off] = heat[::-1, labels.split_off]
    found = {one.keypoint: one for one in fit_weights(heat, labels, CELLS, SKELETON, KNOWN, np.ones((2, 3)))}
    assert found["wrist"].tried != (1, 1)
    assert found["wrist"].gain < 0
    assert found["wrist"].weights == (1, 1)


def test_a_keypoint_with_one_member_or_few_labels_keeps_its_weights() -> None:
    known = KNOWN.copy()
    known[1, 2] = False
    found = fit({"elbow": (2, 20), "wrist": (20, 2)}, known)
    assert found["wrist"].weights == found["wrist"].tried == (1, 1)
    heat, labels = people({"elbow": (2, 20), "wrist": (20, 2)})
    labels.known[20:] = False
    assert all(one.weights == (1, 1) for one in fit_weights(heat, labels, CELLS, SKELETON, KNOWN, np.ones((2, 3))))
