"""The known faults: each is found, what can be mended becomes a patch, and only a copy is ever changed."""

from __future__ import annotations

import contextlib
import copy
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from poseunion.annotate import left_right_geometry
from poseunion.annotate.check.json_patch import (
    apply_file,
    apply_patch,
    operations,
    pointer,
    remove,
    replace,
    write_patch,
)
from poseunion.annotate.check.run import check
from poseunion.annotate.cli import main as cli
from poseunion.annotate.formats import Problem
from poseunion.annotate.formats.matlab import save_mat, struct_array
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.skeleton import load_skeleton

COCO = load_skeleton("coco17")
# Somebody who faces the camera: his left is to the right of the picture.
STANDING = {
    "nose": (50, 10),
    "eye": (4, 8),
    "ear": (8, 10),
    "shoulder": (15, 25),
    "elbow": (20, 40),
    "wrist": (22, 52),
    "hip": (10, 60),
    "knee": (11, 80),
    "ankle": (12, 98),
}


def standing(scale: float = 1.0, x: float = 0.0) -> list[Any]:
    """COCO triples of somebody who faces the camera."""
    triples: list[Any] = []
    for name in COCO.keypoints:
        side, _, part = name.rpartition("_")
        away, y = STANDING[part]
        px = 50 if not side else 50 + (away if side == "left" else -away)
        triples += [px * scale + x, y * scale, 2]
    return triples


def document(people: list[dict[str, Any]], width: int = 200, height: int = 120) -> dict[str, Any]:
    records = []
    for i, person in enumerate(people):
        base = {"id": i + 1, "image_id": 1, "category_id": 1, "bbox": [20, 2, 60, 110], "keypoints": standing()}
        records.append({**base, **person})
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "width": width, "height": height}],
        "annotations": records,
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.keypoints)}],
    }


def written(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(content))
    return path


def found(path: Path, **options: Any) -> list[Problem]:
    return check(path, **options)[1]


def mended(path: Path, problems: list[Problem]) -> Any:
    return apply_patch(json.loads(path.read_text()), operations(problems))


def test_a_wrong_count_is_mended(tmp_path: Path) -> None:
    path = written(tmp_path, document([{"num_keypoints": 3}]))
    problems = found(path)
    assert [p.text for p in problems] == ["num_keypoints is 3, 17 are labelled"]
    assert mended(path, problems)["annotations"][0]["num_keypoints"] == 17


def test_halpes_count_is_of_all_its_keypoints(kit: SimpleNamespace, tmp_path: Path) -> None:
    sample = kit.SAMPLES["halpe"]
    k = len(load_skeleton("halpe26"))
    xy, state = np.full((2, k, 2), 10.0), np.full((2, k), 2)
    path = sample.write(tmp_path, kit.People("halpe26", xy, state, [0, 1]))
    problems = [p for p in found(path) if "num_keypoints" in p.text]
    assert [p.text for p in problems] == ["num_keypoints is 3, 96 are labelled"] * 2
    assert [a["num_keypoints"] for a in mended(path, problems)["annotations"]] == [96, 96]


def test_a_box_over_the_edge_is_cut_one_outside_is_left_to_people(tmp_path: Path) -> None:
    boxes = [[-10, 2, 80, 110], [150, 20, 80, 50.5], [300, 1, 5, 5], [-0.5, -1, 200.5, 121]]
    people = [{"bbox": box, "keypoints": standing(x=20 * i)} for i, box in enumerate(boxes)]
    path = written(tmp_path, document(people))
    problems = [p for p in found(path) if "the picture of" in p.text]
    assert [(p.place, bool(p.fix)) for p in problems] == [
        ("annotations[0] (id 1)", True),
        ("annotations[1] (id 2)", True),
        ("annotations[2] (id 3)", False),
    ]
    after = [a["bbox"] for a in mended(path, problems)["annotations"]]
    assert after == [[0, 2, 70, 110], [150, 20, 50, 50.5], *boxes[2:]]


def test_a_person_labelled_twice(tmp_path: Path) -> None:
    near = [v + 0.4 if i % 3 < 2 else v for i, v in enumerate(standing())]
    people: list[dict[str, Any]] = [
        {},
        {"note": "x"},
        {"keypoints": near},
        {"bbox": [1, 2, 3, 4]},
        {"keypoints": standing(0.5)},
        {},
    ]
    path = written(tmp_path, document(people))
    problems = found(path)
    same = [p for p in problems if p.text == "has the same points as annotations[0] (id 1)"]
    assert [p.place[-2] for p in same] == ["2", "4", "6"]
    assert [bool(p.fix) for p in same] == [True, False, True]  # another box: which one is right?
    maybe = [p.place[-2] for p in problems if "may be the person of" in p.text]
    assert maybe == ["3"]
    assert [a["id"] for a in mended(path, problems)["annotations"]] == [1, 3, 4, 5]


