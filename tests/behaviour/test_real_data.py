"""The real files of the research data folder: every human number equal, unknown fields, ids and order kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from poseunion.annotate.check.run import check
from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import read_annotations
from poseunion.models.files import read_json
from poseunion.models.skeleton import load_skeleton, project_indices

# Where MPII's joints stand among the 21.
OWN = project_indices(load_skeleton("union21"), load_skeleton("mpii16")).tolist()

pytestmark = pytest.mark.data


@pytest.mark.parametrize("name", ["coco", "lspet"])
def test_coco_style(name: str, shared: Path, tmp_path: Path, fake: Any, coco_kept: Any) -> None:
    file, images = shared / "data" / name / "test.json", shared / "data" / name / "test"
    report = extend(read_annotations(file), images, fake(), tmp_path / "out.json")
    assert report.bad == []
    assert report.predicted == report.persons
    coco_kept(read_json(file), read_json(tmp_path / "out.json"))


def test_mpii(shared: Path, tmp_path: Path, fake: Any) -> None:
    file, images = shared / "data/mpii/test_mpii.json", shared / "data/mpii/images"
    before = read_json(file)
    extend(read_annotations(file), images, fake(), tmp_path / "coco.json")
    extend(read_annotations(file), images, fake(), tmp_path / "mpii.json", Options(format="mpii"))
    after = read_json(tmp_path / "coco.json")
    for old, new, own in zip(before, after["annotations"], read_json(tmp_path / "mpii.json"), strict=True):
        assert {k: own[k] for k in old} == old
        assert (new["center"], new["scale"], new["image"]) == (old["center"], old["scale"], old["image"])
        for i, joint, vis in zip(OWN, old["joints"], old["joints_vis"], strict=True):
            assert (new["keypoint_source"][i] == "human") == bool(vis)
            if vis:
                assert new["keypoints"][3 * i : 3 * i + 3] == [joint[0] - 1, joint[1] - 1, 2]
                assert own["joints_union"][i] == joint
    assert all("width" in image for image in after["images"])


SAMPLES = ["aic", "crowdpose", "exlpose", "halpe", "jhmdb", "mhp", "ochuman", "posetrack18"]


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_of_other_sets(name: str, shared: Path, tmp_path: Path, fake: Any, coco_kept: Any) -> None:
    folder = shared / "data/samples" / name
    annotations, problems = check(folder / "annotations.json", images=folder / "images")
    assert annotations is not None, problems
    assert [p for p in problems if p.fatal] == []
    extend(annotations, folder / "images", fake(), tmp_path / "out.json", Options(max_bad=1))
    coco_kept(read_json(folder / "annotations.json"), read_json(tmp_path / "out.json"))
