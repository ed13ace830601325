"""`check` lists everything that is wrong; `show` draws what a file holds."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from poseunion.annotate.check.run import check
from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import read_annotations
from poseunion.annotate.show import overlay_name, show
from poseunion.models.drawing import ROLE_COLOURS
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.images import read_image


def test_good_files_have_nothing_wrong(folder: Any, coco: Any, mpii: Any, fake: Any) -> None:
    for document in (coco(5), mpii(4)):
        folder.out.unlink(missing_ok=True)
        folder.write(document)
        found = check(folder.file, images=folder.images)[1]
        assert [p for p in found if "left/right swap" not in p.text] == []  # its people are points thrown at random
        extend(read_annotations(folder.file), folder.images, fake(), folder.out)
        assert [p for p in check(folder.out, images=folder.images)[1] if p.fatal] == []


def test_everything_wrong_is_listed_with_its_place(folder: Any, coco: Any) -> None:
    document = coco(6)
    people = document["annotations"]
    people[0]["keypoints"][2] = 7
    people[1]["id"] = people[0]["id"]
    people[2]["image_id"] = "nowhere"
    people[3]["bbox"] = [500, 3, 4, 4]
    people[4]["keypoints"][:3] = [63.5, 99, 2]
    people[4]["num_keypoints"] = 3
    people[5]["keypoints"] = people[5]["keypoints"][:-1]
    folder.write(document)
    (folder.images / "sub/p0.png").unlink()
    document["images"][1]["width"] = 99
    folder.write(document, pictures=False)
    annotations, problems = check(folder.file, images=folder.images)
    assert annotations is not None
    found = [(p.place, p.text, p.fatal) for p in problems]
    for place, text, fatal in [
        ("annotations[0] (id 7000)", "nose has visibility 7", True),
        ("annotations[1] (id 7000)", "stands twice", True),
        ("annotations[2] (id 6994)", "'nowhere' is not among the images", True),
        ("annotations[3] (id 6991)", "bbox outside the picture", False),
        ("annotations[4] (id 6988)", "nose outside the picture", False),
        ("annotations[4] (id 6988)", "num_keypoints is 3", False),
        ("annotations[5] (id 6985)", "50 keypoint numbers", True),
        ("image 900", "does not exist", True),
        ("image 899", "stated is 99x48", True),
    ]:
        assert any((place, fatal) == (p, f) and text in t for p, t, f in found), (place, text, found)
    assert len(found) == 9


def test_an_extended_record_that_contradicts_itself(folder: Any, coco: Any, fake: Any) -> None:
    folder.write(coco(4))
    extend(read_annotations(folder.file), folder.images, fake(), folder.out)
    document = folder.result()
    people = document["annotations"]
    people[0]["keypoint_source"][0] = "none"
    people[1]["keypoint_source"].pop()
    people[2]["keypoint_source"][0] = "guess"
    people[3]["proposals"][0]["name"] = "tail"
    folder.file = folder.root / "bad.json"
    folder.write(document, pictures=False)
    texts = [p.text for p in check(folder.file)[1] if p.fatal]
    assert len(texts) == 4
    for text in ("nose has source 'none' but a point", "21 entries", "'guess'", "names no keypoint"):
        assert any(text in t for t in texts)


def test_a_file_of_which_nothing_can_be_read(folder: Any) -> None:
    folder.file.write_text("{")
    annotations, problems = check(folder.file)
    assert annotations is None
    assert len(problems) == 1
    assert problems[0].fatal


def test_overlays_hold_white_human_and_red_proposed_points(folder: Any, coco: Any, fake: Any) -> None:
    document = coco(1)
    document["images"][0].update(width=400, height=300)
    document["annotations"][0].update(bbox=[40, 30, 300, 240], keypoints=[200, 60, 2] + [0] * 48)
    folder.write(document)
    extend(read_annotations(folder.file), folder.images, fake(), folder.out)
    report = show(read_annotations(folder.out), folder.images, folder.root / "overlays")
    assert report.bad == []
    drawn = read_image(report.written[0])
    assert drawn.shape == (300, 400, 3)

    def near(x: float, y: float, role: str) -> float:
        pixel = drawn[round(y), round(x)].astype(float)
        return float(np.abs(pixel - ROLE_COLOURS[role]).max())

    assert near(200, 60, "human") < 60
    surest = max(folder.result()["annotations"][0]["proposals"], key=lambda p: p["confidence"])
    assert near(surest["x"], surest["y"], "proposed") < 60


def test_show_skips_bad_pictures_and_takes_plain_files(folder: Any, coco: Any) -> None:
    folder.write(coco(6))
    (folder.images / "sub/p1.png").write_bytes(b"")
    annotations = read_annotations(folder.file)
    report = show(annotations, folder.images, folder.root / "overlays")
    assert len(report.written) == 2
    assert [name for name, _ in report.bad] == ["sub/p1.png"]
    assert len(show(annotations, folder.images, folder.root / "one", limit=1).written) == 1


def test_overlays_never_replace_the_pictures(folder: Any, coco: Any) -> None:
    folder.write(coco(2))
    before = {path: path.read_bytes() for path in folder.images.rglob("*.png")}
    annotations = read_annotations(folder.file)
    for out in (folder.images, folder.root / "." / "images", folder.file):
        with pytest.raises(BadArgumentError, match=r"another folder|is a file"):
            show(annotations, folder.images, out)
    assert {path: path.read_bytes() for path in folder.images.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: r.update(keypoint_source=[]), "keypoint_source does not have 21 entries"),
        (lambda r: r["keypoint_source"].__setitem__(2, [[]]), "keypoint_source holds"),
        (lambda r: r["keypoint_confidence"].__setitem__(2, "x"), "keypoint_confidence holds"),
        (lambda r: r.update(proposals=7), "proposals is not a list of objects"),
        (lambda r: r["proposals"].__setitem__(0, [1]), "proposals is not a list of objects"),
        (lambda r: r["proposals"][0].update(name=[1]), "names no keypoint"),
        (lambda r: r["proposals"][0].update(x="far"), "has no numbers x, y and confidence"),
        (lambda r: r["proposals"][0].pop("accepted"), "does not state whether it was accepted"),
    ],
)
def test_a_damaged_extended_record_is_said(damage: Any, message: str, folder: Any, coco: Any, fake: Any) -> None:
    folder.write(coco(1))
    extend(read_annotations(folder.file), folder.images, fake(), folder.out)
    document = folder.result()
    damage(document["annotations"][0])
    folder.out.write_text(json.dumps(document))
    with pytest.raises(BadFileError, match=message):
        show(read_annotations(folder.out), folder.images, folder.root / "overlays", rejected=True)
    assert message in check(folder.out)[1][0].text


def test_of_mpiis_own_file_its_own_joints_are_shown(folder: Any, mpii: Any, fake: Any) -> None:
    folder.write(mpii(2))
    extend(read_annotations(folder.file), folder.images, fake(), folder.out, Options(format="mpii"))
    report = show(read_annotations(folder.out), folder.images, folder.root / "overlays", rejected=True)
    assert len(report.written) == 1
    assert report.bad == []


def test_a_foreign_field_of_the_same_name_is_none_of_ours(folder: Any, coco: Any) -> None:
    document = coco(1)
    document["annotations"][0]["proposals"] = 7
    folder.write(document)
    assert show(read_annotations(folder.file), folder.images, folder.root / "overlays").bad == []


@pytest.mark.parametrize("name", ["../../x.png", "/etc/x", "..", "a/../b.jpg", "..\\x.png"])
def test_an_overlay_stays_in_its_folder(name: str) -> None:
    flat = overlay_name(name)
    assert "/" not in flat
    assert "\\" not in flat
    assert flat.strip(".")


def test_a_poseunion_block_that_describes_no_skeleton(folder: Any, coco: Any) -> None:
    document = coco(1)
    document["poseunion"] = {"skeleton": {"name": "x"}}
    folder.write(document, pictures=False)
    with pytest.raises(BadFileError, match="does not describe a skeleton"):
        read_annotations(folder.file)