@pytest.mark.parametrize(
    ("exchanged", "said"),
    [
        ((), None),
        (("shoulder",), "of the shoulders"),
        (("hip",), "of the hips"),
        (("eye", "ear"), "of the face"),
        (("knee", "ankle"), "of the legs"),
        (("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"), "altogether"),
    ],
)
def test_left_and_right_exchanged_are_suspected(exchanged: tuple[str, ...], said: str | None, tmp_path: Path) -> None:
    values = standing()
    for part in exchanged:
        a, b = (3 * COCO.index(f"{side}_{part}") for side in ("left", "right"))
        values[a : a + 3], values[b : b + 3] = values[b : b + 3], values[a : a + 3]
    problems = found(written(tmp_path, document([{"keypoints": values}])))
    assert len(problems) == (said is not None)
    for problem in problems:
        assert str(said) in problem.text
        assert not problem.fatal
        assert problem.fix == ()


@given(angle=st.floats(0, 6.3), scale=st.floats(0.1, 30))
@settings(max_examples=25)
def test_a_turned_person_is_not_suspected(angle: float, scale: float) -> None:
    points = np.array(standing()).reshape(-1, 3)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert left_right_geometry.suspicion(COCO, points[:, :2] @ turn.T * scale, points[:, 2].astype(np.int8)) is None


def turned_picture(folder: Path, orientation: int = 6) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    folder.mkdir(exist_ok=True)
    Image.new("RGB", (120, 200)).save(folder / "a.jpg", exif=exif)  # stored 120x200, shown 200x120


def test_a_picture_turned_by_its_exif(tmp_path: Path) -> None:
    turned_picture(tmp_path / "images")
    path = written(tmp_path, document([{}]))
    problems = found(path, images=tmp_path / "images")
    assert len(problems) == 1
    assert "turned by its EXIF: stored 120x200, upright 200x120" in problems[0].text
    assert "the upright frame" in problems[0].text
    assert not problems[0].fix
    people = [{"keypoints": standing(x=100), "bbox": [101, 2, 60, 110]}]
    path = written(tmp_path, document(people, width=120, height=200))  # labelled upright, but the stored size stated
    problems = [p for p in found(path, images=tmp_path / "images") if "EXIF" in p.text]
    assert "outside the stated 120x200, but inside the other frame" in problems[0].text
    image = mended(path, problems)["images"][0]
    assert (image["width"], image["height"]) == (200, 120)
    assert not [p for p in found(written(tmp_path, mended(path, problems))) if "outside" in p.text]


