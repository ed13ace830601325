"""A corpus of small broken files: each is completed, read with what is wrong listed, or refused in one sentence.

Every entry damages a good file in one way that was seen in the wild. `check` and `read_annotations` are tried as their
commands call them. The outcome is part of the entry, so that none turns silent.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from poseunion.annotate.check.json_patch import apply_patch, operations
from poseunion.annotate.check.run import check
from poseunion.annotate.extend.plan import plan
from poseunion.annotate.formats import read_annotations
from poseunion.models.errors import PoseUnionError

# "reads": nothing is lost and nothing needs saying. "says": usable, and check says what. "refused": one sentence.
READS, SAYS, REFUSED = "reads", "says", "refused"
Damage = Callable[[Any], Any]


def first(**changes: Any) -> Damage:
    """Change fields of the first record; a value that is callable gets the old one."""

    def damage(document: Any) -> Any:
        record = document["annotations"][0]
        for key, value in changes.items():
            record[key] = value(record.get(key)) if callable(value) else value
        return document

    return damage


def image(**changes: Any) -> Damage:
    """Change fields of the first picture's entry."""

    def damage(document: Any) -> Any:
        document["images"][0] |= changes
        return document

    return damage


def without(*path: Any) -> Damage:
    """Remove a value."""

    def damage(document: Any) -> Any:
        parent = document
        for key in path[:-1]:
            parent = parent[key]
        del parent[path[-1]]
        return document

    return damage


def put(value: Any, *path: Any) -> Damage:
    """Replace a value."""

    def damage(document: Any) -> Any:
        parent = document
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = value
        return document

    return damage


def point(k: int, x: Any, y: Any, v: Any) -> Damage:
    return first(keypoints=lambda old: [*old[: 3 * k], x, y, v, *old[3 * k + 3 :]])


def keypoint_names(change: Callable[[list[str]], Any]) -> Damage:
    def damage(document: Any) -> Any:
        category = document["categories"][0]
        category["keypoints"] = change(category["keypoints"])
        return document

    return damage


def twice(document: Any) -> Any:
    document["annotations"].append({**document["annotations"][0], "id": 999})
    return document


