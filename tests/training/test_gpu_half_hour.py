"""The plan for half an hour of a GPU runs end to end from a packed set on a CPU, with tiny settings."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file

from poseunion.models.networks.weights import read_weights
from poseunion.training.config.recipes import find_recipe
from poseunion.training.data.data_file import DataFile, DatasetEntry
from poseunion.training.pack import pack

SCRIPT = Path(__file__).parents[2] / "benchmarks/training/gpu_half_hour.py"
ALONE = {"alpha": 1.0, "betas": (), "mend_sides": False, "warmup_steps": 1, "log_every": 1}
PLAN = (("unified", 0.03, ALONE, 2), ("unified_t", 0.03, ALONE | {"precision": "32-true"}, 2))


@pytest.fixture
def half_hour() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_half_hour", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_check_pieces_and_way_back(
    half_hour: ModuleType,
    drawn_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("POSEUNION_CACHE", str(tmp_path / "cache"))
    data, runs, back = tmp_path / "data.yaml", tmp_path / "runs", tmp_path / "back"
    pictures = DatasetEntry(name="coco", annotations=drawn_dataset / "coco17.json", images=drawn_dataset)
    pack(DataFile(datasets=[pictures]), find_recipe("unified", []), tmp_path / "packed", tmp_path / "elsewhere")
    data.write_text("datasets: [{packed: packed}]\n")
    named = ["--data", str(data), "--out", str(runs)]
    half_hour.main(["train", *named, "--seconds", "300"], PLAN)
    assert "All runs are finished." in capsys.readouterr().out
    made = {path: path.stat().st_mtime_ns for path in runs.glob("*/weights.safetensors")}
    assert len(made) == len(PLAN)
    half_hour.main(["train", *named], PLAN)
    assert made == {path: path.stat().st_mtime_ns for path in runs.glob("*/weights.safetensors")}, "done is done"
    half_hour.main(["back", "--runs", str(runs), "--to", str(back)], PLAN)
    for name, *_ in PLAN:
        whole, half = read_weights(runs / name / "weights.safetensors")[0], load_file(back / f"{name}.safetensors")
        assert whole.keys() == half.keys()
        assert {tensor.dtype for tensor in half.values()} <= {torch.float16, torch.int64}
        assert (back / f"{name}.safetensors").stat().st_size < half_hour.MOST_BACK_BYTES
        assert json.loads((back / f"{name}.log.jsonl").read_text().splitlines()[-1])


def test_the_plan_fits_into_half_an_hour(half_hour: ModuleType) -> None:
    assert half_hour.CHECK_SECONDS / 60 + sum(minutes for _, minutes, *_ in half_hour.PLAN) < 27, "and time to travel"
    for name, minutes, changes, batch in half_hour.PLAN:
        recipe = half_hour.recipe_of(name, minutes, changes, batch, on_gpu=True)
        assert (recipe.sampling.augment_on, recipe.student.precision, recipe.schedule.minutes) == (
            "device",
            "bf16-mixed",
            minutes,
        )