def test_mpii_json_against_the_mat(kit: SimpleNamespace, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    xy, state = rng.integers(80, 600, (4, 16, 2)) / 16, np.full((4, 16), 2)
    state[1, 3] = state[2, 0] = 1
    state[3] = 2
    full = kit.People("mpii16", xy, state, [0, 0, 1, 1])
    mat = kit.SAMPLES["mpii-mat"].write(tmp_path, full)
    records = json.loads(kit.SAMPLES["mpii"].write(tmp_path, full).read_text())
    variables = kit.mpii_release(full)
    for i, record in enumerate(records):  # people are told by centre and scale
        rect = variables["RELEASE"][0, 0]["annolist"][0, i // 2]["annorect"][0, i % 2]
        rect["objpos"] = struct_array([{"x": 20.0 + 9 * i, "y": 25.0}])
        record["center"] = [20.0 + 9 * i, 25.0]
    with mat.open("wb") as file:
        save_mat(file, variables)
    whole = copy.deepcopy(records)
    for record, joint in ((records[1], 3), (records[2], 0), (records[2], 5)):
        record["joints"][joint], record["joints_vis"][joint] = [-1.0, -1.0], 0
    records[0]["joints"][7] = [records[0]["joints"][7][0] + 3, records[0]["joints"][7][1] + 4]
    records[0]["joints_vis"][2] = 0
    records[3]["center"] = [55.0, 55.0]
    path = written(tmp_path, records)
    problems = [p for p in found(path, reference=mat) if "swap" not in p.text]
    assert sorted(p.text for p in problems) == sorted(
        [
            "left_hip was dropped: the .mat has it, occluded",
            "right_ankle was dropped: the .mat has it, occluded",
            "left_ankle was dropped: the .mat has it, visible",
            "thorax lies 5.0 px from where the .mat has it",
            "visibility differs from the .mat's: right_hip",
            f"no person of {mat.name} has its picture, centre and scale",
        ]
    )
    after = mended(path, problems)
    assert [r["joints"] for r in after[1:3]] == [r["joints"] for r in whole[1:3]]
    assert [r["joints_vis"] for r in after[1:3]] == [r["joints_vis"] for r in whole[1:3]]
    assert after[0] == records[0]
    with pytest.raises(BadArgumentError, match="cannot be compared"):
        check(mat, reference=mat)


def test_a_patch_never_touches_a_file_that_is_there(tmp_path: Path) -> None:
    path = written(tmp_path, document([{"num_keypoints": 3}, {}]))
    before = path.read_bytes()
    patch, out = tmp_path / "p.json", tmp_path / "out.json"
    assert write_patch(patch, found(path), path) == 2
    steps = json.loads(patch.read_text())
    assert [s["op"] for s in steps] == ["test", "replace", "test", "remove"]
    assert all(s["reason"].startswith("annotations[") for s in steps)
    assert apply_file(path, patch, out) == 4
    assert path.read_bytes() == before
    assert found(out) == []
    for again in (lambda: write_patch(patch, [], path), lambda: apply_file(path, patch, out)):
        with pytest.raises(BadFileError, match="exists"):
            again()
    with pytest.raises(BadFileError, match="does not fit"):
        apply_file(out, patch, tmp_path / "twice.json")
    assert not (tmp_path / "twice.json").exists()
    with pytest.raises(BadArgumentError, match="mends JSON files"):
        write_patch(tmp_path / "q.json", [], tmp_path / "joints.mat")


@pytest.mark.parametrize(
    "step",
    [
        3,
        {"op": "move", "path": "/a"},
        {"op": "remove", "path": "a"},
        {"op": "remove", "path": "/zz"},
        {"op": "remove", "path": "/list/9"},
        {"op": "replace", "path": "/list/-1", "value": 1},
        {"op": "test", "path": "/one", "value": True},
        {"op": "remove", "path": "/one/two"},
    ],
)
def test_a_step_that_does_not_fit_changes_nothing(step: Any) -> None:
    content = {"list": [1, 2], "one": 1}
    steps: list[Any] = [{"op": "replace", "path": "/one", "value": 5}, step]
    with pytest.raises(BadFileError):
        apply_patch(content, steps)
    assert content == {"list": [1, 2], "one": 1}


def test_steps_of_rfc_6902() -> None:
    steps: list[dict[str, Any]] = [
        {"op": "test", "path": "/a~1b/0", "value": 1.0},
        {"op": "add", "path": "/a~1b/-", "value": 3},
        {"op": "add", "path": "/a~1b/0", "value": 0},
        {"op": "add", "path": "/new", "value": {"x": 1}},
        {"op": "remove", "path": "/m~0n"},
    ]
    assert apply_patch({"a/b": [1, 2], "m~n": 0}, steps) == {"a/b": [0, 1, 2, 3], "new": {"x": 1}}
    assert pointer("a/b", 0, "m~n") == "/a~1b/0/m~0n"


@given(
    items=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    gone=st.sets(st.integers(0, 5)),
    changed=st.integers(0, 5),
)
def test_removals_do_not_shift_other_steps(items: list[int], gone: set[int], changed: int) -> None:
    gone = {index for index in gone if index < len(items)}
    content = {"list": [{"v": v} for v in items]}
    problems = [Problem("p", "t", False, remove(pointer("list", i), {"v": items[i]})) for i in sorted(gone)]
    if changed < len(items):
        problems.append(Problem("p", "t", False, replace(pointer("list", changed, "v"), items[changed], 77)))
    wanted = [{"v": 77 if i == changed else v} for i, v in enumerate(items) if i not in gone]
    assert apply_patch(content, operations(problems))["list"] == wanted


def test_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    path = written(tmp_path, document([{"num_keypoints": 3}]))
    patch, out = tmp_path / "p.json", tmp_path / "out.json"

    def call(*words: Any) -> str:
        monkeypatch.setattr(sys, "argv", ["annotate", *map(str, words)])
        with contextlib.suppress(SystemExit):
            cli.main()
        return str(capsys.readouterr().out)

    assert "mends 1 of 1" in call("check", path, "--patch", patch)
    assert "2 operations applied" in call("apply-patch", path, patch, "--out", out)
    said = json.loads(call("check", out, "--json", "--patch", tmp_path / "q.json"))
    assert (said["problems"], said["mended"]) == ([], 0)
