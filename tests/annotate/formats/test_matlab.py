"""MPII's and LSP's MATLAB files: the variants that occur, and mistakes that have to be named."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import AnnotationSet, read_annotations
from poseunion.annotate.formats.boxes import boxes_of_joints
from poseunion.annotate.formats.matlab import elements, field, load_mat
from poseunion.models.errors import BadFileError, MissingExtraError, install_command
from poseunion.models.skeleton import Visibility, load_skeleton


def mpii_mat(kit: SimpleNamespace, tmp_path: Path, change: Callable[[Any], Any]) -> AnnotationSet:
    k = 16
    wanted = kit.People("mpii16", np.arange(3 * k * 2).reshape(3, k, 2) + 1.0, np.full((3, k), 2), [0, 0, 1])
    variables = kit.mpii_release(wanted)
    change(variables["RELEASE"][0, 0])
    return read_annotations(kit.write_mat(tmp_path, variables))


def rect_of(release: Any, picture: int = 0, person: int = 0) -> Any:
    return release["annolist"][0, picture]["annorect"][0, person]


def points_of(release: Any) -> Any:
    return rect_of(release)["annopoints"][0, 0]["point"]


def test_mpii_mat_is_read_through_its_nested_structs(kit: SimpleNamespace, tmp_path: Path) -> None:
    annotations = mpii_mat(kit, tmp_path, lambda release: None)
    assert [annotations.images[i].file_name for i in annotations.image_index] == ["p0.png", "p0.png", "p1.png"]
    assert annotations.records[1] == {
        "image": "p0.png",
        "annolist": 1,
        "annorect": 2,
        "center": [30.0, 25.0],
        "scale": 0.2,
        "head_box": [20.0, 5.0, 30.0, 17.0],
        "img_train": 1,
    }
    assert annotations.protocol is not None
    assert annotations.protocol.xywh[0].tolist() == [9.0, 7.0, 40.0, 40.0]  # as MPII's json of this centre and scale
    assert annotations.protocol.padding == 1.25
    around = boxes_of_joints(annotations.xy, annotations.visibility, annotations.skeleton, np.full(3, 50.0))
    np.testing.assert_array_equal(annotations.box_xywh, around)


@pytest.mark.parametrize(
    ("value", "state"),
    [(1, 2), ("1", 2), (np.array([[1]], np.uint8), 2), (np.zeros((0, 0)), 2), (0, 1), ("0", 1), (np.zeros((1, 1)), 1)],
)
def test_mpii_mat_spells_is_visible_in_many_ways(value: Any, state: int, kit: SimpleNamespace, tmp_path: Path) -> None:
    def change(release: Any) -> None:
        points_of(release)[0, 3]["is_visible"] = value

    annotations = mpii_mat(kit, tmp_path, change)
    assert annotations.visibility[0, 3] == state


def test_mpii_mat_with_things_missing(kit: SimpleNamespace, tmp_path: Path) -> None:
    """A person without points, one without a place, a picture without people, points without a flag."""

    def change(release: Any) -> None:
        points = points_of(release)
        flagless = np.empty(points.shape, dtype=[(name, object) for name in ("x", "y", "id")])
        for name in flagless.dtype.names or ():
            flagless[name] = points[name]
        rect_of(release)["annopoints"][0, 0]["point"] = flagless[:, :15]
        rect_of(release, 0, 1)["annopoints"] = np.zeros((0, 0))
        rect_of(release, 1, 0)["objpos"] = np.zeros((0, 0))
        release["img_train"] = np.zeros((0, 0))

    annotations = mpii_mat(kit, tmp_path, change)
    assert annotations.visibility[0].tolist() == [2] * 15 + [0]
    assert annotations.visibility[1].tolist() == [Visibility.UNDEFINED] * 16
    assert annotations.skip == {1: "no human keypoint"}
    assert "center" not in annotations.records[2]
    assert np.isfinite(annotations.box_xywh[2]).all()  # around his points
    bare = mpii_mat(kit, tmp_path, lambda release: release["annolist"][0, 0].__setitem__("annorect", np.zeros((0, 0))))
    assert [r["annolist"] for r in bare.records] == [2]
    assert len(bare.images) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: points_of(r)[0, 0].__setitem__("id", 16), "the id 16, where 0 to 15"),
        (lambda r: points_of(r)[0, 0].__setitem__("id", 1), "point 1 stands twice"),
        (lambda r: points_of(r)[0, 0].__setitem__("x", np.nan), "no id, x or y"),
        (lambda r: points_of(r)[0, 0].__setitem__("is_visible", 7), "is_visible 7"),
        (lambda r: r["annolist"][0, 0]["image"][0, 0].__setitem__("name", np.zeros((0, 0))), "no image.name"),
    ],
)
def test_mpii_mat_mistakes_are_named(change: Any, message: str, kit: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match=r"annolist\(1\).*" + message):
        mpii_mat(kit, tmp_path, change)


def test_mpii_mat_gets_its_union_back(kit: SimpleNamespace, tmp_path: Path, make: Any, fake: Any) -> None:
    path, wanted = make("mpii-mat", 1)
    annotations = read_annotations(path)
    out = tmp_path / "out.mat"
    extend(annotations, tmp_path / "images", fake(), out, Options(format="mpii-mat"))
    written = load_mat(out)
    names = [str(np.ravel(c)[0]) for c in elements(written["keypoint_names"])]
    assert names == list(load_skeleton("union21").keypoints)
    rect = elements(field(elements(field(elements(written["RELEASE"])[0], "annolist"))[0], "annorect"))[1]
    for k, name in enumerate(load_skeleton("mpii16").keypoints):
        assert rect["joints_union"][names.index(name)].tolist() == (wanted.xy[1, k] + 1).tolist()
        assert rect["joints_union_vis"][names.index(name)] == 0
    assert [str(np.ravel(s)[0]) for s in elements(rect["keypoint_source"])].count("human") == 16
    again = read_annotations(out)
    assert again.visibility.tolist() == wanted.state.tolist()
    with pytest.raises(BadFileError, match="already an extended file"):
        extend(again, tmp_path / "images", fake(), tmp_path / "b.json")


def test_both_layouts_of_lsp_and_what_their_third_row_means(kit: SimpleNamespace, tmp_path: Path, fake: Any) -> None:
    xy = np.arange(2 * 14 * 2).reshape(2, 14, 2) + 5.0
    lsp_state = np.array([[2, 1] * 7, [2, 0] * 7])
    lsp = read_annotations(kit.lsp(tmp_path, kit.People("lsp14", xy, lsp_state, [0, 1])))
    assert lsp.visibility.tolist() == lsp_state.tolist()
    assert [i.file_name for i in lsp.images] == ["im0001.jpg", "im0002.jpg"]
    lspet_state = np.array([[2, 0] * 7, [2, 2] * 7])
    path = kit.lspet(tmp_path, kit.People("lsp14", xy, lspet_state, [0, 1]))
    lspet = read_annotations(path)
    assert lspet.visibility.tolist() == lspet_state.tolist()
    assert [i.file_name for i in lspet.images] == ["im00001.jpg", "im00002.jpg"]
    assert load_mat(path)["joints"].shape == (14, 3, 2)
    for image in lspet.images:
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("RGB", (64, 48)).save(tmp_path / "images" / image.file_name)
    extend(lspet, tmp_path / "images", fake(), tmp_path / "out.mat", Options(format="lsp-mat"))
    written = load_mat(tmp_path / "out.mat")
    assert written["joints_union"].shape == (21, 3, 2)
    assert written["keypoint_source"].shape == (2, 21)
    ankle = load_skeleton("union21").index("right_ankle")
    assert written["joints_union"][ankle, :, 0].tolist() == [*xy[0, 0], 1]


@pytest.mark.parametrize("layout", ["lsp", "lspet"])
def test_a_single_person_of_lsp(layout: str, kit: SimpleNamespace, tmp_path: Path) -> None:
    """MATLAB drops a last axis of length one."""
    people = kit.People("lsp14", np.full((1, 14, 2), 9.0), np.full((1, 14), 2), [0], 1)
    variables = load_mat(getattr(kit, layout)(tmp_path, people))
    variables["joints"] = variables["joints"][:, :, 0]
    assert read_annotations(kit.write_mat(tmp_path, variables)).visibility.tolist() == [[2] * 14]


def test_a_mat_file_of_something_else(kit: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match="none of the known"):
        read_annotations(kit.write_mat(tmp_path, {"joints": np.zeros((5, 5, 5))}))


@pytest.mark.parametrize(("name", "module"), [("mpii-mat", "scipy.io"), ("lsp-mat", "scipy.io"), ("yolo-pose", "yaml")])
def test_without_the_extra_it_says_what_to_install(
    name: str, module: str, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = make(name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=re.escape(install_command("formats"))):
        read_annotations(path)
