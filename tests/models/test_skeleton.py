"""Skeleton files and the algebra between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poseunion.models.errors import PoseUnionError, SkeletonError
from poseunion.models.skeleton import (
    Skeleton,
    Visibility,
    derive_midpoints,
    load_skeleton,
    match_names,
    mirrored,
    project,
    project_indices,
    shared_keypoints,
    shipped_skeletons,
    union,
)

SHIPPED = (
    "aic14",
    "coco17",
    "crowdpose14",
    "halpe26",
    "jhmdb15",
    "lsp14",
    "mhp16",
    "mpii16",
    "ochuman17",
    "openpose18",
    "openpose25",
    "posetrack17",
    "union21",
    "wholebody133",
)

names = st.sampled_from(SHIPPED)


def test_the_shipped_skeletons_are_these() -> None:
    assert tuple(shipped_skeletons()) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_file_is_complete(name: str) -> None:
    skeleton = load_skeleton(name)
    assert skeleton.name == name
    assert len(skeleton) == int("".join(c for c in name if c.isdigit()))  # the number in the name is the count
    assert skeleton.title
    assert skeleton.sigma_origin
    linked = {k for link in skeleton.links for k in link}
    assert linked == set(skeleton.keypoints), "a keypoint without a link is invisible in a drawing's limbs"
    mirrored_links = {frozenset(map(mirrored, link)) for link in skeleton.links}
    assert mirrored_links == {frozenset(link) for link in skeleton.links}
    assert set(skeleton.aliases.values()) <= set(skeleton.keypoints)
    assert set(skeleton.notes) <= set(skeleton.keypoints)


@pytest.mark.parametrize("name", SHIPPED)
def test_one_keypoint_has_one_sigma_in_all_files(name: str) -> None:
    everyone = union(*map(load_skeleton, ("union21", "halpe26", "jhmdb15", "wholebody133")))
    expected = dict(zip(everyone.keypoints, everyone.sigmas, strict=True))
    skeleton = load_skeleton(name)
    assert skeleton.sigmas == tuple(expected[k] for k in skeleton.keypoints)


def test_coco_sigmas_are_pycocotools() -> None:
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    np.testing.assert_allclose(load_skeleton("coco17").sigma_array, cocoeval.Params("keypoints").kpt_oks_sigmas)


def test_derived_sigmas_are_the_parents_over_sqrt_2() -> None:
    skeleton = load_skeleton("mpii16")
    for keypoint, (left, _) in skeleton.midpoints.items():
        parent = skeleton.sigmas[skeleton.index(left)]
        assert skeleton.sigmas[skeleton.index(keypoint)] == pytest.approx(parent / np.sqrt(2), abs=5e-4)


def test_union21_is_the_computed_union() -> None:
    computed = union(load_skeleton("coco17"), load_skeleton("mpii16"), name="union21")
    shipped = load_skeleton("union21")
    for attribute in ("name", "keypoints", "links", "sigmas", "sigma_origin", "midpoints", "notes"):
        assert getattr(computed, attribute) == getattr(shipped, attribute), attribute
    assert shipped.keypoints[:17] == load_skeleton("coco17").keypoints
    assert shipped.keypoints[17:] == ("pelvis", "thorax", "upper_neck", "head_top")


def test_union_with_halpe_keeps_what_the_model_cannot_predict() -> None:
    assert len(union(load_skeleton("halpe26"), load_skeleton("union21"))) == 27  # thorax is the one that Halpe lacks


def test_coco_and_mpii_share_the_twelve_limbs() -> None:
    shared = shared_keypoints(load_skeleton("coco17"), load_skeleton("mpii16"))
    assert shared == load_skeleton("coco17").keypoints[5:]


@settings(max_examples=40)
@given(st.lists(names, min_size=1, max_size=4))
def test_union_properties(chosen: list[str]) -> None:
    skeletons = [load_skeleton(n) for n in chosen]
    joined = union(*skeletons)
    assert set(joined.keypoints) == {k for s in skeletons for k in s.keypoints}
    assert joined.keypoints[: len(skeletons[0])] == skeletons[0].keypoints  # the first one's order stands
    again = union(joined, *skeletons)
    assert (again.keypoints, again.sigmas, again.links) == (joined.keypoints, joined.sigmas, joined.links)
    assert union(skeletons[0], skeletons[0]).keypoints == skeletons[0].keypoints


@pytest.mark.parametrize("name", SHIPPED)
def test_flipping_twice_changes_nothing(name: str) -> None:
    skeleton = load_skeleton(name)
    flip = skeleton.flip_indices
    np.testing.assert_array_equal(flip[flip], np.arange(len(skeleton)))
    assert [skeleton.keypoints[i] for i in flip] == [mirrored(k) for k in skeleton.keypoints]


@settings(max_examples=40)
@given(names, names, st.integers(0, 5), st.integers(0, 2**31))
def test_projection_round_trip(source_name: str, target_name: str, n: int, seed: int) -> None:
    source, target = load_skeleton(source_name), load_skeleton(target_name)
    random = np.random.default_rng(seed)
    xy = random.uniform(-50, 500, (n, len(source), 2))
    visibility = random.integers(0, 3, (n, len(source)))
    there_xy, there_visibility = project(xy, visibility, source, target)
    assert there_xy.shape == (n, len(target), 2)
    unknown = project_indices(source, target) < 0
    assert (there_visibility[:, unknown] == Visibility.UNDEFINED).all()
    assert (there_xy[:, unknown] == 0).all()
    back_xy, back_visibility = project(there_xy, there_visibility, target, source)
    shared = project_indices(target, source) >= 0
    np.testing.assert_array_equal(back_xy[:, shared], xy[:, shared])
    np.testing.assert_array_equal(back_visibility[:, shared], visibility[:, shared])
    assert (back_visibility[:, ~shared] == Visibility.UNDEFINED).all()


def test_midpoints_need_both_parents_and_never_touch_a_label() -> None:
    skeleton = load_skeleton("union21")
    left, right, pelvis = (skeleton.index(k) for k in ("left_hip", "right_hip", "pelvis"))
    xy = np.zeros((5, len(skeleton), 2))
    xy[:, left], xy[:, right] = (10, 20), (20, 40)
    visibility = np.full((5, len(skeleton)), Visibility.UNDEFINED, np.int8)
    visibility[:, left] = (2, 2, 0, 2, -1)
    visibility[:, right] = (2, 1, 2, 2, 2)
    visibility[3, pelvis], xy[3, pelvis] = 2, (1, 1)  # a human's label
    given_xy, given_visibility = xy.copy(), visibility.copy()
    new_xy, new_visibility, derived = derive_midpoints(xy, visibility, skeleton)
    assert derived[:, pelvis].tolist() == [True, True, False, False, False]
    assert new_visibility[:, pelvis].tolist() == [2, 1, -1, 2, -1]
    np.testing.assert_array_equal(new_xy[:, pelvis], [(15, 30), (15, 30), (0, 0), (1, 1), (0, 0)])
    assert derived.sum() == 2
    np.testing.assert_array_equal(xy, given_xy)
    np.testing.assert_array_equal(visibility, given_visibility)


@pytest.mark.parametrize(
    ("name", "spelling", "canonical"),
    [
        ("lsp14", "neck", "upper_neck"),
        ("halpe26", "hip", "pelvis"),
        ("halpe26", "head", "head_top"),
        ("aic14", "Right Shoulder", "right_shoulder"),
        ("aic14", "Head top", "head_top"),
        ("mhp16", "Upper-neck", "upper_neck"),
        ("posetrack17", "head_bottom", "upper_neck"),
        ("jhmdb15", "head", "face"),  # the middle of the head: taking it for head_top would be wrong by half a head
        ("mpii16", "r ankle", "right_ankle"),
    ],
)
def test_the_datasets_own_spelling_is_understood(name: str, spelling: str, canonical: str) -> None:
    skeleton = load_skeleton(name)
    assert skeleton.keypoints[match_names([spelling], skeleton)[0]] == canonical


NEW_DATASET = """
name = "statue5"
title = "Statues without arms"
keypoints = ["nose", "head_top", "pelvis", "left_horn", "right_horn"]
sigmas = [0.026, 0.079, 0.076, 0.05, 0.05]
sigma_origin = "guessed"
links = [["nose", "head_top"], ["nose", "pelvis"], ["head_top", "left_horn"], ["head_top", "right_horn"]]
[aliases]
crown = "head_top"
[notes]
head_top = "the crown"
"""


def test_a_twelfth_dataset_is_one_new_file(tmp_path: Path) -> None:
    path = tmp_path / "statue5.toml"
    path.write_text(NEW_DATASET)
    statue, coco = load_skeleton(path), load_skeleton("coco17")
    joined = union(coco, statue)
    assert joined.keypoints == (*coco.keypoints, "head_top", "pelvis", "left_horn", "right_horn")
    assert statue.flip_indices.tolist() == [0, 1, 2, 4, 3]
    assert shared_keypoints(statue, load_skeleton("union21")) == ("nose", "head_top", "pelvis")
    xy, visibility = project(np.ones((1, 5, 2)), np.full((1, 5), 2), statue, joined)
    assert (visibility[0] > 0).sum() == 5
    assert visibility[0, joined.index("left_knee")] == Visibility.UNDEFINED
    assert xy[0, joined.index("left_horn")].tolist() == [1, 1]
    assert match_names(["nose", "crown"], statue).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ('"head_top", "pelvis", "left_horn"', '"head_top", "nose", "left_horn"', "nose twice"),
        ("0.05, 0.05]", "0.05]", "5 keypoints and 4 sigmas"),
        ("0.026", "0", "one positive sigma"),
        ("0.026", "nan", "one positive sigma"),
        (', "right_horn"]\nsigmas', ', "horn"]\nsigmas', "right_horn"),
        ('["nose", "pelvis"]', '["nose", "pelvis", "x"]', "links"),
        ('["nose", "pelvis"]', '["nose", "tail"]', "tail"),
        ('sigma_origin = "guessed"', "", "sigma_origin"),
        ('sigma_origin = "guessed"', 'sigma_origin = "guessed"\ncolour = "red"', "colour"),
        ("[0.026", "[0.026 0", "TOML"),
        ('crown = "head_top"', 'crown = "hat"', "hat"),
    ],
)
def test_a_malformed_file_gives_one_sentence(tmp_path: Path, before: str, after: str, complaint: str) -> None:
    path = tmp_path / "broken.toml"
    text = NEW_DATASET.replace(before, after, 1)
    assert text != NEW_DATASET
    path.write_text(text)
    with pytest.raises(PoseUnionError, match=complaint) as caught:
        load_skeleton(path)
    assert "\n" not in str(caught.value).strip()


def test_a_side_without_its_mirror_is_refused() -> None:
    with pytest.raises(SkeletonError, match="left_knee but not right_knee"):
        Skeleton("half", ("left_knee",), (), (0.1,))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(SkeletonError, match="coco17, crowdpose14"):
        load_skeleton("coco18")
    with pytest.raises(SkeletonError, match="has no keypoint 'tail'"):
        load_skeleton("coco17").index("tail")


def test_a_union_of_nothing_is_refused() -> None:
    with pytest.raises(SkeletonError, match="at least one"):
        union()


def test_a_skeleton_can_be_a_key() -> None:
    assert isinstance({load_skeleton("coco17"): 1}, dict)
    assert hash(load_skeleton("coco17")) != hash(Skeleton("x", ("nose",), (), (0.1,)))
