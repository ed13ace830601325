"""A release holds what humans labelled, to the digit, or there is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from poseunion.annotate.cli.main import app
from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import read_annotations
from poseunion.annotate.release import Request, release
from poseunion.annotate.release.counts import count, wilson
from poseunion.annotate.release.metainfo import metainfo_file
from poseunion.annotate.review.apply import apply
from poseunion.annotate.review.decisions import Decision, read_extended, save, write_document
from poseunion.models.errors import BadArgumentError, BadFileError, PoseUnionError
from poseunion.models.skeleton import load_skeleton

TIME = "2026-01-31T12:00:00+00:00"


@pytest.fixture(params=["coco", "mpii", "halpe26"])
def reviewed(request: pytest.FixtureRequest, folder: Any, coco: Any, mpii: Any, fake: Any) -> Any:
    """A dataset, extended, reviewed at random and applied."""
    documents = {"coco": lambda: coco(8), "mpii": lambda: mpii(6), "halpe26": lambda: coco(5, skeleton="halpe26")}
    folder.write(documents[request.param]())
    return _extend_and_review(folder, fake)


@pytest.fixture
def coco_reviewed(folder: Any, coco: Any, fake: Any) -> Any:
    folder.write(coco(8))
    return _extend_and_review(folder, fake)


def _extend_and_review(folder: Any, fake: Any) -> Any:
    extend(read_annotations(folder.file), folder.images, fake(), folder.out, Options(fill_gaps=True))
    rng = np.random.default_rng(0)
    annotations = read_extended(folder.out)
    decisions = []
    for record in annotations.records:
        for proposal in record["proposals"]:
            kind = str(rng.choice(["accept", "reject", "fix", "hide", "needs-fix", "none"]))
            to = (float(rng.uniform(1, 40)), float(rng.uniform(1, 40)), 2) if kind == "fix" else None
            if kind != "none":
                decisions.append(Decision(record["id"], proposal["name"], kind, "ann", TIME, None, to))
    assert save(folder.out, decisions).added > 10
    apply(folder.out)
    return folder


def request_of(folder: Any, **changes: Any) -> Request:
    fields = {"file": folder.out, "images": folder.images, "out": folder.root / "release", "original": folder.file}
    return Request(**{**fields, **changes})


def leftovers(folder: Any) -> list[str]:
    return [p.name for p in folder.root.iterdir() if p.name.endswith(".part")]


def test_a_release_is_whole_and_proved(reviewed: Any) -> None:
    formats = ("coco", "mpii", "yolo")
    done = release(request_of(reviewed, formats=formats))
    original = read_annotations(reviewed.file)
    assert done.proof.faults == []
    assert done.proof.human_points == done.proof.identical == int((original.visibility > 0).sum())
    assert done.proof.fields > len(original)
    assert sum(done.proof.added.values()) > 0
    out = reviewed.root / "release"
    assert (out / "annotations.json").read_bytes() == reviewed.out.read_bytes()
    for path in done.files:
        assert (out / path).is_file(), path
    card = (out / "README.md").read_text()
    assert "the same to the last digit" in card
    for name in read_annotations(out / "annotations.json").skeleton.keypoints:
        assert f"| {name} |" in card
    assert {p.name for p in (out / "plots").iterdir()} == {"sources.png", "confidence.png", "review.png"}
    assert not leftovers(reviewed)


def test_the_same_input_gives_the_same_bytes(coco_reviewed: Any) -> None:
    formats = ("coco", "mpii", "yolo")
    release(request_of(coco_reviewed, formats=formats))
    before = {p: p.read_bytes() for p in (coco_reviewed.root / "release").rglob("*") if p.is_file()}
    release(request_of(coco_reviewed, formats=formats, overwrite=True))
    assert before == {p: p.read_bytes() for p in (coco_reviewed.root / "release").rglob("*") if p.is_file()}


def _human(record: dict[str, Any]) -> int:
    return 3 * int(record["keypoint_source"].index("human"))


TAMPER: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a human number": lambda d: d["annotations"][2]["keypoints"].__setitem__(
        _human(d["annotations"][2]), d["annotations"][2]["keypoints"][_human(d["annotations"][2])] + 1e-9
    ),
    "a human's visibility": lambda d: d["annotations"][2]["keypoints"].__setitem__(
        _human(d["annotations"][2]) + 2, 3 - d["annotations"][2]["keypoints"][_human(d["annotations"][2]) + 2]
    ),
    "a human's source": lambda d: d["annotations"][1]["keypoint_source"].__setitem__(
        _human(d["annotations"][1]) // 3, "proposed"
    ),
    "a proposal that is called human": lambda d: d["annotations"][0]["keypoint_source"].__setitem__(
        d["annotations"][0]["keypoint_source"].index("proposed"), "human"
    ),
    "an unknown field": lambda d: d["annotations"][3].update({"my field": {"ü": [None, False]}}),
    "a field is gone": lambda d: d["annotations"][3].pop("my field"),
    "an id": lambda d: d["annotations"][3].update(id=1),
    "a box": lambda d: d["annotations"][3]["bbox"].__setitem__(0, 4.6),
    "a number's kind": lambda d: d["annotations"][3]["bbox"].__setitem__(1, 3.0),
    "the order": lambda d: d["annotations"].reverse(),
    "a record is gone": lambda d: d["annotations"].pop(),
    "a record more": lambda d: d["annotations"].append({**d["annotations"][0], "id": 1}),
    "num_keypoints_original": lambda d: d["annotations"][0].update(num_keypoints_original=99),
    "a picture": lambda d: d["images"][0].update(width=65),
    "another category": lambda d: d["categories"][0].update(name="cat"),
    "a field of the file": lambda d: d["info"].update(year=2021),
}


@pytest.mark.parametrize("what", TAMPER)
def test_nothing_is_released_if_anything_of_the_original_changed(coco_reviewed: Any, what: str) -> None:
    document = json.loads(coco_reviewed.out.read_text())
    TAMPER[what](document)
    write_document(coco_reviewed.out, document)
    arguments = ["release", str(coco_reviewed.out), "--images", str(coco_reviewed.images)]
    out = coco_reviewed.root / "release"
    result = CliRunner().invoke(app, [*arguments, "--original", str(coco_reviewed.file), "--out", str(out)])
    assert isinstance(result.exception, PoseUnionError), result.output
    assert result.exception.exit_code == 2
    assert not out.exists()
    assert not leftovers(coco_reviewed)


def test_corrections_of_human_points_are_released_only_on_purpose(coco_reviewed: Any) -> None:
    fix = Decision(7000, "nose", "fix", "ann", TIME, None, (9.5, 8.25, 2), human=True)
    assert save(coco_reviewed.out, [fix]).added == 1
    apply(coco_reviewed.out)
    with pytest.raises(BadFileError, match="--corrections"):
        release(request_of(coco_reviewed))
    done = release(request_of(coco_reviewed, corrections=True, formats=("mpii",)))
    (corrected,) = done.proof.corrected
    original = json.loads(coco_reviewed.file.read_text())["annotations"][0]["keypoints"][:3]
    assert (corrected["before"], corrected["after"]) == (original, [9.5, 8.25, 2])
    assert done.proof.identical == done.proof.human_points - 1
    assert "1 human points were corrected" in (coco_reviewed.root / "release" / "README.md").read_text()


def test_decisions_have_to_be_applied_first(coco_reviewed: Any) -> None:
    save(coco_reviewed.out, [Decision(7000, "head_top", "fix", "bob", "2026-02-01T00:00:00Z", None, (5, 5, 2))])
    with pytest.raises(BadFileError, match="annotate apply"):
        release(request_of(coco_reviewed))
    apply(coco_reviewed.out)
    release(request_of(coco_reviewed))


def test_an_old_release_stays_until_a_new_one_is_whole(coco_reviewed: Any) -> None:
    release(request_of(coco_reviewed))
    marker = coco_reviewed.root / "release" / "README.md"
    before = marker.read_bytes()
    with pytest.raises(BadFileError, match="exists"):
        release(request_of(coco_reviewed))
    document = json.loads(coco_reviewed.out.read_text())
    TAMPER["a human number"](document)
    write_document(coco_reviewed.out, document)
    with pytest.raises(BadFileError, match="Nothing is released"):
        release(request_of(coco_reviewed, overwrite=True))
    assert marker.read_bytes() == before
    assert not leftovers(coco_reviewed)


def test_mpii_written_and_read_back(reviewed: Any) -> None:
    release(request_of(reviewed, formats=("mpii",)))
    path = reviewed.root / "release" / "mpii.json"
    released = read_annotations(reviewed.root / "release" / "annotations.json")
    back = read_annotations(path)
    original = read_annotations(reviewed.file)
    written = json.loads(path.read_text())
    assert len(back) == len(released)
    mpii16 = load_skeleton("mpii16")
    for row, record in enumerate(written):
        sources = dict(zip(released.skeleton.keypoints, released.records[row]["keypoint_source"], strict=True))
        assert record["joints_source"] == [sources[name] for name in mpii16.keypoints]
        for j, name in enumerate(mpii16.keypoints):
            k = released.skeleton.index(name)
            stands = released.visibility[row, k] > 0
            assert (record["joints"][j] not in ([-1, -1], [0, 0])) == stands
            assert (back.visibility[row, j] > 0) == (stands and sources[name] == "human")
            if stands:
                np.testing.assert_allclose(np.array(record["joints"][j]) - 1, released.xy[row, k], atol=1e-6)
    if original.format == "mpii":  # every human number to the digit, every field as it was
        for before, after in zip(original.records, written, strict=True):
            assert {k: after[k] for k in before if not k.startswith("joints")} == {
                k: v for k, v in before.items() if not k.startswith("joints")
            }
            for j, source in enumerate(after["joints_source"]):
                if source == "human":
                    assert after["joints"][j] == before["joints"][j]
                    assert after["joints_vis"][j] == before["joints_vis"][j]
    else:  # the crop of MPII's protocol is the square around the box
        assert back.protocol is not None
        x, y, w, h = released.box_xywh[0]
        left, top, size, _ = back.protocol.xywh[0]
        np.testing.assert_allclose([left + size / 2, top + size / 2, size], [x + w / 2, y + h / 2, max(w, h)])


def test_yolo_written_and_read_back(reviewed: Any) -> None:
    release(request_of(reviewed, formats=("yolo",)))
    yolo = reviewed.root / "release" / "yolo"
    (yolo / "images").symlink_to(reviewed.images)
    released = read_annotations(reviewed.root / "release" / "annotations.json")
    back = read_annotations(yolo / "data.yaml", skeleton=released.skeleton)  # no shipped skeleton has Halpe's 27
    assert back.skeleton.keypoints == released.skeleton.keypoints
    assert len(back) == len(released)
    by_picture: dict[str, list[int]] = {}
    for row in range(len(released)):
        by_picture.setdefault(released.images[int(released.image_index[row])].file_name, []).append(row)
    for name, rows in by_picture.items():
        others = [i for i in range(len(back)) if back.images[int(back.image_index[i])].file_name == f"images/{name}"]
        for row, other in zip(rows, others, strict=True):
            np.testing.assert_array_equal(back.visibility[other], released.visibility[row])
            np.testing.assert_allclose(back.xy[other], released.xy[row], atol=1e-4)


def test_mmpose_metainfo_pairs_left_and_right() -> None:
    skeleton = load_skeleton("union21")
    scope: dict[str, Any] = {}
    exec(metainfo_file(skeleton, "mine"), scope)
    info = scope["dataset_info"]
    names = [info["keypoint_info"][k]["name"] for k in range(21)]
    assert names == list(skeleton.keypoints)
    swaps = [info["keypoint_info"][k]["swap"] for k in range(21)]
    assert [names.index(s) if s else k for k, s in enumerate(swaps)] == skeleton.flip_indices.tolist()
    assert len(info["sigmas"]) == len(info["joint_weights"]) == 21
    assert all(set(link["link"]) <= set(names) for link in info["skeleton_info"].values())


def test_counts_add_up(coco_reviewed: Any) -> None:
    annotations = read_extended(coco_reviewed.out)
    counts = count(annotations)
    columns = ("human", "derived", "proposed", "accepted", "hidden", "fixed", "rejected", "none")
    for k, name in enumerate(annotations.skeleton.keypoints):
        row = counts[name]
        assert sum(getattr(row, column) for column in columns) == len(annotations)
        assert row.human == sum(r["keypoint_source"][k] == "human" for r in annotations.records)
        standing = row.human + row.derived + row.proposed + row.accepted + row.hidden + row.fixed
        assert standing == int((annotations.visibility[:, k] > 0).sum())
        assert row.right <= row.reviewed
    assert sum(row.reviewed for row in counts.values()) > 10


def test_wilsons_interval_holds_its_share() -> None:
    for right, of in ((0, 5), (5, 5), (3, 10), (90, 100)):
        low, high = wilson(right, of) or (0, 0)
        assert 0 <= low <= right / of <= high <= 1
    assert wilson(0, 0) is None


def test_quality_and_licence_stand_on_the_card(coco_reviewed: Any, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"test.json": [{"model": "fake", "pck": {"PCK12": 5.0, "nose": 91.25}}]}))
    release(request_of(coco_reviewed, quality=report, licence="CC BY 4.0"))
    card = (coco_reviewed.root / "release" / "README.md").read_text()
    assert "91.2" in card
    assert "CC BY 4.0" in card
    report.write_text(json.dumps({"test.json": [{"model": "other", "pck": {}}]}))
    with pytest.raises(BadFileError, match="does not measure"):
        release(request_of(coco_reviewed, quality=report, overwrite=True))


def test_wrong_arguments_are_one_sentence(coco_reviewed: Any, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for changes, words in (
        ({"formats": ("voc",)}, "voc"),
        ({"images": empty}, "right folder"),
        ({"images": tmp_path / "nowhere"}, "nowhere"),
        ({"file": coco_reviewed.file}, "not an extended file"),
        ({"original": coco_reviewed.out}, "checksum"),
    ):
        with pytest.raises((BadArgumentError, BadFileError), match=words) as caught:
            release(request_of(coco_reviewed, **changes))
        assert "\n" not in str(caught.value)
        assert not (coco_reviewed.root / "release").exists()


def test_the_original_is_found_through_the_run(coco_reviewed: Any) -> None:
    assert release(request_of(coco_reviewed, original=None)).proof.faults == []
    coco_reviewed.out.with_name(coco_reviewed.out.name + ".run.json").unlink()
    with pytest.raises(BadArgumentError, match="--original"):
        release(request_of(coco_reviewed, original=None, overwrite=True))


def test_missing_pictures_are_counted(coco_reviewed: Any) -> None:
    first = read_extended(coco_reviewed.out).images[0].file_name
    (coco_reviewed.images / first).unlink()
    assert release(request_of(coco_reviewed)).missing == [first]
    assert "1 of them were missing" in (coco_reviewed.root / "release" / "README.md").read_text()
