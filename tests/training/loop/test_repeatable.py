"""The same seed gives the same losses to the last bit: in a second run, and across a stop."""

from __future__ import annotations

import json
from pathlib import Path

from training_fixtures import stopped_in_step, tiny_recipe

from poseunion.training.config.overrides import changed
from poseunion.training.config.recipe import Stage
from poseunion.training.loop.prepare import Prepared
from poseunion.training.loop.train import fit

STEPS, STOP_AT = 50, 30
RECIPE = tiny_recipe(stages=(Stage((32, 32), 4.0, 1.0, 2),), steps=STEPS, warmup_steps=2, log_every=1)


def totals(out: Path) -> dict[int, float]:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert len({row["step"] for row in rows}) == len(rows), "no step stands twice"
    return {row["step"]: row["total"] for row in rows}


def test_fifty_steps_have_the_same_losses_twice_and_across_a_stop(prepared: Prepared, tmp_path: Path) -> None:
    fit(RECIPE, prepared, tmp_path / "first", accelerator="cpu")
    fit(changed(RECIPE, draw_ahead=3), prepared, tmp_path / "second", accelerator="cpu")
    first = totals(tmp_path / "first")
    assert list(first) == list(range(1, STEPS + 1))
    assert totals(tmp_path / "second") == first

    with stopped_in_step(STOP_AT + 1):
        fit(changed(RECIPE, checkpoint_minutes=0.0), prepared, tmp_path / "cut", accelerator="cpu")
    fit(RECIPE, prepared, tmp_path / "cut", resume=True, accelerator="cpu")
    assert totals(tmp_path / "cut") == first
