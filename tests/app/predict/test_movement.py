"""Predicted videos in the real movement, and through it in DeepLabCut's, SLEAP's, Lightning Pose's and NWB's files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poseunion.app.pose_records import displayed, header
from poseunion.app.predict.document import document
from poseunion.app.predict.movement import movement_dataset
from poseunion.app.predict.people import People
from poseunion.models.errors import BadFileError, MissingExtraError
from poseunion.models.poses.batch import PoseBatch
from poseunion.models.skeleton import load_skeleton

UNION, FRAMES, EVERY_S = load_skeleton("union21"), 6, 0.04


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Two people: one in every frame, one in the last three; and one without a number in the first."""
    rng = np.random.default_rng(0)
    path = tmp_path / "dance.poses.json"
    with document(header(UNION, 0.5, "test", {})) as written:
        for frame in range(FRAMES):
            track = np.array([1, 7] if frame >= 3 else [1, 0] if frame == 0 else [1])
            n = len(track)
            xy = rng.uniform(0, 100, (n, 21, 2)).astype(np.float32)
            poses = PoseBatch(UNION, xy, rng.random((n, 21), np.float32), np.ones((n, 4), np.float32))
            view = displayed(poses, UNION, UNION)
            facts = {"frame": frame, "time_s": round(frame * EVERY_S, 4)}
            written.add(f"dance/{frame:06d}.jpg", (100, 100), People(poses, None, track), view, 0.5, **facts)
        written.write(path)
    return path


@pytest.fixture
def dataset(video: Path) -> Any:
    """The same in movement."""
    pytest.importorskip("movement", reason="make test-consumers brings it")
    return movement_dataset(video)


def test_every_keypoint_with_its_confidence(dataset: Any, video: Path) -> None:
    assert dataset.position.dims == ("time", "space", "keypoints", "individuals")
    assert dict(dataset.sizes) == {"time": FRAMES, "space": 2, "keypoints": 21, "individuals": 2}
    assert dataset.individuals.values.tolist() == ["person_1", "person_7"]
    assert dataset.fps == pytest.approx(1 / EVERY_S)
    np.testing.assert_allclose(dataset.time, np.arange(FRAMES) * EVERY_S)
    assert dataset.attrs["people_without_track"] == 1
    found = json.loads(video.read_text())
    for person in found["annotations"]:
        for p in person["proposals"] if person["track_id"] else ():
            where = {
                "individuals": f"person_{person['track_id']}",
                "keypoints": p["name"],
                "time": dataset.time.values[person["image_id"] - 1],
            }
            assert dataset.position.sel(where).values.tolist() == [p["x"], p["y"]]
            assert dataset.confidence.sel(where).item() == p["confidence"]
    assert np.isnan(dataset.position.sel(individuals="person_7").values[:3]).all()


def test_files_of_other_tools(dataset: Any, tmp_path: Path) -> None:
    from movement.io import load_poses, save_poses

    save_poses.to_dlc_file(dataset, tmp_path / "dlc.h5", split_individuals=False)
    save_poses.to_sleap_analysis_file(dataset, tmp_path / "sleap.h5")
    for back in (load_poses.from_dlc_file(tmp_path / "dlc.h5"), load_poses.from_sleap_file(tmp_path / "sleap.h5")):
        np.testing.assert_allclose(back.position.values, dataset.position.values, rtol=1e-6)
        np.testing.assert_allclose(back.confidence.values, dataset.confidence.values, rtol=1e-6)
        assert back.keypoints.values.tolist() == list(UNION.keypoints)
    save_poses.to_lp_file(dataset, tmp_path / "lp.csv")
    back = load_poses.from_lp_file(tmp_path / "lp_person_1.csv")  # Lightning Pose has one individual a file
    np.testing.assert_allclose(back.position.values[..., 0], dataset.position.values[..., 0], rtol=1e-6)


def test_nwb_has_a_file_an_individual(dataset: Any) -> None:
    from movement.io import load_poses, save_poses

    files = save_poses.to_nwb_file(dataset)
    assert len(files) == 2
    back = load_poses.from_nwb_file(files[0])
    assert back.sizes["keypoints"] == 21
    assert "PoseEstimation" in files[0].processing["behavior"].data_interfaces


def test_files_that_are_no_video(video: Path, tmp_path: Path) -> None:
    pytest.importorskip("movement", reason="make test-consumers brings it")
    document = json.loads(video.read_text())
    for image in document["images"]:
        del image["frame"]
    (tmp_path / "pictures.json").write_text(json.dumps(document))
    with pytest.raises(BadFileError, match=r"not a predicted video, images.0.frame: .*give NAME.poses.json"):
        movement_dataset(tmp_path / "pictures.json")
    document = json.loads(video.read_text())
    document["annotations"] = []
    (tmp_path / "empty.json").write_text(json.dumps(document))
    with pytest.raises(BadFileError, match="has no track"):
        movement_dataset(tmp_path / "empty.json")


def test_missing_extra_is_one_sentence(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "movement.io", None)
    monkeypatch.setitem(sys.modules, "movement", None)
    with pytest.raises(MissingExtraError, match=r"^This needs movement.*pip install '\.\[movement\]'"):
        movement_dataset(video)
