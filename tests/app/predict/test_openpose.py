"""`predict --format openpose`: files as OpenPose names and fills them, read back by the reader of that format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from poseunion.annotate.formats import read_annotations
from poseunion.models.skeleton import load_skeleton

Stage = Callable[..., NDArray[np.uint8]]
Run = Callable[..., Any]
FEET = ["big_toe", "small_toe", "heel"]


@pytest.fixture
def folder(tmp_path: Path, stage: Stage, picture: Run) -> Path:
    """Two pictures of people, and one without people."""
    picture(tmp_path / "in" / "one.png", stage((20, 40)))
    picture(tmp_path / "in" / "below" / "two.png", stage((10, 90), (20, 30)))
    picture(tmp_path / "in" / "none.png", stage())
    return tmp_path / "in"


def test_pictures_have_the_keypoints_of_the_coco_file(folder: Path, shining: Path, tmp_path: Path, done: Run) -> None:
    options = ("--detector", shining, "--no-overlays", "--threshold", "0.1")
    report = done(folder, "--out", tmp_path / "o", *options, "--format", "openpose")
    done(folder, "--out", tmp_path / "c", *options, "--skeleton", "openpose25")
    files = sorted(p.relative_to(tmp_path / "o").as_posix() for p in (tmp_path / "o").rglob("*") if p.is_file())
    assert files == [f"poses_json/{name}_keypoints.json" for name in ("below/two", "none", "one")]
    coco = json.loads((tmp_path / "c" / "poses.json").read_text())
    name_of = {image["id"]: Path(image["file_name"]).with_suffix("") for image in coco["images"]}
    body = load_skeleton("openpose25").keypoints
    for image, name in name_of.items():
        page = json.loads((tmp_path / "o" / "poses_json" / f"{name}_keypoints.json").read_text())
        assert page["version"] == 1.3
        people = [person for person in coco["annotations"] if person["image_id"] == image]
        assert len(page["people"]) == len(people)
        for written, person in zip(page["people"], people, strict=True):
            assert written["person_id"] == [-1]
            points = np.array(written["pose_keypoints_2d"]).reshape(25, 3)
            expected = np.array(person["keypoints"], float).reshape(25, 3)
            confidence = [c if v else 0 for c, v in zip(person["keypoint_confidence"], expected[:, 2], strict=True)]
            np.testing.assert_array_equal(points[:, :2], expected[:, :2])
            np.testing.assert_array_equal(points[:, 2], confidence)
            assert not points[[k for k, name in enumerate(body) if name.endswith(tuple(FEET))]].any()
    assert sorted(report["absent"]) == sorted(f"{side}_{part}" for side in ("left", "right") for part in FEET)
    assert (
        len(read_annotations(tmp_path / "o" / "poses_json")) == len(coco["annotations"]) == report["pictures"]["people"]
    )


def test_frames_of_a_video_in_the_order_of_halpe26(two_people: Any, shining: Path, tmp_path: Path, done: Run) -> None:
    clip, frames = two_people
    out = tmp_path / "out"
    options = ("--format", "openpose", "--skeleton", "halpe26", "--threshold", "0.1", "--no-overlays")
    report = done(clip, "--out", out, "--detector", shining, *options)
    assert [p.name for p in out.iterdir()] == ["clip_json"]
    assert report["videos"][0]["file"] == str(out / "clip_json")
    files = sorted(p.name for p in (out / "clip_json").iterdir())
    assert files == [f"clip_{frame:012d}_keypoints.json" for frame in range(len(frames))]
    people = json.loads((out / "clip_json" / files[-1]).read_text())["people"]
    assert sorted(person["person_id"][0] for person in people) == [1, 2]
    halpe = load_skeleton("halpe26")
    assert read_annotations(out / "clip_json").skeleton == halpe
    for person in people:
        points = np.array(person["pose_keypoints_2d"]).reshape(26, 3)
        assert not points[20:].any()
        assert points[halpe.index("nose"), 2] > 0


def test_folders_are_replaced_when_wanted(folder: Path, shining: Path, tmp_path: Path, predict: Run, done: Run) -> None:
    words = (folder, "--out", tmp_path / "o", "--detector", shining, "--no-overlays", "--format", "openpose")
    done(*words)
    (folder / "one.png").unlink()
    assert "poses_json exists" in str(predict(*words).exception)
    done(*words, "--overwrite")
    assert not (tmp_path / "o" / "poses_json" / "one_keypoints.json").exists()
    assert [p.name for p in (tmp_path / "o").iterdir()] == ["poses_json"]


def test_bad_arguments(folder: Path, tmp_path: Path, stage: Stage, picture: Run, predict: Run) -> None:
    out = ("--out", tmp_path / "o")
    assert "--format csv is not written" in str(predict(folder, *out, "--format", "csv").exception)
    picture(folder / "one.jpg", stage())
    assert "share one_keypoints.json" in str(predict(folder, *out, "--format", "openpose").exception)
    picture(tmp_path / "o" / "poses_json" / "a.png", stage())
    given = predict(tmp_path / "o" / "poses_json" / "a.png", *out, "--format", "openpose", "--overwrite")
    assert "would be written over" in str(given.exception)
    assert [p.name for p in (tmp_path / "o" / "poses_json").iterdir()] == ["a.png"]
