"""Everyone in a file is completed, or passed through whole and named with a reason; no label is invented."""

from __future__ import annotations

import copy
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poseunion.annotate.check.run import check
from poseunion.annotate.extend.plan import plan
from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import read_annotations
from poseunion.annotate.formats.types import ANIMAL, NO_HUMAN_KEYPOINT
from poseunion.models.errors import BadFileError
from poseunion.models.skeleton import load_skeleton

COCO17 = load_skeleton("coco17")


def yolo(root: Path, names: dict[int, str], lines: dict[str, list[int]], pictures: list[str]) -> Path:
    """A YOLO-pose dataset: stem -> the classes of its lines; a label file need not have a picture."""
    yaml = pytest.importorskip("yaml")
    from PIL import Image

    for folder in ("images", "labels"):
        (root / folder).mkdir(exist_ok=True, parents=True)
    for name in pictures:
        Image.new("RGB", (64, 48)).save(root / "images" / f"{name}.png")
    points = " ".join(f"{0.2 + 0.03 * k:.3f} {0.3 + 0.02 * k:.3f} 2" for k in range(17))
    for stem, classes in lines.items():
        (root / "labels" / f"{stem}.txt").write_text("".join(f"{c} .5 .5 .8 .8 {points}\n" for c in classes))
    (root / "data.yaml").write_text(yaml.safe_dump({"train": "images", "kpt_shape": [17, 3], "names": names}))
    return root / "data.yaml"


def test_both_classes_of_a_yolo_dataset_are_completed_and_keep_their_names(tmp_path: Path, fake: Any) -> None:
    path = yolo(tmp_path, {0: "standing", 1: "sitting"}, {"a": [0, 1]}, ["a"])
    extend(read_annotations(path), tmp_path, fake(), tmp_path / "out.json")
    result = json.loads((tmp_path / "out.json").read_text())
    assert [c["name"] for c in result["categories"]] == ["standing", "sitting"]
    assert [a["category_id"] for a in result["annotations"]] == [1, 2]
    assert [a["keypoint_source"].count("human") for a in result["annotations"]] == [17, 17]


def test_a_listed_picture_that_is_missing_gives_no_human_point(tmp_path: Path, fake: Any) -> None:
    path = yolo(tmp_path, {0: "person"}, {"a": [0], "gone": [0]}, ["a"])
    (tmp_path / "train.txt").write_text("./images/a.png\n./images/gone.png\n")
    path.write_text(path.read_text().replace("train: images", "train: train.txt"))
    annotations = read_annotations(path)
    assert (annotations.visibility[1] <= 0).all()
    with pytest.raises(BadFileError, match="1 of 2 persons could not be used"):
        extend(annotations, tmp_path, fake(), tmp_path / "out.json")
    extend(annotations, tmp_path, fake(), tmp_path / "out.json", Options(max_bad=0.5))
    record = json.loads((tmp_path / "out.json").read_text())["annotations"][1]
    assert "human" not in record["keypoint_source"]


def test_a_label_file_without_a_picture_is_named(tmp_path: Path) -> None:
    path = yolo(tmp_path, {0: "person"}, {"a": [0], "b": [0, 0]}, ["a"])
    annotations, problems = check(path)
    assert annotations is not None
    assert plan(annotations).people == 3
    assert any(p.place == "labels/b.txt" and "2 people are not read" in p.text for p in problems)


def test_both_categories_with_the_same_keypoints_are_completed(folder: Any, coco: Any, fake: Any) -> None:
    document = coco(4)
    document["categories"].append({**document["categories"][1], "id": 5, "name": "goalkeeper"})
    document["annotations"][1]["category_id"] = 5
    folder.write(document)
    report = extend(read_annotations(folder.file), folder.images, fake(), folder.out, Options(format="yolo-pose"))
    assert (report.predicted, report.persons) == (4, 4)
    with zipfile.ZipFile(folder.out) as archive:
        lines = [
            line for n in archive.namelist() if n.endswith(".txt") for line in archive.read(n).decode().split("\n")
        ]
    assert sorted(line.split()[0] for line in lines if line) == ["0", "0", "0", "1"]


