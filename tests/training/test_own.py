"""What data sets have of their own: nought on average, mirrored with the crop, and gone from the student."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from poseunion.models.errors import BadArgumentError
from poseunion.models.networks.build import build_network
from poseunion.models.networks.weights import read_weights
from poseunion.models.simcc import SimccGrid
from poseunion.models.skeleton import load_skeleton
from poseunion.training import loop, step
from poseunion.training.loop import fit
from poseunion.training.own import Own, own_for
from poseunion.training.prepare import Prepared
from poseunion.training.recipes import Recipe, Stage

UNION = load_skeleton("union21")
GRID = SimccGrid((32, 64), 4.0)
RECIPE = Recipe(
    name="its_own",
    backbone="mobilenetv4_conv_small_050",
    pretrained=False,
    stages=(Stage(GRID.size_wh, 4.0, 1.0, 2),),
    steps=6,
    warmup_steps=1,
    checkpoint_minutes=1e9,
    validate_minutes=1e9,
    dataset_token=True,
    dataset_residual=True,
)
FIRST, SECOND = torch.tensor([0, 0]), torch.tensor([1, 1])


@pytest.mark.parametrize("name", ["equivariant", "rtmpose-t", "simcc-8"])
def test_a_token_tells_data_sets_apart_and_is_nought_on_average(name: str) -> None:
    torch.manual_seed(0)
    network = build_network(name, RECIPE.backbone, len(UNION), GRID).eval()
    image = torch.randn(2, 3, 64, 32)
    plain = network(image)
    own = own_for(network, UNION, 2, token=True, residual=False)
    assert own is not None
    assert own.token is not None

    def told(dataset_N: torch.Tensor) -> torch.Tensor:
        own.now(dataset_N)
        return torch.cat(network(image), -1)

    torch.testing.assert_close(told(FIRST), torch.cat(plain, -1))
    with torch.no_grad():
        own.token.copy_(torch.randn(1, own.token.shape[1]).expand(2, -1))
    torch.testing.assert_close(told(FIRST), torch.cat(plain, -1), msg="the same for all is nothing of one's own")
    with torch.no_grad():
        own.token[0] += 1
    assert not torch.allclose(told(FIRST), told(SECOND))
    assert own_for(network, UNION, 2, token=False, residual=False) is None


def test_a_residual_bends_each_data_set_and_mirrors_with_the_crop() -> None:
    torch.manual_seed(0)
    own = Own(2, None, 0, UNION)
    assert own.taps is not None
    x, y = torch.randn(2, 21, 128), torch.randn(2, 21, 256)
    upright, mirrored = torch.tensor([False, False]), torch.tensor([True, True])
    own.now(FIRST)
    assert torch.equal(own.bent((x, y), upright)[0], x)
    with torch.no_grad():
        own.taps.normal_()
    bent_x, bent_y = own.bent((x, y), upright)
    assert not torch.allclose(bent_x, x)
    order = list(UNION.flip_indices)
    seen_x, seen_y = own.bent((x[:, order].flip(-1), y[:, order]), mirrored)
    torch.testing.assert_close(seen_x[:, order].flip(-1), bent_x)
    torch.testing.assert_close(seen_y[:, order], bent_y)
    own.now(SECOND)
    other_x, _ = own.bent((x, y), upright)
    torch.testing.assert_close((bent_x + other_x) / 2, x)


def test_a_heatmap_network_has_no_residual() -> None:
    with pytest.raises(BadArgumentError, match="dataset_residual"):
        dataclasses.replace(RECIPE, network="heatmap-8")


def test_a_residual_learns_where_annotators_point() -> None:
    """Labels of the one data set lie four bins to the right of the answer, those of the other to the left."""
    own = Own(2, None, 0, UNION)
    bins = torch.arange(128.0)
    answer = torch.exp(-((bins - 60) ** 2) / 50).expand(2, 21, -1)
    labels = torch.stack([torch.exp(-((bins - 60 - shift) ** 2) / 50).expand(21, -1) for shift in (4, -4)])
    optimizer = torch.optim.Adam(own.parameters(), 0.05)
    own.now(torch.tensor([0, 1]))
    for _ in range(200):
        optimizer.zero_grad()
        loss = (own.bent((answer, answer), torch.tensor([False, False]))[0] - labels).square().mean()
        loss.backward()
        optimizer.step()
    # Not nought: two opposite shifts sharpen on average, and the mean of the residuals may not.
    assert float(loss.detach()) < 0.3 * float((answer - labels).square().mean())


def test_the_student_has_no_trace_and_a_stopped_run_goes_on(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = fit(RECIPE, prepared, tmp_path / "whole", accelerator="cpu")
    nothing_own = dataclasses.replace(RECIPE, dataset_token=False, dataset_residual=False)
    plain = fit(nothing_own, prepared, tmp_path / "plain", accelerator="cpu")
    assert list(read_weights(weights)[0]) == list(read_weights(plain)[0])
    assert read_weights(weights)[2].name == "its-own", "as the files of shipped models are named"

    real, calls = step.losses, []

    def stopped(*args: object) -> object:
        calls.append(1)
        if len(calls) > 4:
            raise KeyboardInterrupt
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "losses", stopped)
    often = dataclasses.replace(RECIPE, checkpoint_minutes=0.0)
    with pytest.raises(KeyboardInterrupt):
        fit(often, prepared, tmp_path / "cut", accelerator="cpu")
    monkeypatch.setattr(loop, "losses", real)
    saved = torch.load(tmp_path / "cut" / "last.ckpt", weights_only=True)
    assert float(saved["own"]["token"].abs().sum()) > 0
    assert float(saved["own"]["taps"].abs().sum()) > 0
    cut = fit(RECIPE, prepared, tmp_path / "cut", resume=True, accelerator="cpu")
    whole_state, cut_state = read_weights(weights)[0], read_weights(cut)[0]
    assert all(torch.equal(whole_state[name], cut_state[name]) for name in whole_state)
