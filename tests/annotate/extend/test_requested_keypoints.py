"""Gaps stay unless they are asked for: what is proposed, what is counted, and that a dry run foretells it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from poseunion.annotate.cli.console import names_of
from poseunion.annotate.cli.main import app
from poseunion.annotate.extend.requested_keypoints import Asked, gaps_sentence
from poseunion.annotate.extend.run import Options, extend, journal_path
from poseunion.annotate.formats import read_annotations
from poseunion.models.calibration.annotator_model import AnnotatorModel
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.skeleton import Visibility, load_skeleton

COCO, MPII, UNION = (load_skeleton(name) for name in ("coco17", "mpii16", "union21"))
NEW = {"upper_neck", "head_top", "pelvis", "thorax"}


@settings(max_examples=60, deadline=None)
@given(
    states=st.lists(st.sampled_from([-1, 0, 1, 2]), min_size=21, max_size=21),
    fill_gaps=st.booleans(),
    chosen=st.none() | st.sets(st.sampled_from(UNION.keypoints)).map(tuple),
)
def test_every_missing_keypoint_is_asked_for_left_as_a_gap_or_not_chosen(
    states: list[int], fill_gaps: bool, chosen: tuple[str, ...] | None
) -> None:
    visibility, derived = np.array([states], np.int8), np.zeros((1, 21), bool)
    asked = Asked(fill_gaps, chosen)
    wanted, gaps = (f(visibility, derived, UNION)[0] for f in (asked.asked, asked.gaps_left))
    annotated = max(states) > 0
    for k, name in enumerate(UNION.keypoints):
        gap = states[k] == 0 and annotated
        expected = states[k] <= 0 and (chosen is None or name in chosen) and (fill_gaps or not gap)
        assert wanted[k] == expected
        assert gaps[k] == (gap and not expected)


def test_derived_points_are_neither_asked_for_nor_gaps() -> None:
    visibility, derived = np.array([[2, *[0] * 20]], np.int8), np.ones((1, 21), bool)
    asked = Asked(fill_gaps=True)
    assert not asked.asked(visibility, derived, UNION).any()
    assert not Asked().gaps_left(visibility, derived, UNION).any()


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (Asked(keypoints=("noze",)), r"no keypoint 'noze': did you mean nose\?"),
        (Asked(keypoints=("left-eye",)), "did you mean left_eye"),
        (Asked(keypoints=("qqq",)), "choose from nose, left_eye"),
        (Asked(keypoints=("nose", "left_ear")), "coco17 defines nose, left_ear.*--fill-gaps"),
        (Asked(keypoints=()), "names none"),
    ],
)
def test_a_choice_that_cannot_be_is_one_sentence(asked: Asked, sentence: str) -> None:
    with pytest.raises(BadArgumentError, match=sentence):
        asked.check(COCO, UNION)


def test_choices_that_can_be() -> None:
    Asked(keypoints=("nose",)).check(MPII, UNION)
    Asked(True, ("nose",)).check(COCO, UNION)
    Asked(keypoints=("nose",)).check(COCO, UNION, unlabelled=True)
    Asked(keypoints=("nose", "head_top")).check(COCO, UNION)
    with pytest.raises(BadArgumentError, match="the model has no left_big_toe"):
        Asked(keypoints=("left_big_toe",)).check(load_skeleton("halpe26"), UNION)
    assert names_of(" nose, left_eye,,nose ") == ("nose", "left_eye")
    assert names_of(None) is None


def proposed(folder: Any) -> list[set[str]]:
    return [{p["name"] for p in record["proposals"]} for record in folder.result()["annotations"]]


def gaps_of(document: Any) -> list[set[str]]:
    names = document["categories"][1]["keypoints"]
    triples = [np.reshape(record["keypoints"], (-1, 3)) for record in document["annotations"]]
    return [{name for name, v in zip(names, t[:, 2], strict=True) if v == 0} for t in triples]


def test_coco_gets_what_it_does_not_define_and_its_gaps_on_request(folder: Any, coco: Any, fake: Any) -> None:
    document = coco(20)
    folder.write(document)
    report = extend(read_annotations(folder.file), folder.images, fake(), folder.out)
    assert all(names <= NEW for names in proposed(folder))
    assert sum(report.gaps.values()) == sum(map(len, gaps_of(document))) > 0
    confidence = [np.array(r["keypoint_confidence"], float) for r in folder.result()["annotations"]]
    assert all(np.isnan(row[:17]).all() for row in confidence)
    assert folder.result()["poseunion"]["options"]["fill_gaps"] is False

    options = Options(fill_gaps=True, overwrite=True)
    report = extend(read_annotations(folder.file), folder.images, fake(), folder.out, options)
    assert report.gaps == {}
    for names, gaps in zip(proposed(folder), gaps_of(document), strict=True):
        assert names - NEW == gaps
    assert folder.result()["poseunion"]["options"]["fill_gaps"] is True


def test_keypoints_chooses(folder: Any, coco: Any, fake: Any) -> None:
    document = coco(20)
    folder.write(document)
    options = Options(fill_gaps=True, keypoints=("left_knee", "head_top"))
    report = extend(read_annotations(folder.file), folder.images, fake(), folder.out, options)
    for names, gaps in zip(proposed(folder), gaps_of(document), strict=True):
        assert names == {"head_top"} | ({"left_knee"} & gaps)
    assert "left_knee" not in report.gaps
    assert report.gaps
    assert folder.result()["poseunion"]["options"]["keypoints"] == ["left_knee", "head_top"]


def test_mpii_gets_the_face(folder: Any, mpii: Any, fake: Any) -> None:
    folder.write(mpii(4))
    report = extend(read_annotations(folder.file), folder.images, fake(), folder.out)
    assert all(names == {"nose", "left_eye", "right_eye", "left_ear", "right_ear"} for names in proposed(folder))
    assert set(report.gaps) <= set(MPII.keypoints)


def test_resume_refuses_a_run_that_asked_for_something_else(folder: Any, coco: Any, fake: Any) -> None:
    folder.write(coco(200))
    with pytest.raises(KeyboardInterrupt):
        extend(read_annotations(folder.file), folder.images, fake(fail_at=3), folder.out)
    assert journal_path(folder.out).exists()
    for other in (Options(resume=True, fill_gaps=True), Options(resume=True, keypoints=("head_top",))):
        with pytest.raises(BadFileError, match="--overwrite"):
            extend(read_annotations(folder.file), folder.images, fake(), folder.out, other)
    extend(read_annotations(folder.file), folder.images, fake(), folder.out, Options(resume=True))
    options = Options(resume=True, keypoints=("head_top",))
    with pytest.raises(BadFileError, match="--overwrite"):
        extend(read_annotations(folder.file), folder.images, fake(), folder.out, options)


def test_the_report_says_how_many_gaps_stay_and_how_to_fill_them() -> None:
    assert gaps_sentence({}, None, False) == ""
    assert "5 (nose 2, left_knee 3); --fill-gaps proposes them." in gaps_sentence(
        {"nose": 2, "left_knee": 3}, None, False
    )
    assert "if --keypoints names them" in gaps_sentence({"nose": 2}, ("head_top",), False)
    assert "--keypoints does not name them" in gaps_sentence({"nose": 2}, ("head_top",), True)


OPTIONS = [(), ("--fill-gaps",), ("--keypoints", "upper_neck"), ("--fill-gaps", "--keypoints", "nose, pelvis")]


@pytest.mark.parametrize("options", OPTIONS)
def test_a_dry_run_foretells_the_same_set(folder: Any, coco: Any, tiny_model: Path, options: tuple[str, ...]) -> None:
    folder.write(coco(12))
    command = ["extend", "--annotations", str(folder.file), "--images", str(folder.images), "--out", str(folder.out)]
    command += ["--model", str(tiny_model), "--json", *options]
    forecast = json.loads(CliRunner().invoke(app, [*command, "--dry-run"], catch_exceptions=False).stdout)
    assert not folder.out.exists()
    report = json.loads(CliRunner().invoke(app, command, catch_exceptions=False).stdout)
    counts = {name: row["proposed"] for name, row in report["keypoints"].items()}
    assert {name: row["missing"] for name, row in forecast["expected"].items()} == counts
    assert forecast["gaps"] == report["gaps"]
    assert bool(report["gaps"]) == (options != ("--fill-gaps",))


def test_a_wrong_name_ends_with_a_sentence_and_writes_nothing(folder: Any, coco: Any, tiny_model: Path) -> None:
    folder.write(coco(2))
    command = ["extend", "--annotations", str(folder.file), "--images", str(folder.images), "--out", str(folder.out)]
    for more in ((), ("--dry-run",)):
        result = CliRunner().invoke(app, [*command, "--model", str(tiny_model), "--keypoints", "hed_top", *more])
        assert isinstance(result.exception, BadArgumentError)
        assert result.exception.exit_code == 2
        assert "did you mean head_top" in str(result.exception)
    assert not folder.out.exists()
    assert not journal_path(folder.out).exists()


def test_predicted_is_what_is_proposed_and_what_the_annotator_model_reads() -> None:
    visibility = np.full((1, len(MPII)), Visibility.VISIBLE, np.int8)
    visibility[0, [MPII.index("left_hip"), MPII.index("left_wrist")]] = Visibility.ABSENT
    labelling = AnnotatorModel(people="3", threshold=0.5, labelled={"nose": (0.0, 1.0, 0.5, 0.5, 0.5)}, occluded={})
    face = {"nose", "left_eye", "right_eye", "left_ear", "right_ear"}
    limbs = {"left_hip", "right_hip", "left_shoulder", "right_shoulder"}

    def predicted(asked: Asked, labelling: AnnotatorModel | None) -> set[str]:
        return set(np.array(UNION.keypoints)[asked.to_predict(visibility, MPII, UNION, labelling)[0]].tolist())

    assert predicted(Asked(), None) == face
    assert predicted(Asked(), labelling) == face | limbs
    assert predicted(Asked(keypoints=("left_eye",)), labelling) == {"left_eye"}
    assert predicted(Asked(fill_gaps=True), None) == face | {"left_hip", "left_wrist"}
