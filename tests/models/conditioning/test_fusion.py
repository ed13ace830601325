"""Picture and prior together: known joints stay, any subset works, and the student's errors are used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from poseunion.models.calibration.conditioning_parameters import (
    ConditioningParameters,
    KeypointParameters,
    parameters_beside,
    read_conditioning_parameters,
    tempering_path,
)
from poseunion.models.codec.crop import affine_to_crop, apply_affine, crop_from_box
from poseunion.models.codec.simcc import SimccGrid, encode
from poseunion.models.conditioning.features import FEATURES, Conditioned
from poseunion.models.conditioning.fusion import fuse
from poseunion.models.conditioning.prior import load_prior
from poseunion.models.conditioning.probability_maps import (
    CropGrid,
    cumulated,
    marginals,
    mass_around,
    mass_in_cells,
    moments,
    tempered,
)
from poseunion.models.errors import BadFileError
from poseunion.models.files import write_json
from poseunion.models.skeleton import Skeleton, load_skeleton, project_indices

PRIOR, GRID = load_prior(), SimccGrid((192, 256))
UNION = PRIOR.skeleton
K = len(UNION)
INDEX = {name: k for k, name in enumerate(UNION.keypoints)}
CROP = crop_from_box((130.0, 170.0, 140.0, 222.0), GRID.size_wh)
# An upright person of 55 px a torso, who does not stand quite as the mean does.
PERSON = PRIOR.template_K2 * 55 + [200.0, 272.0] + np.random.default_rng(4).normal(size=(K, 2)) * 3
TEMPERING = ConditioningParameters()


def student(places_image: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits of a student that is sure of these places."""
    x, y, _ = encode(apply_affine(places_image, affine_to_crop(CROP))[None], GRID)
    return x, y


def ask(
    places: NDArray[np.float64],
    known: NDArray[np.bool_],
    *,
    tempering: ConditioningParameters = TEMPERING,
    truth: NDArray[np.float64] = PERSON,
    skeleton: Skeleton | None = None,
    use_prior: bool = True,
    use_picture: bool = True,
    wanted_NK: NDArray[np.bool_] | None = None,
) -> Conditioned:
    x, y = student(places)
    return fuse(
        x,
        y,
        GRID,
        [CROP],
        truth[None],
        known[None],
        PRIOR,
        skeleton=skeleton,
        tempering=tempering,
        image_wh_N2=np.array([[400, 500]]),
        use_prior=use_prior,
        use_picture=use_picture,
        wanted_NK=wanted_NK,
        inside=True,
    )


def without(*names: str) -> NDArray[np.bool_]:
    return ~np.isin(UNION.keypoints, names)


def distance(found: Conditioned, name: str, place: NDArray[np.float64] | None = None) -> float:
    """Image px from the truth."""
    return float(np.linalg.norm(found.xy_NK2[0, INDEX[name]] - (PERSON if place is None else place)[INDEX[name]]))


@settings(max_examples=15)
@given(st.lists(st.booleans(), min_size=K, max_size=K).map(np.array), st.integers(0, 2**31))
def test_any_subset_works_and_known_joints_stay(known: NDArray[np.bool_], seed: int) -> None:
    places = PERSON + np.random.default_rng(seed).normal(size=PERSON.shape) * 10
    found = ask(places, known)
    np.testing.assert_array_equal(found.xy_NK2[0, known], PERSON[known])
    np.testing.assert_array_equal(found.sd_px_NK[0] == 0, known)
    assert np.isfinite(found.xy_NK2).all()
    assert found.features.keys() == FEATURES.keys()
    for name, value in found.features.items():
        assert value.shape == ((1,) if "(N,)" in FEATURES[name] else (1, K)), name
        assert np.isfinite(value).all(), name
    for share in ("near", "swapped", "lost", "prior_inside", "known_error", "near_error"):
        assert (found.features[share] >= 0).all()
        assert (found.features[share] <= 1 + 1e-5).all(), share


def test_nobody_is_nobody() -> None:
    empty = np.zeros((0, K))
    found = fuse(np.zeros((0, K, 384)), np.zeros((0, K, 512)), GRID, [], np.zeros((0, K, 2)), empty.astype(bool), PRIOR)
    assert found.xy_NK2.shape == (0, K, 2)
    assert found.features.keys() == FEATURES.keys() - {"inside"}  # not asked for


