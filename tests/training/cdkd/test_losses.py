"""Paper B's equations, one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from poseunion.models.codec.simcc import SimccGrid, decode
from poseunion.models.errors import BadArgumentError
from poseunion.training.cdkd.cca import ClassAlignment, class_loss, merged, merging
from poseunion.training.cdkd.etht import Curriculum, difficulty, reversed_gradient
from poseunion.training.cdkd.sape import FeatureAlignment, Sape, ScaleAdaptiveUnit, cosine_loss
from poseunion.training.config.cdkd import Cdkd
from poseunion.training.config.overrides import changed

STUDENT, TEACHER = (6, 4, 4), (8, 16, 16)
SMALL, BIG = SimccGrid.for_bins((16, 16), (32, 32)), SimccGrid.for_bins((64, 64), (128, 128))
AS_IT_IS, MIRRORED = torch.tensor([False]), torch.tensor([True])


def test_gradient_reversal_ascends_in_proportion_to_xi() -> None:
    theta = torch.tensor(2.0, requires_grad=True)
    for xi in (0.0, 0.25, 1.0):
        (plain,) = torch.autograd.grad(theta**2, theta)
        (turned,) = torch.autograd.grad(reversed_gradient(theta, xi) ** 2, theta)
        assert turned == -xi * plain
    assert reversed_gradient(theta, 0.5) == theta


def test_xi_is_monotone_from_nought_to_one() -> None:
    values = [difficulty(t) for t in np.linspace(0, 1, 101)]
    assert (values[0], values[-1]) == (0, 1)
    assert all(a < b for a, b in itertools.pairwise(values))
    assert difficulty(1.5) == 1


def test_what_is_learned_ascends_within_its_bounds() -> None:
    curriculum = Curriculum(Cdkd(learned=("tau", "alpha", "beta"), tau=2.0, alpha=0.5, learned_rate=50.0))
    before = {name: float(value.detach()) for name, value in curriculum(1.0, torch.device("cpu")).items()}
    assert before == pytest.approx({"tau": 2.0, "alpha": 0.5, "beta": 1.0})
    for _ in range(200):
        values = curriculum(1.0, torch.device("cpu"))
        (values["tau"] + values["alpha"] + values["beta"]).backward()
        curriculum.step(1.0)
    after = {name: float(value.detach()) for name, value in curriculum(1.0, torch.device("cpu")).items()}
    assert all(after[name] > before[name] for name in before)
    assert after["tau"] <= 5.0
    assert after["alpha"] <= 1.0
    assert after["beta"] <= 2.0


def test_what_is_not_learned_has_no_parameters_and_stays() -> None:
    curriculum = Curriculum(Cdkd(learned=("tau",)))
    assert [name for name, _ in curriculum.named_parameters()] == ["raw.tau"]
    assert not list(Curriculum(Cdkd()).parameters())
    values = curriculum(0.0, torch.device("cpu"))
    values["tau"].backward()
    curriculum.step(1.0)
    assert float(curriculum(0.0, torch.device("cpu"))["tau"].detach()) == pytest.approx(2.0), "xi is 0 at the start"


@pytest.mark.parametrize("kernels", [(3, 5, 7, 7), (3,), (9, 9)])
@pytest.mark.parametrize("projectors", [1, 3, 5])
def test_weights_of_the_scale_adaptive_unit_sum_to_one(kernels: tuple[int, ...], projectors: int) -> None:
    unit = ScaleAdaptiveUnit(STUDENT[0], TEACHER[0], kernels, projectors)
    weight = unit(torch.randn(2, *STUDENT))
    assert weight.shape == (2, projectors, TEACHER[0])
    assert (weight > 0).all()
    torch.testing.assert_close(weight.sum(1), torch.ones(2, TEACHER[0]))
    assert len(unit.branches) == len(kernels)


def test_one_projector_is_the_same_with_the_unit_and_without() -> None:
    torch.manual_seed(0)
    plain = Sape(STUDENT, TEACHER, 1)
    adaptive = Sape(STUDENT, TEACHER, 1, (3, 5, 7, 7))
    adaptive.projectors.load_state_dict(plain.projectors.state_dict())
    x = torch.randn(2, *STUDENT)
    assert plain(x).shape == (2, *TEACHER)
    torch.testing.assert_close(plain(x), adaptive(x))


def test_cosine_loss_knows_direction_only() -> None:
    x = torch.randn(3, *TEACHER)
    assert float(cosine_loss(x, 7 * x)) == pytest.approx(0, abs=1e-6)
    assert float(cosine_loss(x, -x)) == pytest.approx(2, abs=1e-6)


@pytest.mark.parametrize("features", ["projectors", "sape", "conv", "linear", "pointwise"])
def test_every_alignment_of_features_learns(features: str) -> None:
    """A few steps of descent bring two fixed maps together."""
    torch.manual_seed(1)
    alignment = FeatureAlignment(changed(Cdkd(), features=features), STUDENT, TEACHER)
    ours, theirs = torch.randn(2, *STUDENT), torch.rand(2, *TEACHER)
    optimizer = torch.optim.Adam(alignment.parameters(), 1e-2)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = alignment(ours, theirs)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert all(parameter.grad is not None for parameter in alignment.parameters())


def test_merged_bins_conserve_mass() -> None:
    p = torch.softmax(torch.randn(1, 5, 128), -1)
    for flip in (AS_IT_IS, MIRRORED):
        q = merged(p, merging(BIG, SMALL, 0), flip)
        torch.testing.assert_close(q.sum(-1), torch.ones(1, 5))
    inner = torch.zeros(1, 1, 128)
    inner[..., 40:90] = 1 / 50
    unscaled = inner @ merging(BIG, SMALL, 0)[0]
    assert float(unscaled.sum()) == pytest.approx(1), "nothing is lost inside"


def test_a_coarse_bin_is_the_sum_of_the_fine_ones_around_it() -> None:
    """Paper B's eq. 6, on grids whose bins sit at b / split: bin b is made of fine bins 4b - 2 to 4b + 2."""
    matrix = merging(BIG, SMALL, 0)[0]
    assert (matrix[31:34, 8] == 1).all()
    assert matrix[30, 8] == matrix[34, 8] == 0.5
    assert float(matrix[:, 8].sum()) == 4
    torch.testing.assert_close(matrix[:-2].sum(1), torch.ones(126), msg="only the last bins reach beyond")


