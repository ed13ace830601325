from __future__ import annotations

from pathlib import Path

import pytest
from shipped_manifests import card_of, catalogue, scores, speed_of

from poseunion.models import zoo
from poseunion.models.errors import BadFileError
from poseunion.models.zoo import check_shipped, shipped_catalogue, shipped_models

CARD = """
coco/test.json, flip test

| | small | small-int8 | theirs |
|---|---|---|---|
| AP | 27.8 | 27.5 | 66.8 |
| PCK@.2 PCK | 67.7 | – | 90.8 |

| | small |
|---|---|
| AP | 1.0 |

lspet/test.json, flip test

| | small | theirs |
|---|---|---|
| PCK@.2 PCK | 55.5 | 60.2 |
"""


def test_the_list_is_that_of_the_files() -> None:
    """If this fails: python benchmarks/maintenance/shipped_manifests.py."""
    assert shipped_catalogue() == catalogue()
    assert [model.name for model in shipped_catalogue()] == shipped_models()
    check_shipped(shipped_catalogue())


def test_a_model_without_accuracy_or_licence_is_not_shipped() -> None:
    for model in shipped_catalogue():
        assert model.licence
        assert model.card
        assert model.accuracy, f"{model.card} has no table with a column {model.name}"


def test_scores_are_read_from_the_first_table_below_a_file() -> None:
    assert scores(CARD, "small") == {
        "coco/test.json": {"AP": 27.8, "PCK@.2": 67.7},
        "lspet/test.json": {"PCK@.2": 55.5},
    }
    assert scores(CARD, "small-int8") == {"coco/test.json": {"AP": 27.5}}
    assert scores(CARD, "other") == {}


def test_the_speed_is_that_of_the_newest_note_on_the_same_file(tmp_path: Path) -> None:
    row = "| 8 | 1 | ours | small | 31.40 (23.48–42.15) | {} | 1.03 (0.90–1.64) |"
    for day, sha, ms in (("01", "a" * 12, "3.04"), ("02", "a" * 12, "2.96"), ("03", "b" * 12, "9.00")):
        lines = ("Machine: CPU, 2 cores", f"Models: small (64x64, sha256 {sha})", row.format(ms))
        (tmp_path / f"2026-01-{day}-speed.md").write_text("\n".join(lines))
    found = speed_of("small", "a" * 64, tmp_path)
    assert found is not None
    assert (found.cpu_ms, found.machine, Path(found.note).name) == (3.0, "CPU", "2026-01-02-speed.md")
    assert speed_of("small", "c" * 64, tmp_path) is None


def test_a_variant_has_its_own_card_or_its_models(tmp_path: Path) -> None:
    (tmp_path / "a-b.md").write_text("card")
    assert card_of(tmp_path / "a-b-int8.onnx") == tmp_path / "a-b.md"
    (tmp_path / "a-b-int8.md").write_text("card")
    assert card_of(tmp_path / "a-b-int8.onnx") == tmp_path / "a-b-int8.md"
    assert card_of(tmp_path / "a.onnx") is None


def test_a_damaged_or_missing_file_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = shipped_catalogue()
    monkeypatch.setattr(zoo, "WEIGHTS", tmp_path)
    with pytest.raises(BadFileError, match="Cannot read"):
        check_shipped(listed)
    listed[0].path.write_bytes(b"cut short")
    with pytest.raises(BadFileError, match="is not the file that was shipped"):
        check_shipped(listed)
