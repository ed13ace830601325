"""A pair of students has both their weights, and is made of what belongs together."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from poseunion.models.codec.heads import SimccOutput
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.errors import BadFileError
from poseunion.models.networks.build import build_network
from poseunion.models.networks.lite_hrnet_simcc import LiteHrnetPair
from poseunion.models.networks.weights import NetworkSpec, load_network, read_weights, save_weights
from poseunion.models.runtime.description import ModelDescription
from poseunion.training.cli.main import app


def student(path: Path, seed: int, size_wh: tuple[int, int] = (64, 96), network: str = "lite-hrnet") -> Path:
    torch.manual_seed(seed)
    state = build_network(network, "", 21, SimccGrid(size_wh)).state_dict()
    description = ModelDescription(name="s", skeleton="union21", size_wh=size_wh, head=SimccOutput())
    description = description.model_copy(update={"source": f"run {seed}", "licence": f"licence {seed}"})
    save_weights(path, state, NetworkSpec(network=network, backbone=""), description)
    return path


def test_the_command_writes_a_network_with_both(tmp_path: Path) -> None:
    paths = [student(tmp_path / f"{seed}.safetensors", seed) for seed in (1, 2)]
    out = tmp_path / "pair.safetensors"
    done = CliRunner().invoke(app, ["pair", *map(str, paths), "--out", str(out)])
    assert done.exit_code == 0, done.output
    network, description = load_network(out)
    assert isinstance(network, LiteHrnetPair)
    assert description.source == "pair of (run 1) and (run 2)"
    assert description.licence == "licence 1; licence 2"
    (one, *_), (two, *_), state = *(read_weights(path) for path in paths), network.state_dict()
    for name, tensor in one.items():
        part, _, rest = name.partition(".")
        if part in ("backbone", "added"):
            assert torch.equal(state[f"{part}.0.{rest}"], tensor)
            assert torch.equal(state[f"{part}.1.{rest}"], two[name])
        else:
            assert torch.equal(state[name], tensor)
    assert isinstance(CliRunner().invoke(app, ["pair", *map(str, paths), "--out", str(out)]).exception, BadFileError)


@pytest.mark.parametrize("other", [{"size_wh": (96, 96)}, {"network": "rtmpose-t"}])
def test_what_does_not_belong_together_is_refused(other: dict[str, object], tmp_path: Path) -> None:
    first, second = student(tmp_path / "1.safetensors", 1), student(tmp_path / "2.safetensors", 2, **other)  # type: ignore[arg-type]
    for paths in ((first, second), (second, first)):
        done = CliRunner().invoke(app, ["pair", *map(str, paths), "--out", str(tmp_path / "pair.safetensors")])
        assert "not two lite-hrnet students" in str(done.exception)
    assert not (tmp_path / "pair.safetensors").exists()
