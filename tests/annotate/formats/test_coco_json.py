"""COCO-style files: nothing of the user's changes; bad files are one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poseunion.annotate.extend.plan import plan
from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import Problem, read_annotations
from poseunion.models.errors import BadFileError
from poseunion.models.skeleton import load_skeleton, shipped_skeletons, union

numbers = st.one_of(
    st.integers(-(10**6), 10**6),
    st.floats(-1e6, 1e6, allow_nan=False, allow_subnormal=False),
    st.sampled_from([1e-7, 12345.000001, 2**53 - 1]),
)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)
# None of the names that mean something in the format.
unknown = st.dictionaries(st.text(max_size=6).map(lambda s: "x" + s), json_values, max_size=3)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A COCO-style file with anything in it that the format leaves open."""
    names = list(load_skeleton(draw(st.sampled_from(["coco17", "mpii16", "lsp14", "halpe26"]))).keypoints)
    ids = draw(
        st.lists(st.one_of(st.integers(0, 99), st.text(min_size=1, max_size=3)), min_size=5, max_size=5, unique=True)
    )
    images = [
        {"id": ids[i], "file_name": "same.png", "width": 64, "height": 48, **draw(unknown)}
        for i in range(draw(st.integers(1, 2)))
    ]
    annotations = []
    for i in range(draw(st.integers(0, 5))):
        keypoints: list[Any] = []
        for _ in names:
            v = draw(st.sampled_from([0, 1, 2, 2.0]))
            keypoints += [draw(numbers), draw(numbers), v] if v else [0, 0, v]
        record = {
            **draw(unknown),
            "image_id": draw(st.sampled_from([image["id"] for image in images])),
            "bbox": [1, 2.5, 30, 40],
            "keypoints": keypoints,
            "id": ids[i],
            "category_id": draw(st.sampled_from([1, 1, 1, 2])),
            "iscrowd": draw(st.sampled_from([0, 0, 0, 1])),
            **draw(st.sampled_from([{}, {"num_keypoints": 3}])),
        }
        annotations.append(record)
    person = {"id": 1, "name": "person", "keypoints": names, **draw(unknown)}
    return {
        **draw(unknown),
        "annotations": annotations,
        "images": images,
        "categories": [person, {"id": 2, "name": "dog"}],
    }


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(document=documents())
def test_whatever_a_human_wrote_survives(
    document: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
    make_folder: Any,
    fake: Any,
    coco_kept: Callable[..., None],
) -> None:
    folder = make_folder(tmp_path_factory.mktemp("p")).write(document)
    annotations = read_annotations(folder.file)
    planned = plan(annotations)
    assert planned.people == len(document["annotations"])
    if not len(planned.order):
        with pytest.raises(BadFileError, match=f"0 of {planned.people} people"):
            extend(annotations, folder.images, fake(), folder.out)
        return
    extend(annotations, folder.images, fake(), folder.out)
    coco_kept(document, folder.result())
    assert read_annotations(folder.out).xy.shape[1] >= 21


# Of COCO-WholeBody's files the body's 17 are read; wholebody133 is for models.
@pytest.mark.parametrize("name", [name for name in shipped_skeletons() if name != "wholebody133"])
def test_every_shipped_skeleton_is_recognised_and_joined(
    name: str, folder: Any, coco: Any, fake: Any, coco_kept: Any
) -> None:
    document = coco(2, skeleton=name)
    folder.write(document)
    annotations = read_annotations(folder.file)
    assert set(annotations.skeleton.keypoints) == set(load_skeleton(name).keypoints)
    extend(annotations, folder.images, fake(), folder.out)
    result = folder.result()
    coco_kept(document, result)
    names = result["categories"][1]["keypoints"]
    assert names == list(union(load_skeleton("union21"), load_skeleton(name)).keypoints)
    assert read_annotations(folder.out).skeleton.keypoints == tuple(names)


def test_a_files_own_spelling_and_order_of_names_stay(folder: Any, coco: Any, fake: Any) -> None:
    document = coco(2, skeleton="lsp14")
    names = document["categories"][1]["keypoints"]
    names[names.index("upper_neck")] = "neck"
    names.reverse()
    folder.write(document)
    annotations = read_annotations(folder.file)
    assert annotations.skeleton.keypoints[:2] == ("head_top", "upper_neck")
    extend(annotations, folder.images, fake(), folder.out)
    result = folder.result()
    written = result["categories"][1]["keypoints"]
    assert set(names) < set(written)
    assert read_annotations(folder.out).skeleton.keypoints[written.index("neck")] == "upper_neck"


def test_people_who_are_not_to_be_predicted_pass_through(folder: Any, coco: Any, fake: Any, coco_kept: Any) -> None:
    document = coco(6)
    crowd, dog, empty, bare = document["annotations"][:4]
    crowd["iscrowd"] = 1
    dog.clear()
    dog.update(id=1, image_id=document["images"][0]["id"], category_id=9, bbox=[0, 0, 5, 5])
    empty["keypoints"] = [0] * 51
    del bare["keypoints"]
    folder.write(document)
    report = extend(read_annotations(folder.file), folder.images, fake(), folder.out)
    assert report.passed == {"iscrowd": 1, "another category: dog": 1, "no human keypoint": 2}
    assert report.predicted == 2
    result = folder.result()
    assert result["annotations"][1] == dog
    assert result["annotations"][3] == bare
    assert all(not result["annotations"][i]["proposals"] for i in (0, 2))
    coco_kept(
        {**document, "annotations": document["annotations"][:3]}, {**result, "annotations": result["annotations"][:3]}
    )

    options = Options(unlabelled=True, overwrite=True)
    report = extend(read_annotations(folder.file), folder.images, fake(), folder.out, options)
    assert report.predicted == 4
    assert len(folder.result()["annotations"][3]["proposals"]) == 21


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        *parents, last = [int(p) if p.isdigit() else p for p in path.split("/")]
        target: Any = document
        for key in parents:
            target = target[key]
        target[last] = value

    return change


