"""A teacher's pass over a store is kept in parts: a killed one goes on, with the result of one that was not killed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from poseunion.models.codec import simcc
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.keypoint_offsets import DefinitionOffset
from poseunion.models.skeleton import load_skeleton
from poseunion.training.loop.prepare import Prepared
from poseunion.training.teachers import cached_targets

MPII, UNION = load_skeleton("mpii16"), load_skeleton("union21")
GRID = SimccGrid((48, 64), 2.0, (2.4, 2.8))
BATCH, BATCHES_A_PART = 2, 2


class Teacher:
    """Answers every crop by its own pixels; dies after so many calls."""

    name, sha256, flip, skeleton = "some-teacher", "f" * 64, False, MPII
    size_wh, batch_size = GRID.size_wh, BATCH
    metadata = SimpleNamespace(head=SimpleNamespace(kind="simcc"), grid=GRID)

    def __init__(self, calls_until_killed: int | None = None) -> None:
        self.calls, self.until = 0, calls_until_killed

    def outputs(self, crops: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """A place for each keypoint that only depends on the crop's own pixels."""
        if self.calls == self.until:
            raise KeyboardInterrupt  # stands for a kill
        self.calls += 1
        seeds = [int(crop.astype(np.int64).sum()) for crop in crops]
        xy = np.stack([np.random.default_rng(seed).uniform(5, 40, (16, 2)) for seed in seeds])
        return list(simcc.encode(xy, GRID)[:2])


def teach(teacher: Any, prepared: Prepared, folder: Path) -> cached_targets.TeacherPeaks:
    return cached_targets.predict_peaks(prepared.train[0].store, teacher, UNION, folder)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_targets, "BATCHES_A_PART", BATCHES_A_PART)


@pytest.mark.parametrize("killed_after", range(6))
def test_a_killed_pass_goes_on_where_its_last_part_ended(killed_after: int, prepared: Prepared, tmp_path: Path) -> None:
    whole, alone = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    alone.mkdir()
    expected = teach(Teacher(), prepared, whole)
    with pytest.raises(KeyboardInterrupt):
        teach(Teacher(killed_after), prepared, alone)
    assert not list(alone.glob("*.modes.npz")), "nothing that passes for finished"
    again = Teacher()
    taught = teach(again, prepared, alone)
    assert again.calls == 6 - killed_after // BATCHES_A_PART * BATCHES_A_PART
    for part in cached_targets.PARTS:
        np.testing.assert_array_equal(getattr(taught.modes, part), getattr(expected.modes, part))
    assert len(list(alone.iterdir())) == 1, "parts go when the file is whole"
    assert teach(Teacher(0), prepared, alone).teacher == "some-teacher", "and it is not asked again"


def test_a_damaged_part_is_asked_anew(prepared: Prepared, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        teach(Teacher(4), prepared, tmp_path)
    first, _ = sorted(tmp_path.iterdir())
    first.write_bytes(first.read_bytes()[:-50])
    again = Teacher()
    teach(again, prepared, tmp_path)
    assert again.calls == 4


def test_a_teacher_s_definitions_are_brought_to_the_union_s(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = teach(Teacher(), prepared, tmp_path)
    offset = DefinitionOffset("head_top", "upper_neck", 0.5)
    monkeypatch.setattr(cached_targets, "MODEL_OFFSETS", {"some-teacher": (offset,)})
    moved = teach(Teacher(0), prepared, tmp_path)  # from the cache: what a network said does not depend on it
    head, neck = UNION.index("head_top"), UNION.index("upper_neck")
    np.testing.assert_allclose(moved.xy[:, head], (plain.xy[:, head] + plain.xy[:, neck]) / 2, atol=1e-4)
    np.testing.assert_array_equal(np.delete(moved.xy, head, 1), np.delete(plain.xy, head, 1))
