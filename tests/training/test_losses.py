from __future__ import annotations

import numpy as np
import pytest
import torch

from poseunion.models import simcc
from poseunion.models.simcc import SimccGrid
from poseunion.training.losses import conditional_keypoint_loss, heatmap_loss, simcc_labels

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
