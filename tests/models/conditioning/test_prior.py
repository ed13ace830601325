"""p(missing | known): proper distributions for any subset, free of place, size and side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from poseunion.models.conditioning.prior import Mixture, load_prior, save_prior
from poseunion.models.errors import BadFileError, SkeletonError

PRIOR = load_prior()
K = len(PRIOR.skeleton)
# An upright person of 60 px a torso, and the box of its crop.
PERSON = PRIOR.template_K2[None] * 60 + [200.0, 300.0]
CENTER, HEIGHT = np.array([[200.0, 290.0]]), np.array([222.0])
subsets = st.lists(st.booleans(), min_size=K, max_size=K).map(np.array)


def ask(xy: NDArray[np.float64], known: NDArray[np.bool_], center: NDArray[np.float64] = CENTER) -> Mixture:
    return PRIOR.conditional(xy, np.where(known, 0.0, np.inf), center, HEIGHT)


@settings(max_examples=30)
@given(subsets, st.integers(0, 2**31))
def test_any_subset_gives_proper_mixtures(known: NDArray[np.bool_], seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = ask(rng.uniform(0, 500, (1, K, 2)), known[None])
    np.testing.assert_allclose(found.weight_NKM.sum(-1), 1)
    assert (found.weight_NKM >= 0).all()
    assert (np.linalg.eigvalsh(found.cov_NKM22) > 0).all()
    assert (np.linalg.eigvalsh(found.covariance()) > 0).all()
    assert np.isfinite(found.mean()).all()


@pytest.mark.parametrize("known", [np.zeros((1, K), bool), np.ones((1, K), bool)], ids=["none", "all"])
def test_none_and_all(known: NDArray[np.bool_]) -> None:
    found = ask(PERSON, known)
    inside = np.abs(found.mean() - CENTER) < 222
    assert inside.all()


@settings(max_examples=20)
@given(subsets, st.floats(0.05, 20), st.integers(-5000, 5000))
def test_place_and_size_do_not_matter(known: NDArray[np.bool_], scale: float, move: int) -> None:
    found = ask(PERSON, known[None])
    other = PRIOR.conditional(
        PERSON * scale + move, np.where(known, 0.0, np.inf)[None], CENTER * scale + move, HEIGHT * scale
    )
    np.testing.assert_allclose(other.mean(), found.mean() * scale + move, atol=0.02 * scale)
    np.testing.assert_allclose(other.covariance(), found.covariance() * scale**2, rtol=2e-2, atol=0.2 * scale**2)


@settings(max_examples=20)
@given(subsets, st.integers(0, 2**31))
def test_a_mirrored_person_gets_the_mirrored_answer(known: NDArray[np.bool_], seed: int) -> None:
    person = PERSON + np.random.default_rng(seed).normal(size=PERSON.shape) * 15
    flip, order = np.array([-1.0, 1.0]), PRIOR.skeleton.flip_indices
    found, other = ask(person, known[None]), ask(person[:, order] * flip, known[None][:, order], CENTER * flip)
    np.testing.assert_allclose(other.mean(), found.mean()[:, order] * flip, atol=1e-2)


def test_what_is_unknown_is_not_looked_at() -> None:
    known = np.array([[k.endswith(("shoulder", "hip", "knee")) for k in PRIOR.skeleton.keypoints]])
    wild = np.where(known[..., None], PERSON, np.nan)
    np.testing.assert_array_equal(ask(wild, known).mean(), ask(PERSON, known).mean())


def test_more_is_known_more_surely() -> None:
    """A wrist is placed better by its elbow than by the hips, and a blurred elbow tells less than a label."""
    wrist = PRIOR.skeleton.index("left_wrist")
    spread = []
    for names in ((), ("hip", "knee"), ("hip", "knee", "shoulder", "elbow")):
        known = np.array([[bool(names) and k.endswith(names) for k in PRIOR.skeleton.keypoints]])
        spread.append(float(np.trace(ask(PERSON, known).covariance()[0, wrist])))
    assert spread[0] > spread[1] > spread[2]
    sd = np.where(known, 0.0, np.inf)
    sd[0, PRIOR.skeleton.index("left_elbow")] = 25.0
    blurred = PRIOR.conditional(PERSON, sd, CENTER, HEIGHT)
    assert spread[2] < np.trace(blurred.covariance()[0, wrist]) < spread[0]


@pytest.mark.parametrize("turn_deg", [0, 90, 180, 250])
def test_a_turned_persons_head_is_at_the_turned_neck(turn_deg: float) -> None:
    """Acrobats: whichever way up, head_top lies beyond the shoulders, away from the hips."""
    cos, sin = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
    turned = (PERSON - CENTER) @ np.array([[cos, sin], [-sin, cos]]) + CENTER
    index = PRIOR.skeleton.index
    known = np.array([[k.endswith(("shoulder", "hip", "knee", "ankle")) for k in PRIOR.skeleton.keypoints]])
    found = ask(turned, known).mean()[0]
    up = turned[0, index("thorax")] - turned[0, index("pelvis")]
    head = found[index("head_top")] - turned[0, index("thorax")]
    assert 0.4 < head @ up / (up @ up) < 0.9


def test_save_and_load(tmp_path: Path) -> None:
    save_prior(PRIOR, tmp_path / "prior.npz")
    known = np.arange(K)[None] % 3 > 0
    np.testing.assert_allclose(
        load_prior(tmp_path / "prior.npz").conditional(PERSON, np.where(known, 0, np.inf), CENTER, HEIGHT).mean(),
        ask(PERSON, known).mean(),
        atol=1e-9,
    )


@pytest.mark.parametrize("content", [b"", b"not an archive", None])
def test_a_file_that_is_no_prior_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "prior.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadFileError, match=r"prior\.npz"):
        load_prior(path)


def test_another_skeleton_is_refused() -> None:
    with pytest.raises(SkeletonError, match="21"):
        PRIOR.conditional(np.zeros((1, 17, 2)), np.zeros((1, 17)), CENTER, HEIGHT)


def test_the_shipped_file_is_small() -> None:
    from poseunion.models.conditioning.prior import PRIOR_PATH

    assert PRIOR_PATH.stat().st_size < 2_000_000


def test_one_keypoint_alone_is_as_among_all() -> None:
    known = np.arange(len(PRIOR.skeleton)) % 3 > 0
    sd, people = np.where(known, 0.0, np.inf), (np.repeat(PERSON, 3, 0), np.repeat(CENTER, 3, 0), np.repeat(HEIGHT, 3))
    only = np.array([0, 3, 20])
    everything = PRIOR.conditional(people[0], np.repeat(sd[None], 3, 0), *people[1:])
    alone = PRIOR.conditional(people[0], np.repeat(sd[None], 3, 0), *people[1:], only_N=only)
    for name in ("weight_NKM", "mean_NKM2", "cov_NKM22"):
        np.testing.assert_allclose(getattr(alone, name)[:, 0], getattr(everything, name)[np.arange(3), only], rtol=1e-4)
