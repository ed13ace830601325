"""Tolerances of a gross error: their distances, and what refuses them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotate_fixtures import write_extended
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from poseunion.annotate.audit.certificate import certify
from poseunion.annotate.audit.recalibration import recalibrate
from poseunion.annotate.audit.sample import audit_path, draw, population, read_audit, to_inspect
from poseunion.annotate.audit.tolerance import Tolerance
from poseunion.annotate.cli.main import app
from poseunion.annotate.review.decisions import Decision, now, read_extended, save
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.metrics import oks_radius_px
from poseunion.models.skeleton import load_skeleton

UNION = load_skeleton("union21")
LABELS = {"upper_neck": (50, 40), "head_top": (50, 20), "left_shoulder": (70, 50), "right_hip": (40, 90)}
HEAD, TORSO = 20.0, 50.0


def write(path: Path, people: int = 4, labels: Mapping[str, tuple[float, float]] = LABELS, **fields: Any) -> Path:
    """An extended file: labels of humans, an accepted nose; the last person has only the nose."""
    records = []
    for i in range(people):
        xyv, source = [0.0] * 63, ["none"] * 21
        for name, xy in {**(labels if i < people - 1 else {}), "nose": (50, 30)}.items():
            k = UNION.index(name)
            xyv[3 * k : 3 * k + 3], source[k] = [*xy, 2], "proposed" if name == "nose" else "human"
        nose = {"name": "nose", "x": 50, "y": 30, "confidence": 0.9, "accepted": True}
        added = {"keypoint_source": source, "keypoint_confidence": [None] * 21, "proposals": [nose]}
        record = {"id": i, "image_id": 1, "category_id": 1, "bbox": [0, 0, 100, 200], "area": 10000, "keypoints": xyv}
        records.append({**record, **added, **fields})
    return write_extended(path, UNION.keypoints, records)


def moved(file: Path, distances_px: list[float]) -> None:
    """Record moves of the first noses."""
    made = [
        Decision(i, "nose", "fix", "ann", now(), to_xyv=(50 + far, 30, 2))
        if far
        else Decision(i, "nose", "accept", "ann", now())
        for i, far in enumerate(distances_px)
    ]
    assert not save(file, made).refused


@given(st.sampled_from(["oks", "head", "torso", "px"]), st.floats(0.01, 0.99))
def test_a_tolerance_is_read_back_from_its_name(unit: str, value: float) -> None:
    tolerance = Tolerance(unit, float(f"{value:g}"))
    assert Tolerance.parse(str(tolerance)) == tolerance
    assert f"{tolerance.value:g}".lstrip("0") in tolerance.distance


@pytest.mark.parametrize("text", ["", "10", "px", "px:", "px:0", "px:-1", "px:nan", "px:inf", "oks:1", "oks:2", "cm:3"])
def test_what_is_no_tolerance_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(BadArgumentError, match=r"is no distance: give oks:0\.5"):
        Tolerance.parse(text)


def test_distances_of_each_unit(tmp_path: Path) -> None:
    annotations = read_extended(write(tmp_path / "file.json"))
    nose = UNION.index("nose")
    assert Tolerance("px", 10).radius_px(annotations, 0)[nose] == 10
    assert Tolerance("head", 0.5).radius_px(annotations, 0)[nose] == pytest.approx(0.5 * HEAD)
    assert Tolerance("torso", 0.2).radius_px(annotations, 0)[nose] == pytest.approx(0.2 * TORSO)
    area, sigma = np.array([10000.0]), UNION.sigma_array
    np.testing.assert_allclose(Tolerance().radius_px(annotations, 0), oks_radius_px(area, sigma)[0])
    far = Tolerance("oks", 0.75).radius_px(annotations, 0)
    np.testing.assert_allclose(np.exp(-(far**2) / 2 / 10000 / (2 * sigma) ** 2), 0.75)
    # The last person has neither head nor torso.
    assert np.isnan(Tolerance("head", 0.5).radius_px(annotations, 3)).all()
    assert np.isnan(Tolerance("torso", 0.5).radius_px(annotations, 3)).all()


def test_a_head_box_comes_before_head_top_and_neck(tmp_path: Path) -> None:
    annotations = read_extended(write(tmp_path / "file.json", head_box=[10, 10, 40, 50]))
    assert Tolerance("head", 0.5).radius_px(annotations, 0)[0] == pytest.approx(0.5 * 0.6 * 50)


def test_proposed_ends_are_no_size(tmp_path: Path) -> None:
    """A model's own error must not widen its tolerance."""
    file = write(tmp_path / "file.json", labels={"upper_neck": (50, 40)})
    document = json.loads(file.read_text())
    k = UNION.index("head_top")
    for record in document["annotations"]:
        record["keypoints"][3 * k : 3 * k + 3], record["keypoint_source"][k] = [50, 0, 2], "proposed"
    file.write_text(json.dumps(document))
    with pytest.raises(BadFileError, match="head_box, and none with labelled head_top and upper_neck"):
        draw(read_extended(file), 1, tolerance=Tolerance("head", 0.5))


