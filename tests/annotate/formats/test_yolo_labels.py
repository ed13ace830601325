"""YOLO-pose: what its data.yaml leaves open, and mistakes that have to be named."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from poseunion.annotate.check.run import check
from poseunion.annotate.cli import main as cli
from poseunion.annotate.formats import read_annotations
from poseunion.annotate.formats.types import ANIMAL
from poseunion.annotate.formats.yolo.yolo_labels import label_name, label_path
from poseunion.models.errors import BadFileError
from poseunion.models.skeleton import load_skeleton


def yaml_of(path: Path, **changes: Any) -> Path:
    import yaml

    document = {**yaml.safe_load(path.read_text()), **changes}
    path.write_text(yaml.safe_dump({k: v for k, v in document.items() if v is not None}))
    return path


def test_yolo_names_its_keypoints_in_several_ways(make: Any) -> None:
    path, wanted = make("yolo-pose")
    names = list(load_skeleton("coco17").keypoints)
    for kpt_names in (names, {0: names}):
        assert read_annotations(yaml_of(path, kpt_names=kpt_names)).visibility.tolist() == wanted.state.tolist()
    reordered = read_annotations(yaml_of(path, kpt_names={0: names[::-1]}))
    assert reordered.skeleton.keypoints[-1] == "nose"
    yaml_of(path, kpt_names=None, flip_idx=list(range(17)))
    with pytest.raises(BadFileError, match="so its 17 are unknown"):
        read_annotations(path)
    assert read_annotations(path, skeleton=load_skeleton("posetrack17")).skeleton.name == "posetrack17"
    with pytest.raises(BadFileError, match="kpt_shape has 17 keypoints, mpii16 has 16"):
        read_annotations(path, skeleton=load_skeleton("mpii16"))


def test_yolo_without_visibility(make: Any, tmp_path: Path) -> None:
    path, _ = make("yolo-pose")
    label = tmp_path / "labels/train/p0.txt"
    label.write_text("0 0.5 0.5 0.25 0.5 0 0 -1 0.5 " + " ".join(["0.5 0.25"] * 15) + "\n\n")
    (tmp_path / "labels/train/p1.txt").unlink()
    annotations = read_annotations(yaml_of(path, kpt_shape=[17, 2]))
    assert annotations.visibility.tolist() == [[0, 0] + [2] * 15]
    assert annotations.xy[0, 2].tolist() == [32, 12]
    assert annotations.box_xywh.tolist() == [[24, 12, 16, 24]]
    assert len(annotations.images) == 2


def test_yolo_pictures_as_a_list_other_classes_and_a_missing_picture(make: Any, tmp_path: Path) -> None:
    path, _ = make("yolo-pose")
    (tmp_path / "train.txt").write_text("./images/train/p1.png\n./images/train/p0.png\n")
    yaml_of(path, train="train.txt", val=["train.txt"], names={0: "dog", 1: "Person"})
    label = tmp_path / "labels/train/p1.txt"
    label.write_text(label.read_text() + "1" + label.read_text()[1:])
    annotations = read_annotations(path)
    assert [i.file_name for i in annotations.images] == ["images/train/p1.png", "images/train/p0.png"]
    assert list(annotations.skip.values()) == [f"{ANIMAL}: dog"] * 3
    assert annotations.skip.keys() == {0, 2, 3}
    (tmp_path / "images/train/p1.png").unlink()
    assert "its picture cannot be read" in read_annotations(path).skip[1]


def test_yolo_shares_are_of_the_upright_picture(make: Any, tmp_path: Path) -> None:
    path, wanted = make("yolo-pose")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = tmp_path / "images/train/p0.jpg"
    (tmp_path / "images/train/p0.png").unlink()
    Image.new("RGB", (48, 64)).save(picture, exif=exif)
    annotations = read_annotations(path)
    assert annotations.images[0][2:] == (64, 48)
    np.testing.assert_allclose(annotations.xy[0], wanted.xy[0], atol=1e-6)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5", "3 values, where class, box and 17 keypoints are 56"),
        ("0 x" + " 0" * 54, "a value is not a number"),
        ("0 nan" + " 0" * 54, "a value is not finite"),
        ("0 0.5 0.5 1 1" + " 0.1 0.1 3" * 17, "visibility is not 0, 1 or 2"),
    ],
)
def test_yolo_mistakes_are_named(line: str, message: str, make: Any, tmp_path: Path) -> None:
    path, _ = make("yolo-pose")
    (tmp_path / "labels/train/p1.txt").write_text(line)
    with pytest.raises(BadFileError, match=r"labels/train/p1\.txt, line 1: .*" + message):
        read_annotations(path)
    with pytest.raises(BadFileError, match="neither a folder of pictures"):
        read_annotations(yaml_of(path, val="nowhere"))


def test_yolo_labels_are_part_of_the_input(make: Any, tmp_path: Path) -> None:
    path, _ = make("yolo-pose")
    before = read_annotations(path).source.sha256
    assert read_annotations(path).source.sha256 == before
    label = tmp_path / "labels/train/p1.txt"
    label.write_text(label.read_text().replace("0.", "0.0", 1))
    assert read_annotations(path).source.sha256 != before


@pytest.mark.parametrize(
    ("picture", "label"),
    [("images/train/a.jpg", "labels/train/a.txt"), ("x.png", "labels/x.txt"), ("../a/b.jpg", "labels/a/b.txt")],
)
def test_where_yolo_labels_lie(picture: str, label: str) -> None:
    assert label_name(picture) == label
    assert label_path(Path("/d/images/images/a.b.jpg")) == Path("/d/images/labels/a.b.txt")


def test_yolo_from_the_command_line(
    kit: SimpleNamespace, make: Any, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    path, wanted = make("yolo-pose")
    words = ["extend", "--annotations", str(path), "--images", str(tmp_path), "--model", str(tiny_model)]
    monkeypatch.setattr(sys, "argv", ["annotate", *words, "--format", "yolo-pose"])
    monkeypatch.chdir(tmp_path)
    with contextlib.suppress(SystemExit):
        cli.main()
    assert "3 of 3 people" in capsys.readouterr().out
    (tmp_path / "new").mkdir()
    written = (tmp_path / "data.extended.zip").rename(tmp_path / "new/data.zip")
    (tmp_path / "images").rename(tmp_path / "new/images")
    again = read_annotations(kit.unpacked(written))
    assert again.skeleton.keypoints == load_skeleton("union21").keypoints
    np.testing.assert_allclose(again.xy[:, :17], wanted.xy, atol=1e-6)
    source = json.loads((tmp_path / "new/keypoint_source.json").read_text())
    assert set(source["labels"]) == {"labels/train/p0.txt", "labels/train/p1.txt"}


def test_roboflow_names_its_folders_from_one_level_below(make: Any) -> None:
    path, wanted = make("yolo-pose")
    path.write_text(path.read_text().replace(": images/train", ": ../images/train"))
    assert len(read_annotations(path)) == len(wanted.state)


def test_a_list_of_pictures_that_lie_elsewhere_is_said(make: Any) -> None:
    path, wanted = make("yolo-pose")
    (path.parent / "train.txt").write_text("data/images/train/p0.png\ndata/images/train/p1.png\n")
    path.write_text(path.read_text().replace("train: images/train", "train: train.txt"))
    annotations, problems = check(path)
    assert annotations is not None
    assert len(annotations) == len(wanted.state)
    expected = "2 of 2 pictures lie elsewhere: data/images/train/p0.png is taken to be images/train/p0.png"
    assert [p.text for p in problems] == [expected]