def test_yolo_holds_a_person_with_a_box_alone_and_no_crowd(folder: Any, coco: Any, fake: Any) -> None:
    document = coco(3, per_image=1)
    document["annotations"][1]["keypoints"] = [0] * 51
    document["annotations"][2]["iscrowd"] = 1
    document["annotations"][0]["bbox"] = [-5, -5, 200, 200]
    folder.write(document)
    report = extend(read_annotations(folder.file), folder.images, fake(), folder.out, Options(format="yolo-pose"))
    assert report.left_out == {"iscrowd": 1}
    with zipfile.ZipFile(folder.out) as archive:
        lines = [archive.read(n).decode().split() for n in archive.namelist() if n.endswith(".txt")]
    assert len(lines) == 2
    assert any(set(line[5:]) == {"0"} for line in lines)
    for line in lines:
        shares = [float(v) for i, v in enumerate(line[1:]) if i < 4 or (i - 4) % 3 < 2]
        assert min(shares) >= 0
        assert max(shares) <= 1


def test_nought_nought_is_no_label_and_nothing_is_derived_from_it(folder: Any, coco: Any, fake: Any) -> None:
    document = coco(1)
    values = document["annotations"][0]["keypoints"] = [20.5, 20.5, 2] * 17
    hip = 3 * COCO17.index("left_hip")
    values[hip : hip + 3] = [0, 0, 2]
    folder.write(document)
    extend(read_annotations(folder.file), folder.images, fake(), folder.out)
    result = folder.result()
    names, record = result["categories"][1]["keypoints"], result["annotations"][0]
    assert record["keypoint_source"][names.index("left_hip")] == "none"
    assert record["keypoint_source"][names.index("pelvis")] != "derived"
    assert record["keypoint_source"][names.index("thorax")] == "derived"


def test_numbers_with_v_0_stay_in_the_record(folder: Any, coco: Any, fake: Any) -> None:
    document = coco(1)
    values = document["annotations"][0]["keypoints"]
    hip = 3 * COCO17.index("left_hip")
    values[hip : hip + 3] = [17.25, 16.5, 0]
    folder.write(document)
    extend(read_annotations(folder.file), folder.images, fake(), folder.out, Options(fill_gaps=True, threshold=0.0))
    record = folder.result()["annotations"][0]
    assert 17.25 in record.get("keypoints_original", record["keypoints"])


def test_an_animal_is_asked_about_and_chosen_by_its_category(folder: Any, coco: Any, fake: Any) -> None:
    document = coco(2)
    document["categories"][1] |= {"name": "macaque", "supercategory": "animal"}
    folder.write(document)
    with pytest.raises(BadFileError, match=r"0 of 2 people .*macaque.*--category"):
        extend(read_annotations(folder.file), folder.images, fake(), folder.out)
    chosen = read_annotations(folder.file, categories=["macaque"])
    assert extend(chosen, folder.images, fake(), folder.out).predicted == 2
    with pytest.raises(BadFileError, match="no category 'x'"):
        read_annotations(folder.file, categories=["x"])


@pytest.mark.parametrize("box", [None, [], [0, 0, 0, 0], [4, 3, 0, 10]])
def test_a_box_that_holds_nothing_is_grown_from_the_joints(box: Any, folder: Any, coco: Any, fake: Any) -> None:
    document = coco(2)
    document["annotations"][0]["bbox"] = box
    folder.write(document)
    assert extend(read_annotations(folder.file), folder.images, fake(), folder.out).predicted == 2
    assert folder.result()["annotations"][0]["bbox"] == box


@pytest.mark.parametrize("of", [str, float, int])
def test_ids_may_be_text_or_floats_and_annotations_without_ids_are_numbered(
    of: Any, folder: Any, coco: Any, fake: Any
) -> None:
    document = coco(3)
    for record in document["annotations"]:
        record["image_id"] = of(record["image_id"])
        del record["id"]
    folder.write(document)
    extend(read_annotations(folder.file), folder.images, fake(), folder.out)
    assert [a["id"] for a in folder.result()["annotations"]] == [1, 2, 3]


