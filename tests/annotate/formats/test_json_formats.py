"""The formats in json: the variants that occur, and mistakes that have to be named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import FORMATS, read_annotations
from poseunion.annotate.formats.types import Source
from poseunion.models.errors import BadFileError
from poseunion.models.skeleton import load_skeleton

COCO = Options(format="coco", overwrite=True)


def rewrite(path: Path, change: Callable[[Any], Any]) -> Path:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


def test_halpes_face_and_hands_survive(make: Any, tmp_path: Path, fake: Any) -> None:
    path, _ = make("halpe")
    before = json.loads(path.read_text())["annotations"]
    for output in ("coco", "halpe"):
        extend(read_annotations(path), tmp_path / "images", fake(), tmp_path / f"{output}.json", Options(format=output))
    after = json.loads((tmp_path / "coco.json").read_text())["annotations"]
    assert [a["keypoints_original"] for a in after] == [a["keypoints"] for a in before]
    assert all(len(a["keypoints"]) == 3 * 27 for a in after)
    own = json.loads((tmp_path / "halpe.json").read_text())["annotations"]
    assert [a["keypoints"] for a in own] == [a["keypoints"] for a in before]  # nothing was missing
    for output in ("coco", "halpe"):
        assert read_annotations(tmp_path / f"{output}.json").format == "halpe"


def test_halpe_with_its_26_alone(make: Any) -> None:
    path, wanted = make("halpe")

    def shorten(document: Any) -> None:
        for record in document["annotations"]:
            record["keypoints"] = record["keypoints"][:78]

    assert read_annotations(rewrite(path, shorten)).visibility.tolist() == wanted.state.tolist()


def test_a_dataset_is_filled_in_with_its_own_numbers(
    kit: SimpleNamespace, make: Any, tmp_path: Path, fake: Any
) -> None:
    path, wanted = make("posetrack18")

    def drop(document: Any) -> None:
        document["annotations"][0]["keypoints"][:6] = [0] * 6

    rewrite(path, drop)
    out = tmp_path / "own.json"
    options = Options(format="posetrack18", threshold=0, fill_gaps=True)
    extend(read_annotations(path), tmp_path / "images", fake(), out, options)
    record = json.loads(out.read_text())["annotations"][0]
    assert record["keypoints"][2::3] == [1] * 17
    assert record["keypoint_source"][:3] == ["proposed", "proposed", "human"]
    assert (record["num_keypoints"], record["num_keypoints_original"]) == (17, 3)
    assert {p["name"] for p in record["proposals"]} == {"nose", "upper_neck"}
    again = read_annotations(out)
    assert (again.format, again.visibility[0].tolist()) == ("posetrack18", [2] * 17)
    extend(read_annotations(path), tmp_path / "images", fake(), tmp_path / "coco.json")
    extended = read_annotations(tmp_path / "coco.json")
    assert extended.format == "posetrack18"
    assert (extended.visibility[1] != 1).all()  # its 1 is no occlusion, here neither
    assert wanted.state.shape == (3, 17)


def test_posetracks_own_files_state_no_size(make: Any, tmp_path: Path, fake: Any) -> None:
    path, wanted = make("posetrack18")

    def strip(document: Any) -> None:
        for image in document["images"]:
            del image["width"], image["height"]

    annotations = read_annotations(rewrite(path, strip))
    assert annotations.visibility.tolist() == wanted.state.tolist()
    assert extend(annotations, tmp_path / "images", fake(), tmp_path / "o.json").predicted == 3


def test_a_coco_file_with_a_datasets_names_alone_is_coco(make: Any) -> None:
    """Without what the dataset's own pictures say, its numbers are COCO's."""
    for name, fields in (("posetrack18", ("vid_id",)), ("crowdpose", ("crowdIndex",)), ("jhmdb", ("vid_id",))):
        path, _ = make(name)

        def plain(document: Any, fields: tuple[str, ...] = fields) -> None:
            for image in document["images"]:
                for key in fields:
                    del image[key]

        assert read_annotations(rewrite(path, plain)).format == "coco"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d[1].pop("image_id"), "picture 1: a picture needs an image_id"),
        (lambda d: d[1].__setitem__("keypoint_annotations", []), "picture 1: keypoint_annotations is not an object"),
        (lambda d: d[1]["keypoint_annotations"]["human1"].pop(), r"picture 1 \(p1\), human1: its keypoints are not 42"),
        (lambda d: d[0]["keypoint_annotations"]["human2"].__setitem__(2, 0), "human2: a keypoint has visibility 0"),
        (lambda d: d[0]["human_annotations"].__setitem__("human1", [1]), r"human1: its box \[1\]"),
    ],
)
def test_aic_mistakes_are_named(change: Any, message: str, make: Any) -> None:
    path, _ = make("aic")
    with pytest.raises(BadFileError, match=message):
        read_annotations(rewrite(path, change))


def test_aic_gets_its_union_back(make: Any, tmp_path: Path, fake: Any) -> None:
    path, wanted = make("aic", 1)
    rewrite(path, lambda d: d[0]["human_annotations"].pop("human2"))  # a box can be missing
    annotations = read_annotations(path)
    assert np.isfinite(annotations.box_xywh).all()
    extend(annotations, tmp_path / "images", fake(), tmp_path / "o.json", Options(format="aic", threshold=0))
    pictures = json.loads((tmp_path / "o.json").read_text())
    names = pictures[0]["keypoint_names"]
    union = pictures[0]["keypoint_union"]["human2"]
    k = names.index("head_top")
    own = load_skeleton("aic14").index("head_top")
    assert union["keypoints"][3 * k : 3 * k + 3] == [*wanted.xy[1, own], 2]  # AI Challenger's 2 is occluded
    assert union["keypoints"][2::3].count(3) == 0
    assert union["keypoint_source"].count("human") == 14


def test_cvat_keeps_everything_else_and_gets_new_points(make: Any, tmp_path: Path, fake: Any) -> None:
    path, wanted = make("datumaro")
    before = json.loads(path.read_text())
    extend(read_annotations(path), tmp_path / "images", fake(), tmp_path / "o.json", Options(format="datumaro"))
    after = json.loads((tmp_path / "o.json").read_text())
    old, new = (d["categories"]["label"]["labels"] for d in (before, after))
    assert new[: len(old)] == old  # label_ids stay
    assert [n["name"] for n in new[len(old) :]] == ["pelvis", "thorax", "upper_neck", "head_top"]
    items = after["categories"]["points"]["items"]
    assert items[0]["labels"][:17] == before["categories"]["points"]["items"][0]["labels"]
    assert items[0]["joints"][0] == [1, 2]
    for i, item in enumerate(before["items"]):
        for j, shape in enumerate(item["annotations"]):
            if shape["type"] == "bbox":
                assert after["items"][i]["annotations"][j] == shape
            else:
                assert after["items"][i]["annotations"][j]["elements"][: len(shape["elements"])] == shape["elements"]
    again = read_annotations(tmp_path / "o.json")
    assert len(again.skeleton) == 21
    assert again.visibility[:, :17].tolist() == wanted.state.tolist()
    assert (again.visibility[:, 17:19] == 2).all()  # pelvis and thorax, derived


def test_cvat_without_points_categories_or_boxes(make: Any) -> None:
    path, wanted = make("datumaro")

    def strip(document: Any) -> None:
        del document["categories"]["points"]
        for item in document["items"]:
            item["annotations"] = [a for a in item["annotations"] if a["type"] == "skeleton"]
            del item["image"]

    annotations = read_annotations(rewrite(path, strip))
    assert annotations.visibility.tolist() == wanted.state.tolist()
    assert annotations.images[0][1:] == ("p0.jpg", None, None)
    assert np.isfinite(annotations.box_xywh).all()


def skeleton_of(document: Any) -> Any:
    return next(a for a in document["items"][0]["annotations"] if a["type"] == "skeleton")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["categories"].clear(), "holds no skeleton"),
        (lambda d: skeleton_of(d).pop("elements"), "a skeleton needs elements"),
        (lambda d: skeleton_of(d)["elements"][0].__setitem__("label_id", 0), "no label of this skeleton"),
        (lambda d: skeleton_of(d)["elements"][0].__setitem__("points", [1]), "element 0 is not one point"),
        (lambda d: skeleton_of(d)["elements"][0].__setitem__("visibility", [3]), "element 0 has visibility"),
        (lambda d: d["items"][0]["image"].__setitem__("size", [0, 1]), r"size \[0, 1\] is not"),
        (lambda d: d["items"][0].pop("id"), "an item needs an id"),
        (lambda d: d["categories"]["points"]["items"][0]["labels"].__setitem__(0, "tail"), "tail"),
    ],
)
def test_cvat_mistakes_are_named(change: Any, message: str, make: Any) -> None:
    path, _ = make("datumaro")
    with pytest.raises(BadFileError, match=message):
        read_annotations(rewrite(path, change))


def test_results_name_no_keypoints(make: Any) -> None:
    path, _ = make("coco-results")

    def widen(document: Any) -> None:
        for record in document:
            record["keypoints"] += [9, 9, 0.5] * 4
            record["bbox"] = [1, 2, 3, 4]

    with pytest.raises(BadFileError, match="holds 21 keypoints a person and does not name them"):
        read_annotations(rewrite(path, widen))
    annotations = read_annotations(path, skeleton=load_skeleton("union21"))
    assert annotations.visibility.shape == (3, 21)
    assert annotations.box_xywh[0].tolist() == [1, 2, 3, 4]


def test_the_fields_own_evaluation_reads_what_is_written(
    kit: Any, make: Any, tmp_path: Path, fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    coco_api, evaluation = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    path, _ = make("coco")

    def complete(document: Any) -> None:
        for record in document["annotations"]:
            x, y = record["keypoints"][0::3], record["keypoints"][1::3]
            record |= {"bbox": [min(x), min(y), np.ptp(x), np.ptp(y)], "area": 900.0, "iscrowd": 0}

    annotations = read_annotations(rewrite(path, complete))
    for output in ("coco", "coco-results"):
        with (tmp_path / f"{output}.json").open("wb") as file:
            FORMATS["coco"].writers[output](file, annotations, kit.nothing_added(annotations))
    truth = coco_api.COCO(str(tmp_path / "coco.json"))
    scores = evaluation.COCOeval(truth, truth.loadRes(str(tmp_path / "coco-results.json")), "keypoints")
    scores.params.areaRng, scores.params.areaRngLbl = [[0, 1e10]], ["all"]
    scores.evaluate()
    scores.accumulate()
    assert float(scores.eval["precision"].min()) == 1.0
    for name in FORMATS:  # whatever was extended, the tool takes it for a COCO file
        sample, _ = make(name)
        extend(read_annotations(sample), tmp_path / kit.SAMPLES[name].images, fake(), tmp_path / f"{name}.json", COCO)
        loaded = coco_api.COCO(str(tmp_path / f"{name}.json"))
        assert len(loaded.getAnnIds(catIds=loaded.getCatIds(catNms=["person"]))) == 3
        assert len(loaded.getImgIds()) >= 2


def test_predictions_are_never_called_human(kit: Any, make: Any, tmp_path: Path, fake: Any) -> None:
    path, _ = make("coco-results")
    for output in ("coco", "yolo-pose", "datumaro"):
        (tmp_path / output).mkdir()
        out = kit.written_name(tmp_path / output, output)
        extend(read_annotations(path), tmp_path / "images", fake(), out, Options(format=output))
        kit.unpacked(out)
        texts = [f.read_text() for f in (tmp_path / output).rglob("*.json") if not f.name.endswith(".run.json")]
        assert texts
        assert all('"proposed"' in text and '"human"' not in text for text in texts)
    record = json.loads((tmp_path / "coco/out.json").read_text())["annotations"][0]
    assert record["keypoint_confidence"][:2] == [0.125, 0.125 + 1 / 32]


def test_results_written_hold_confidences(make: Any, tmp_path: Path, fake: Any) -> None:
    path, wanted = make("coco", 2)
    rewrite(path, lambda d: d["annotations"][0]["keypoints"].__setitem__(slice(0, 3), [0, 0, 0]))
    extend(read_annotations(path), tmp_path / "images", fake(), tmp_path / "r.json", Options(format="coco-results"))
    people = json.loads((tmp_path / "r.json").read_text())
    assert [p["image_id"] for p in people] == [7, 7, 8]
    first = people[0]["keypoints"]
    assert first[3:6] == [*wanted.xy[0, 1], 1.0]
    assert 0 <= first[2] < 1
    assert people[0]["score"] == pytest.approx(np.mean([s for s in first[2::3] if s > 0]), abs=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d[1].pop("image_id"), "record 1: a prediction needs an image_id"),
        (lambda d: d[1]["keypoints"].pop(), "record 1: its keypoints are not 51"),
        (lambda d: d[1].__setitem__("bbox", [1]), r"record 1: bbox \[1\]"),
        (lambda d: d.__setitem__(1, 3), "record 1: a prediction is an object"),
    ],
)
def test_results_mistakes_are_named(change: Any, message: str, make: Any) -> None:
    path, _ = make("coco-results")
    with pytest.raises(BadFileError, match=message):
        read_annotations(rewrite(path, change))


def test_only_one_format_recognises_each_sample(make: Any) -> None:
    for name in FORMATS:
        path, _ = make(name)
        found = [known.name for known in FORMATS.values() if known.detect(Source(path))]
        assert found[0] == name
        assert set(found[1:]) <= {"coco"}  # whose dialects are COCO style, too
