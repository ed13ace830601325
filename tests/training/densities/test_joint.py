"""Several networks, each with its own crop, keypoints and alignment, are read as one density."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from poseunion.models.codec.crop import Crop, affine_to_crop, apply_affine
from poseunion.models.codec.heads import Alignment, HeatmapOutput, SimccOutput
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.errors import BadArgumentError, ItemError
from poseunion.models.inference.joint import common_skeleton
from poseunion.models.inference.joint_cells import Cells, drawn, moved, resampled
from poseunion.models.inference.joint_turns import ANGLES_DEG, Turns, crop_of
from poseunion.models.skeleton import Skeleton, load_skeleton
from poseunion.training.densities.joint import JointTeacher

BOX = (40.0, 30.0, 60.0, 90.0)
PICTURE = np.zeros((160, 140, 3), np.uint8)
PADDING = 1.25


def network(size_wh: tuple[int, int], cells_wh: tuple[int, int], alignment: Alignment, **more: Any) -> Any:
    """What the joint teacher needs of a predictor."""
    head = HeatmapOutput(output="h", size_wh=cells_wh, alignment=alignment)
    facts = {"name": "n", "sha256": "0", "flip": False, "batch_size": 8, "skeleton": load_skeleton("coco17"), **more}
    metadata = SimpleNamespace(head=head)
    return SimpleNamespace(size_wh=size_wh, padding=PADDING, metadata=metadata, located=lambda *_: None, **facts)


CLASSIC = network((192, 256), (48, 64), Alignment.CLASSIC)
CENTRES = network((256, 256), (64, 64), Alignment.CENTRES)
COARSE = network((224, 224), (28, 28), Alignment.CENTRES)


def heatmap(one: Any, point_xy: tuple[float, float], crop: Crop | None = None) -> NDArray[np.float32]:
    """(1, h, w) Gaussian around a point of the picture, as a network with this crop and alignment would give it."""
    crop = crop or crop_of(BOX, one.size_wh, PADDING)
    x, y = apply_affine(np.array([point_xy]), affine_to_crop(crop))[0]
    w, h = one.metadata.head.size_wh
    stride = one.size_wh[0] / w
    first = 0.0 if one.metadata.head.alignment is Alignment.CLASSIC else (stride - 1) / 2
    sigma = 9.0 / crop.image_px_per_crop_px
    gx = np.exp(-((np.arange(w) * stride + first - x) ** 2) / (2 * sigma**2))
    gy = np.exp(-((np.arange(h) * stride + first - y) ** 2) / (2 * sigma**2))
    return (gy[:, None] * gx)[None].astype(np.float32)


@settings(max_examples=25)
@given(
    st.floats(55, 85),
    st.floats(60, 90),
    st.sampled_from([CLASSIC, CENTRES, COARSE]),
    st.sampled_from((0.0, *ANGLES_DEG)),
)
def test_a_member_s_heatmap_lands_where_the_first_one_has_it(x: float, y: float, other: Any, turned: float) -> None:
    view, crop = crop_of(BOX, other.size_wh, PADDING, turned), crop_of(BOX, CLASSIC.size_wh, PADDING)
    there = resampled(heatmap(other, (x, y), view), Cells.of(other), view, Cells.of(CLASSIC), crop)
    expected = heatmap(CLASSIC, (x, y))
    # Where the turned crop ends there is nothing; the person's own box is in every crop.
    seen = expected > 0.3
    np.testing.assert_allclose(there[seen], expected[seen], atol=0.03)
    assert there.max() < 1.03


@given(st.floats(20, 170), st.floats(20, 230))
def test_a_certain_simcc_network_is_drawn_as_a_heatmap_label_of_height_one(x: float, y: float) -> None:
    grid = SimccGrid((192, 256))
    one = SimpleNamespace(size_wh=(192, 256), metadata=SimpleNamespace(head=SimccOutput(), grid=grid))
    logits = [np.zeros((1, 1, bins), np.float32) for bins in grid.bins_wh]
    for logit, at in zip(logits, (x, y), strict=True):
        logit[0, 0, round(at * grid.split)] = 5
    heat = drawn(logits[0], logits[1], grid, Cells.of(one))  # type: ignore[arg-type]
    row, column = divmod(int(heat[0, 0].argmax()), 48)
    assert abs(4 * column - x) <= 2.3
    assert abs(4 * row - y) <= 2.3
    assert 0.8 < heat.max() <= 1


def drawing(base: Any, point_xy: tuple[float, float], height: float, **more: Any) -> Any:
    one = network(base.size_wh, base.metadata.head.size_wh, base.metadata.head.alignment, **more)
    one.outputs = lambda pixels: [
        np.repeat(height * heatmap(one, point_xy)[None], len(one.skeleton), 1).repeat(len(pixels), 0).astype(np.float32)
    ]
    return one


def test_the_mean_has_the_peaks_of_its_members_by_weight() -> None:
    joint = JointTeacher([drawing(CLASSIC, (60, 60), 0.9), drawing(CENTRES, (80, 100), 0.9)], [3, 1])
    modes = joint.modes([PICTURE, PICTURE], np.array([BOX, BOX]))
    assert modes.xy.shape == (2, 17, 3, 2)
    np.testing.assert_allclose(modes.xy[0, 0, :2], [[60, 60], [80, 100]], atol=1)
    np.testing.assert_allclose(modes.weight[0, 0, :2], [0.75, 0.25], atol=0.02)
    assert modes.confidence[0, 0] == pytest.approx(0.675, abs=0.02)


def test_agreement_makes_it_surer_than_dispute() -> None:
    agreed, disputed = (
        JointTeacher([drawing(CLASSIC, (60, 60), 0.9), drawing(CENTRES, other, 0.9)])(PICTURE, [BOX])
        for other in ((60, 60), (80, 100))
    )
    assert agreed.score[0, 0] > 1.5 * disputed.score[0, 0]
    np.testing.assert_allclose(agreed.xy[0, 0], (60, 60), atol=1)


def test_a_keypoint_is_answered_by_the_members_that_know_it() -> None:
    mpii = load_skeleton("mpii16")
    joint = JointTeacher([drawing(CLASSIC, (60, 60), 0.9), drawing(CENTRES, (80, 100), 0.8, skeleton=mpii)], [3, 1])
    assert joint.skeleton.name == "union21"
    poses = joint(PICTURE, [BOX])
    for name, place, height in (("nose", (60, 60), 0.9), ("head_top", (80, 100), 0.8), ("left_hip", (60, 60), 0.675)):
        np.testing.assert_allclose(poses.keypoint(name)[0], place, atol=1)
        assert poses.score[0, poses.skeleton.index(name)] == pytest.approx(height, abs=0.03)


def test_a_keypoint_s_own_weight_stands_for_both_sides() -> None:
    members = [drawing(CLASSIC, (60, 60), 0.9), drawing(CENTRES, (80, 100), 0.9)]
    poses = JointTeacher(members, [3, 1], [{}, {"wrist": 6}])(PICTURE, [BOX])
    np.testing.assert_allclose(poses.keypoint("left_wrist")[0], (80, 100), atol=1)
    np.testing.assert_allclose(poses.keypoint("right_wrist")[0], (80, 100), atol=1)
    np.testing.assert_allclose(poses.keypoint("left_elbow")[0], (60, 60), atol=1)


def test_turned_pictures_are_read_where_members_disagree() -> None:
    asked: list[int] = []

    def counted(point_xy: tuple[float, float]) -> Any:
        one = drawing(CLASSIC, point_xy, 0.9)
        plain = one.outputs
        one.outputs = lambda pixels: asked.append(len(pixels)) or plain(pixels)  # type: ignore[func-returns-value]
        return one

    for other, turns, calls in (
        ((60, 60), Turns.DISAGREEMENT, 2),
        ((80, 100), Turns.DISAGREEMENT, 8),
        ((80, 100), Turns.NONE, 2),
        ((60, 60), Turns.ALWAYS, 8),
    ):
        asked.clear()
        JointTeacher([counted((60, 60)), counted(other)], turns=turns)(PICTURE, [BOX])
        assert len(asked) == calls


def test_a_turned_view_that_is_surer_decides() -> None:
    """A network that only knows its keypoint where the crop's top is: it is found in the view that puts it there."""

    def only_at_the_top(pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        bright = pixels[..., 0].astype(np.float32)[:, 2::4, 2::4] / 255
        bright[:, 24:] *= 0.1
        return [np.repeat(bright[:, None], 17, 1)]

    picture = PICTURE.copy()
    picture[112:117, 68:73] = 255
    members = [network((192, 256), (48, 64), Alignment.CENTRES, outputs=only_at_the_top) for _ in range(2)]
    upright, turned = (JointTeacher(members, turns=t)(picture, [BOX]) for t in (Turns.NONE, Turns.ALWAYS))
    np.testing.assert_allclose(turned.xy[0, 0], (70, 114), atol=1.5)
    assert turned.score[0, 0] > 5 * upright.score[0, 0]


def test_an_offset_moves_a_member_s_density_towards_its_anchor() -> None:
    from poseunion.models.keypoint_offsets import DefinitionOffset

    skeleton = load_skeleton("mpii16")
    heat = np.zeros((1, 16, 64, 48), np.float32)
    heat[:, skeleton.index("upper_neck"), 40, 20] = 1
    heat[:, skeleton.index("head_top"), 20, 20] = 1
    result = moved(heat, skeleton, (DefinitionOffset("head_top", "upper_neck", 0.9),))
    assert divmod(int(result[0, skeleton.index("head_top")].argmax()), 48) == (22, 20)
    np.testing.assert_array_equal(np.delete(result, skeleton.index("head_top"), 1), np.delete(heat, 9, 1))


def test_which_members_weights_and_turns_it_has_is_in_its_key() -> None:
    members = [network((192, 256), (48, 64), Alignment.CLASSIC, sha256=s) for s in "ab"]
    keys = {JointTeacher(m, w).sha256 for m, w in ((members, [1, 1]), (members, [1, 2]), (members[::-1], [1, 2]))}
    keys |= {JointTeacher(members, turns=Turns.ALWAYS).sha256, JointTeacher(members, None, [{}, {"knee": 2}]).sha256}
    assert len(keys) == 5
    assert JointTeacher(members, [2, 4]).sha256 == JointTeacher(members, [1, 2]).sha256


def test_a_box_outside_of_the_picture_is_refused_as_by_a_network() -> None:
    joint = JointTeacher([drawing(CLASSIC, (60, 60), 0.9)] * 2)
    with pytest.raises(ItemError, match="outside the picture"):
        joint(PICTURE, [[500, 500, 20, 20]])
    assert len(joint(PICTURE, np.zeros((0, 4)))) == 0


@pytest.mark.parametrize(
    ("members", "weights", "single", "message"),
    [
        ([CLASSIC], [1], None, "at least two"),
        ([CLASSIC, network((8, 8), (2, 2), Alignment.CENTRES, flip=True)], [1, 1], None, "another flip test"),
        ([CLASSIC, CENTRES], [1, 0], None, "leave it out"),
        ([CLASSIC, CENTRES], [1, 2, 3], None, "3 weights for 2"),
        ([CLASSIC, CENTRES], None, [{}, {"head_top": 2}], "no keypoint head_top"),
        ([CLASSIC, CENTRES], None, [{"nose": 0}, {"nose": 0}], "weigh 0 at nose"),
    ],
)
def test_what_is_no_joint_teacher_is_refused(members: list[Any], weights: Any, single: Any, message: str) -> None:
    with pytest.raises(BadArgumentError, match=message):
        JointTeacher(members, weights, single)


@pytest.mark.parametrize(
    ("names", "result"),
    [(("coco17", "coco17"), "coco17"), (("coco17", "mpii16"), "union21"), (("coco17", "lsp14"), "coco17+lsp14")],
)
def test_its_skeleton_has_all_keypoints_of_its_members(names: tuple[str, ...], result: str) -> None:
    skeletons: list[Skeleton] = [load_skeleton(name) for name in names]
    assert common_skeleton(skeletons).name == result
