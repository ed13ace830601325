from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ablation_recipes import ABLATIONS
from training_fixtures import stopped_in_step

from poseunion.models.errors import BadArgumentError
from poseunion.training.config.augmentation import Augmentation
from poseunion.training.config.overrides import changed
from poseunion.training.config.recipes import RECIPES, Recipe, Stage, find_recipe
from poseunion.training.loop.log import RunLog
from poseunion.training.loop.prepare import Prepared
from poseunion.training.loop.schedule import Clock
from poseunion.training.loop.stages import stage_index
from poseunion.training.loop.train import NonFiniteLossError, fit, learning_rate

TINY = changed(
    Recipe("tiny"),
    pretrained=False,
    stages=(Stage((32, 64), 4.0, 0.5, 2), Stage((64, 128), 2.0, 1.0, 2)),
    steps=8,
    warmup_steps=2,
    checkpoint_minutes=0.0,
    validate_minutes=1e9,
    augmentation=Augmentation(dropout_prob=0.2),
)


def final_state(out: Path) -> dict[str, torch.Tensor]:
    return torch.load(out / "last.ckpt", weights_only=True)["network"]


def test_a_run_that_is_stopped_ends_like_one_that_is_not(prepared: Prepared, tmp_path: Path) -> None:
    fit(TINY, prepared, tmp_path / "whole", accelerator="cpu")
    with stopped_in_step(6):
        fit(TINY, prepared, tmp_path / "cut", accelerator="cpu")
    with pytest.raises(BadArgumentError, match="--resume"):
        fit(TINY, prepared, tmp_path / "cut", accelerator="cpu")
    weights = fit(TINY, prepared, tmp_path / "cut", resume=True, accelerator="cpu")

    whole, cut = final_state(tmp_path / "whole"), final_state(tmp_path / "cut")
    assert weights.is_file()
    assert all(torch.equal(whole[k], cut[k]) for k in whole)


def test_growing_keeps_what_was_learned(prepared: Prepared, tmp_path: Path) -> None:
    fit(changed(TINY, steps=4), prepared, tmp_path, accelerator="cpu")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["stage"] == 1
    assert saved["ema"]["upsample_x.outer.weight"].shape[0] == 8, "half as many bins a cell as at half the size"


@pytest.mark.parametrize("network", ["equivariant", "rtmpose-t"])
def test_mixed_precision_learns_the_same(network: str, prepared: Prepared, tmp_path: Path) -> None:
    whole = changed(TINY, network=network, steps=6, lr=1e-6, log_every=1, checkpoint_minutes=1e9)
    mixed = changed(whole, precision="bf16-mixed")
    losses = {}
    for recipe in (whole, mixed):
        fit(recipe, prepared, tmp_path / recipe.student.precision, accelerator="cpu")
        rows = (tmp_path / recipe.student.precision / "log.jsonl").read_text().splitlines()
        losses[recipe.student.precision] = np.array([json.loads(row)["total"] for row in rows])
    assert (losses["bf16-mixed"] != losses["32-true"]).all()
    # Batch norm over two people magnifies what is rounded away.
    np.testing.assert_allclose(losses["bf16-mixed"], losses["32-true"], rtol=0.1)
    # Eight places of mantissa would leave sixteen zeros: losses are 32 bits.
    assert (losses["bf16-mixed"].astype(np.float32).view(np.uint32) & 0xFFFF).all()
    state = final_state(tmp_path / "bf16-mixed")
    assert {value.dtype for value in state.values()} <= {torch.float32, torch.int64}


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_batch(prepared: Prepared, tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError, match="not a number"):
        fit(changed(TINY, lr=1e30, steps=50, clip_norm=1e30), prepared, tmp_path, accelerator="cpu")
    (saved,) = tmp_path.glob("not-finite-*.npz")
    assert set(np.load(saved)) == {"image", "xy", "weight"}


def test_the_log_is_json_lines_and_tensorboard(prepared: Prepared, tmp_path: Path) -> None:
    quiet = changed(TINY, steps=20, log_every=10, checkpoint_minutes=1e9)
    fit(quiet, prepared, tmp_path, accelerator="cpu")
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows] == [10, 20]
    assert all({"keypoint_x", "keypoint_y", "heatmap", "total", "lr", "people_per_s"} <= set(r) for r in rows)

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    curve = board.Scalars("total")
    assert [event.step for event in curve] == [10, 20]
    assert [event.value for event in curve] == pytest.approx([r["total"] for r in rows])