BAD_FILES: list[tuple[str, Callable[[dict[str, Any]], None], str]] = [
    ("no images", lambda d: d.pop("images"), "none of the known annotation formats"),
    ("images is not a list", _set("images", {}), "no list 'images'"),
    ("no categories", lambda d: d.pop("categories"), "categories"),
    ("an image twice", _set("images/1/id", 900), r"images\[1\]: image id 900 stands twice, first in images\[0\]"),
    ("an annotation twice", _set("annotations/2/id", 7000), r"annotations\[2\] \(id 7000\): the id stands twice"),
    ("an unknown image", _set("annotations/1/image_id", 5), r"annotations\[1\] \(id 6997\): image_id 5 is not among"),
    ("too few numbers", _set("annotations/1/keypoints", [1, 2, 2]), r"\(id 6997\): 3 keypoint numbers, where coco17"),
    ("an overflowing number", _set("annotations/0/keypoints/3", 1e999), "left_eye is not finite|Infinity"),
    ("a text", _set("annotations/0/keypoints/0", "3"), "holds '3', which is not a number"),
    ("a null", _set("annotations/0/keypoints/0", None), "holds None, which is not a number"),
    ("a nested list", _set("annotations/0/keypoints/0", [1]), "which is not a number"),
    ("a huge integer", _set("annotations/0/keypoints/0", 10**400), "too large to be a coordinate"),
    ("a huge box", _set("annotations/0/bbox/0", 10**400), "bbox"),
    ("visibility 3", _set("annotations/0/keypoints/2", 3), "nose has visibility 3"),
    ("a bbox of three", _set("annotations/0/bbox", [1, 2, 3]), "is not four finite numbers"),
    ("an unknown name", _set("categories/1/keypoints/0", "tail"), "no known skeleton has the 17 keypoints tail"),
    ("a missing name", lambda d: d["categories"][1]["keypoints"].pop(), "no known skeleton has the 16 keypoints"),
    ("no names", lambda d: d["categories"].pop(1), "no category names its keypoints"),
    ("an annotation that is none", _set("annotations/0", 3), r"annotations\[0\]: an annotation needs an id"),
    ("an image size of text", _set("images/0/width", "64"), "are not a picture's size"),
]


@pytest.mark.parametrize(("change", "message"), [b[1:] for b in BAD_FILES], ids=[b[0] for b in BAD_FILES])
def test_a_bad_file_is_one_sentence_that_names_the_place(change: Any, message: str, folder: Any, coco: Any) -> None:
    document = coco(4)
    change(document)
    folder.write(document, pictures=False)
    with pytest.raises(BadFileError, match=message) as caught:
        read_annotations(folder.file)
    assert str(folder.file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", ["", "{", '{"images": [', "[1, 2", "\x00\x01", '{"images": [NaN], "annotations": []}', "3", "[]"]
)
def test_unreadable_json(content: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(BadFileError, match=r"a\.json"):
        read_annotations(path)


def test_not_text_and_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\x80")
    for name in ("a.json", "none.json"):
        with pytest.raises(BadFileError, match=name):
            read_annotations(tmp_path / name)


def test_shares_instead_of_pixels_are_refused_by_every_reader(folder: Any, coco: Any) -> None:
    document = coco(2)
    for record in document["annotations"]:
        record["keypoints"] = [v if k % 3 == 2 else v / 1000 for k, v in enumerate(record["keypoints"])]
        record["bbox"] = [v / 1000 for v in record["bbox"]]
    folder.write(document)
    with pytest.raises(BadFileError, match="within one pixel: shares instead of pixels"):
        read_annotations(folder.file)
    problems: list[Problem] = []
    assert len(read_annotations(folder.file, report=problems.append)) == 2
    assert [p.place for p in problems if p.fatal] == ["annotations"]


def test_the_expected_skeleton_is_held_against_the_file(folder: Any, coco: Any) -> None:
    folder.write(coco(1, skeleton="mpii16"), pictures=False)
    with pytest.raises(BadFileError, match="coco17"):
        read_annotations(folder.file, skeleton=load_skeleton("coco17"))


def test_an_extended_file_is_not_extended_again(folder: Any, coco: Any, fake: Any) -> None:
    folder.write(coco(2))
    extend(read_annotations(folder.file), folder.images, fake(), folder.out)
    with pytest.raises(BadFileError, match="already an extended file"):
        extend(read_annotations(folder.out), folder.images, fake(), folder.root / "again.json")
    assert not (folder.root / "again.json").exists()


def test_a_not_finite_number_in_an_unknown_field_stops_the_writing(folder: Any, coco: Any, fake: Any) -> None:
    document = json.dumps(coco(2)).replace('"year": 2020', '"year": 1e999')
    folder.write(coco(2))
    folder.file.write_text(document)
    with pytest.raises(BadFileError, match="not finite"):
        extend(read_annotations(folder.file), folder.images, fake(), folder.out)
    assert not folder.out.exists()
