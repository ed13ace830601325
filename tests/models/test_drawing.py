"""Drawing: right colours at right places, faint where unsure, legible at every size."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from poseunion.models.drawing import LIMB_COLOURS, ROLE_COLOURS, draw_people, point_radius
from poseunion.models.errors import BadArgumentError
from poseunion.models.skeleton import Skeleton, load_skeleton

PAIR = Skeleton("pair", ("left_hip", "right_hip", "left_knee", "right_knee"), (("left_hip", "left_knee"),), (0.1,) * 4)
BLACK = np.zeros((200, 300, 3), np.uint8)
SQUARE = np.array([[[50.0, 50.0], [250, 50], [50, 150], [250, 150]]])


def pixel(image: NDArray[np.uint8], keypoint: int) -> list[int]:
    x, y = SQUARE[0, keypoint].astype(int)
    return [int(c) for c in image[y, x]]


def test_roles_have_their_colours_and_none_is_not_drawn() -> None:
    drawn = draw_people(BLACK, PAIR, SQUARE, role_NK=[["human", "proposed", "derived", "none"]])
    assert pixel(drawn, 0) == list(ROLE_COLOURS["human"]) == [255, 255, 255]
    assert pixel(drawn, 1) == list(ROLE_COLOURS["proposed"])
    assert pixel(drawn, 2) == list(ROLE_COLOURS["derived"])
    assert pixel(drawn, 3) == [0, 0, 0]
    assert not BLACK.any(), "the picture given is not changed"


def test_opacity_mixes_with_the_picture() -> None:
    picture = np.full_like(BLACK, 100)
    drawn = draw_people(picture, PAIR, SQUARE, role_NK=[["human"] * 4], opacity_NK=np.array([[1, 0.5, 0, np.nan]]))
    np.testing.assert_allclose(pixel(drawn, 1), 177, atol=2)
    assert pixel(drawn, 2) == pixel(drawn, 3) == [100] * 3


def test_own_colours() -> None:
    colours = np.array([[(1, 2, 3), (40, 50, 60), (0, 0, 0), (9, 9, 9)]])
    drawn = draw_people(BLACK, PAIR, SQUARE, colour_NK3=colours)
    assert pixel(drawn, 1) == [40, 50, 60]


def test_limbs_join_drawn_points_in_the_colour_of_their_side() -> None:
    middle = (100, 50)  # row, column: halfway from left hip to left knee
    drawn = draw_people(BLACK, PAIR, SQUARE)
    np.testing.assert_allclose(drawn[middle].astype(int), 0.75 * np.array(LIMB_COLOURS["left"]), rtol=0.15)
    assert not draw_people(BLACK, PAIR, SQUARE, limbs=False)[middle].any()
    assert not draw_people(BLACK, PAIR, SQUARE, opacity_NK=np.array([[1, 1, 0, 1]]))[middle].any()


def test_a_point_is_round_and_centred_between_pixels_too() -> None:
    one = Skeleton("one", ("nose",), (), (0.1,))
    at = np.array([[[100.5, 80.0]]])
    drawn = draw_people(BLACK, one, at, role_NK=[["derived"]]).astype(float).sum(-1)
    y, x = np.mgrid[:200, :300]
    assert (drawn * x).sum() / drawn.sum() == pytest.approx(100.5, abs=0.1)
    assert (drawn * y).sum() / drawn.sum() == pytest.approx(80.0, abs=0.1)
    assert np.ptp(np.flatnonzero(drawn.any(0))) == pytest.approx(np.ptp(np.flatnonzero(drawn.any(1))), abs=1)


@pytest.mark.parametrize("longest", [200, 1000, 4000])
def test_points_are_legible_at_every_picture_size(longest: int) -> None:
    picture = np.zeros((longest // 2, longest, 3), np.uint8)
    xy = SQUARE * longest / 300
    drawn = draw_people(picture, PAIR, xy, role_NK=[["human"] * 4], limbs=False)
    area = (drawn > 127).all(-1).sum() / 4
    share = np.sqrt(area / np.pi) / longest
    assert 0.004 < share < 0.02
    assert point_radius((longest, longest // 2)) >= 2


def test_points_of_a_small_person_are_smaller() -> None:
    def white(xy: NDArray[np.float64]) -> int:
        picture = np.zeros((1000, 1500, 3), np.uint8)
        return int((draw_people(picture, PAIR, xy, role_NK=[["human"] * 4], limbs=False) > 127).all(-1).sum())

    assert white(SQUARE / 5) < 0.5 * white(SQUARE * 3)


def test_points_outside_the_picture_do_no_harm() -> None:
    union = load_skeleton("union21")
    random = np.random.default_rng(1)
    for spread in (1e2, 1e4, 1e12):
        xy = random.uniform(-spread, spread, (4, 21, 2))
        xy[0, 3] = np.nan
        xy[1] = -50
        assert draw_people(BLACK, union, xy).shape == BLACK.shape
    assert draw_people(np.zeros((1, 1, 3), np.uint8), union, np.zeros((1, 21, 2))).shape == (1, 1, 3)
    np.testing.assert_array_equal(draw_people(BLACK, union, np.zeros((0, 21, 2)), role_NK=[]), BLACK)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(BadArgumentError, match="Unknown role guess"):
        draw_people(BLACK, PAIR, SQUARE, role_NK=[["guess"] * 4])
    with pytest.raises(BadArgumentError, match=r"xy \(N, 4, 2\)"):
        draw_people(BLACK, PAIR, SQUARE[:, :3])
    with pytest.raises(BadArgumentError, match="uint8"):
        draw_people(BLACK[..., 0], PAIR, SQUARE)
