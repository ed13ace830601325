"""`poseunion bench` and what it times: whole predictions, step by step, models in turns."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from poseunion.export.cli.bench import app
from poseunion.export.timing import Work, annotated_work, bundled_work, measure, ours, stages
from poseunion.models.errors import BadArgumentError, BadFileError, DeviceError
from poseunion.models.files import write_json
from poseunion.models.images import read_image
from poseunion.models.inference.predictor import load_predictor
from poseunion.models.runtime.onnx import CPU
from poseunion.models.skeleton import load_skeleton

KEYPOINTS = [10, 10, 2] + [0, 0, 0] * 16


@pytest.fixture
def small() -> Work:
    work = bundled_work(1)
    return Work(work.pictures[:1], work.boxes[:1])


def test_bundled_work_lies_in_its_pictures() -> None:
    work = bundled_work(4)
    assert (len(work.pictures), work.people) == (3, 12)
    for content, boxes in zip(work.pictures, work.boxes, strict=True):
        height, width = read_image(content).shape[:2]
        assert boxes.shape == (4, 4)
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, :2] + boxes[:, 2:] <= [width, height]).all()


def test_annotated_work_takes_a_files_own_boxes_first(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 60, 3), np.uint8))
    person = {"image_id": 1, "category_id": 1, "keypoints": KEYPOINTS}
    people = [{**person, "id": i, "bbox": [5 * i, 5, 20, 30]} for i in (1, 2)]
    categories = [{"id": 1, "name": "person", "keypoints": list(load_skeleton("coco17").keypoints)}]
    document = {"images": [{"id": 1, "file_name": "a.png", "width": 60, "height": 40}], "categories": categories}
    write_json(tmp_path / "a.json", {**document, "annotations": people})
    work = annotated_work(tmp_path / "a.json", tmp_path, people=5, pictures=3)
    assert work.pictures == ((tmp_path / "a.png").read_bytes(),)
    np.testing.assert_array_equal(work.boxes[0][:2], [[5, 5, 20, 30], [10, 5, 20, 30]])
    assert work.boxes[0].shape == (5, 4)
    with pytest.raises(BadFileError, match="--images"):
        annotated_work(tmp_path / "a.json", tmp_path / "elsewhere", 1, 1)


def test_arms_take_turns_and_none_is_always_first() -> None:
    order: list[str] = []
    taken = measure({name: partial(order.append, name) for name in "abc"}, range(3))
    assert "".join(order) == "abcbcacab"
    assert {name: len(times) for name, times in taken.items()} == {"a": 3, "b": 3, "c": 3}


def test_decoded_pictures_are_decoded_once_and_outside_the_arm(small: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []

    def decode(content: bytes) -> np.ndarray:
        decoded.append(content)
        return read_image(content)

    monkeypatch.setattr("poseunion.export.timing.read_image", decode)
    predictor = load_predictor("unified", threads=1)
    arm = ours(predictor, dataclasses.replace(small, decoded=True))
    assert decoded == list(small.pictures)
    arm()
    arm()
    assert len(decoded) == 1
    arm = ours(predictor, small)
    assert len(decoded) == 1
    arm()
    assert len(decoded) == 2


def test_stages_name_the_whole_way(small: Work) -> None:
    found = stages(load_predictor("unified", threads=1), small, rounds=1)
    parts = ("cut", "normalise", "keypoints")
    assert list(found) == ["decode the picture", *parts[:2], "network", "keypoints", "before and after the network"]
    assert found["before and after the network"] == pytest.approx(sum(found[part] for part in parts))


def test_the_command_prints_its_tables_and_writes_them_where_asked_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "speed.md"
    words = ["--model", "unified", "--people", "1", "--threads", "1", "--batch", "1", "--rounds", "1"]
    silent = CliRunner().invoke(app, words)
    assert silent.exit_code == 0, silent.output
    assert list(tmp_path.iterdir()) == []
    result = CliRunner().invoke(app, [*words, "--decoded", "--operators", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert list(tmp_path.iterdir()) == [out]
    text = out.read_text()
    assert text.strip() in result.stdout
    for part in ("| unified | 1 | 1 |", "| network |", "`unified` by operator:", "| Conv 1x1 |"):
        assert part in text
    assert isinstance(CliRunner().invoke(app, [*words, "--out", str(out)]).exception, BadFileError)
    assert out.read_text() == text


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--annotations", "a.json"], BadArgumentError),
        (["--model", "nothing"], BadArgumentError),
        (["--model", "a/unified.onnx", "--model", "unified"], BadArgumentError),
        (["--device", "npu"], BadArgumentError),
        (["--operators", "--device", "cuda"], BadArgumentError),
        (["--operators", "--model", "a.engine"], BadArgumentError),
        (["--device", "cuda"], DeviceError),
    ],
)
def test_what_cannot_be_timed_writes_nothing(words: list[str], error: type[Exception], tmp_path: Path) -> None:
    if error is DeviceError and load_predictor("unified", device="cuda", allow_fallback=True).provider != CPU:
        pytest.skip("a GPU is here")
    out = tmp_path / "speed.md"
    assert isinstance(CliRunner().invoke(app, [*words, "--out", str(out)]).exception, error)
    assert not out.exists()
