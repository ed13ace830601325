"""Several heatmap networks, each with its own crop and alignment, are read as one density."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from poseunion.models.errors import BadArgumentError
from poseunion.models.geometry import affine_to_crop, apply_affine, crop_from_box
from poseunion.models.metadata import Alignment, HeatmapOutput
from poseunion.models.skeleton import load_skeleton
from poseunion.training.joint import JointTeacher, resampled
from poseunion.training.store import PADDING

BOX = (40.0, 30.0, 60.0, 90.0)


def network(size_wh: tuple[int, int], cells_wh: tuple[int, int], alignment: Alignment, **more: Any) -> Any:
    """What the joint teacher needs of a predictor; `outputs` draws a Gaussian where its `at_px` lies in the crop."""
    head = HeatmapOutput(output="h", size_wh=cells_wh, alignment=alignment)
    facts = {"name": "n", "sha256": "0", "flip": False, "batch_size": 8, "skeleton": load_skeleton("coco17"), **more}
    return SimpleNamespace(size_wh=size_wh, metadata=SimpleNamespace(head=head), **facts)


CLASSIC = network((192, 256), (48, 64), Alignment.CLASSIC)
CENTRES = network((256, 256), (64, 64), Alignment.CENTRES)
COARSE = network((224, 224), (28, 28), Alignment.CENTRES)


def heatmap(one: Any, point_xy: tuple[float, float], sigma_px: float = 9.0) -> NDArray[np.float32]:
    """(1, h, w) Gaussian around a point of the picture, as a network with this crop and alignment would give it."""
    crop = crop_from_box(BOX, one.size_wh, PADDING)
    x, y = apply_affine(np.array([point_xy]), affine_to_crop(crop))[0]
    w, h = one.metadata.head.size_wh
    stride = one.size_wh[0] / w
    first = 0.0 if one.metadata.head.alignment is Alignment.CLASSIC else (stride - 1) / 2
    sigma = sigma_px / crop.image_px_per_crop_px
    gx = np.exp(-((np.arange(w) * stride + first - x) ** 2) / (2 * sigma**2))
    gy = np.exp(-((np.arange(h) * stride + first - y) ** 2) / (2 * sigma**2))
    return (gy[:, None] * gx)[None].astype(np.float32)


@settings(max_examples=25)
@given(st.floats(55, 85), st.floats(50, 100), st.sampled_from([CENTRES, COARSE]))
def test_a_member_s_heatmap_lands_where_the_first_one_has_it(x: float, y: float, other: Any) -> None:
    views = [crop_from_box(BOX, one.size_wh, PADDING) for one in (other, CLASSIC)]
    moved = resampled(heatmap(other, (x, y)), other, views[0], CLASSIC, views[1])
    np.testing.assert_allclose(moved, heatmap(CLASSIC, (x, y)), atol=0.03)


def drawing(base: Any, point_xy: tuple[float, float], height: float, **more: Any) -> Any:
    one = network(base.size_wh, base.metadata.head.size_wh, base.metadata.head.alignment, **more)
    one.outputs = lambda pixels: [
        np.repeat(height * heatmap(one, point_xy)[None], 17, 1).repeat(len(pixels), 0).astype(np.float32)
    ]
    return one


def test_the_mean_has_the_peaks_of_its_members_by_weight() -> None:
    members = [drawing(CLASSIC, (60, 60), 0.9), drawing(CENTRES, (80, 100), 0.9)]
    joint = JointTeacher(members, [3, 1])
    picture = np.zeros((160, 140, 3), np.uint8)
    modes = joint.modes([picture, picture], np.array([BOX, BOX]))
    assert modes.xy.shape == (2, 17, 3, 2)
    np.testing.assert_allclose(modes.xy[0, 0, :2], [[60, 60], [80, 100]], atol=1)
    np.testing.assert_allclose(modes.weight[0, 0, :2], [0.75, 0.25], atol=0.02)
    assert modes.confidence[0, 0] == pytest.approx(0.675, abs=0.02)


def test_agreement_makes_it_surer_than_dispute() -> None:
    picture = np.zeros((160, 140, 3), np.uint8)
    agreed, disputed = (
        JointTeacher([drawing(CLASSIC, (60, 60), 0.9), drawing(CENTRES, other, 0.9)], [1, 1]).modes(
            [picture], np.array([BOX])
        )
        for other in ((60, 60), (80, 100))
    )
    assert agreed.confidence[0, 0] > 1.5 * disputed.confidence[0, 0]


def test_which_members_and_weights_it_has_is_in_its_key() -> None:
    members = [network((192, 256), (48, 64), Alignment.CLASSIC, sha256=s) for s in "ab"]
    keys = {JointTeacher(m, w).sha256 for m, w in ((members, [1, 1]), (members, [1, 2]), (members[::-1], [1, 2]))}
    assert len(keys) == 3
    assert JointTeacher(members, [2, 4]).sha256 == JointTeacher(members, [1, 2]).sha256


@pytest.mark.parametrize(
    ("members", "weights", "message"),
    [
        ([CLASSIC], [1], "at least two"),
        ([CLASSIC, network((8, 8), (2, 2), Alignment.CENTRES, skeleton=load_skeleton("mpii16"))], [1, 1], "other key"),
        ([CLASSIC, network((8, 8), (2, 2), Alignment.CENTRES, flip=True)], [1, 1], "another flip test"),
        ([CLASSIC, CENTRES], [1, 0], "weight of 0"),
    ],
)
def test_what_is_no_joint_teacher_is_refused(members: list[Any], weights: list[float], message: str) -> None:
    with pytest.raises(BadArgumentError, match=message):
        JointTeacher(members, weights)