def test_a_sure_student_is_believed_and_an_unsure_one_is_not() -> None:
    known = without("left_wrist")
    wrist = PERSON.copy()
    wrist[INDEX["left_wrist"]] += [12, -9]  # not where the prior expects it
    assert distance(ask(wrist, known), "left_wrist", wrist) < 2
    x, y = student(PERSON)
    flat = fuse(0 * x, 0 * y, GRID, [CROP], PERSON[None], known[None], PRIOR)
    alone = ask(PERSON, known, use_picture=False)
    assert np.linalg.norm(flat.xy_NK2 - alone.xy_NK2, axis=-1).max() < 1.5


def test_together_they_are_surer_than_either() -> None:
    known = without("left_elbow", "left_wrist", "nose")
    soft = TEMPERING.model_copy(
        update={"joints": {"elbow": KeypointParameters(blur=0.04), "nose": KeypointParameters(blur=0.04)}}
    )
    both, picture, prior = (
        ask(PERSON, known, tempering=soft, use_prior=a, use_picture=b)
        for a, b in ((True, True), (False, True), (True, False))
    )
    for name in ("left_elbow", "nose"):
        k = INDEX[name]
        assert both.sd_px_NK[0, k] < min(picture.sd_px_NK[0, k], prior.sd_px_NK[0, k])


def test_a_student_that_exchanges_left_and_right_is_put_right() -> None:
    """Its error is seen on the known pairs; the missing knee lies where its mirror's channel says."""
    spread = PERSON.copy()
    spread[INDEX["left_knee"]] += [8, 0]
    exchanged = spread[UNION.flip_indices]
    found = ask(exchanged, without("left_knee"), truth=spread)
    assert found.features["swapped"][0, INDEX["left_knee"]] > 0.5
    assert np.linalg.norm(exchanged[INDEX["left_knee"]] - spread[INDEX["left_knee"]]) > 15
    assert distance(found, "left_knee", spread) < 5
    assert ask(spread, without("left_knee"), truth=spread).features["swapped"][0, INDEX["left_knee"]] < 0.05


def test_a_student_that_looks_at_somebody_else_is_not_believed() -> None:
    known = without("head_top", "upper_neck")
    neighbour = PERSON + np.array([45.0, 12.0])
    found = ask(neighbour, known)
    alone = ask(neighbour, known, use_picture=False)
    k = INDEX["head_top"]
    assert found.features["lost"][0, k] > 0.5
    assert found.features["known_error"][0] > 0.9
    assert np.linalg.norm(found.xy_NK2[0, k] - alone.xy_NK2[0, k]) < 4
    assert ask(PERSON, known).features["lost"][0, k] < 0.05


def test_errors_of_a_persons_joints_go_together() -> None:
    """A student that is 4 px too low on every known joint is so on the others."""
    shifted = PERSON + np.array([0.0, 4.0])
    eager = TEMPERING.model_copy(update={"error_sd": 0.2, "error_noise": 0.02, "error_length": 1.0})
    deaf = TEMPERING.model_copy(update={"error_sd": 0.0})
    known = without("left_wrist")
    corrected, not_corrected = (ask(shifted, known, tempering=t, use_prior=False) for t in (eager, deaf))
    assert distance(not_corrected, "left_wrist") > 3.5
    assert distance(corrected, "left_wrist") < 1


def test_the_crop_and_the_picture_may_be_of_any_size() -> None:
    """The same person in a picture of three times the size, elsewhere."""
    known = without("nose", "left_ear", "right_hip")
    places = PERSON + np.random.default_rng(1).normal(size=PERSON.shape) * 4
    small, (x, y) = ask(places, known), student(places)
    large_crop = crop_from_box((3 * 130.0 + 50, 3 * 170.0 - 20, 420.0, 666.0), GRID.size_wh)
    large = fuse(x, y, GRID, [large_crop], PERSON[None] * 3 + [50, -20], known[None], PRIOR)
    np.testing.assert_allclose(large.xy_NK2, small.xy_NK2 * 3 + [50, -20], atol=0.1)
    np.testing.assert_allclose(large.sd_px_NK, small.sd_px_NK * 3, atol=0.05)


def test_a_model_of_another_skeleton() -> None:
    coco = load_skeleton("coco17")
    index = project_indices(UNION, coco)
    x, y = student(PERSON[index])
    known = np.array(coco.keypoints) != "left_knee"
    found = fuse(x, y, GRID, [CROP], PERSON[None, index], known[None], PRIOR, skeleton=coco)
    assert found.xy_NK2.shape == (1, 17, 2)
    assert np.linalg.norm(found.xy_NK2[0, ~known] - PERSON[index][~known], axis=-1).max() < 2


