"""However a file spells names, boxes, ids, paths and classes: people in = people out + people named with a reason.

Each variant is made at random; the number of its people is counted here, from what was made, and not by any reader.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import read_annotations
from poseunion.annotate.formats.keypoint_spelling import canonical
from poseunion.models.errors import BadFileError
from poseunion.models.skeleton import load_skeleton

COCO17 = load_skeleton("coco17")
VARIANTS = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


# Ways to write a keypoint's name.
SPELLINGS: dict[str, Callable[[str], str]] = {
    "own": str,
    "upper": str.upper,
    "dash": lambda n: n.replace("_", "-"),
    "space": lambda n: n.replace("_", " ").title(),
    "camel": camel,
    "letter": lambda n: n.replace("left_", "L_").replace("right_", "R_"),
    "side last": lambda n: "_".join([*n.split("_")[1:], n.split("_")[0]]) if n[:4] in ("left", "righ") else n,
}
# Ways to write an id, of both sides of the reference.
IDS: dict[str, tuple[Callable[[int], Any], Callable[[int], Any]]] = {
    "numbers": (int, int),
    "text": (str, str),
    "text and numbers": (int, str),
    "floats": (float, int),
    "numbers and floats": (int, float),
}
# Ways to write a picture's path.
PATHS: dict[str, Callable[[str], str]] = {
    "own": str,
    "backslash": lambda p: p.replace("/", "\\"),
    "foreign": lambda p: f"/home/me/data/{p}",
    "windows": lambda p: "D:\\sets\\" + p.replace("/", "\\"),
    "upper": str.upper,
    "ending": lambda p: p.rsplit(".", 1)[0] + ".jpeg",
    "percent": lambda p: p.replace("p", "%70"),
}
BOXES: dict[str, Callable[[Any], Any]] = {
    "own": lambda box: box,
    "none": lambda _: None,
    "empty": lambda _: [],
    "zeros": lambda _: [0, 0, 0, 0],
    "flat": lambda box: [box[0], box[1], box[2], 0],
    "over the edge": lambda box: [-20.5, -3, 900, 900],
    "outside": lambda _: [-50, -50, 20, 20],
}
CATEGORIES = {"person": 4, "dog": 9, "goalkeeper": 5, "macaque": 6, "unknown": 77}


def one_sentence(error: BadFileError) -> None:
    assert "\n" not in str(error)
    assert len(str(error)) > 30


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_the_same_name(spelling: str) -> None:
    for name in COCO17.keypoints:
        assert canonical(SPELLINGS[spelling](name)) == canonical(name)


@VARIANTS
@given(
    people=st.lists(
        st.tuples(st.sampled_from(list(CATEGORIES)), st.sampled_from(list(BOXES)), st.integers(0, 17), st.booleans()),
        min_size=1,
        max_size=6,
    ),
    spelling=st.sampled_from(list(SPELLINGS)),
    ids=st.sampled_from(list(IDS)),
    path=st.sampled_from(list(PATHS)),
    output=st.sampled_from(["coco", "yolo-pose", "datumaro", "label-studio", "openpose", "coco-results"]),
)
def test_coco(
    people: list[tuple[str, str, int, bool]],
    spelling: str,
    ids: str,
    path: str,
    output: str,
    make_folder: Any,
    coco: Any,
    fake: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    document = coco(len(people), per_image=1)
    person = document["categories"][1]
    person["keypoints"] = [SPELLINGS[spelling](name) for name in person["keypoints"]]
    document["categories"] += [{**person, "id": 5, "name": "goalkeeper"}, {**person, "id": 6, "name": "macaque"}]
    for record, (category, box, labelled, crowd) in zip(document["annotations"], people, strict=True):
        record |= {"category_id": CATEGORIES[category], "iscrowd": int(crowd)}
        record["bbox"] = BOXES[box](record["bbox"])
        record["keypoints"] = record["keypoints"][: 3 * labelled] + [0] * (51 - 3 * labelled)
    folder = make_folder(tmp_path_factory.mktemp("c")).write(document)
    # The pictures lie where they lay: only what the file says of them changes.
    of_image, of_record = IDS[ids]
    for image in document["images"]:
        image |= {"id": of_image(image["id"]), "file_name": PATHS[path](image["file_name"])}
    for record in document["annotations"]:
        record["image_id"] = of_record(record["image_id"])
    folder.file.write_text(json.dumps(document))
    out = folder.out.with_suffix(".json" if output not in ("yolo-pose", "openpose") else ".zip")
    try:
        report = extend(read_annotations(folder.file), folder.images, fake(), out, Options(format=output, max_bad=1.0))
    except BadFileError as error:
        one_sentence(error)
        assert not out.exists()
        # Nothing was to be completed: that is the one reason to refuse such a file.
        assert all(c in ("dog", "macaque", "unknown") or crowd or not n for c, _, n, crowd in people)
        return
    assert report.persons == len(people) == report.predicted + len(report.bad) + sum(report.passed.values())
    written = people_of(out, output)
    left = sum(n for reason, n in report.left_out.items() if not reason.startswith("points"))
    assert written + left == len(people), (report.left_out, report.passed)


def people_of(out: Path, output: str) -> int:
    """People of a written file, counted without any reader of ours."""
    if output == "yolo-pose":
        with zipfile.ZipFile(out) as archive:
            texts = [archive.read(n).decode() for n in archive.namelist() if n.endswith(".txt")]
        return sum(len(text.splitlines()) for text in texts)
    if output == "openpose":
        with zipfile.ZipFile(out) as archive:
            return sum(len(json.loads(archive.read(n))["people"]) for n in archive.namelist())
    document = json.loads(out.read_text())
    if output == "coco":
        return len(document["annotations"])
    if output == "coco-results":
        return len(document)
    if output == "datumaro":
        return sum(len(item["annotations"]) for item in document["items"])
    regions = [r for task in document for a in task["annotations"] for r in a["result"]]
    return len({r.get("parentID", r["id"]) for r in regions})


YOLO_LINES = {
    "person": "0 .5 .5 .8 .8 " + " ".join(f"{0.2 + 0.03 * k:.3f} {0.3 + 0.02 * k:.3f} 2" for k in range(17)),
    "sitting": "1 .5 .5 .7 .8 " + " ".join(f"{0.2 + 0.03 * k:.3f} {0.3 + 0.02 * k:.3f} 1" for k in range(17)),
    "dog": "2 .5 .5 .6 .8 " + "0 0 0 " * 17,
    "box": "0 .5 .5 .5 .8 " + "0 0 0 " * 17,
    "no such class": "7 .5 .5 .4 .8 " + ".5 .5 2 " * 17,
}


@VARIANTS
@given(
    pictures=st.lists(
        st.tuples(
            st.lists(st.sampled_from(list(YOLO_LINES)), max_size=3),
            st.sampled_from(["there", "missing", "unlisted"]),
            st.sampled_from(["images/{}.png", "./images/{}.png", "data/images/{}.png", "images\\{}.png"]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_yolo(pictures: list[tuple[list[str], str, str]], fake: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    pytest.importorskip("yaml")
    from PIL import Image

    root = tmp_path_factory.mktemp("y")
    for folder in ("images", "labels"):
        (root / folder).mkdir()
    listed = []
    for number, (lines, kind, path) in enumerate(pictures):
        if kind != "missing":
            Image.new("RGB", (64, 48)).save(root / f"images/{number}.png")
        if lines:
            (root / f"labels/{number}.txt").write_text("\n".join(YOLO_LINES[line] for line in lines) + "\n")
        if kind != "unlisted":
            listed.append(path.format(number))
    (root / "train.txt").write_text("\n".join(listed) + "\n")
    (root / "data.yaml").write_text(
        "train: train.txt\nkpt_shape: [17, 3]\nnames: [person, sitting, dog]\n"
        f"flip_idx: {COCO17.flip_indices.tolist()}\n"
    )
    total = sum(len(lines) for lines, _, _ in pictures)
    try:
        annotations = read_annotations(root / "data.yaml")
        report = extend(annotations, root, fake(), root / "out.json", Options(max_bad=1.0))
    except BadFileError as error:
        one_sentence(error)
        completed = [n for lines, kind, _ in pictures for n in lines if kind == "there" and n in ("person", "sitting")]
        assert not completed
        return
    # Labels of a folder that holds no listed picture cannot be found from the data.yaml.
    assert report.persons == total
    assert report.persons == report.predicted + len(report.bad) + sum(report.passed.values())
    assert len(json.loads((root / "out.json").read_text())["annotations"]) == total - sum(annotations.unread.values())
