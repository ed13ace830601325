"""`predict` on pictures: every kind is read, what cannot be is listed, and the file is one that other tools read."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from poseunion.annotate.check.run import check
from poseunion.annotate.example import example_dataset
from poseunion.annotate.extend.run import extend
from poseunion.annotate.formats import read_annotations
from poseunion.models import load_predictor, read_image
from poseunion.models.errors import BadArgumentError, BadFileError, PoseUnionError
from poseunion.models.files import write_json
from poseunion.models.inference.size_routing import Route, Student, with_route
from poseunion.models.skeleton import load_skeleton, project_indices

Stage = Callable[..., NDArray[np.uint8]]


Run = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path, stage: Stage, picture: Run) -> Path:
    """Pictures of all kinds, and files that are none."""
    one, two = stage((20, 40)), stage((10, 90), (20, 30))
    base = tmp_path / "in"
    picture(base / "one.png", one)
    picture(base / "below" / "two.jpg", two, quality=95)
    picture(base / "grey.png", one[..., 0])
    picture(base / "speck.png", np.zeros((1, 1, 3), np.uint8))
    picture(base / "misnamed.dat", one, format="PNG")
    exif = Image.Exif()
    exif[0x0112] = 6  # shown a quarter clockwise
    picture(base / "turned.png", np.rot90(two), exif=exif)
    (base / "cut.jpg").write_bytes((base / "below" / "two.jpg").read_bytes()[:2000])
    (base / "text.jpg").write_text("hello", encoding="utf-8")
    (base / "notes.txt").write_text("hello", encoding="utf-8")
    return base


def test_a_folder_of_everything(folder: Path, shining: Path, tmp_path: Path, done: Run) -> None:
    out = tmp_path / "out"
    report = done(folder, "--out", out, "--detector", shining)
    assert report["pictures"]["pictures"] == 6
    assert report["others"] == 1
    assert {bad["name"]: bad["reason"].split(" ")[1] for bad in report["bad"]} == {
        "cut.jpg": "truncated",
        "text.jpg": "not",
    }
    found = json.loads((out / "poses.json").read_text(encoding="utf-8"))
    people = {image["file_name"]: 0 for image in found["images"]}
    name_of = {image["id"]: image["file_name"] for image in found["images"]}
    for person in found["annotations"]:
        people[name_of[person["image_id"]]] += 1
    assert people == {
        "one.png": 1,
        "below/two.jpg": 2,
        "grey.png": 1,
        "speck.png": 0,
        "misnamed.dat": 1,
        "turned.png": 2,
    }
    for image in found["images"]:
        name = image["file_name"].replace("/", "__")
        drawn = read_image(out / "overlays" / (name if name.endswith(".jpg") else f"{name}.jpg"))
        assert drawn.shape == (image["height"], image["width"], 3)


def test_the_closing_lines_account_for_every_file(folder: Path, shining: Path, tmp_path: Path, predict: Run) -> None:
    text = predict(folder, "--out", tmp_path / "out", "--detector", shining, "--no-overlays").stdout
    assert "6 pictures, 7 people, " in text
    assert " accepted by threshold: " in text
    assert text.splitlines()[-1] == "9 files: 6 pictures and 0 videos read, 2 skipped, 1 neither"


def test_a_turned_picture_is_the_same_picture(
    folder: Path, stage: Stage, shining: Path, tmp_path: Path, done: Run, picture: Run
) -> None:
    upright = picture(tmp_path / "upright" / "turned.png", stage((10, 90), (20, 30)))
    records = []
    for source in (folder / "turned.png", upright):
        out = tmp_path / source.parent.name / "out"
        done(source, "--out", out, "--detector", shining, "--no-overlays")
        records.append(json.loads((out / "poses.json").read_text(encoding="utf-8"))["annotations"])
    assert records[0] == records[1]


def test_the_keypoints_are_the_predictors_in_the_picture(
    folder: Path, shining: Path, tmp_path: Path, done: Run, astronaut: NDArray[np.uint8]
) -> None:
    done(folder / "one.png", "--out", tmp_path / "out", "--detector", shining, "--threshold", 0)
    read = read_annotations(tmp_path / "out" / "poses.json")
    np.testing.assert_allclose(read.box_xywh, [[20, 40, *astronaut.shape[:2]]], atol=0.01)
    expected = load_predictor("unified", threads=1)(read_image(folder / "one.png"), read.box_xywh)
    inside = ((expected.xy >= 0) & (expected.xy <= 255)).all(-1)
    np.testing.assert_array_equal(read.visibility > 0, inside)
    np.testing.assert_allclose(read.xy[inside], expected.xy[inside], atol=0.01)


def test_small_people_go_where_the_route_sends_them(
    *,
    stage: Stage,
    astronaut: NDArray[np.uint8],
    shining: Path,
    tmp_path: Path,
    done: Run,
    picture: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    students = (Student(model="unified-64", sha256="0", below_px=64),)
    route = Route(model="unified", sha256="0", students=students, how="by hand")
    write_json(tmp_path / "unified.route.json", route.model_dump())
    monkeypatch.setattr("poseunion.models.inference.size_routing.WEIGHTS", tmp_path)
    routed = with_route(load_predictor("unified", threads=1), route, threads=1)
    side = int(routed.below_px[0]) - 2
    frame = stage(None, (20, 100))
    frame[40 : 40 + side, 10 : 10 + side] = np.asarray(Image.fromarray(astronaut).resize((side, side)))
    path = picture(tmp_path / "two.png", frame)
    done(path, "--out", tmp_path / "out", "--detector", shining, "--threshold", 0, "--route", "auto")
    written = json.loads((tmp_path / "out" / "poses.json").read_text(encoding="utf-8"))
    read = read_annotations(tmp_path / "out" / "poses.json")
    assert written["poseunion"]["model"]["route"] == list(routed.route)
    small, large = (routed.models[i].name for i in routed.model_of(read.box_xywh))
    assert small != large == "unified"
    expected = routed(read_image(path), read.box_xywh)
    plain = load_predictor("unified", threads=1)(read_image(path), read.box_xywh)
    seen = read.visibility > 0
    np.testing.assert_allclose(read.xy[seen], expected.xy[seen], atol=0.01)
    np.testing.assert_allclose(expected.xy[1], plain.xy[1], atol=1e-3)
    assert np.abs(expected.xy[0] - plain.xy[0]).max() > 0.1


@pytest.mark.parametrize("name", ["union", "coco17", "mpii16", "halpe26", "openpose18"])
def test_any_skeleton_shows_the_same_points(name: str, folder: Path, shining: Path, tmp_path: Path, done: Run) -> None:
    for skeleton in ("union", name):
        given = (folder / "one.png", "--out", tmp_path / skeleton, "--skeleton", skeleton, "--detector", shining)
        done(*given, "--no-overlays", "--overwrite")
    union, other = (read_annotations(tmp_path / skeleton / "poses.json") for skeleton in ("union", name))
    assert other.skeleton.keypoints == load_skeleton("union21" if name == "union" else name).keypoints
    index = project_indices(union.skeleton, other.skeleton)
    np.testing.assert_array_equal(other.visibility > 0, np.where(index >= 0, union.visibility[:, index] > 0, False))
    np.testing.assert_array_equal(other.xy[:, index >= 0], union.xy[:, index[index >= 0]])


def test_other_tools_read_the_file(folder: Path, shining: Path, tmp_path: Path, done: Run) -> None:
    done(folder, "--out", tmp_path / "out", "--detector", shining, "--no-overlays")
    path = tmp_path / "out" / "poses.json"
    coco = pytest.importorskip("pycocotools.coco")
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO(str(path))
        results = truth.loadRes(json.loads(path.read_text(encoding="utf-8"))["annotations"])
    assert len(results.getAnnIds()) == len(truth.getAnnIds(catIds=truth.getCatIds(["person"]))) == 7
    records, problems = check(path, images=folder)
    assert records is not None
    assert not [p.text for p in problems if p.fatal]


def test_predictions_are_not_taken_for_labels(folder: Path, shining: Path, tmp_path: Path, done: Run) -> None:
    done(folder, "--out", tmp_path / "out", "--detector", shining, "--no-overlays")
    records = read_annotations(tmp_path / "out" / "poses.json")
    assert {s for r in records.records for s in r["keypoint_source"]} <= {"proposed", "none"}
    with pytest.raises(BadFileError, match="already"):
        extend(records, folder, load_predictor("unified", threads=1), tmp_path / "extended.json")


def test_the_folder_that_is_written_to_is_not_read(folder: Path, shining: Path, done: Run) -> None:
    for _ in range(2):
        report = done(folder, "--out", folder / "out", "--detector", shining, "--overwrite")
        assert report["pictures"]["pictures"] == 6


@pytest.mark.parametrize("coco", [True, False])
def test_boxes_can_be_given(coco: bool, tmp_path: Path, done: Run, picture: Run) -> None:
    pytest.importorskip("skimage")
    labels, images = example_dataset(tmp_path / "images")
    read = read_annotations(labels)
    if not coco:
        listed = [
            {"file_name": image.file_name, "boxes": [box.tolist() for box in read.box_xywh[read.image_index == i]]}
            for i, image in enumerate(read.images)
        ]
        labels = tmp_path / "boxes.json"
        write_json(labels, listed)
    picture(images / "another.png", np.zeros((9, 9, 3), np.uint8))
    report = done(images, "--out", tmp_path / "out", "--boxes", labels)
    assert report["pictures"]["people"] == len(read)
    assert report["pictures"]["boxless"] == 1
    found = read_annotations(tmp_path / "out" / "poses.json")
    np.testing.assert_allclose(sorted(found.box_xywh.tolist()), sorted(read.box_xywh.tolist()), atol=0.01)


def test_everything_broken_is_an_error(folder: Path, shining: Path, tmp_path: Path, predict: Run) -> None:
    result = predict(folder / "text.jpg", folder / "cut.jpg", "--out", tmp_path / "out", "--detector", shining)
    assert isinstance(result.exception, BadFileError)
    assert "text.jpg is not a picture, and 1 more" in str(result.exception)
    assert not (tmp_path / "out" / "poses.json").exists()


def test_what_is_there_is_replaced_only_when_asked(
    folder: Path, shining: Path, tmp_path: Path, done: Run, predict: Run
) -> None:
    words = (folder / "one.png", "--out", tmp_path / "out", "--detector", shining)
    done(*words)
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    result = predict(*words, "--threshold", 0)
    assert isinstance(result.exception, BadFileError)
    assert "--overwrite" in str(result.exception)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before
    done(*words, "--threshold", 0, "--overwrite")
    assert (tmp_path / "out" / "poses.json").read_bytes() != before[tmp_path / "out" / "poses.json"]


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (["nowhere"], BadArgumentError, "does not exist"),
        (["empty"], BadArgumentError, "no pictures or videos"),
        (["one.png", "--model", "none.onnx"], PoseUnionError, "none.onnx"),
        (["one.png", "--detector", "none.onnx"], BadFileError, "No detector file"),
        (["one.png", "--skeleton", "spider"], PoseUnionError, "spider"),
        (["one.png", "--threshold", "7"], BadArgumentError, "--threshold 7"),
        (["one.png", "--every", "0"], BadArgumentError, "--every 0"),
        (["one.png", "--workers", "0"], BadArgumentError, "--workers 0"),
        (["one.png", "--boxes", "notes.txt"], BadFileError, "notes.txt"),
        (["one.png", "--boxes", "wrong.json"], BadFileError, "holds no boxes"),
        (["one.png", "--boxes", "other.json"], BadArgumentError, "its first is other.png"),
        (["one.png", "--boxes", "other.json", "--detector", "x.onnx"], BadArgumentError, "choose one"),
        (["one.png", "--device", "abacus"], BadArgumentError, "abacus"),
    ],
)
def test_what_cannot_be_is_refused(
    words: list[str],
    error: type[Exception],
    said: str,
    folder: Path,
    shining: Path,
    monkeypatch: pytest.MonkeyPatch,
    predict: Run,
) -> None:
    monkeypatch.chdir(folder)
    (folder / "empty").mkdir()
    write_json(folder / "wrong.json", [{"file_name": "one.png", "boxes": [[1, 2, 3]]}])
    write_json(folder / "other.json", [{"file_name": "other.png", "boxes": []}])
    detector = [] if {"--detector", "--boxes"} & set(words) else ["--detector", str(shining)]
    result = predict(*words, "--out", "out", *detector)
    assert isinstance(result.exception, error), result.output
    assert said in str(result.exception)
    assert not Path("out").exists()


def test_the_way_out_is_a_folder(folder: Path, predict: Run) -> None:
    result = predict(folder, "--out", folder / "notes.txt")
    assert isinstance(result.exception, BadArgumentError)
    assert "is a file" in str(result.exception)
