from __future__ import annotations

import numpy as np
import pytest
import torch

from poseunion.models.codec import simcc
from poseunion.models.codec.simcc import SimccGrid
from poseunion.training.loop.losses import (
    balanced,
    conditional_keypoint_loss,
    distillation_loss,
    heatmap_loss,
    position_loss,
    simcc_labels,
    total_loss,
)

GRID = SimccGrid((48, 64), 2.0, (2.5, 2.8))


def test_labels_equal_the_runtime_codec() -> None:
    xy = np.random.default_rng(0).uniform(2, 45, (3, 5, 2)).astype(np.float32)
    x, y, inside = simcc.encode(xy, GRID)
    label_x, label_y = simcc_labels(torch.from_numpy(xy), GRID)
    assert inside.all()
    np.testing.assert_allclose(label_x, simcc.softmax(x), atol=1e-6)
    np.testing.assert_allclose(label_y, simcc.softmax(y), atol=1e-6)


def test_an_undefined_keypoint_gets_no_gradient() -> None:
    label_x, label_y = simcc_labels(torch.full((2, 3, 2), 20.0), GRID)
    logit_x = torch.randn(2, 3, 96, requires_grad=True)
    logit_y = torch.randn(2, 3, 128, requires_grad=True)
    weight = torch.tensor([[1.0, 0.0, 0.5], [0.0, 0.0, 1.0]])
    sum(conditional_keypoint_loss(logit_x, logit_y, label_x, label_y, weight).values()).backward()  # type: ignore[union-attr]
    assert logit_x.grad is not None
    touched = logit_x.grad.abs().sum(-1) > 0
    assert torch.equal(touched, weight > 0)


def test_the_label_itself_costs_nothing_and_anything_else_costs_more() -> None:
    xy = torch.tensor([[[10.0, 20.0]]])
    label_x, label_y = simcc_labels(xy, GRID)
    x, y, _ = simcc.encode(xy.numpy(), GRID)
    weight = torch.ones(1, 1)
    perfect = conditional_keypoint_loss(torch.from_numpy(x), torch.from_numpy(y), label_x, label_y, weight)
    shifted = conditional_keypoint_loss(torch.from_numpy(x).roll(4, -1), torch.from_numpy(y), label_x, label_y, weight)
    assert float(perfect["keypoint_x"]) == pytest.approx(0, abs=1e-5)
    assert float(shifted["keypoint_x"]) > 0.1
    assert float(shifted["keypoint_y"]) == pytest.approx(0, abs=1e-5)


def test_without_any_label_the_loss_is_zero_not_nan() -> None:
    label_x, label_y = simcc_labels(torch.zeros(1, 2, 2), GRID)
    parts = conditional_keypoint_loss(
        torch.randn(1, 2, 96), torch.randn(1, 2, 128), label_x, label_y, torch.zeros(1, 2)
    )
    assert all(float(v) == 0 for v in parts.values())


def test_heatmap_loss_is_lowest_at_the_keypoint() -> None:
    def at(column: int, row: int) -> float:
        heat = torch.zeros(1, 1, 16, 12)
        heat[0, 0, row, column] = 10
        return float(heatmap_loss(heat, torch.tensor([[[4 * 5 + 1.5, 4 * 7 + 1.5]]]), torch.ones(1, 1), 4))

    costs = {(c, r): at(c, r) for c in range(12) for r in range(16)}
    assert min(costs, key=costs.__getitem__) == (5, 7)


def test_eq_8_and_its_limits() -> None:
    task, distil = torch.tensor(2.0), {"coco17": torch.tensor(3.0), "mpii16": torch.tensor(5.0)}
    betas = {"coco17": 0.45, "mpii16": 0.25}
    assert float(total_loss(task, distil, 0.3, betas)) == pytest.approx(0.3 * 2 + 0.7 * (0.45 * 3 + 0.25 * 5))
    assert float(total_loss(task, distil, 1.0, betas)) == pytest.approx(2.0)
    assert float(total_loss(task, {}, 0.3, betas)) == pytest.approx(0.6)


def test_a_student_that_equals_its_teacher_pays_nothing() -> None:
    logit_x, logit_y = torch.randn(2, 4, 96), torch.randn(2, 4, 128)
    teacher = (torch.softmax(10 * logit_x, -1), torch.softmax(10 * logit_y, -1))
    parts = distillation_loss(logit_x, logit_y, *teacher, torch.rand(2, 4))
    assert all(float(v) == pytest.approx(0, abs=1e-5) for v in parts.values())
    parts = distillation_loss(logit_x.flip(0), logit_y, *teacher, torch.ones(2, 4))
    assert float(parts["distil_x"]) > 1
    assert float(parts["distil_y"]) == pytest.approx(0, abs=1e-5)


def test_squared_distance_of_eq_6() -> None:
    xy = torch.tensor([[[10.0, 20.0], [30.0, 40.0]]])
    x, y, _ = simcc.encode(xy.numpy(), GRID)
    sharp_x, sharp_y = torch.from_numpy(x) * 20, torch.from_numpy(y) * 20
    at = [
        float(position_loss(sharp_x, sharp_y, xy + torch.tensor([shift, 0.0]), torch.ones(1, 2), GRID)["position"])
        for shift in (0.0, 4.8)
    ]
    assert at[0] == pytest.approx(0, abs=1e-6)
    assert at[1] == pytest.approx((4.8 / 48) ** 2, rel=0.02)


def test_balanced_keypoints_share_the_same_sum() -> None:
    weight = torch.rand(30, 5) * torch.tensor([1.0, 0.1, 0.0, 3.0, 1.0])
    weight[1:, 4] = 0  # one label in the whole batch
    even = balanced(weight)
    assert float(even.sum()) == pytest.approx(float(weight.sum()), rel=1e-5)
    sums = even.sum(0)
    assert sums[2] == 0
    torch.testing.assert_close(sums[[0, 1, 3, 4]], sums[0].expand(4))
    torch.testing.assert_close(even[:, 3] / even[:, 3].sum(), weight[:, 3] / weight[:, 3].sum())
    assert torch.equal(balanced(torch.zeros(2, 3)), torch.zeros(2, 3)), "a batch without labels"