# name -> (damage, outcome, a part of what is said)
COCO: dict[str, tuple[Damage, str, str]] = {
    "no annotations": (without("annotations"), REFUSED, "none of the known"),
    "no images": (without("images"), REFUSED, "none of the known"),
    "no categories": (without("categories"), REFUSED, "categories"),
    "annotations is an object": (put({}, "annotations"), REFUSED, "no list 'annotations'"),
    "images is null": (put(None, "images"), REFUSED, "no list 'images'"),
    "categories is empty": (put([], "categories"), REFUSED, "no category names its keypoints"),
    "category without names": (without("categories", 0, "keypoints"), REFUSED, "--skeleton coco17"),
    "names of nothing known": (keypoint_names(lambda n: [f"kp{i}" for i in range(17)]), REFUSED, "no known skeleton"),
    "a name is missing": (keypoint_names(lambda n: n[:-1]), REFUSED, "no known skeleton"),
    "a name is a number": (keypoint_names(lambda n: [3, *n[1:]]), REFUSED, "not a list of names"),
    "names in capitals": (keypoint_names(lambda n: [x.upper() for x in n]), READS, ""),
    "a record is null": (put(None, "annotations", 0), SAYS, "needs an id"),
    "a record is a list": (put([1], "annotations", 0), SAYS, "needs an id"),
    "a record's id is null": (first(id=None), SAYS, "needs an id"),
    "ids twice": (put(49, "annotations", 0, "id"), SAYS, "stands twice"),
    "image_id leads nowhere": (first(image_id=12345), SAYS, "not among the images"),
    "image_id is text": (first(image_id="7"), READS, ""),
    "image_id is a float": (first(image_id=7.0), READS, ""),
    "category_id leads nowhere": (first(category_id=99), SAYS, "not among the categories"),
    "keypoints too short": (first(keypoints=lambda k: k[:-3]), SAYS, "needs 51"),
    "keypoints are pairs": (first(keypoints=lambda k: [v for i, v in enumerate(k) if i % 3 < 2]), SAYS, "needs 51"),
    "keypoints are an object": (first(keypoints={"nose": [1, 2]}), SAYS, "not a list"),
    "keypoints hold text": (point(0, "4", 5, 2), SAYS, "not a number"),
    "keypoints hold null": (point(0, None, 5, 2), SAYS, "not a number"),
    "keypoints hold true": (point(0, True, 5, 2), SAYS, "not a number"),
    "keypoints hold 1e999": (point(0, 1e308 * 10, 5, 2), REFUSED, "not a number"),
    "a huge whole number": (point(0, 10**400, 5, 2), SAYS, "too large"),
    "visibility 3": (point(0, 4, 5, 3), SAYS, "visibility 3"),
    "visibility -1": (point(0, 4, 5, -1), SAYS, "visibility -1"),
    "visibility is a share": (point(0, 4, 5, 0.97), SAYS, "visibility 0.97"),
    "(0, 0) that is called visible": (point(0, 0, 0, 2), SAYS, "(0, 0)"),
    "a place with v 0": (point(0, 7, 8, 0), SAYS, "have a place but v 0"),
    "a point far outside": (point(0, 5000, 5, 2), SAYS, "outside the picture"),
    "negative coordinates": (point(0, -30, 5, 2), SAYS, "outside the picture"),
    "num_keypoints is wrong": (first(num_keypoints=3), SAYS, "num_keypoints is 3"),
    "box of text": (first(bbox=["1", 2, 3, 4]), SAYS, "four finite numbers"),
    "box of three": (first(bbox=[1, 2, 3]), SAYS, "four finite numbers"),
    "box of nothing": (first(bbox=[0, 0, 0, 0]), READS, ""),
    "no box": (without("annotations", 0, "bbox"), READS, ""),
    "box over the edge": (first(bbox=[-20, -20, 200, 200]), SAYS, "over the edge"),
    "box is xyxy beyond the edge": (first(bbox=[10, 10, 63, 47]), SAYS, "over the edge"),
    "the same person twice": (twice, SAYS, "the same points"),
    "an image is null": (put(None, "images", 0), SAYS, "an image needs"),
    "an image without name": (without("images", 0, "file_name"), SAYS, "an image needs"),
    "an image id twice": (image(id=8), SAYS, "stands twice"),
    "a size of nought": (image(width=0, height=0), SAYS, "not a picture's size"),
    "a size in text": (image(width="64"), SAYS, "not a picture's size"),
    "half a size": (image(width=None), SAYS, "not a picture's size"),
    "an animal": (put("macaque", "categories", 0, "name"), SAYS, ""),
    "shares for pixels": (
        lambda d: {**d, "annotations": [_in_shares(r) for r in d["annotations"]]},
        SAYS,
        "shares instead of pixels",
    ),
}


def _in_shares(record: dict[str, Any]) -> dict[str, Any]:
    points = [v if i % 3 == 2 else v / 100 for i, v in enumerate(record["keypoints"])]
    return {**record, "keypoints": points, "bbox": [v / 100 for v in record["bbox"]]}


@pytest.mark.parametrize("name", COCO)
def test_coco(name: str, make: Any, capsys: pytest.CaptureFixture[str]) -> None:
    damage, outcome, said = COCO[name]
    path, _ = make("coco")
    document = json.loads(path.read_text())
    for record in document["annotations"]:
        record["num_keypoints"] = 17
    path.write_text(json.dumps(damage(document)))
    settled(path, outcome, said)


def settled(path: Path, outcome: str, said: str) -> None:
    """Is the outcome of a file what the entry says?"""
    annotations, problems = check(path)
    texts = [f"{problem.place}: {problem.text}" for problem in problems]
    if outcome == REFUSED:
        assert annotations is None
        (text,) = texts
        assert said in text
        with pytest.raises(PoseUnionError) as caught:
            read_annotations(path)
        assert "\n" not in str(caught.value)
        return
    assert annotations is not None
    planned = plan(annotations)
    complete = len(planned.order) == planned.people
    if outcome == READS:
        assert complete, planned.reasons()
    else:
        assert not complete or any(said in text for text in texts)
        assert not said or any(said in text for text in texts), texts
        assert texts or planned.reasons()
    if path.suffix == ".json" and (fixes := operations(problems)):  # what is patched is mended
        mended = path.with_name("mended.json")
        mended.write_text(json.dumps(apply_patch(json.loads(path.read_text()), fixes)))
        assert not operations(check(mended)[1])


