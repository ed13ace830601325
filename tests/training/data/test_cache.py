"""The cache is listed and cleared, and nothing beside it is touched."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from poseunion.models.skeleton import load_skeleton
from poseunion.training.cli.cache import app
from poseunion.training.data.cache import DAY_S, UNFINISHED_AFTER_S, delete, kept_files, unused
from poseunion.training.data.crop_store import CropStore, open_store
from poseunion.training.data.data_file import DatasetEntry
from poseunion.training.data.read_people import read_people

UNION = load_skeleton("union21")
NAMES = {
    "pictures-street-97f11fe9e6c198d9.npz": ("street", "pictures"),
    "pictures-street-97f11fe9e6c198d9.pixels": ("street", "pictures"),
    "my-set-97f11fe9e6c198d9-05010c01d6af-flip.modes.npz": ("my-set", "a teacher's answers"),
    "my-set-97f11fe9e6c198d9-05010c01d6af-flip.modes.256.npz": ("my-set", "unfinished"),
    ".my-set-97f11fe9e6c198d9.pixels.w1xyb2zh.part": ("my-set", "unfinished"),
}
OTHERS = ("notes.npz", "my-set-97f11fe9e6c198d9.onnx", "pictures-1.pixels", "my-set-97f11fe9e6c198d9.pixels.bak")


@pytest.fixture
def cache(drawn_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with people that a run keeps there, files as other runs name them, and strangers' files."""
    folder = tmp_path / "cache"
    people(drawn_dataset, folder)
    for name in (*NAMES, *OTHERS):
        (folder / name).write_bytes(b"1234")
        os.utime(folder / name, (2e9, time.time() - 2 * UNFINISHED_AFTER_S))
    monkeypatch.setenv("POSEUNION_CACHE", str(folder))
    return folder


def people(drawn_dataset: Path, folder: Path) -> CropStore:
    entry = DatasetEntry(name="lsp", annotations=drawn_dataset / "lsp14.json", images=drawn_dataset)
    return open_store("lsp", read_people(entry, UNION), UNION, folder)


def test_what_runs_keep_is_recognised(cache: Path) -> None:
    kept = kept_files(cache)
    assert {(one.dataset, one.kind) for one in kept} == {*NAMES.values(), ("lsp", "people")}
    assert {path.name for one in kept for path in one.files} == {
        path.name for path in cache.iterdir() if path.name not in OTHERS
    }
    assert sum(one.size_bytes for one in kept) == sum(p.stat().st_size for one in kept for p in one.files)


def test_what_is_cleared_is_made_anew_and_others_files_stay(cache: Path, drawn_dataset: Path) -> None:
    before = people(drawn_dataset, cache).pixels(3).copy()
    done = CliRunner().invoke(app, ["--clear"])
    assert done.exit_code == 0
    assert {path.name for path in cache.iterdir()} == set(OTHERS)
    np.testing.assert_array_equal(people(drawn_dataset, cache).pixels(3), before)
    assert delete([]) == 0


def test_only_what_was_not_used_goes(cache: Path, drawn_dataset: Path) -> None:
    for path in cache.iterdir():
        os.utime(path, (1e9, 1e9))
    people(drawn_dataset, cache)  # a run that uses its store
    old = unused(kept_files(cache), 30)
    assert {(one.dataset, one.kind) for one in old} == set(NAMES.values())
    assert not unused(old, 30, now_s=1e9 + 29 * DAY_S)
    said = CliRunner().invoke(app, ["--unused-days", "30"])
    assert "my-set" in said.output
    assert "lsp" not in said.output
    assert CliRunner().invoke(app, ["--unused-days", "30", "--clear"]).exit_code == 0
    assert {(one.dataset, one.kind) for one in kept_files(cache)} == {("lsp", "people")}


def test_what_a_run_may_be_writing_stays(cache: Path) -> None:
    part = cache / ".lsp-97f11fe9e6c198d9.npz.abcd.part"
    part.write_bytes(b"12")
    assert CliRunner().invoke(app, ["--clear"]).exit_code == 0
    assert part.exists()


def test_an_empty_cache_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSEUNION_CACHE", str(tmp_path / "none"))
    assert "Nothing" in CliRunner().invoke(app, []).output