def test_only_what_is_wanted_is_worked_out_and_alike() -> None:
    known, wanted = without("nose", "left_knee", "head_top"), without()[None] & False
    wanted[0, INDEX["nose"]] = True
    some, everything = ask(PERSON, known, wanted_NK=wanted), ask(PERSON, known)
    np.testing.assert_allclose(some.xy_NK2[0, INDEX["nose"]], everything.xy_NK2[0, INDEX["nose"]])
    for name in ("left_knee", "head_top"):  # the first round's mean
        assert 0 < np.linalg.norm(some.xy_NK2[0, INDEX[name]] - everything.xy_NK2[0, INDEX[name]]) < 3
        assert some.sd_px_NK[0, INDEX[name]] > 0


def test_a_joint_that_may_be_outside_the_picture_is_known_to() -> None:
    x, y = student(PERSON)
    known = without("left_ankle", "right_ankle")
    sizes = [np.array([[400.0, 500.0]]), np.array([[400.0, PERSON[INDEX["left_knee"], 1] + 5]])]
    whole, cut = (
        fuse(x, y, GRID, [CROP], PERSON[None], known[None], PRIOR, image_wh_N2=wh).features["prior_inside"]
        for wh in sizes
    )
    assert whole[0, INDEX["left_ankle"]] > 0.9
    assert cut[0, INDEX["left_ankle"]] < 0.2


@settings(max_examples=20)
@given(st.integers(20, 100), st.floats(30, 160), st.floats(30, 220))
def test_a_sharp_peak_is_not_lost_between_cells(count: int, x: float, y: float) -> None:
    cells = CropGrid(GRID, count)
    label_x, label_y, _ = encode(np.array([[[x, y]]]), GRID)
    p_x, p_y = (tempered(label, np.ones(1) * 3, np.zeros(1)) for label in (label_x, label_y))
    only = np.zeros(1, np.intp)
    across, down = (
        mass_in_cells(cumulated(p), only, only[None], centre[None], cells)[:, 0]
        for p, centre in ((p_x, cells.x_U), (p_y, cells.y_V))
    )
    found = down[:, :, None] * across[:, None]
    assert found.sum() == pytest.approx(1, abs=1e-3)
    mean, sd = moments(*marginals(found), cells)
    np.testing.assert_allclose(mean, [[x, y]], atol=cells.side / 2 + 0.5)
    assert sd < cells.side / 2 + 2
    around = mass_around(found, cells, np.array([[x, y]]), np.array([cells.side + 3.0]))
    assert around > 0.95


def test_a_tempering_lies_beside_its_model(tmp_path: Path) -> None:
    model = tmp_path / "student.onnx"
    assert parameters_beside(model) == ConditioningParameters()
    fitted = ConditioningParameters(model="student", joints={"knee": KeypointParameters(prior=0.7)}, lost_error=2.5)
    write_json(tempering_path(model), fitted.model_dump())
    assert parameters_beside(model) == fitted
    assert fitted.of("left_knee").prior == 0.7
    assert fitted.of("nose") == KeypointParameters()
    tempering_path(model).write_text('{"lost_error": "much"}')
    with pytest.raises(BadFileError, match="lost_error"):
        read_conditioning_parameters(tempering_path(model))


@pytest.mark.parametrize("sd", [1e-6, 0.7, 6.1, 40.0, 300.0])
def test_a_blurred_distribution_is_what_a_matrix_of_gaussians_makes_of_it(sd: float) -> None:
    logit = np.random.default_rng(0).normal(size=(3, 2, 64)).astype(np.float32)
    logit[0, 0, 0] = 5.0  # sure, and at the end of the axis
    plain = tempered(logit, np.ones(2), np.full(2, 1e-6))
    at = np.arange(64)
    kernel = np.exp(-0.5 * ((at[:, None] - at) / max(sd, 1e-3)) ** 2)
    blurred = tempered(logit, np.ones(2), np.full(2, sd))
    np.testing.assert_allclose(blurred, plain @ (kernel / kernel.sum(1, keepdims=True)), atol=1e-6)
    np.testing.assert_allclose(blurred.sum(-1), 1, atol=1e-5)
    assert tempered(logit[:0], np.ones(2), np.full(2, sd)).shape == (0, 2, 64)