@pytest.mark.parametrize("flip", [False, True])
def test_a_teachers_point_lands_where_the_student_sees_it(flip: bool) -> None:
    """Both look at one point of the picture; mirrored, their pixels count from different ends."""
    point_student = 7.0
    # As they are: teacher = 4 * student. Mirrored: 63 - teacher' = 4 * (15 - student').
    point_teacher = 63 - 4 * (15 - point_student) if flip else 4 * point_student
    bins = torch.arange(128.0)
    peak = torch.exp(-((bins - 2 * point_teacher) ** 2) / (2 * 6.0**2))[None, None]
    q = merged(peak / peak.sum(), merging(BIG, SMALL, 0), torch.tensor([flip]))
    centre = float((q[0, 0] * torch.arange(32)).sum()) / 2
    assert centre == pytest.approx(point_student, abs=1e-3)


def test_equal_grids_merge_nothing() -> None:
    """Table V's "same class number": every bin keeps its own."""
    fine = SimccGrid.for_bins((16, 16), (128, 128))
    assert torch.equal(merging(BIG, fine, 1)[0], torch.eye(128))


def test_the_class_loss_is_least_where_student_and_teacher_agree() -> None:
    torch.manual_seed(2)
    logit, tau, weight = torch.randn(2, 3, 32), torch.tensor(2.0), torch.ones(2, 3)
    own = torch.softmax(10 * logit / tau, -1)
    assert float(class_loss(logit, own, weight, tau)) == pytest.approx(0, abs=1e-5)
    other = torch.softmax(torch.randn(2, 3, 32), -1)
    p, q = other.double(), own.double()
    by_hand = 4 * (p * (p / q).log()).sum(-1).mean()
    assert float(class_loss(logit, other, weight, tau)) == pytest.approx(float(by_hand), rel=1e-4)


def test_a_teacher_that_is_certain_gives_tau_a_finite_gradient() -> None:
    tau = torch.tensor(1.5, requires_grad=True)
    certain = torch.zeros(1, 2, 128)
    certain[..., 60] = 100.0
    alignment = ClassAlignment(SMALL, BIG, learned=False)
    ours = torch.randn(1, 2, 32)
    alignment((ours, ours), (certain, certain), AS_IT_IS, torch.ones(1, 2), tau).backward()
    assert tau.grad is not None
    assert torch.isfinite(tau.grad)


@pytest.mark.parametrize("learned", [False, True])
def test_a_student_learns_the_teachers_classes(learned: bool) -> None:
    torch.manual_seed(3)
    alignment = ClassAlignment(SMALL, BIG, learned=learned)
    xy = torch.tensor([[[20.0, 40.0], [33.0, 9.0]]])
    bins = torch.arange(128.0)
    theirs = tuple(torch.exp(-((bins - 2 * xy[..., axis, None]) ** 2) / 50) for axis in (0, 1))
    ours = [torch.zeros(1, 2, 32, requires_grad=True) for _ in range(2)]
    optimizer = torch.optim.Adam([*ours, *alignment.parameters()], 0.05)
    first = last = 0.0
    for step in range(60):
        optimizer.zero_grad()
        loss = alignment((ours[0], ours[1]), (theirs[0], theirs[1]), AS_IT_IS, torch.ones(1, 2), torch.tensor(1.0))
        loss.backward()
        optimizer.step()
        first, last = (float(loss.detach()) if step == 0 else first), float(loss.detach())
    assert last < 0.5 * first
    if not learned:
        found, _ = decode(ours[0].detach().numpy(), ours[1].detach().numpy(), SMALL)
        assert np.abs(found - xy.numpy() / 4).max() <= 0.5


def test_bad_values_are_refused() -> None:
    for key, bad in (
        *(("features", "nope"), ("classes", "same"), ("projectors", 6), ("projectors", 0), ("kernels", (0, 0, 0, 0))),
        *(("tau", 0.5), ("tau", float("nan")), ("alpha", -1.0), ("learned", ("gamma",))),
    ):
        with pytest.raises(BadArgumentError, match=key):
            changed(Cdkd(), **{key: bad})
    assert Cdkd().kernel_sides == (3, 5, 7, 7)
