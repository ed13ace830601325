"""The arithmetic of completing one person, and the rule of acceptance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from poseunion.annotate.extend.acceptance import accepted, thresholds_for
from poseunion.annotate.extend.complete import complete
from poseunion.annotate.extend.predictions import Predictions
from poseunion.annotate.extend.requested_keypoints import Asked
from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import read_annotations
from poseunion.annotate.formats.extension import REASON_NAMES, Origin, Reason
from poseunion.annotate.formats.skeleton_match import output_skeleton
from poseunion.models.calibration.annotator_model import AnnotatorModel
from poseunion.models.codec.heads import SimccOutput
from poseunion.models.errors import BadArgumentError, ModelError
from poseunion.models.runtime.description import ModelDescription
from poseunion.models.skeleton import load_skeleton, mirrored

COCO, UNION = load_skeleton("coco17"), load_skeleton("union21")


def test_thresholds_come_from_the_user_then_the_model() -> None:
    described = ModelDescription(
        name="any", skeleton="union21", size_wh=(12, 16), head=SimccOutput(), score_threshold=0.4
    )
    assert thresholds_for(described, 0.2).tolist() == [0.2] * 21
    assert thresholds_for(described).tolist() == [0.4] * 21
    for wrong in (-0.1, 1.5, float("nan")):
        with pytest.raises(BadArgumentError, match="threshold"):
            thresholds_for(described, wrong)


def test_a_proposal_outside_the_picture_is_never_accepted() -> None:
    xy = np.array([[[0, 0], [9, 4], [9.01, 4], [-0.01, 2], [3, 4.5], [np.nan, 1]]])
    confidence = np.array([[1.0, 0.3, 1, 1, 1, 1]])
    result = accepted(xy, confidence, np.full(6, 0.3), np.array([[10.0, 5.0]]))
    assert result.tolist() == [[True, True, False, False, False, False]]


def _one(
    visibility: dict[str, int],
    predicted: np.ndarray | None = None,
    xy_of: dict[str, tuple[float, float]] | None = None,
    **options: Any,
) -> Any:
    xy, v = np.zeros((1, 17, 2)), np.zeros((1, 17), np.int8)
    for name, state in visibility.items():
        k = COCO.index(name)
        xy[0, k], v[0, k] = (xy_of or {}).get(name, (k + 0.25, 2 * k)), state
    values = np.full((1, 21, 6), 0.5, np.float32) if predicted is None else predicted
    pose = Predictions.from_bytes(values.astype("<f4").tobytes(), 1, 21, None)
    size = np.array([[100.0, 100.0]])
    return complete(0, xy, v, pose, size, np.full(21, 0.4), COCO, UNION, output_skeleton(COCO, UNION), **options)


def test_midpoints_are_derived_only_where_both_parents_are_labelled() -> None:
    both = _one({"left_hip": 2, "right_hip": 1})
    pelvis = UNION.index("pelvis")
    assert both.origin[0, pelvis] == Origin.DERIVED
    assert both.xy[0, pelvis].tolist() == [11.75, 23.0]
    assert both.visibility[0, pelvis] == 1
    assert np.isnan(both.confidence[0, pelvis])
    one = _one({"left_hip": 2})
    assert one.origin[0, pelvis] == Origin.PROPOSED
    assert one.visibility[0, pelvis] == 2


def test_human_points_get_no_proposal_and_a_person_not_looked_at_gets_nothing() -> None:
    result = _one({"nose": 1})
    assert result.origin[0, 0] == Origin.HUMAN
    assert np.isnan(result.confidence[0, 0])
    assert (result.confidence[0, 17:] == 0.5).all()
    unseen = _one({"left_hip": 2, "right_hip": 2}, np.full((1, 21, 6), np.nan, np.float32))
    assert sorted(np.unique(unseen.origin)) == [Origin.NONE, Origin.HUMAN]
    assert np.isnan(unseen.confidence).all()


def test_what_the_model_does_not_know_passes_through(folder: Any, coco: Any, fake: Any) -> None:
    folder.write(coco(3, skeleton="halpe26"))
    extend(read_annotations(folder.file), folder.images, fake(), folder.out)
    result = folder.result()
    names = result["categories"][1]["keypoints"]
    assert len(names) == 27
    for record in result["annotations"]:
        assert not {p["name"] for p in record["proposals"]} & set(names[21:])  # the feet


def test_a_model_of_fewer_keypoints_completes_what_it_knows(folder: Any, coco: Any, fake: Any) -> None:
    folder.write(coco(3))
    extend(read_annotations(folder.file), folder.images, fake(skeleton="mpii16"), folder.out)
    assert len(folder.result()["categories"][1]["keypoints"]) == 21
    assert all(p["name"] != "nose" for a in folder.result()["annotations"] for p in a["proposals"])


def test_a_model_that_answers_nan_is_said_to_be_broken(folder: Any, coco: Any, fake: Any) -> None:
    folder.write(coco(3))
    with pytest.raises(ModelError, match="not finite"):
        extend(read_annotations(folder.file), folder.images, fake(shift_px=np.nan), folder.out)
    assert not folder.out.exists()


def test_limit_takes_the_first_people_of_the_file(folder: Any, coco: Any, fake: Any, coco_kept: Any) -> None:
    document = coco(9, per_image=3)
    folder.write(document)
    report = extend(read_annotations(folder.file), folder.images, fake(), folder.out, Options(limit=4))
    assert report.passed == {"beyond --limit": 5}
    assert [bool(a["proposals"]) for a in folder.result()["annotations"]] == [True] * 4 + [False] * 5
    coco_kept(document, folder.result())


def test_the_table_adds_up(folder: Any, coco: Any, fake: Any) -> None:
    document = coco(20)
    folder.write(document)
    report = extend(read_annotations(folder.file), folder.images, fake(), folder.out)
    written = folder.result()["annotations"]
    for k, (name, row) in enumerate(report.keypoints.items()):
        sources = [a["keypoint_source"][k] for a in written]
        proposals = [p for a in written for p in a["proposals"] if p["name"] == name]
        assert row == {
            "human": sources.count("human"),
            "derived": sources.count("derived"),
            "proposed": len(proposals),
            "accepted": sum(p["accepted"] for p in proposals),
            "none": sources.count("none"),
        }
        assert row["accepted"] == sources.count("proposed")
        assert row["human"] + row["derived"] + row["accepted"] + row["none"] == 20


@pytest.mark.parametrize("options", [{"max_bad": 1.5}, {"limit": 0}, {"resume": True, "overwrite": True}])
def test_options_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(BadArgumentError):
        Options(**options)


# Facing the camera, as labels: the person's left is at the picture's right.
TRUNK = {
    "left_shoulder": (60.0, 30.0),
    "right_shoulder": (40.0, 30.0),
    "left_hip": (57.0, 60.0),
    "right_hip": (43.0, 60.0),
    "left_knee": (58.0, 80.0),
    "right_knee": (42.0, 80.0),
}
FACE = {
    "nose": (50.0, 15.0),
    "left_eye": (53.0, 12.0),
    "right_eye": (47.0, 12.0),
    "left_ear": (56.0, 14.0),
    "right_ear": (44.0, 14.0),
}
MIRRORED = {name: FACE[mirrored(name)] for name in FACE}


def _with_face(face: dict[str, tuple[float, float]], visibility: int = 2, **options: Any) -> Any:
    pose = np.full((1, 21, 6), 0.5, np.float32)
    for name, point in face.items():
        pose[0, UNION.index(name), :2] = point
    states = dict.fromkeys(TRUNK, visibility)
    return _one(states, pose, TRUNK, asked=Asked(fill_gaps=True, keypoints=tuple(FACE)), **options)


def _standing(completion: Any) -> set[str]:
    return {UNION.keypoints[k] for k in np.flatnonzero(completion.origin[0] == Origin.PROPOSED)}


def _reasons(completion: Any) -> set[str]:
    return {REASON_NAMES[k] for k in completion.reason[0]} - {"none"}


def test_a_face_whose_sides_contradict_the_body_is_not_accepted() -> None:
    assert _standing(_with_face(FACE)) == set(FACE)
    wrong = _with_face(MIRRORED)
    assert _standing(wrong) == {"nose"}
    assert _reasons(wrong) == {"sides"}
    assert np.isfinite(wrong.confidence[0, :5]).all()  # still a proposal


def test_a_face_seen_from_behind_is_not_accepted() -> None:
    front = AnnotatorModel(people="", threshold=0.6, labelled={"nose": (0, 0, 5, 0, 0)}, occluded={})
    assert _standing(_with_face(FACE, labelling=front)) == set(FACE)
    behind = front.model_copy(update={"labelled": {"nose": (0.0, 0.0, -5.0, 0.0, 0.0)}})
    result = _with_face(FACE, labelling=behind)
    assert _standing(result) == set(FACE) - {"nose"}
    assert _reasons(result) == {"unlabelled"}
    assert result.labelled[0, 0] < 0.6
    assert np.isnan(result.labelled[0, 1:]).all()


def test_an_accepted_proposal_is_written_as_hidden_where_it_probably_is() -> None:
    near = AnnotatorModel(people="", threshold=0.5, labelled={}, occluded={"ear": (-3, 0, 0, 6)})
    for state, expected in ((2, 2), (1, 1)):
        result = _with_face(FACE, state, labelling=near)
        assert result.visibility[0, UNION.index("left_ear")] == expected
        assert result.visibility[0, UNION.index("nose")] == 2
        assert result.visibility[0, UNION.index("left_hip")] == 0  # human points are copied from the file


def test_the_first_test_that_fails_is_the_reason() -> None:
    pose = np.full((1, 21, 6), 0.5, np.float32)
    pose[0, 17:, 2] = [0.1, 0.9, 0.1, 0.9]
    pose[0, 17:19, 0] = -3
    result = _one({"nose": 2}, pose)
    assert [REASON_NAMES[r] for r in result.reason[0, 17:]] == ["outside", "outside", "confidence", "none"]
    assert (result.reason[0, :17] == Reason.NONE).all()
