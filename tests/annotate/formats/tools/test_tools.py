"""Labelling tools' files beside the plain case: several people, points of no person, broken neighbours."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from poseunion.annotate.formats import FORMATS, read_annotations
from poseunion.annotate.formats.tools import label_studio_write
from poseunion.annotate.formats.tools.cvat_xml import TRACK
from poseunion.annotate.formats.tools.label_studio import NO_OWNER, OTHER_ANNOTATOR, picture_name
from poseunion.annotate.formats.types import Problem
from poseunion.models.errors import BadFileError
from poseunion.models.files import atomic_writer
from poseunion.models.picture_paths import picture_path
from poseunion.models.skeleton import load_skeleton

COCO = load_skeleton("coco17")


def rewritten(path: Path, change: Any) -> Path:
    """`path` with its document changed in place."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


def written(kit: SimpleNamespace, source: Path, output: str, folder: Path) -> tuple[Path, dict[str, int] | None]:
    annotations = read_annotations(source)
    out: Path = kit.written_name(folder, output)
    with atomic_writer(out) as file:
        left = FORMATS[annotations.format].writers[output](file, annotations, kit.nothing_added(annotations))
    return kit.unpacked(out), left


def test_label_studio_without_parents_goes_by_the_rectangle_around(make: Any) -> None:
    def apart(tasks: list[Any]) -> None:
        task = tasks[1]  # one person
        for item in task["annotations"][0]["result"]:
            item.pop("parentID", None)

    path, wanted = make("label-studio")
    annotations = read_annotations(rewritten(path, apart))
    assert len(annotations) == len(wanted.state)
    assert (annotations.visibility == 2).all()


def test_label_studio_keypoints_that_fit_nobody_are_counted(make: Any) -> None:
    def orphan(tasks: list[Any]) -> None:
        for item in tasks[0]["annotations"][0]["result"][1:3]:
            item["parentID"] = "gone"

    problems: list[Problem] = []
    annotations = read_annotations(rewritten(make("label-studio")[0], orphan), report=problems.append)
    assert annotations.unread == {NO_OWNER: 1}
    assert sum("belongs to no rectangle" in problem.text for problem in problems) == 2


def test_label_studio_reads_one_annotator_and_counts_the_others(make: Any) -> None:
    def twice(tasks: list[Any]) -> None:
        first = tasks[0]["annotations"][0]
        tasks[0]["annotations"] = [{**first, "was_cancelled": True}, first, {**first, "result": first["result"]}]

    annotations = read_annotations(rewritten(make("label-studio")[0], twice))
    assert len(annotations) == 3
    assert annotations.unread == {OTHER_ANNOTATOR: 4}
    assert annotations.records[0]["annotation"] == 1


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"image": "/data/local-files/?d=set/a%20b.jpg"}, "set/a b.jpg"),
        ({"img": "s3://bucket/x/y.png"}, "x/y.png"),
        ({"image": "/data/upload/3/0123abcd-a.jpg"}, "data/upload/3/0123abcd-a.jpg"),
        ({"image": "C:\\pictures\\a.jpg"}, "C:\\pictures\\a.jpg"),
        ({"image": "a#1.jpg"}, "a#1.jpg"),
        ({"n": 3}, ""),
    ],
)
def test_label_studio_pictures(data: dict[str, Any], name: str) -> None:
    assert picture_name(data) == name


def test_an_uploaded_picture_is_found_by_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert picture_path(tmp_path, "data/upload/3/0123abcd-a.jpg") == tmp_path / "a.jpg"


def test_label_studio_interface_names_every_keypoint() -> None:
    config = label_studio_write.labelling_config(COCO)
    assert all(f'<Label value="{name}" model_index="{k}"/>' in config for k, name in enumerate(COCO.keypoints))


def test_openpose_derives_its_own_midpoints(kit: SimpleNamespace, make: Any, tmp_path: Path) -> None:
    path, wanted = make("coco")
    pages, left = written(kit, path, "openpose", tmp_path / "o")
    assert left is None
    after = read_annotations(pages)
    assert (after.visibility[:, : len(load_skeleton("openpose18"))] == 2).sum() == 3 * 18
    shoulders = [COCO.index("left_shoulder"), COCO.index("right_shoulder")]
    np.testing.assert_array_equal(after.xy[:, 1], wanted.xy[:, shoulders].mean(1))
    own = [after.skeleton.index(name) for name in COCO.keypoints]
    np.testing.assert_array_equal(after.xy[:, own], wanted.xy)


def test_openpose_says_which_points_have_no_place(kit: SimpleNamespace, make: Any, tmp_path: Path) -> None:
    _, left = written(kit, make("mpii")[0], "openpose", tmp_path / "o")
    assert left == {"points that BODY_25 does not have": 6}  # upper_neck and head_top of three people


