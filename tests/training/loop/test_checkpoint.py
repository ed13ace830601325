"""A checkpoint holds tensors and plain values: it can be resumed after modules or classes have other names."""

from __future__ import annotations

import pickletools
import zipfile
from pathlib import Path

import pytest
from training_fixtures import tiny_recipe

from poseunion.models.errors import BadFileError
from poseunion.training.loop.checkpoint import load_checkpoint, save_checkpoint
from poseunion.training.loop.prepare import Prepared
from poseunion.training.loop.train import fit

# A checkpoint after every step: the one that is left in mid-run has everything in it.
RECIPE = tiny_recipe(steps=2, warmup_steps=1, checkpoint_minutes=0.0)


def globals_of(path: Path) -> set[str]:
    """Everything that the pickle of a checkpoint imports, as `module.name`."""
    found: set[str] = set()
    with zipfile.ZipFile(path) as archive:
        (name,) = [one for one in archive.namelist() if one.endswith("/data.pkl")]
        texts: list[str] = []
        for opcode, argument, _ in pickletools.genops(archive.read(name)):
            if opcode.name == "GLOBAL":
                found.add(str(argument).replace(" ", "."))
            elif opcode.name == "STACK_GLOBAL":
                found.add(".".join(texts[-2:]))
            elif isinstance(argument, str):
                texts.append(argument)
    return found


def test_a_checkpoint_names_no_class_of_this_project(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from poseunion.training.loop import checkpoint

    saves: list[set[str]] = []

    def noting(path: Path, content: dict[str, object]) -> None:
        save_checkpoint(path, content)
        saves.append({name for name, value in content.items() if value})
        assert {name.split(".")[0] for name in globals_of(path)} <= {"torch", "collections"}
        # torch.load(weights_only=True) inside: a class of anyone else's is refused.
        assert {"step", "seconds", "stage", "network", "ema"} <= set(load_checkpoint(path))

    monkeypatch.setattr(checkpoint, "save_checkpoint", noting)
    fit(RECIPE, prepared, tmp_path, accelerator="cpu")
    assert any("optimizer" in names for names in saves), "one of them was written in mid-run"


def test_a_class_in_a_checkpoint_is_found_and_refused(tmp_path: Path) -> None:
    """The test above would see one."""
    save_checkpoint(tmp_path / "bad.ckpt", {"recipe": RECIPE})
    assert any(name.startswith("poseunion.") for name in globals_of(tmp_path / "bad.ckpt"))
    with pytest.raises(BadFileError, match="not a checkpoint of tensors"):
        load_checkpoint(tmp_path / "bad.ckpt")