def test_rows_past_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "total": 1.0}\n{"step": 2, "total": 2.0}\n{"step": 3, "tot')
    with RunLog(tmp_path, "run", every=1, step=1, progress=0.1) as log:
        log.trained(2, 1.0, 0.2, 4, {"total": torch.tensor(0.1)})
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2]
    assert np.float32(rows[1]["total"]) == np.float32(0.1), "exact"


def test_without_a_terminal_there_are_lines_and_no_bar(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with RunLog(tmp_path, "run", every=10, step=0, progress=0.0) as log:
        for step in range(1, 5):
            log.trained(step, step * 0.5, step / 4, 8, {"total": torch.tensor(1.0)})
    shown = "".join(capfd.readouterr())
    assert [line.partition(",")[0] for line in shown.splitlines()] == ["step 1 of 4", "step 4 of 4"]


def test_schedule() -> None:
    recipe = changed(Recipe("r"), steps=1000, warmup_steps=10, decay_from=0.5, final_lr_factor=0.1, lr=1.0)
    rates = [learning_rate(recipe, s, Clock(s).progress(recipe.schedule)) for s in range(1001)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10:500] == [1.0] * 490
    assert rates[-1] == pytest.approx(0.1)
    assert all(a >= b for a, b in itertools.pairwise(rates[500:]))
    assert [stage_index(TINY, p) for p in (0, 0.49, 0.5, 1)] == [0, 0, 1, 1]


def test_recipes_and_overrides() -> None:
    assert all(make().name == name.removesuffix("_further") for name, make in (RECIPES | ABLATIONS).items())
    found = find_recipe(
        "unified",
        [
            "lr=0.01",
            "pretrained=false",
            "datasets=coco,lspet",
            "augmentation.low_res_prob=0.3",
            "augmentation.hsv=1,2,3",
        ],
    )
    assert (found.optimizer.lr, found.student.pretrained) == (0.01, False)
    assert found.sampling.datasets == ("coco", "lspet")
    assert (found.augmentation.low_res_prob, found.augmentation.hsv) == (0.3, (1, 2, 3))
    assert find_recipe("unified", ["optimizer.lr=0.01"]) == find_recipe("unified", ["lr=0.01"])
    assert find_recipe("unified", ["alpha=.3"]).distillation.alpha == 0.3, "the first group that has it"
    for bad in ("nope=1", "lr", "lr=fast", "pretrained=perhaps", "stages=1", "steps=1.5", "name=other"):
        with pytest.raises(BadArgumentError):
            find_recipe("unified", [bad])
    with pytest.raises(BadArgumentError, match="unified"):
        find_recipe("unknown", [])


def test_an_override_reaches_every_stage_or_one() -> None:
    plain = find_recipe("unified_imagenet", [])
    assert len(plain.stages) > 1
    every = find_recipe("unified_imagenet", ["stages.batch_size=4"])
    assert every.stages == tuple(dataclasses.replace(stage, batch_size=4) for stage in plain.stages)
    one = find_recipe("unified_imagenet", ["stages.1.batch_size=4", "stages.1.size_wh=96,128"])
    assert one.stages[0] == plain.stages[0]
    assert one.stages[1] == dataclasses.replace(plain.stages[1], batch_size=4, size_wh=(96, 128))
    for bad, sentence in (
        ("stages=1", "stages.batch_size"),
        ("stages.1=1", "stages.batch_size"),
        ("stages.9.batch_size=1", "'stages.9.batch_size'"),
        ("stages.batch=1", "'stages.batch'"),
        ("stages.1.batch_size.x=1", "stages.1.batch_size.x"),
        ("betas.0=1", "'betas.0'"),
        ("stages.batch_size=0", "from 1"),
        ("stages.split=0", "above 0"),
    ):
        with pytest.raises(BadArgumentError, match=sentence):
            find_recipe("unified_imagenet", [bad])


def test_the_ends_of_stages_rise() -> None:
    with pytest.raises(BadArgumentError, match="ends rise"):
        changed(TINY, stages=(Stage((32, 64), 4.0, 0.5, 2),))