def test_two_pictures_of_one_stem_are_no_openpose_folder(kit: SimpleNamespace, make: Any, tmp_path: Path) -> None:
    def same(document: dict[str, Any]) -> None:
        document["images"][0]["file_name"] = "p1.jpg"

    with pytest.raises(BadFileError, match=r"share the file p1_keypoints\.json"):
        written(kit, rewritten(make("coco")[0], same), "openpose", tmp_path / "o")


@pytest.mark.parametrize("name", ["labelme", "openpose"])
def test_a_broken_file_in_a_folder_is_not_passed_over(name: str, make: Any) -> None:
    folder, _ = make(name)
    (folder / "broken.json").write_text('{"shapes": [')
    with pytest.raises(BadFileError, match=r"broken\.json"):
        read_annotations(folder)
    problems: list[Problem] = []
    assert len(read_annotations(folder, report=problems.append)) == 3
    assert [p.place for p in problems if p.fatal] == ["broken.json"]


@pytest.mark.parametrize("name", ["labelme", "openpose"])
def test_a_folder_is_summed_over_all_of_its_files(name: str, make: Any) -> None:
    folder, _ = make(name)
    before = read_annotations(folder).source.sha256
    last = max(folder.iterdir())
    last.write_text(last.read_text() + "\n")
    assert read_annotations(folder).source.sha256 != before


def test_labelme_points_without_a_group_of_two_people_are_listed(make: Any) -> None:
    def ungrouped(page: dict[str, Any]) -> None:
        for shape in page["shapes"]:
            shape["group_id"] = None

    folder, wanted = make("labelme")
    path = rewritten(folder / "p0.json", ungrouped)
    problems: list[Problem] = []
    annotations = read_annotations(path, None, COCO, problems.append)
    placed = int((annotations.visibility > 0).sum())
    assert placed + len(problems) == int((wanted.state[:2] > 0).sum())
    assert annotations.unread == {NO_OWNER: 1}


def test_a_dog_is_no_person_and_a_foreign_point_is_listed(make: Any) -> None:
    def more(page: dict[str, Any]) -> None:
        page["shapes"].append({"label": "dog", "shape_type": "rectangle", "points": [[1, 2], [30, 40]]})
        page["shapes"].append({"label": "tail", "shape_type": "point", "points": [[1, 2]], "group_id": 0})

    folder, _ = make("labelme")
    rewritten(folder / "p0.json", more)
    problems: list[Problem] = []
    annotations = read_annotations(folder, report=problems.append)
    assert len(annotations) == 4
    assert [reason.split(":")[1] for reason in annotations.skip.values()] == [" dog"]
    assert any("tail is no keypoint of coco17" in problem.text for problem in problems)


def test_cvat_tracks_are_counted(make: Any) -> None:
    path, _ = make("cvat-xml")
    track = '<track id="0" label="person"><skeleton frame="0"/></track></annotations>'
    path.write_text(path.read_text().replace("</annotations>", track))
    assert read_annotations(path).unread == {TRACK: 1}


def test_a_file_of_cvat_tracks_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "video.xml"
    point = '<points label="nose" outside="0" occluded="0" keyframe="1" points="1,2"/>'
    skeleton = f'<skeleton frame="0" keyframe="1">{point}</skeleton>'
    path.write_text(f'<annotations><version>1.1</version><track id="0" label="person">{skeleton}</track></annotations>')
    with pytest.raises(BadFileError, match=r"tracks of a video, .* export the task from CVAT as"):
        read_annotations(path)


@pytest.mark.parametrize("head", ["<!DOCTYPE a [<!ENTITY b 'c'>]>", "<!DOCTYPE html>"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_with_entities_is_refused(head: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(f"<?xml version='1.0'?>{head}<annotations>&b;</annotations>".encode(encoding))
    with pytest.raises(BadFileError, match=r"DOCTYPE|is XML"):
        read_annotations(path)


def test_xml_nested_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text("<annotations>" + "<image>" * 100_000)
    with pytest.raises(BadFileError, match="nested"):
        read_annotations(path)


def test_wholebody_in_one_list_of_133(kit: SimpleNamespace, make: Any, tmp_path: Path) -> None:
    def joined(document: dict[str, Any]) -> None:
        names = [*COCO.keypoints, *(f"more_{k}" for k in range(116))]
        document["categories"][0] |= {"keypoints": names, "skeleton": []}
        for record in document["annotations"]:
            record["keypoints"] += [1.5, 2.5, 1] * 116
            record.pop("foot_kpts")

    path, wanted = make("wholebody")
    annotations = read_annotations(rewritten(path, joined))
    assert annotations.format == "wholebody"
    assert annotations.xy.tolist() == wanted.xy.tolist()
    out, _ = written(kit, path, "coco", tmp_path / "o")
    document = json.loads(out.read_text())
    assert len(document["annotations"][0]["keypoints_original"]) == 399
    assert len(document["categories"][0]["keypoints_original"]) == 133
    assert not zipfile.is_zipfile(out)
