"""`predict` on videos: numbers stay with their people, frames are what pictures are, and nothing is left half done."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from poseunion.annotate.formats import read_annotations
from poseunion.app.predict import videos
from poseunion.app.predict.inputs import InputFile
from poseunion.app.predict.people import BoxFinder
from poseunion.app.predict.settings import PredictSettings
from poseunion.app.predict.video_file import Frame, VideoReader
from poseunion.app.predict.videos import predict_video
from poseunion.models import load_predictor
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.files import write_json

WIDTH = 256  # of a frame
av = pytest.importorskip("av", reason="videos need PyAV (extra `video`)")
pytest.importorskip("trackers", reason="videos need trackers (extra `video`)")

Run = Callable[..., Any]
Clip = tuple[Path, list[NDArray[np.uint8]]]


def poses(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


@pytest.fixture(scope="session")
def settings(shining: Path) -> PredictSettings:
    predictor = load_predictor("unified", threads=1)
    return PredictSettings(predictor, BoxFinder(shining), predictor.skeleton, 0.5, 2)


def test_moving_people_keep_their_numbers(two_people: Clip, shining: Path, tmp_path: Path, done: Run) -> None:
    clip, frames = two_people
    report = done(clip, "--out", tmp_path / "out", "--detector", shining)["videos"][0]
    assert (report["frames"], report["people"], report["tracks"]) == (len(frames), 2 * len(frames), 2)
    document = poses(tmp_path / "out" / "clip.poses.json")
    sides = {(a["track_id"], a["bbox"][0] > WIDTH / 2) for a in document["annotations"]}
    assert len(sides) == 2
    assert [image["file_name"] for image in document["images"]] == [f"clip/{i:06d}.jpg" for i in range(len(frames))]
    with av.open(str(tmp_path / "out" / "clip.mp4")) as video:
        stream = video.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        shown = [(frame.time, frame.width, frame.height) for frame in video.decode(stream)]
    np.testing.assert_allclose([time for time, *_ in shown], np.arange(len(frames)) / 10, atol=1e-3)
    assert {(width, height) for _, width, height in shown} == {(WIDTH, WIDTH)}


def test_an_unsmoothed_frame_is_what_the_same_picture_is(
    two_people: Clip, shining: Path, tmp_path: Path, done: Run, picture: Run
) -> None:
    clip, frames = two_people
    for i, frame in enumerate(frames):
        picture(tmp_path / "frames" / f"{i:06d}.png", frame)
    done(clip, "--out", tmp_path / "out", "--detector", shining, "--no-smooth", "--no-overlays")
    done(tmp_path / "frames", "--out", tmp_path / "out", "--detector", shining, "--no-overlays")
    video, pictures = poses(tmp_path / "out" / "clip.poses.json"), poses(tmp_path / "out" / "poses.json")
    assert len(video["annotations"]) == len(pictures["annotations"])
    own = ("id", "track_id")
    for ours, theirs in zip(video["annotations"], pictures["annotations"], strict=True):
        assert {k: v for k, v in ours.items() if k not in own} == {k: v for k, v in theirs.items() if k not in own}


def test_smoothing_calms_what_trembles(
    stage: Callable[..., NDArray[np.uint8]], write_clip: Callable[..., Path], shining: Path, tmp_path: Path, done: Run
) -> None:
    rng = np.random.default_rng(0)
    still = stage((10, 60))
    noisy = [np.where(still > 0, np.clip(still + rng.normal(0, 25, still.shape), 60, 255), 0) for _ in range(12)]
    clip = write_clip(tmp_path / "clip.mp4", [frame.astype(np.uint8) for frame in noisy])
    trembling = []
    for option in ("--smooth", "--no-smooth"):
        words = (clip, "--out", tmp_path / option, "--detector", shining, "--threshold", 0, option, "--no-overlays")
        done(*words)
        steps = np.diff(read_annotations(tmp_path / option / "clip.poses.json").xy, axis=0)[4:]
        trembling.append(np.median(np.abs(steps)))
    assert trembling[0] < 0.7 * trembling[1]


def test_every_nth_frame(two_people: Clip, shining: Path, tmp_path: Path, done: Run) -> None:
    clip, frames = two_people
    done(clip, "--out", tmp_path / "out", "--detector", shining, "--every", 3)
    images = poses(tmp_path / "out" / "clip.poses.json")["images"]
    assert [image["frame"] for image in images] == list(range(0, len(frames), 3))
    assert [image["time_s"] for image in images] == [0.0, 0.3, 0.6, 0.9]
    with av.open(str(tmp_path / "out" / "clip.mp4")) as video:
        np.testing.assert_allclose([frame.time for frame in video.decode(video=0)], [0.0, 0.3, 0.6, 0.9], atol=1e-3)


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_a_turned_video_is_read_upright(degrees: int, write_clip: Callable[..., Path], tmp_path: Path) -> None:
    upright = np.random.default_rng(0).integers(0, 256, (32, 48, 3)).astype(np.uint8)
    stored = np.ascontiguousarray(np.rot90(upright, -degrees // 90))
    clip = write_clip(tmp_path / "clip.mp4", [stored] * 2, degrees)
    with VideoReader(clip) as reader:
        read = list(reader)
    assert len(read) == 2
    np.testing.assert_array_equal(read[0].image, upright)


def test_odd_sizes_and_single_frames(
    write_clip: Callable[..., Path], settings: PredictSettings, tmp_path: Path
) -> None:
    frame = np.full((33, 47, 3), 100, np.uint8)
    clip = write_clip(tmp_path / "clip.mp4", [frame])
    report = predict_video(InputFile(clip, "clip.mp4"), tmp_path / "out", settings, lambda done, total: None)
    assert report.frames == 1
    with av.open(str(tmp_path / "out" / "clip.mp4")) as video:
        assert [(f.width, f.height) for f in video.decode(video=0)] == [(48, 34)]


def test_an_interrupted_run_leaves_nothing(two_people: Clip, settings: PredictSettings, tmp_path: Path) -> None:
    def progress(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_video(InputFile(two_people[0], "clip.mp4"), tmp_path / "out", settings, progress)
    assert list((tmp_path / "out").iterdir()) == []


def test_few_frames_are_held_at_a_time(settings: PredictSettings) -> None:
    taken = 0

    def frames() -> Iterator[Frame]:
        nonlocal taken
        for index in range(400):
            taken += 1
            yield Frame(index, np.zeros((64, 64, 3), np.uint8), index / 10)

    reader: Any = types.SimpleNamespace(frames_per_s=10.0)
    ahead = [
        taken - given
        for given, _ in enumerate(videos._results(frames(), reader, InputFile(Path("x"), "x.mp4"), settings), 1)
    ]
    assert len(ahead) == 400
    # Three stages of which each has begun a part a worker, and waits for one.
    assert max(ahead) <= 3 * (settings.workers + 1) * videos.PART_FRAMES + 1


def test_boxes_of_a_video_are_its_frames(two_people: Clip, tmp_path: Path, done: Run, predict: Run) -> None:
    clip, _ = two_people
    write_json(tmp_path / "boxes.json", [{"file_name": "clip/000001.jpg", "boxes": [[0, 20, 100, 100]]}])
    report = done(clip, "--out", tmp_path / "out", "--boxes", tmp_path / "boxes.json")
    assert report["videos"][0]["people"] == 1
    write_json(tmp_path / "boxes.json", [{"file_name": "clap/000001.jpg", "boxes": []}])
    result = predict(clip, "--out", tmp_path / "out", "--boxes", tmp_path / "boxes.json", "--overwrite")
    assert isinstance(result.exception, BadArgumentError)
    assert "clip/000000.jpg" in str(result.exception)


def test_a_broken_video_is_listed_and_the_rest_is_done(
    two_people: Clip, shining: Path, tmp_path: Path, done: Run, predict: Run
) -> None:
    clip, _ = two_people
    (tmp_path / "broken.mp4").write_bytes(clip.read_bytes()[:900])
    report = done(clip, tmp_path / "broken.mp4", "--out", tmp_path / "out", "--detector", shining, "--no-overlays")
    assert [video["name"] for video in report["videos"]] == ["clip.mp4"]
    assert [bad["name"] for bad in report["bad"]] == ["broken.mp4"]
    alone = predict(tmp_path / "broken.mp4", "--out", tmp_path / "alone", "--detector", shining)
    assert isinstance(alone.exception, BadFileError)
    assert "broken.mp4 is neither" in str(alone.exception)


def test_two_videos_of_one_name_are_refused(two_people: Clip, shining: Path, tmp_path: Path, predict: Run) -> None:
    clip, _ = two_people
    (tmp_path / "clip.mov").write_bytes(clip.read_bytes())
    result = predict(clip, tmp_path / "clip.mov", "--out", tmp_path / "out", "--detector", shining)
    assert isinstance(result.exception, BadArgumentError)
    assert not (tmp_path / "out").exists()


def test_what_is_read_is_never_written_over(two_people: Clip, shining: Path, predict: Run) -> None:
    clip, _ = two_people
    before = clip.read_bytes()
    result = predict(clip, "--out", clip.parent, "--detector", shining, "--overwrite")
    assert isinstance(result.exception, BadArgumentError)
    assert "written over" in str(result.exception)
    assert clip.read_bytes() == before
