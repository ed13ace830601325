"""The same seed gives the same losses to the last bit: in a second run, and across a stop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from poseunion.training.config.overrides import changed
from poseunion.training.config.recipes import Recipe, Stage
from poseunion.training.loop import step
from poseunion.training.loop import train as loop
from poseunion.training.loop.prepare import Prepared
from poseunion.training.loop.train import fit

STEPS, STOP_AT = 50, 30
RECIPE = changed(
    Recipe("repeat"),
    pretrained=False,
    backbone="mobilenetv4_conv_small_050",
    stages=(Stage((32, 32), 4.0, 1.0, 2),),
    steps=STEPS,
    warmup_steps=2,
    log_every=1,
    checkpoint_minutes=1e9,
    validate_minutes=1e9,
)


def totals(out: Path) -> dict[int, float]:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert len({row["step"] for row in rows}) == len(rows), "no step stands twice"
    return {row["step"]: row["total"] for row in rows}


def test_fifty_steps_have_the_same_losses_twice_and_across_a_stop(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(RECIPE, prepared, tmp_path / "first", accelerator="cpu")
    ahead = changed(RECIPE, draw_ahead=3)
    fit(ahead, prepared, tmp_path / "second", accelerator="cpu")
    first = totals(tmp_path / "first")
    assert list(first) == list(range(1, STEPS + 1))
    assert totals(tmp_path / "second") == first

    real, calls = step.losses, []

    def stopped(*args: object) -> object:
        calls.append(1)
        if len(calls) > STOP_AT:
            raise KeyboardInterrupt
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "losses", stopped)
    often = changed(RECIPE, checkpoint_minutes=0.0)
    with pytest.raises(KeyboardInterrupt):
        fit(often, prepared, tmp_path / "cut", accelerator="cpu")
    monkeypatch.setattr(loop, "losses", real)
    fit(RECIPE, prepared, tmp_path / "cut", resume=True, accelerator="cpu")
    assert totals(tmp_path / "cut") == first
