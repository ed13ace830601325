"""`check --for ultralytics`: every picture that its loader would drop is named, and the others are not."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from poseunion.annotate.check.run import check
from poseunion.annotate.cli.main import app
from poseunion.annotate.formats import FORMATS, read_annotations
from poseunion.annotate.formats.yolo.yolo_labels_write import TWICE
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.files import atomic_writer
from poseunion.models.skeleton import load_skeleton

Change = Callable[[list[str]], list[str]]


def found(path: Path) -> list[str]:
    """What is said of what Ultralytics drops."""
    said = [p for p in check(path, consumer="ultralytics")[1] if "Ultralytics" in p.text]
    assert "Ultralytics takes path" in said[0].text  # the sample's own leads nowhere
    return [f"{p.place}: {p.text}" for p in said[1:]]


# Change of a label line's values -> what is said of it.
BAD: dict[str, tuple[Change, str]] = {
    "keypoint outside": (lambda v: [*v[:5], "1.2", *v[6:]], "line 1 has a keypoint at 1.2"),
    "negative": (lambda v: [v[0], "-0.1", *v[2:]], "negative value"),
    "too few": (lambda v: v[:-3], "has 53 values, not 56"),
    "text": (lambda v: [*v[:-1], "x"], "which is no number"),
    "class 1": (lambda v: ["1", *v[1:]], "the class 1, and there are 1"),
    "half a class": (lambda v: ["0.5", *v[1:]], "no whole number"),
    "nan": (lambda v: [*v[:6], "nan", *v[7:]], "holds NaN"),
}


@pytest.mark.parametrize("name", BAD)
def test_one_bad_line_drops_its_picture(name: str, make: Any) -> None:
    change, said = BAD[name]
    path, _ = make("yolo-pose")
    label = path.parent / "labels/train/p0.txt"
    first, *rest = label.read_text().splitlines()
    label.write_text("\n".join([" ".join(change(first.split())), *rest]))
    (problem,) = found(path)
    assert problem.startswith("picture images/train/p0.png: Ultralytics drops it with its 2 people: ")
    assert said in problem


def test_a_clean_dataset_has_nothing_to_say(make: Any) -> None:
    assert found(make("yolo-pose")[0]) == []


def test_small_and_broken_pictures(make: Any) -> None:
    path, _ = make("yolo-pose")
    Image.new("RGB", (9, 40)).save(path.parent / "images/train/p0.png")
    (path.parent / "images/train/p1.png").write_bytes(b"none")
    assert [p.partition(": ")[2][:40] for p in found(path)] == [
        "Ultralytics drops it with its 2 people: ",
        "Ultralytics drops it with its 1 person: ",
    ]


def test_the_same_line_twice_is_removed(make: Any) -> None:
    path, _ = make("yolo-pose")
    label = path.parent / "labels/train/p1.txt"
    label.write_text(label.read_text() * 2)
    assert found(path) == ["p1.txt: Ultralytics removes 1 of its 2 lines, the same twice"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nc: 2", "nc is 2, and there are 1 names"),
        ("flip_idx: [0, 1]", "flip_idx has 2 entries for 17"),
        ("val:", "it has no val"),
    ],
)
def test_the_yaml_itself(line: str, said: str, make: Any) -> None:
    path, _ = make("yolo-pose")
    text = path.read_text()
    path.write_text(f"{text}{line}\n")
    problems = check(path, consumer="ultralytics", skeleton=load_skeleton("coco17"))[1]
    assert any(said in p.text for p in problems)


def test_only_a_yolo_dataset_is_looked_at(make: Any) -> None:
    with pytest.raises(BadArgumentError, match=r"data\.yaml"):
        check(make("coco")[0], consumer="ultralytics")
    with pytest.raises(BadArgumentError, match="choose ultralytics"):
        check(make("coco")[0], consumer="detectron")


def test_the_command_ends_with_2(make: Any) -> None:
    path, _ = make("yolo-pose")
    (path.parent / "images/train/p1.png").write_bytes(b"")
    result = CliRunner().invoke(app, ["check", str(path), "--for", "ultralytics"])
    assert result.exit_code == 2
    assert "drops it with its 1 person" in result.output


def written(kit: SimpleNamespace, path: Path, out: Path) -> dict[str, int] | None:
    annotations = read_annotations(path)
    with atomic_writer(out) as file:
        return FORMATS[annotations.format].writers["yolo-pose"](file, annotations, kit.nothing_added(annotations))


def test_written_people_with_a_box_alone_are_kept_and_twins_said(kit: SimpleNamespace, make: Any) -> None:
    path, _ = make("coco")
    document = json.loads(path.read_text())
    document["annotations"][0] |= {"keypoints": [0] * 51, "num_keypoints": 0}
    document["annotations"][1] = {**document["annotations"][0], "id": 9}
    path.write_text(json.dumps(document))
    out = path.with_name("o.zip")
    assert written(kit, path, out) == {TWICE: 1}
    with zipfile.ZipFile(out) as archive:
        (line,) = archive.read("labels/p0.txt").decode().splitlines()
    assert line.split()[5:] == ["0"] * 51


def test_a_picture_without_people_may_not_take_anothers_labels(kit: SimpleNamespace, make: Any) -> None:
    path, _ = make("coco")
    document = json.loads(path.read_text())
    document["images"].append({**document["images"][0], "id": 99, "file_name": "p0.jpg"})
    path.write_text(json.dumps(document))
    with pytest.raises(BadFileError, match="share the label file"):
        written(kit, path, path.with_name("o.zip"))
