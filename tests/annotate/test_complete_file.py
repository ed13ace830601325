"""`poseunion.complete`: the bytes of the command, and a table of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from compare_example import GOLDEN, content, differences
from typer.testing import CliRunner

import poseunion
from poseunion.annotate.cli.main import app
from poseunion.models.errors import BadArgumentError, BadFileError

pytest.importorskip("skimage")
pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def done() -> poseunion.CompletedFile:
    return poseunion.complete(dataset="example", progress=False)


def test_it_writes_what_the_command_writes(done: poseunion.CompletedFile, tmp_path: Path) -> None:
    out = tmp_path / "example.json"
    result = CliRunner().invoke(app, ["extend", "--dataset", "example", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert done.path.read_bytes() == out.read_bytes()


def test_table_has_what_the_file_has(done: poseunion.CompletedFile) -> None:
    table = done.to_dataframe()
    document = json.loads(done.path.read_text())
    names = document["categories"][0]["keypoints"]
    assert len(table) == len(document["annotations"]) * len(names)
    for record in document["annotations"]:
        rows = table[table["annotation_id"] == record["id"]].set_index("keypoint").loc[names]
        assert rows["source"].tolist() == record["keypoint_source"]
        assert rows["visibility"].tolist() == record["keypoints"][2::3]
        stands = rows["visibility"].to_numpy() > 0
        np.testing.assert_allclose(rows["x"][stands], np.array(record["keypoints"][0::3])[stands])
        for proposal in record["proposals"]:
            assert rows.loc[proposal["name"], "confidence"] == proposal["confidence"]
            assert rows.loc[proposal["name"], "x"] == pytest.approx(proposal["x"])
        nothing = ~stands & rows["confidence"].isna().to_numpy()
        assert rows["x"][nothing].isna().all()


def test_result_is_a_line_and_can_be_saved(done: poseunion.CompletedFile, tmp_path: Path) -> None:
    counts = done.report.keypoints.values()
    accepted = sum(c["accepted"] for c in counts)
    assert repr(done).startswith("CompletedFile(3 of 3 people, ")
    assert f"{accepted} of " in repr(done)
    saved = done.save(tmp_path / "saved.json")
    assert saved.read_bytes() == done.path.read_bytes()
    with pytest.raises(BadFileError, match="overwrite=True"):
        done.save(saved)
    done.save(saved, overwrite=True)


def test_errors_are_those_of_the_command(tmp_path: Path) -> None:
    with pytest.raises(BadArgumentError):
        poseunion.complete("only.json")
    with pytest.raises(BadFileError, match=r"none\.json"):
        poseunion.complete(tmp_path / "none.json", tmp_path)


def test_the_example_is_as_stored(done: poseunion.CompletedFile) -> None:
    """The comparison that `make test-wheel` makes for other versions of Python."""
    people = content(json.loads(done.path.read_text()))
    golden = json.loads(GOLDEN.read_text())
    assert differences(people, golden) == []
    golden[0]["proposals"]["nose"][0] += 0.06
    assert differences(people, golden)[0].startswith(f"person {golden[0]['id']}: nose")
