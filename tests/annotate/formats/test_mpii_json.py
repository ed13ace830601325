"""MPII's json: shifted by exactly 1 into COCO style, to the digit back into its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import read_annotations
from poseunion.annotate.formats.boxes import boxes_of_joints
from poseunion.annotate.formats.mpii.mpii_json import person_square
from poseunion.models.codec.crop import crop_from_box, crop_from_center
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.skeleton import load_skeleton, project_indices

UNION = load_skeleton("union21")
# Where MPII's joints stand among the 21.
OWN = project_indices(UNION, load_skeleton("mpii16")).tolist()
PELVIS = UNION.index("pelvis")

coordinate = st.one_of(st.integers(1, 4000), st.floats(0.5, 4000, allow_nan=False))
joint = st.one_of(
    st.tuples(st.tuples(coordinate, coordinate).map(list), st.sampled_from([0, 1, 1])),
    st.sampled_from([([-1.0, -1.0], 0), ([-1, -1], 0), ([0, 0], 0), ([0.0, 0.0], 0)]),
)


@st.composite
def documents(draw: st.DrawFn) -> list[dict[str, Any]]:
    records = []
    for _ in range(draw(st.integers(1, 4))):
        joints = draw(st.lists(joint, min_size=16, max_size=16))
        records.append(
            {
                "x unknown": draw(st.sampled_from([None, [1.5], {"a": 1}])),
                "joints": [j for j, _ in joints],
                "joints_vis": [v for _, v in joints],
                "image": draw(st.sampled_from(["a.png", "b.png"])),
                "center": [draw(st.integers(10, 60)), draw(st.floats(10, 40))],
                "scale": draw(st.floats(0.1, 3)),
            }
        )
    return records


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(document=documents())
def test_mpii_round_trips(
    document: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory, make_folder: Any, fake: Any
) -> None:
    folder = make_folder(tmp_path_factory.mktemp("p")).write(document)
    options = Options(format="mpii", max_bad=1)
    extend(read_annotations(folder.file), folder.images, fake(), folder.out, options)
    for old, new in zip(document, folder.result(), strict=True):
        assert {key: new[key] for key in old} == old
        assert list(new)[: len(old)] == list(old)
        for i, before, vis in zip(OWN, old["joints"], old["joints_vis"], strict=True):
            labelled = before not in ([-1, -1], [0, 0])
            assert (new["keypoint_source"][i] == "human") == labelled, (before, vis)
            if labelled or new["keypoint_source"][i] == "none":
                assert new["joints_union"][i] == before

    extend(read_annotations(folder.file), folder.images, fake(), folder.out, Options(max_bad=1, overwrite=True))
    result = folder.result()
    sizes = {image["id"]: image for image in result["images"]}
    assert [a["id"] for a in result["annotations"]] == list(range(1, len(document) + 1))
    for old, new in zip(document, result["annotations"], strict=True):
        image = sizes[new["image_id"]]
        assert (image["file_name"], image["width"], image["height"]) == (old["image"], 70, 50)
        assert {key: new[key] for key in ("x unknown", "center", "scale", "image")} == {
            key: old[key] for key in ("x unknown", "center", "scale", "image")
        }
        for i, before, vis in zip(OWN, old["joints"], old["joints_vis"], strict=True):
            x, y, v = new["keypoints"][3 * i : 3 * i + 3]
            if before in ([-1, -1], [0, 0]):
                assert new["keypoint_source"][i] != "human"
            else:
                assert (x, y, v) == (before[0] - 1, before[1] - 1, 2 if vis else 1)


def test_the_protocols_crop_is_mpiis(folder: Any, mpii: Any) -> None:
    folder.write(mpii(1), pictures=False)
    protocol = read_annotations(folder.file).protocol
    assert protocol is not None
    ours = crop_from_box(protocol.xywh[0], (192, 256), protocol.padding)
    # centre 1-based -> 0-based, 15 px down per unit of scale; 200 px a unit, padded by 1.25
    theirs = crop_from_center((30 - 1, 25 - 1 + 15 * 0.21), (200 * 0.21, 200 * 0.21), (192, 256), 1.25)
    assert ours.center_xy == pytest.approx(theirs.center_xy)
    assert ours.width == pytest.approx(theirs.width)


def test_a_person_is_cropped_around_the_labelled_joints(folder: Any, mpii: Any, fake: Any) -> None:
    document = mpii(2)
    for joint, vis in zip(document[1]["joints"][1:], range(1, 16), strict=True):  # one joint bounds nothing
        joint[:], document[1]["joints_vis"][vis] = [-1.0, -1.0], 0
    document[1]["joints"][0], document[1]["joints_vis"][0] = [20.0, 20.0], 1
    folder.write(document)
    annotations, predictor = read_annotations(folder.file), fake()
    extend(annotations, folder.images, predictor, folder.out)
    boxes = boxes_of_joints(annotations.xy, annotations.visibility, annotations.skeleton, np.full(2, 52.5))
    square = person_square(document[1]["center"], document[1]["scale"])
    for (_, crop), box in zip(predictor.seen, (boxes[0], square), strict=True):
        assert crop == crop_from_box(box, predictor.size_wh, predictor.padding)
    assert folder.result()["annotations"][0]["bbox"] == pytest.approx(boxes[0].tolist())


def test_pelvis_is_derived_and_a_labelled_one_kept(folder: Any, mpii: Any, fake: Any) -> None:
    document = mpii(2)
    for record in document:
        record["joints"] = [[10.0 + i, 20.0 + i] for i in range(16)]
        record["joints_vis"] = [1] * 16
    document[0]["joints"][6] = [-1.0, -1.0]  # pelvis; its parents are joints 2 and 3
    document[0]["joints_vis"][6] = 0
    document[0]["joints_vis"][2] = 0  # one hip is hidden
    document[1]["joints"][6] = [33.25, 44.5]  # not the midpoint
    folder.write(document)
    extend(read_annotations(folder.file), folder.images, fake(), folder.out)
    first, second = folder.result()["annotations"]
    assert first["keypoints"][3 * PELVIS : 3 * PELVIS + 3] == [11.5, 21.5, 1]  # the lower visibility of its parents
    assert first["keypoint_source"][PELVIS] == "derived"
    assert second["keypoints"][3 * PELVIS : 3 * PELVIS + 3] == [32.25, 43.5, 2]
    assert second["keypoint_source"][PELVIS] == "human"
    extend(read_annotations(folder.file), folder.images, fake(), folder.out, Options(format="mpii", overwrite=True))
    assert folder.result()[0]["joints_union"][PELVIS] == [12.5, 22.5]


def test_proposals_are_one_based_in_mpiis_own_file(folder: Any, mpii: Any, fake: Any) -> None:
    folder.write(mpii(2))
    extend(read_annotations(folder.file), folder.images, fake(), folder.out)
    zero_based = [p for a in folder.result()["annotations"] for p in a["proposals"]]
    extend(read_annotations(folder.file), folder.images, fake(), folder.out, Options(format="mpii", overwrite=True))
    one_based = [p for r in folder.result() for p in r["proposals"]]
    for a, b in zip(zero_based, one_based, strict=True):
        assert a["name"] == b["name"]
        np.testing.assert_allclose([b["x"] - a["x"], b["y"] - a["y"]], 1, atol=1e-9)


BAD: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    ("joints", lambda r: r["joints"].pop(), "record 1: 15 joints, where mpii16 has 16"),
    ("pair", lambda r: r["joints"].__setitem__(0, [1.0]), "record 1: joints is not a list of pairs"),
    ("text", lambda r: r["joints"].__setitem__(0, ["1", 2]), "record 1: joints is not a list of pairs"),
    ("vis", lambda r: r["joints_vis"].__setitem__(0, 2), "record 1: joints_vis"),
    ("center", lambda r: r.__setitem__("center", None), "record 1: center None"),
    ("scale", lambda r: r.pop("scale"), "record 1: scale None"),
    ("image", lambda r: r.pop("image"), "record 1: a person needs the name of an image"),
]


@pytest.mark.parametrize(("change", "message"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_a_bad_file_names_the_record(change: Any, message: str, folder: Any, mpii: Any) -> None:
    document = mpii(3)
    change(document[1])
    folder.write(document, pictures=False)
    with pytest.raises(BadFileError, match=message):
        read_annotations(folder.file, "mpii")


def test_coco_cannot_be_written_as_mpii(folder: Any, coco: Any, fake: Any) -> None:
    folder.write(coco(1))
    with pytest.raises(BadArgumentError, match="cannot be written as 'mpii'"):
        extend(read_annotations(folder.file), folder.images, fake(), folder.out, Options(format="mpii"))
