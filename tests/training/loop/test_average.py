"""A mean of weights is one, and is made of what belongs together."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from training_fixtures import SMALL, random_weights
from typer.testing import CliRunner

from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.networks.weights import load_network, read_weights, save_weights
from poseunion.models.zoo import weights_path
from poseunion.training.cli.main import app
from poseunion.training.config.recipe import Stage
from poseunion.training.loop.average import average

OTHER_SIZE = Stage((64, 64), 2.0, 1.0, 2)


def written(path: Path, seed: int, stage: Stage = SMALL, *, half: bool = False) -> Path:
    return random_weights(path, stage, seed=seed, half=half)


def test_the_mean_weighs_each_file_by_its_share(tmp_path: Path) -> None:
    paths = [written(tmp_path / f"{seed}.safetensors", seed, half=seed == 2) for seed in (1, 2, 3)]
    average(paths, tmp_path / "mean.safetensors", [1.0, 2.0, 1.0])
    states = [read_weights(path)[0] for path in paths]
    mean, _, description = read_weights(tmp_path / "mean.safetensors")
    for name, tensor in mean.items():
        if tensor.is_floating_point():
            one, two, three = (state[name].float() for state in states)
            torch.testing.assert_close(tensor, one / 4 + two / 2 + three / 4, rtol=1e-5, atol=1e-6)
    assert description.source == "mean: 0.25 of (run 1) and 0.5 of (run 2) and 0.25 of (run 3)"
    load_network(tmp_path / "mean.safetensors")


def test_a_part_is_averaged_and_the_rest_is_the_first_file_s(tmp_path: Path) -> None:
    paths = [written(tmp_path / f"{seed}.safetensors", seed) for seed in (1, 2)]
    out = tmp_path / "mean.safetensors"
    average(paths, out, [0.7, 0.3], parts=["backbone"])
    (one, *_), (two, *_), (mean, _, description) = (read_weights(path) for path in (*paths, out))
    for name, tensor in mean.items():
        if name.startswith("backbone.") and tensor.is_floating_point():
            torch.testing.assert_close(tensor, 0.7 * one[name] + 0.3 * two[name], rtol=1e-5, atol=1e-6)
        else:
            assert torch.equal(tensor, one[name])
    assert description.source == "mean of backbone: 0.7 of (run 1) and 0.3 of (run 2)"
    with pytest.raises(BadArgumentError, match="has backbone, "):
        average(paths, tmp_path / "other.safetensors", parts=["back"])


def test_the_mean_of_the_same_is_the_same(tmp_path: Path) -> None:
    path = written(tmp_path / "one.safetensors", 1)
    average([path, path], tmp_path / "mean.safetensors")
    before, after = read_weights(path)[0], read_weights(tmp_path / "mean.safetensors")[0]
    assert before.keys() == after.keys()
    for name in before:
        torch.testing.assert_close(after[name], before[name], rtol=1e-6, atol=0)


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    one, other = written(tmp_path / "1.safetensors", 1), written(tmp_path / "2.safetensors", 2, OTHER_SIZE)
    out = tmp_path / "mean.safetensors"
    for paths, shares, sentence in (
        ([one, other], [], "average the same"),
        ([one], [], "two weights files or more"),
        ([one, one], [1.0], "1 --share for 2 files"),
        ([one, one], [1.0, float("nan")], "a number above 0"),
        ([one, one], [1.0, 0.0], "a number above 0"),
    ):
        with pytest.raises(BadArgumentError, match=sentence):
            average(paths, out, shares)
    assert not out.exists()


def test_the_command_keeps_what_is_there(tmp_path: Path) -> None:
    one, out = str(written(tmp_path / "1.safetensors", 1)), tmp_path / "mean.safetensors"
    out.write_text("mine")
    command = ["average", one, one, "--out", str(out)]
    assert isinstance(CliRunner().invoke(app, command).exception, BadFileError)
    assert out.read_text() == "mine"
    assert CliRunner().invoke(app, [*command, "--overwrite"]).exit_code == 0
    load_network(out)


def test_a_shipped_model_has_a_mean_with_what_went_on_from_it(tmp_path: Path) -> None:
    out = tmp_path / "mean.safetensors"
    result = CliRunner().invoke(app, ["average", "unified-64", str(weights_path("unified-64")), "--out", str(out)])
    assert result.exit_code == 0, result.exception
    before, after = read_weights(weights_path("unified-64"))[0], read_weights(out)[0]
    assert before.keys() == after.keys()
    for name in before:
        torch.testing.assert_close(after[name].float(), before[name].float(), rtol=1e-6, atol=0)


def test_the_mean_of_a_part_does_not_mind_another_head(tmp_path: Path) -> None:
    """A converted start states its bins' spread in fewer digits than a training does."""
    one, other = written(tmp_path / "1.safetensors", 1), written(tmp_path / "2.safetensors", 2)
    state, spec, description = read_weights(other)
    head = description.head.model_copy(update={"sigma_bins": (2.5, 2.5)})
    save_weights(other, state, spec, description.model_copy(update={"head": head}))
    with pytest.raises(BadArgumentError, match="their head differ"):
        average([one, other], tmp_path / "mean.safetensors")
    average([one, other], tmp_path / "mean.safetensors", parts=["backbone"])
    assert read_weights(tmp_path / "mean.safetensors")[2].head == read_weights(one)[2].head