def test_an_unnamed_skeleton_is_led_on(folder: Any, coco: Any) -> None:
    document = coco(1)
    document["categories"][1]["keypoints"] = []
    folder.write(document)
    with pytest.raises(BadFileError, match="--skeleton coco17"):
        read_annotations(folder.file)


@settings(max_examples=30, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    kinds=st.lists(st.sampled_from(["person", "crowd", "empty", "dog", "macaque", "goalkeeper", "no box"]), max_size=8)
)
def test_people_in_are_people_out_and_people_named_with_a_reason(
    kinds: list[str], make_folder: Any, coco: Any, fake: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    document = coco(len(kinds) + 1)
    person = document["categories"][1]
    document["categories"] += [{**person, "id": 5, "name": "goalkeeper"}, {**person, "id": 6, "name": "macaque"}]
    for record, kind in zip(document["annotations"], kinds, strict=False):
        record["category_id"] = {"dog": 9, "goalkeeper": 5, "macaque": 6}.get(kind, 4)
        record["iscrowd"] = int(kind == "crowd")
        if kind == "empty":
            record["keypoints"] = [0] * 51
        if kind == "no box":
            del record["bbox"]
    before = copy.deepcopy(document)
    folder = make_folder(tmp_path_factory.mktemp("p")).write(document)
    report = extend(read_annotations(folder.file), folder.images, fake(), folder.out, Options(max_bad=1))
    assert report.persons == len(kinds) + 1 == report.predicted + len(report.bad) + sum(report.passed.values())
    assert report.passed.get(f"{ANIMAL}: macaque", 0) == kinds.count("macaque")
    assert report.passed.get(NO_HUMAN_KEYPOINT, 0) == kinds.count("empty")
    for kind, old, new in zip(kinds, before["annotations"], folder.result()["annotations"], strict=False):
        if kind in ("dog", "macaque"):
            assert new == old


def looks(folder: Any, document: dict[str, Any]) -> str:
    folder.write(document)
    return "; ".join(problem.text for problem in check(folder.file, images=folder.images)[1])


def test_places_that_contradict_their_visibility_are_reported(folder: Any, coco: Any) -> None:
    document = coco(1)
    values = document["annotations"][0]["keypoints"] = [20.5, 20.5, 2] * 17
    values[0:6] = [0, 0, 2, 7, 8, 0]
    found = looks(folder, document)
    assert "nose at (0, 0) with v > 0" in found
    assert "1 keypoints of 1 people have a place but v 0" in found


def test_shares_instead_of_pixels_are_reported(folder: Any, coco: Any) -> None:
    document = coco(1)
    keypoints = [v for k in range(17) for v in (0.2 + 0.02 * k, 0.3 + 0.01 * k, 2)]
    document["annotations"][0] |= {"keypoints": keypoints, "bbox": [0.1, 0.1, 0.5, 0.5]}
    assert "shares instead of pixels" in looks(folder, document)
    assert "shares" not in looks(folder, coco(1))


def test_a_picture_found_under_another_spelling_is_named(folder: Any, coco: Any) -> None:
    folder.write(coco(1))
    document = coco(1)
    name = document["images"][0]["file_name"]
    backslashed = name.upper().replace("/", "\\")
    document["images"][0]["file_name"] = f"C:\\data\\{backslashed}"
    folder.file.write_text(json.dumps(document))
    problems = check(folder.file, images=folder.images)[1]
    assert any(f"is taken to be {name}" in problem.text for problem in problems)


def test_a_box_that_holds_nothing_is_not_said_to_reach_over_the_edge(folder: Any, coco: Any) -> None:
    document = coco(1)
    document["annotations"][0]["bbox"] = []
    assert "over the edge" not in looks(folder, document)
    document["annotations"][0]["bbox"] = [0, 0, 0, 0]
    assert "holds nothing: the crop is made around the joints" in looks(folder, document)


def test_check_names_an_animal_and_the_way_on(folder: Any, coco: Any) -> None:
    document = coco(2)
    document["categories"][1]["name"] = "macaque"
    assert "2 left as they are; --category macaque completes them" in looks(folder, document)
