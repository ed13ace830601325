"""The formats on real files: recognised, extended, written back whole; the known faults found."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from poseunion.annotate.check.run import check
from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import FORMATS, read_annotations
from poseunion.models.files import atomic_writer, read_json
from poseunion.models.skeleton import Visibility

pytestmark = pytest.mark.data

# file -> format, folder of its pictures, people, labelled keypoints
NATIVE = {
    "test_aic": ("coco", "aic", 9, 101),
    "test_coco": ("coco", "halpe", 14, 181),
    "test_crowdpose": ("crowdpose", "crowdpose", 5, 47),
    "test_halpe": ("halpe", "halpe", 14, 228),
    "test_jhmdb_sub1": ("jhmdb", "jhmdb", 3, 45),
    "test_mhp": ("coco", "mhp", 4, 41),
    "test_ochuman": ("coco", "ochuman", 5, 73),
    "test_posetrack18_val": ("posetrack18", "posetrack18", 14, 182),
}


@pytest.mark.parametrize("name", NATIVE)
def test_native_files(name: str, shared: Path, tmp_path: Path, kit: SimpleNamespace, fake: Any) -> None:
    known, pictures, people, labelled = NATIVE[name]
    file = shared / "data/samples/native" / f"{name}.json"
    annotations, problems = check(file)
    assert annotations is not None
    assert [p for p in problems if p.fatal] == []
    assert (annotations.format, len(annotations), int((annotations.visibility > 0).sum())) == (known, people, labelled)
    for image in annotations.images:  # the pictures lie there under flat names
        link = tmp_path / "images" / image.file_name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(shared / "data/samples" / pictures / "images" / image.file_name.replace("/", "__"))
    for output in FORMATS[known].writers:
        out = kit.written_name(tmp_path / output, output)
        report = extend(annotations, tmp_path / "images", fake(), out, Options(format=output))
        assert report.bad == []
        assert report.predicted == people - report.passed.get("no human keypoint", 0)
    whole = tmp_path / "whole.json"
    with atomic_writer(whole) as target:
        FORMATS[known].writers[known](target, annotations, kit.nothing_added(annotations))
    before, after = read_json(file), read_json(whole)
    for category in before["categories"]:  # links are written for the skeleton of the output
        category.pop("skeleton")
    assert kit.contains(after, before)


def test_halpes_and_crowdposes_counts_are_found(shared: Path) -> None:
    for name, wrong in (("test_halpe", 12), ("test_crowdpose", 4), ("test_coco", 0)):
        problems = check(shared / "data/samples/native" / f"{name}.json")[1]
        assert sum("num_keypoints" in p.text and bool(p.fix) for p in problems) == wrong


def test_lsps_joints(shared: Path, tmp_path: Path, kit: SimpleNamespace) -> None:
    file = shared / "data/annotations_only/lsp_joints.mat"
    annotations = read_annotations(file)
    assert annotations.visibility.shape == (2000, 14)
    assert (annotations.visibility == Visibility.OCCLUDED).mean() == pytest.approx(0.073)
    out = tmp_path / "out.mat"
    with atomic_writer(out) as target:
        FORMATS["lsp-mat"].writers["lsp-mat"](target, annotations, kit.nothing_added(annotations))
    again = read_annotations(out)
    np.testing.assert_array_equal(again.xy, annotations.xy)
    assert kit.contains(again.source.document, annotations.source.document)


@pytest.mark.parametrize(("name", "most"), [("coco/test.json", 0.05), ("lspet/test.json", 0.05)])
def test_few_people_are_suspected_of_exchanged_sides(name: str, most: float, shared: Path) -> None:
    annotations, problems = check(shared / "data" / name)
    assert annotations is not None
    assert sum("left/right swap" in p.text for p in problems) <= most * len(annotations)