def lines(change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    """Change the first line of a label file."""

    def damage(root: Path) -> None:
        label = root / "labels/train/p0.txt"
        head, *rest = label.read_text().splitlines()
        label.write_text("\n".join([" ".join(change(head.split())), *rest]))

    return damage


def yaml(old: str, new: str) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        path = root / "data.yaml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return damage


def unreadable(root: Path) -> None:
    (root / "images/train/p0.png").write_bytes(b"\x89PNG")


YOLO: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "a value too few": (lines(lambda v: v[:-1]), SAYS, "55 values"),
    "a value too many": (lines(lambda v: [*v, "1"]), SAYS, "57 values"),
    "text": (lines(lambda v: [*v[:-1], "x"]), SAYS, "not a number"),
    "nan": (lines(lambda v: [*v[:6], "nan", *v[7:]]), SAYS, "not finite"),
    "visibility 5": (lines(lambda v: [*v[:-1], "5"]), SAYS, "visibility is not"),
    "class without a name": (lines(lambda v: ["4", *v[1:]]), SAYS, "class 4"),
    "commas": (lines(lambda v: [",".join(v)]), SAYS, "not a number"),
    "no kpt_shape": (yaml("kpt_shape: [17, 3]\n", ""), REFUSED, "none of the known"),
    "kpt_shape in words": (yaml("[17, 3]", "seventeen"), REFUSED, "kpt_shape"),
    "other kpt_shape": (yaml("[17, 3]", "[16, 3]"), REFUSED, "names no keypoints"),
    "pictures elsewhere": (yaml("train: images/train", "train: pictures"), REFUSED, "neither a folder"),
    "names is a number": (yaml("names:\n  0: person\n", "names: 1\n"), REFUSED, "names 1"),
    "tabs in the yaml": (yaml("names:\n  0:", "names:\n\t0:"), REFUSED, "not valid YAML"),
    "an unreadable picture": (unreadable, SAYS, ""),
    "a picture is gone": (lambda root: (root / "images/train/p0.png").unlink(), SAYS, "has no picture"),
}


@pytest.mark.parametrize("name", YOLO)
def test_yolo(name: str, make: Any) -> None:
    damage, outcome, said = YOLO[name]
    path, _ = make("yolo-pose")
    damage(path.parent)
    settled(path, outcome, said)


FILES: dict[str, tuple[bytes, str]] = {
    "empty.json": (b"", "empty"),
    "cut.json": (b'{"images": [', "cut short"),
    "nan.json": (b'{"images": [], "annotations": [{"bbox": [NaN]}], "categories": []}', "NaN"),
    "utf16.json": ('{"images": []}'.encode("utf-16"), "none of the known"),
    "bom.json": (b"\xef\xbb\xbf[]", ""),
    "deep.json": (b"[" * 100_000, "nested"),
    "digits.json": (b"[" + b"9" * 5000 + b"]", "number"),
    "text.json": (b"hello", "not valid JSON"),
    "number.json": (b"3", "none of the known"),
    "zeros.json": (b"\0" * 64, ""),
    "cut.xml": (b"<annotations><version>1.1</version>", "not valid XML"),
    "other.xml": (b"<svg></svg>", ""),
    "cut.yaml": (b"train: [", "not valid YAML"),
    "zip.json": (b"PK\x03\x04", "zip"),
    "people.json": (b'{"version": 1.3, "people": [3]}', "a person is an object"),
    "shapes.json": (b'{"shapes": [{"shape_type": "rectangle", "points": []}]}', "no named points"),
    "tasks.json": (b'[{"data": {}, "annotations": []}]', "no named points"),
}


@pytest.mark.parametrize("name", FILES)
def test_whole_files(name: str, tmp_path: Path) -> None:
    content, said = FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(PoseUnionError) as caught:
        read_annotations(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_there_are_enough_of_them() -> None:
    assert len(COCO) + len(YOLO) + len(FILES) >= 60


def test_pipes_and_folders_end_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "folder/a.png")
    for name in ("pipe.json", "folder", "absent.json", "folder/a.png"):
        with pytest.raises(PoseUnionError) as caught:
            read_annotations(tmp_path / name)
        assert "\n" not in str(caught.value)
    shutil.rmtree(tmp_path / "folder")
