"""Starting from trained weights, and growing from one resolution to the next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from training_fixtures import BACKBONE, random_weights, tiny_recipe

from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.networks import weights
from poseunion.models.networks.build import build_network
from poseunion.models.networks.equivariant import EquivariantSimcc
from poseunion.models.networks.weights import load_network, read_weights
from poseunion.models.zoo import weights_path
from poseunion.training.config.overrides import changed
from poseunion.training.config.recipes import Stage, find_recipe
from poseunion.training.loop.prepare import Prepared
from poseunion.training.loop.stages import grid_of, grown_state, initial_state, network_for
from poseunion.training.loop.train import fit

SMALL, BIG = Stage((32, 64), 4.0, 0.5, 2), Stage((64, 128), 2.0, 1.0, 2)
RECIPE = tiny_recipe(stages=(SMALL, BIG), steps=4)


def weights_file(folder: Path, stage: Stage, **more: str) -> Path:
    return random_weights(folder / "earlier.safetensors", stage, **more)  # type: ignore[arg-type]


def loaded(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def test_weights_of_the_first_stage_are_taken_as_they_are(tmp_path: Path) -> None:
    path = weights_file(tmp_path, SMALL)
    state, saved = initial_state(RECIPE, path), loaded(path)
    assert set(state) == set(saved)
    assert all(torch.equal(state[k], saved[k]) for k in saved)


def test_weights_of_twice_the_size_are_halved_and_growing_restores_them(tmp_path: Path) -> None:
    path = weights_file(tmp_path, BIG)
    state, saved = initial_state(RECIPE, path), loaded(path)
    network = build_network("equivariant", BACKBONE, 21, grid_of(SMALL))
    assert isinstance(network, EquivariantSimcc)
    network.load_state_dict(state)
    restored = network.grown().state_dict()
    assert all(torch.equal(restored[k], saved[k]) for k in saved)


@pytest.mark.parametrize("size_wh", [(32, 64), (32, 32), (64, 64)])
@pytest.mark.parametrize("stage", [SMALL, BIG])
def test_weights_start_a_student_of_any_size(tmp_path: Path, stage: Stage, size_wh: tuple[int, int]) -> None:
    path = weights_file(tmp_path, stage)
    other = changed(RECIPE, pretrained=True, stages=(Stage(size_wh, SMALL.split, 1.0, 2),))
    network = network_for(0, other, initial_state(other, path))
    x, y = network.eval()(torch.zeros(1, 3, size_wh[1], size_wh[0]))
    assert (x.shape[-1], y.shape[-1]) == (size_wh[0] * 4, size_wh[1] * 4)


def test_lite_hrnet_starts_at_any_size(tmp_path: Path) -> None:
    path = weights_file(tmp_path, Stage((64, 96), 2.0, 1.0, 2), network="lite-hrnet", backbone="")
    small = changed(RECIPE, network="lite-hrnet", backbone="", stages=(Stage((32, 64), 2.0, 1.0, 2),))
    state, saved = initial_state(small, path), loaded(path)
    assert set(state) == set(saved)
    assert all(torch.equal(state[name], saved[name]) for name in state)
    x, y = network_for(0, small, state).eval()(torch.zeros(1, 3, 64, 32))
    assert (x.shape[-1], y.shape[-1]) == (64, 128)


def test_one_network_starts_from_the_first_of_a_pair(tmp_path: Path) -> None:
    stage = Stage((64, 96), 2.0, 1.0, 2)
    path = weights_file(tmp_path, stage, network="lite-hrnet-pair", backbone="")
    one = changed(RECIPE, network="lite-hrnet", backbone="", stages=(stage,))
    state, pair = initial_state(one, path), loaded(path)
    assert len(state) < len(pair)
    for name, tensor in state.items():
        part, _, rest = name.partition(".")
        assert torch.equal(tensor, pair[f"{part}.0.{rest}" if part in ("backbone", "added") else name])


@pytest.mark.parametrize("stage", [SMALL, BIG])
def test_a_run_begins_where_the_weights_end(prepared: Prepared, tmp_path: Path, stage: Stage) -> None:
    """Nothing is learned in one step at almost no rate: what comes out is what went in."""
    path = weights_file(tmp_path, stage)
    still = changed(RECIPE, steps=1, lr=1e-12, weight_decay=0.0)
    fit(still, prepared, tmp_path / "run", init=initial_state(still, path), accelerator="cpu")
    end = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    start = initial_state(RECIPE, path)
    for name in ("heatmap.weight", "pyramid.lateral.0.0.weight", "backbone.conv_stem.weight"):
        torch.testing.assert_close(end["network"][name], start[name], atol=1e-6, rtol=0)
        torch.testing.assert_close(end["ema"][name], start[name], atol=1e-6, rtol=0)


def test_a_weights_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, opened = weights_file(tmp_path, SMALL), []

    def noting(*args: Any, **more: Any) -> Any:
        opened.append(args)
        return safe_open(*args, **more)

    monkeypatch.setattr(weights, "safe_open", noting)
    initial_state(RECIPE, path)
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"network": "rtmpose-t"}, "start from weights of the same network"),
        ({"backbone": "mobilenetv4_conv_small"}, "start from weights of the same network"),
        ({"skeleton": "coco17"}, "for union21, recipe tiny trains equivariant .* for coco17"),
        ({"stages": (Stage((48, 64), 3.0, 1.0, 2),)}, r"reads crops of \(32, 64\) .* recipe tiny starts at \(48, 64\)"),
        ({"stages": (Stage((64, 128), 2.0, 1.0, 2),)}, "stages that start there"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(tmp_path: Path, changes: dict[str, object], sentence: str) -> None:
    path = weights_file(tmp_path, SMALL)
    with pytest.raises(BadArgumentError, match=sentence) as caught:
        initial_state(changed(RECIPE, **changes), path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("network", ["equivariant", "rtmpose-t"])
def test_a_run_grows(prepared: Prepared, tmp_path: Path, network: str) -> None:
    recipe = changed(RECIPE, network=network)
    fit(recipe, prepared, tmp_path, accelerator="cpu")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["stage"] == 1
    build_network(network, BACKBONE, 21, grid_of(BIG)).load_state_dict(saved["ema"])


@pytest.mark.parametrize("stage", [Stage((64, 128), 4.0, 1.0, 2), Stage((48, 96), 2.0, 1.0, 2)])
def test_growing_into_other_bins_is_refused(stage: Stage) -> None:
    recipe = changed(RECIPE, stages=(SMALL, stage))
    with pytest.raises(BadArgumentError, match="double the size and halve the split"):
        grown_state(recipe, 0, dict(network_for(0, recipe, None).state_dict()))


def test_other_bins_are_refused(tmp_path: Path) -> None:
    path = weights_file(tmp_path, Stage((32, 64), 1.0, 1.0, 2))
    with pytest.raises(BadArgumentError, match="bins"):
        initial_state(RECIPE, path)


def test_a_bigger_rtmpose_starts_from_a_smaller_one(tmp_path: Path) -> None:
    path = weights_file(tmp_path, SMALL, network="rtmpose-t", backbone="")
    recipe = changed(RECIPE, network="rtmpose-s")
    big, small = network_for(0, recipe, initial_state(recipe, path)).eval(), load_network(path)[0].eval()
    image = torch.randn(2, 3, *SMALL.size_wh[::-1])
    with torch.no_grad():
        for ours, theirs in zip(big(image), small(image), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))
    with pytest.raises(BadArgumentError, match="start from weights of the same network"):
        initial_state(changed(RECIPE, network="rtmpose-m"), path)


def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.safetensors"
    path.write_text(json.dumps({"not": "tensors"}))
    with pytest.raises(BadFileError, match="not a safetensors file"):
        initial_state(RECIPE, path)


def test_a_shipped_model_is_a_start() -> None:
    recipe, path = find_recipe("unified_64", []), weights_path("unified-64")
    state = initial_state(recipe, path)
    stored = read_weights(path)[0]
    assert state.keys() == stored.keys()
    assert all(torch.equal(state[name].float(), stored[name].float()) for name in state)
    network_for(0, recipe, state)
