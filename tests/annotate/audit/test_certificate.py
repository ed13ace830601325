"""The drawn sample and the certificate that its answers give."""

from __future__ import annotations

import json
import math
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotate_fixtures import write_extended
from typer.testing import CliRunner, Result

from poseunion.annotate.audit import confidence_sequence as cs
from poseunion.annotate.audit.certificate import certificate_path, certify, gross_errors, percent, save
from poseunion.annotate.audit.sample import Audit, audit_path, audit_queue, draw, population, read_audit, to_inspect
from poseunion.annotate.cli.main import app
from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.review import decisions
from poseunion.annotate.review.decisions import Decision, read_extended
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.skeleton import load_skeleton

UNION = load_skeleton("union21")
KEYPOINTS = ("nose", "left_eye", "upper_neck")
PEOPLE = 40


def is_wrong(person: int, keypoint: str) -> bool:
    """The truth of the file below."""
    return keypoint == "nose" and person % 10 == 0


def write(path: Path, people: int = PEOPLE) -> Path:
    """An extended file: three accepted proposals and one that is not, for each person; upper_neck of the first two."""
    random_ = random.Random(0)
    records = []
    for i in range(people):
        names = [name for name in KEYPOINTS if name != "upper_neck" or i < 2]
        proposals = [
            {"name": n, "x": 50, "y": 20, "confidence": round(random_.uniform(0.6, 1), 4), "accepted": True}
            for n in names
        ]
        proposals.append({"name": "head_top", "x": 50, "y": 10, "confidence": 0.2, "accepted": False})
        xyv, source = [0.0] * 63, ["none"] * 21
        for name in names:
            k = UNION.index(name)
            xyv[3 * k : 3 * k + 3], source[k] = [50, 20, 2], "proposed"
        records.append(
            {
                "id": 100 + i,
                "image_id": 1,
                "category_id": 1,
                "bbox": [0, 0, 100, 200],
                "area": 10000,
                "keypoints": xyv,
                "keypoint_source": source,
                "keypoint_confidence": [None] * 21,
                "proposals": proposals,
            }
        )
    return write_extended(path, UNION.keypoints, records)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file above."""
    return write(tmp_path / "file.json")


def answer(file: Path, places: list[tuple[int, str]]) -> AnnotationSet:
    """Record true decisions on (row, keypoint); a wrong one is moved to its place."""
    time = decisions.now()
    made = [
        Decision(100 + row, k, "fix", "ann", time, to_xyv=(90, 150, 2))
        if is_wrong(row, k)
        else Decision(100 + row, k, "accept", "ann", time)
        for row, k in places
    ]
    assert not decisions.save(file, made).refused
    return read_extended(file)


def test_the_population_is_what_was_accepted(file: Path) -> None:
    points = population(read_extended(file))
    assert Counter(points.keypoints) == {"nose": PEOPLE, "left_eye": PEOPLE, "upper_neck": 2}
    strata = points.strata_to_json()
    assert sum(s["points"] for s in strata) == len(points) == 82
    rare = {s["weight"] for s in strata if s["keypoint"] == "upper_neck"}
    assert min(rare) >= 82 / 3 / 2 / 2  # as often as half of an even share


def test_a_draw_depends_on_file_and_seed_alone_and_goes_on(file: Path) -> None:
    annotations = read_extended(file)
    ten, twenty = draw(annotations, 10), draw(annotations, 20)
    assert twenty.drawn[:10] == ten.drawn
    assert draw(annotations, 10, 1).drawn != ten.drawn
    answered = answer(file, to_inspect(annotations, ten)[:4])
    more = draw(answered, 10, 0, ten)
    assert len(more.drawn) == 14
    assert more.drawn == twenty.drawn[:14]
    assert len(draw(answered, 1, 0, ten).drawn) == 10  # never shorter
    assert len(draw(annotations, 10_000).drawn) == 82


def test_heavier_points_are_drawn_more_often(file: Path) -> None:
    points = population(read_extended(file))
    first = np.array([points.order(seed)[0] for seed in range(1000)])
    neck = np.array(points.keypoints) == "upper_neck"
    share = points.weight[neck].sum() / points.weight.sum()
    assert neck[first].mean() == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 1000))


def test_a_sample_of_other_points_or_changed_by_hand_is_refused(file: Path, tmp_path: Path) -> None:
    annotations = read_extended(file)
    audit = draw(annotations, 10)
    with pytest.raises(BadFileError, match="drawn from other points"):
        certify(read_extended(write(tmp_path / "other.json", 30)), audit)
    swapped = audit.model_copy(update={"drawn": [audit.drawn[1], audit.drawn[0], *audit.drawn[2:]]})
    with pytest.raises(BadFileError, match="changed by hand"):
        certify(annotations, swapped)
    with pytest.raises(BadFileError, match="drawn with seed 0"):
        draw(annotations, 10, 1, audit)
    with pytest.raises(BadArgumentError, match="--budget 0"):
        draw(annotations, 0)


def test_only_the_inspected_prefix_counts(file: Path) -> None:
    audit = draw(read_extended(file), 20)
    places = to_inspect(read_extended(file), audit)
    annotations = answer(file, [*places[:5], *places[6:]])
    found = certify(annotations, audit)
    assert (found.pooled.inspected, found.waiting, found.inspected_in_all) == (5, 1, 19)
    found = certify(answer(file, [places[5]]), audit)
    assert (found.pooled.inspected, found.waiting) == (20, 0)
    assert sum(b.inspected for b in found.keypoints.values()) == 20


def test_nothing_inspected_states_no_bound_and_what_would_reach_the_target(file: Path) -> None:
    audit = draw(read_extended(file), 20)
    found = certify(read_extended(file), audit)
    assert "none of the sample is inspected" in found.statement
    assert found.rest == ""
    assert re.fullmatch(r"\d+ inspections without a gross error would reach the target of 5 %\.", found.outlook)
    found = certify(answer(file, to_inspect(read_extended(file), audit)[1:]), audit)
    assert (found.pooled.inspected, found.inspected_in_all) == (0, 19)
    assert "the first is missing" in found.statement


def test_everything_inspected_gives_the_truth(file: Path) -> None:
    audit = draw(read_extended(file), 1000)
    annotations = answer(file, to_inspect(read_extended(file), audit))
    found = certify(annotations, audit, 0.05)
    assert found.pooled.errors == 4
    assert found.pooled.estimate == pytest.approx(4 / 82, abs=0.03)
    assert 4 / 82 <= found.pooled.at_most <= 4 / 82 + 1e-4
    assert found.keypoints["nose"].at_most == 0.1
    assert found.keypoints["left_eye"].at_most == 0
    assert found.rest_at_most == 0
    assert "Every added point" in found.rest
    assert "reached" in found.outlook


def test_the_certificate_can_be_computed_again_from_its_answers(file: Path) -> None:
    audit = draw(read_extended(file), 40)
    found = certify(answer(file, to_inspect(read_extended(file), audit)), audit)
    _, _, wrong, probability, least = zip(*found.to_json()["answers"], strict=True)
    draws = cs.Draws(found.pooled.points, np.array(wrong), np.array(probability), np.array(least))
    assert cs.upper_bound(draws, 1 - found.confidence) / 82 == pytest.approx(found.pooled.at_most, abs=1e-4)


def test_the_forecast_is_kept_where_errors_go_on_as_seen(tmp_path: Path) -> None:
    file = write(tmp_path / "file.json", 400)
    audit = draw(read_extended(file), 60)
    before = certify(answer(file, to_inspect(read_extended(file), audit)), audit, 0.12)
    more = before.pooled.more
    assert more is not None
    assert before.pooled.more_at_best is not None
    assert 0 < before.pooled.more_at_best <= more
    audit = draw(read_extended(file), more, 0, audit)
    after = certify(answer(file, to_inspect(read_extended(file), audit)), audit, 0.12)
    assert after.pooled.at_most == pytest.approx(0.12, abs=0.02)


def test_what_a_gross_error_is(file: Path) -> None:
    annotations = read_extended(file)
    radius = 2 * 0.026 * 100 * math.sqrt(2 * math.log(2))  # px; OKS is exp(-d^2 / 2 / area / (2 sigma)^2)
    made = {
        "accept": (Decision(100, "nose", "accept", "ann", decisions.now()), False),
        "hide": (Decision(101, "nose", "hide", "ann", decisions.now()), False),
        "reject": (Decision(102, "nose", "reject", "ann", decisions.now()), True),
        "needs-fix": (Decision(103, "nose", "needs-fix", "ann", decisions.now()), True),
        "near": (Decision(104, "nose", "fix", "ann", decisions.now(), to_xyv=(50 + radius - 0.1, 20, 2)), False),
        "far": (Decision(105, "nose", "fix", "ann", decisions.now(), to_xyv=(50 + radius + 0.1, 20, 2)), True),
    }
    decisions.save(file, [decision for decision, _ in made.values()])
    annotations = read_extended(file)
    points = population(annotations)
    found = {points.ids[i]: wrong for i, wrong in gross_errors(annotations, points).items()}
    assert found == {decision.annotation_id: wrong for decision, wrong in made.values()}


def test_certificates_cover_files_drawn_with_many_seeds(tmp_path: Path) -> None:
    """False certificates among simulated audits that stop as soon as their target is reached."""
    annotations = read_extended(write(tmp_path / "file.json", 100))
    points = population(annotations)
    wrong = np.array([is_wrong(row, k) for row, k in zip(points.rows.tolist(), points.keypoints, strict=True)])
    target = (wrong.sum() - 1) / len(points)  # just missed
    false = 0
    for seed in range(300):
        order = points.order(seed)[:150]
        draws = cs.draws_of(points.weight, order, wrong[order])
        false += cs.most_evidence(draws, int(target * len(points)) + 1) >= -np.log(0.05)
    assert false / 300 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_from_the_command_line(file: Path) -> None:
    assert isinstance(run("certify", file).exception, BadArgumentError)
    result = run("audit", file, "--budget", 30, "--json")
    assert json.loads(result.stdout)["waiting"] == 30, result.output
    places = audit_queue(read_extended(file))
    assert len(places) == 30
    answer(file, places[:10])
    assert len(audit_queue(read_extended(file))) == 20
    result = run("certify", file, "--target", 0.2)
    assert result.exit_code == 0, result.output
    assert "Of the 82 added points at most" in result.stdout
    assert "20 of 30 drawn points wait" in result.stdout
    said = json.loads(certificate_path(file).read_text())
    block = read_extended(file).source.document["poseunion"]["certificate"]
    assert block["statement"] == said["statement"]
    assert "answers" not in block
    assert len(said["answers"]) == 10
    assert isinstance(read_audit(audit_path(file)), Audit)
    result = run("audit", file, "--budget", 30)
    assert "40 of 82 added points are drawn" in result.stdout, result.output


def test_a_certificate_leaves_the_file_readable_and_is_written_once(file: Path) -> None:
    audit = draw(read_extended(file), 5)
    certificate = certify(answer(file, to_inspect(read_extended(file), audit)), audit)
    save(file, certificate)
    before = file.read_bytes()
    save(file, certificate)
    assert file.read_bytes() == before
    assert population(read_extended(file)).sha256 == audit.population


def test_percentages_are_rounded_upwards() -> None:
    assert [percent(p) for p in (0.0301, 0.03, 0, 1)] == ["3.1 %", "3 %", "0 %", "100 %"]
