"""The detector learns from pictures, goes on where it stopped, and refuses mistakes in one sentence."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from poseunion.app.cli import main
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.networks.person_detector import PersonDetector, read_detector
from poseunion.training.config.overrides import changed, with_overrides
from poseunion.training.detector.loop import fit_detector, freeze
from poseunion.training.detector.prepare import starting_network
from poseunion.training.detector.recipe import DetectorRecipe
from poseunion.training.detector.store import PictureStore
from poseunion.training.detector.validate import held_out_recall
from poseunion.training.detector.views import Pictures
from poseunion.training.loop.checkpoint import save_checkpoint

SMALL = changed(DetectorRecipe(), first_side=64, side=96, batch_size=2, steps=4, log_every=1, warmup_steps=2)


def test_a_few_steps_find_rectangles(store: PictureStore, tmp_path: Path) -> None:
    pictures = [Pictures(store, np.arange(4), 1.0)]
    changes = (
        "side=96 first_side=96 batch_size=4 steps=60 warmup_steps=5 lr=0.003 ema_decay=0.9 mosaic_prob=0 scale=1,1"
    )
    recipe = with_overrides(DetectorRecipe(), changes.split())
    start = starting_network("person")[0]
    before = held_out_recall(start, 96, pictures)["recall"]
    weights = fit_detector(recipe, pictures, [], start, tmp_path)
    found = held_out_recall(read_detector(weights)[0], 96, pictures)
    assert before < 80
    assert found["recall"] == 100


def test_a_resumed_run_equals_one_that_was_never_stopped(store: PictureStore, tmp_path: Path) -> None:
    pictures = [Pictures(store, np.arange(8), 1.0)]
    whole = fit_detector(SMALL, pictures, [], starting_network("person")[0], tmp_path / "whole")
    halted = with_overrides(SMALL, ["checkpoint_minutes=1e-9"])

    class KilledError(Exception): ...

    calls = []

    def killed(*args: object, **kwargs: object) -> torch.Tensor:
        calls.append(args)
        if len(calls) == 3:
            raise KilledError
        return clip(*args, **kwargs)  # type: ignore[arg-type]

    clip = torch.nn.utils.clip_grad_norm_
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.utils, "clip_grad_norm_", killed)
        with pytest.raises(KilledError):
            fit_detector(halted, pictures, [], starting_network("person")[0], tmp_path / "halves")
    resumed = fit_detector(SMALL, pictures, [], PersonDetector(), tmp_path / "halves", resume=True)
    assert len(calls) == 3
    one, other = read_detector(whole)[0].state_dict(), read_detector(resumed)[0].state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_is_frozen_stays_and_the_rest_moves(store: PictureStore, tmp_path: Path) -> None:
    start = starting_network("person")[0]
    before = {k: v.clone() for k, v in start.state_dict().items()}
    weights = fit_detector(SMALL, [Pictures(store, np.arange(8), 1.0)], [], start, tmp_path)
    after = read_detector(weights)[0].state_dict()
    still = [name for name in before if torch.equal(before[name], after[name])]
    frozen = ("backbone.stem.", "backbone.stages.0.")
    assert all(name in still for name in before if name.startswith(frozen))
    assert "backbone.stages.1.0.pointwise.weight" not in still
    free = PersonDetector()
    freeze(free, 0)
    assert all(parameter.requires_grad for parameter in free.parameters())


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["poseunion", "train-detector", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    if ended.value.code:
        raise AssertionError(ended.value.code)


def test_from_the_command_line_to_weights(data_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("--data", str(data_file), "--out", str(tmp_path / "run"))
    changes = ("steps=2", "first_side=64", "side=64", "batch_size=2", "log_every=1")
    run(monkeypatch, *arguments, *changes)
    _, description = read_detector(tmp_path / "run" / "weights.safetensors")
    assert description.size_wh == (64, 64)
    assert "2 steps" in description.source
    assert "fine-tuned from" in description.source
    assert "OpenMMLab" in description.licence
    assert [json.loads(line)["step"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()] == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["side=100"], "multiple of 32"),
        (["mosaic_prob=2"], "up to 1"),
        (["steps=0"], "from 1"),
        (["nonsense=1"], "nonsense"),
        (["--init", "nobody"], "No detector 'nobody'"),
        (["--init", "gone.safetensors"], "No detector 'gone.safetensors'"),
        (["scale=2,1"], "lower bound first"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str],
    sentence: str,
    data_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(AssertionError, match="2"):
        run(monkeypatch, "--data", str(data_file), "--out", str(tmp_path / "run"), *arguments)
    errors = " ".join(capsys.readouterr().err.split())
    assert sentence in errors
    assert "Traceback" not in errors


def test_another_run_is_not_overwritten(store: PictureStore, tmp_path: Path) -> None:
    pictures = [Pictures(store, np.arange(8), 1.0)]
    save_checkpoint(tmp_path / "last.ckpt", {"step": 3})
    with pytest.raises(BadArgumentError, match="--resume"):
        fit_detector(SMALL, pictures, [], PersonDetector(), tmp_path)
    with pytest.raises(BadFileError, match="not a checkpoint of a detector"):
        fit_detector(SMALL, pictures, [], PersonDetector(), tmp_path, resume=True)
