"""Boxes grown from labelled joints: they hold them, follow them, and are COCO's own within a little."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poseunion.annotate.formats.boxes import LEAST_SIDE, boxes_of_joints, fill_boxes, person_sizes
from poseunion.models.conditioning.prior import load_prior
from poseunion.models.skeleton import Visibility, load_skeleton, project, project_indices

MPII = load_skeleton("mpii16")
SHAPES = load_prior()
# A whole upright person: 7.5 head lengths of it are about 230 px.
STANDING = SHAPES.template_K2[project_indices(SHAPES.skeleton, MPII)] * 55 + [200.0, 250.0]
numbers = st.integers(0, 2**32 - 1)


def person(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(1, 16, 2) joints and (1, 16) visibility, at least two of them labelled."""
    rng = np.random.default_rng(seed)
    visibility = rng.choice([0, 1, 2], 16).astype(np.int8)
    visibility[rng.permutation(16)[:2]] = Visibility.VISIBLE
    return (STANDING + rng.normal(size=STANDING.shape) * 25)[None], visibility[None]


@given(numbers)
def test_a_box_holds_every_labelled_joint_and_no_other_counts(seed: int) -> None:
    xy, visibility = person(seed)
    (box,) = boxes_of_joints(xy, visibility, MPII)
    labelled = visibility[0] > 0
    assert (xy[0, labelled] >= box[:2]).all()
    assert (xy[0, labelled] <= box[:2] + box[2:]).all()
    elsewhere = np.where(labelled[:, None], xy[0], 1e6)
    np.testing.assert_array_equal(boxes_of_joints(elsewhere[None], visibility, MPII)[0], box)


@given(numbers, st.floats(0.1, 10), st.floats(-1000, 1000))
def test_a_box_follows_size_place_and_mirror(seed: int, factor: float, shift: float) -> None:
    xy, visibility = person(seed)
    x, y, w, h = boxes_of_joints(xy, visibility, MPII)[0]
    moved = boxes_of_joints(xy * factor + shift, visibility, MPII)[0]
    np.testing.assert_allclose(moved, [x * factor + shift, y * factor + shift, w * factor, h * factor], atol=1e-6)
    order = MPII.flip_indices
    mirrored = boxes_of_joints(xy[:, order] * [-1, 1], visibility[:, order], MPII)[0]
    np.testing.assert_allclose(mirrored, [-x - w, y, w, h], atol=1e-6)


@given(numbers, st.floats(10, 2000))
def test_a_stated_size_sets_the_margins(seed: int, size: float) -> None:
    xy, visibility = person(seed)
    small, large = (boxes_of_joints(xy, visibility, MPII, np.array([s]))[0] for s in (size, 2 * size))
    assert (large[2:] > small[2:]).all()
    assert (small[2:] >= LEAST_SIDE * size - 1e-6).all()
    for useless in (np.nan, 0.0, -3.0):
        unstated = boxes_of_joints(xy, visibility, MPII, np.array([useless]))
        np.testing.assert_array_equal(unstated, boxes_of_joints(xy, visibility, MPII))


def test_fewer_than_two_joints_bound_nothing_and_a_files_own_box_stays() -> None:
    xy = np.repeat(STANDING[None], 3, 0)
    visibility = np.zeros((3, 16), np.int8)
    visibility[1, 4] = visibility[2] = 2
    assert np.isfinite(boxes_of_joints(xy, visibility, MPII)).all(1).tolist() == [False, False, True]
    box = np.full((3, 4), np.nan)
    box[2] = 1, 2, 3, 4
    fill_boxes(box, xy, visibility, MPII)
    assert box[2].tolist() == [1, 2, 3, 4]
    assert np.isnan(box[:2]).all()


@pytest.mark.parametrize("part", [range(16), [*range(6), 6], range(6, 16), [0, 1, 2], [8, 9]])
def test_the_size_hardly_depends_on_what_is_labelled(part: list[int]) -> None:
    labelled = np.zeros((1, 16), bool)
    labelled[:, list(part)] = True
    whole = 7.5 * np.linalg.norm(STANDING[8] - STANDING[9])
    assert 0.8 < person_sizes(STANDING[None], labelled, MPII)[0] / whole < 1.25


def test_lsps_lower_head_top_gives_the_same_box() -> None:
    lsp = load_skeleton("lsp14")
    seen = np.full((1, 16), 2, np.int8)
    xy, visibility = project(STANDING[None], seen, MPII, lsp)
    neck, top = lsp.index("upper_neck"), lsp.index("head_top")
    xy[:, top] = xy[:, neck] + (xy[:, top] - xy[:, neck]) / 1.2
    np.testing.assert_allclose(
        boxes_of_joints(xy, visibility, lsp), boxes_of_joints(STANDING[None], seen, MPII), atol=1
    )


@pytest.mark.data
def test_boxes_of_coco_people_are_close_to_cocos(shared: Path) -> None:
    coco = load_skeleton("coco17")
    document = json.loads((shared / "data/coco/train.json").read_text())
    people = [a for a in document["annotations"] if a.get("num_keypoints", 0) >= 14 and not a["iscrowd"]]
    triples = np.array([a["keypoints"] for a in people], np.float64).reshape(-1, 17, 3)
    theirs = np.array([a["bbox"] for a in people])
    ours = boxes_of_joints(triples[..., :2], triples[..., 2].astype(np.int8), coco)
    low = np.maximum(ours[:, :2], theirs[:, :2])
    high = np.minimum(ours[:, :2] + ours[:, 2:], theirs[:, :2] + theirs[:, 2:])
    both = np.maximum(high - low, 0).prod(1)
    iou = both / (ours[:, 2:].prod(1) + theirs[:, 2:].prod(1) - both)
    assert np.median(iou) > 0.8
    assert 0.97 < np.median(ours[:, 2:].prod(1) / theirs[:, 2:].prod(1)) < 1.06