def test_the_statement_names_the_tolerance_and_counts_by_it(tmp_path: Path) -> None:
    file = write(tmp_path / "file.json")
    audit = draw(read_extended(file), 10, tolerance=Tolerance("px", 8))
    moved(file, [0, 7, 9, 9])
    found = certify(read_extended(file), audit)
    assert "gross errors (beyond 8 px), with 95 % confidence" in found.statement
    assert found.pooled.errors == 2
    assert not found.notes
    # Another one than the sample's is stated; moves of people without the size are errors.
    found = certify(read_extended(file), audit, tolerance=Tolerance("head", 0.5))
    assert "(beyond 0.5 head sizes)" in found.statement
    assert found.pooled.errors == 1
    assert found.without_size == 1
    assert "drawn for a tolerance of px:8" in found.notes[0]
    assert "1 added points are of people without the size" in found.notes[1]
    summary = found.summary()
    assert (summary["tolerance"], summary["drawn_for"]) == ("head:0.5", "px:8")


def test_recalibration_takes_the_tolerance_of_the_sample(tmp_path: Path) -> None:
    file = write(tmp_path / "file.json")
    audit = draw(read_extended(file), 10, tolerance=Tolerance("px", 8))
    moved(file, [0, 7, 9, 9])
    assert recalibrate(read_extended(file), audit, 0.5).errors == 2
    done = recalibrate(read_extended(file), audit, 0.5, Tolerance("px", 6))
    assert done.errors == 3
    assert done.document["poseunion"]["recalibration"]["tolerance"] == "px:6"


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_from_the_command_line(tmp_path: Path) -> None:
    file = write(tmp_path / "file.json", labels={})
    for unit, lacking in (
        ("head", "labelled head_top and upper_neck"),
        ("torso", "labelled left_shoulder and right_hip"),
    ):
        error = run("audit", file, "--tolerance", f"{unit}:0.5").exception
        assert isinstance(error, BadFileError)
        assert lacking in str(error)
        assert not audit_path(file).exists()
    result = run("audit", file, "--tolerance", "px:8")
    assert "Accept what lies within 8 px" in result.stdout, result.output
    assert read_audit(audit_path(file)).tolerance == "px:8"
    assert len(to_inspect(read_extended(file), read_audit(audit_path(file)))) == len(population(read_extended(file)))
    assert "drawn for a tolerance of px:8" in str(run("audit", file, "--tolerance", "px:9").exception)
    moved(file, [0, 0, 0, 9])
    result = run("certify", file)
    assert "(beyond 8 px)" in result.stdout, result.output
    assert "(beyond 12 px)" in run("certify", file, "--tolerance", "px:12").stdout
    document = json.loads(audit_path(file).read_text())
    audit_path(file).write_text(json.dumps({**document, "tolerance": "cm:3"}))
    assert "its tolerance is 'cm:3'" in str(run("certify", file).exception)
    del document["tolerance"]  # a sample of an earlier version
    audit_path(file).write_text(json.dumps(document))
    assert "(beyond the OKS-.5 radius)" in run("certify", file).stdout


def test_extend_refuses_a_tolerance_that_no_calibration_has() -> None:
    error = run("extend", "--dataset", "example", "--risk", "0.05", "--tolerance", "px:10").exception
    assert isinstance(error, BadArgumentError)
    assert "models are calibrated at oks:0.5 alone" in str(error)
    assert math.isfinite(Tolerance.parse("oks:0.5").value)
