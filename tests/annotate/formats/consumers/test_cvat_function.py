"""CVAT's SDK and command line take the function: labels of tasks, skeletons of pictures, agents' description."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from poseunion.annotate.cvat_function import CvatFunction, create
from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import read_annotations
from poseunion.annotate.review import cvat
from poseunion.annotate.review.decisions import Decision, now, read_extended, save
from poseunion.models.errors import BadFileError
from poseunion.models.skeleton import load_skeleton

pytest.importorskip("cvat_sdk", reason="make test-consumers brings it")
MODULE = "poseunion.annotate.cvat_function"
HUMAN, PROPOSED = "human", "proposed"


def task_labels(skeleton: str, **renamed: str) -> list[Any]:
    """The labels of a CVAT task, numbered as a server does it, as the SDK holds them."""
    models = pytest.importorskip("cvat_sdk.models")
    found = load_skeleton(skeleton)
    (label,) = cvat.labels(found, np.full((len(found), 2), 50.0))
    for number, point in enumerate(label["sublabels"]):
        point["id"], point["name"] = 100 + number, renamed.get(point["name"], point["name"])
        point["attributes"] = [{**a, "id": 1000 + 10 * number + i} for i, a in enumerate(point["attributes"])]
    return [models.PatchedLabelRequest._from_openapi_data(**label, id=7, _spec_property_naming=True)]


def raw_labels(path: Path, names: dict[str, str], *, attributes: bool) -> Path:
    """What the tab "Raw" of a project shows, whose points are called otherwise."""
    (label,) = cvat.labels(load_skeleton("coco17"), np.full((17, 2), 50.0))
    for point in label["sublabels"]:
        point["name"] = names.get(point["name"], point["name"])
        point["attributes"] = point["attributes"] if attributes else []
    path.write_text(json.dumps([{"name": "car", "type": "rectangle"}, label]))
    return path


@pytest.fixture
def dataset(folder: Any, coco: Any, fake: Any) -> Any:
    """A COCO file with its pictures, and the same extended."""
    folder.write(coco(6))
    extend(read_annotations(folder.file), folder.images, fake(), folder.out, Options(fill_gaps=True))
    return folder


@pytest.fixture
def function(fake: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., CvatFunction]:
    """`create` with the predictor of the tests, which needs no network."""
    monkeypatch.setattr(f"{MODULE}.load_proposer", lambda *_, **__: fake())
    return create


def detected(function: CvatFunction, picture: Path, frame: str, threshold: float | None = None) -> list[Any]:
    from cvat_sdk.auto_annotation.driver import _DetectionFunctionContextImpl

    with Image.open(picture) as image:
        return function.detect(_DetectionFunctionContextImpl(frame_name=frame, conf_threshold=threshold), image)


def mapped(function: CvatFunction, labels: list[Any], shapes: list[Any], *, loose: bool = False) -> list[Any]:
    from cvat_sdk.auto_annotation.driver import _AnnotationMapper

    log = logging.getLogger("test")
    mapper = _AnnotationMapper(log, function.spec.labels, labels, allow_unmatched_labels=loose, conv_mask_to_poly=False)
    tags, found = mapper.validate_and_remap(shapes, 3)
    assert tags == []
    return list(found)


def values(function: CvatFunction, point: Any) -> dict[str, str]:
    return {function.task.attributes[v.spec_id]: v.value for v in point.attributes}


@pytest.mark.parametrize(("skeleton", "missing"), [("coco17", 0), ("union21", 0), ("halpe26", 6)])
def test_the_tasks_own_skeleton_comes_back_whole(
    skeleton: str, missing: int, dataset: Any, function: Callable[..., CvatFunction]
) -> None:
    built = function(skeleton=skeleton, annotations=str(dataset.file))
    names = load_skeleton(skeleton).keypoints
    found = detected(built, dataset.images / "sub/p0.png", "sub/p0.png", 0.0)
    without_place = [p.label_id for p in found[0].elements if not values(built, p)]
    assert len(without_place) >= missing
    shapes = mapped(built, task_labels(skeleton), found)
    assert len(shapes) == 2
    for shape in shapes:
        assert (shape.label_id, shape.frame, shape.source) == (7, 3, "auto")
        assert [point.label_id for point in shape.elements] == [100 + k for k in range(len(names))]
        outside = {names[point.label_id - 100] for point in shape.elements if point.outside}
        assert {name for name in names if "toe" in name or "heel" in name} <= outside


def test_annotated_keypoints_stay_and_the_others_are_proposed(
    dataset: Any, function: Callable[..., CvatFunction]
) -> None:
    built = function(annotations=str(dataset.file))
    annotations = read_annotations(dataset.file)
    names = load_skeleton("union21").keypoints
    frame = annotations.images[0].file_name
    rows = [row for row in range(len(annotations)) if annotations.image_index[row] == 0]
    found = detected(built, dataset.images / frame, f"upload/{frame}", 0.5)
    assert len(found) == len(rows)
    for row, shape in zip(rows, found, strict=True):
        for name, point in zip(names, shape.elements, strict=True):
            known = name in annotations.skeleton.keypoints
            k = annotations.skeleton.keypoints.index(name) if known else 0
            if known and annotations.visibility[row, k] > 0:
                assert point.points == annotations.xy[row, k].tolist()
                assert point.occluded == (annotations.visibility[row, k] == 1)
                assert values(built, point) == {"keypoint_source": HUMAN}
            elif values(built, point).get("keypoint_source") == PROPOSED:
                assert float(values(built, point)["confidence"]) >= 0.5
            elif "confidence" in values(built, point):
                assert point.outside


def test_decisions_of_an_extended_file_are_kept(dataset: Any, function: Callable[..., CvatFunction]) -> None:
    annotations = read_extended(dataset.out)
    names = annotations.skeleton.keypoints
    record = annotations.records[0]
    save(
        dataset.out,
        [
            Decision(record["id"], "head_top", "fix", "ann", now(), None, (20.25, 30.5, 1)),
            Decision(record["id"], "upper_neck", "reject", "ann", now()),
        ],
    )
    built = function(annotations=str(dataset.out))
    frame = annotations.images[int(annotations.image_index[0])].file_name
    shape = detected(built, dataset.images / frame, frame, 0.0)[0]
    points = dict(zip(names, shape.elements, strict=True))
    assert points["head_top"].points == [20.25, 30.5]
    assert points["head_top"].occluded
    assert points["upper_neck"].outside
    for k, (name, source) in enumerate(zip(names, record["keypoint_source"], strict=True)):
        if source == HUMAN:
            assert points[name].points == record["keypoints"][3 * k : 3 * k + 2]


def test_labels_of_a_project_are_matched_by_spelling(
    dataset: Any, function: Callable[..., CvatFunction], tmp_path: Path
) -> None:
    spelled = {"left_eye": "Left Eye", "right_ear": "R-Ear"}
    path = raw_labels(tmp_path / "labels.json", spelled, attributes=False)
    built = function(skeleton=str(path), annotations=str(dataset.file))
    assert built.task.attributes == ()
    assert built.task.keypoints["Left Eye"] == "left_eye"
    found = detected(built, dataset.images / "sub/p0.png", "sub/p0.png")
    assert len(mapped(built, task_labels("coco17", **spelled), found)) == len(found)
    with pytest.raises(BadFileError, match=r"no skeleton label 'cow'; those are person: give label=str:NAME"):
        function(skeleton=str(path), label="cow")


def test_people_of_other_pictures_are_detected(
    dataset: Any, function: Callable[..., CvatFunction], caplog: pytest.LogCaptureFixture
) -> None:
    skimage = pytest.importorskip("skimage.data")
    built = function(annotations=str(dataset.file))
    context = SimpleNamespace(frame_name="astronaut.png", conf_threshold=0.0)
    found = built.detect(context, Image.fromarray(skimage.astronaut()))
    assert found  # the astronaut is one of them
    assert len(mapped(built, task_labels("union21"), found)) == len(found)
    assert "astronaut.png is not in" in caplog.text


def test_a_picture_of_another_size_is_skipped(
    dataset: Any, function: Callable[..., CvatFunction], caplog: pytest.LogCaptureFixture
) -> None:
    built = function(annotations=str(dataset.file))
    context = SimpleNamespace(frame_name="sub/p0.png", conf_threshold=None)
    assert built.detect(context, Image.new("RGB", (48, 64))) == []
    assert "its points do not fit" in caplog.text


def test_cvats_command_line_and_agents_take_the_function() -> None:
    """The shipped network, loaded as cvat-cli does it, and described as `function create-native` sends it."""
    common = pytest.importorskip("cvat_cli._internal.common", reason="make test-consumers brings it")
    parsers = pytest.importorskip("cvat_cli._internal.parsers")
    driver = pytest.importorskip("cvat_cli._internal.agent_driver_detection").AgentDetectionFunctionDriver
    parameters = dict(map(parsers.parse_function_parameter, ["skeleton=str:halpe26", "label=str:human"]))
    built = common.FunctionLoader(MODULE, None, parameters).load()
    (label,) = driver.get_remote_function_fields(built.spec)["labels_v2"]
    assert (label["name"], label["type"], len(label["sublabels"])) == ("human", "skeleton", 26)
    agent = SimpleNamespace(_function_spec=built.spec)
    agent._validate_sublabel_compatibility = driver._validate_sublabel_compatibility.__get__(agent)
    driver.validate_function_compatibility(agent, json.loads(json.dumps({"labels_v2": [label]}, default=str)))
    skimage = pytest.importorskip("skimage.data")
    context = SimpleNamespace(frame_name="astronaut.png", conf_threshold=None)
    person = built.detect(context, Image.fromarray(skimage.astronaut()))[0]
    points = dict(zip(load_skeleton("halpe26").keypoints, person.elements, strict=True))
    assert not points["nose"].outside
    assert points["left_heel"].outside
