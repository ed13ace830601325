from __future__ import annotations

import dataclasses
import sys
import textwrap
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from poseunion.export.bench import Beside, Work, annotated_work, bundled_work, measure, ours, runs_in_rtmlib, stages
from poseunion.export.bench_report import Arm, Measured, note, plot_latency
from poseunion.export.cli_bench import app
from poseunion.models.errors import BadArgumentError, BadFileError, DeviceError
from poseunion.models.files import write_json
from poseunion.models.images import read_image
from poseunion.models.predictor import load_predictor
from poseunion.models.runtime import CPU
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

    monkeypatch.setattr("poseunion.export.bench.read_image", decode)
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


def test_another_program_works_once_a_round(small: Work, tmp_path: Path) -> None:
    program = tmp_path / "other.py"
    program.write_text(
        textwrap.dedent("""
        import json, pathlib, sys
        folder, threads = pathlib.Path(sys.argv[1]), sys.argv[2]
        assert len(json.loads((folder / "boxes.json").read_text())[0]) == 1 and threads == "2"
        for number, _ in enumerate(sys.stdin):
            (folder / "rounds").write_text(str(number + 1))
            print("done", flush=True)
        """)
    )
    other = Beside(f"{sys.executable} {program}", small, 2, tmp_path)
    other()
    other.close()
    assert (tmp_path / "rounds").read_text() == "2"  # one to warm it
    with pytest.raises(BadArgumentError, match="ended without an answer"):
        Beside(f"{sys.executable} -c pass", small, 1, tmp_path)
    with pytest.raises(BadArgumentError, match="cannot start"):
        Beside("/nowhere/python", small, 1, tmp_path)


def test_the_command_writes_a_note(tmp_path: Path) -> None:
    pytest.importorskip("rtmlib")
    out = tmp_path / "note.md"
    words = ["--model", "unified", "--people", "1", "--threads", "1", "--batch", "1", "--rounds", "1"]
    words += ["--out", str(out), "--decoded", "--operators"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    text = out.read_text()
    for line in ("Date: ", "Command: ", "Machine: ", "Commit: ", "| 1 | 1 | ours | unified |", "| network |"):
        assert line in text
    assert "| 1 | 1 | rtmlib | unified |" in text
    assert "3 decoded pictures" in text
    assert "`unified` by operator:" in text
    assert "| Conv 1x1 |" in text
    assert isinstance(CliRunner().invoke(app, words).exception, BadArgumentError)  # the note is there
    assert out.read_text() == text


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--plot", "a.png"], BadArgumentError),
        (["--annotations", "a.json"], BadArgumentError),
        (["--beside", "python"], BadArgumentError),
        (["--model", "nothing"], BadArgumentError),
        (["--device", "npu"], BadArgumentError),
        (["--operators", "--device", "cuda"], BadArgumentError),
        (["--operators", "--model", "a.engine"], BadArgumentError),
        (["--decoded", "--beside", "a=b"], BadArgumentError),
        (["--device", "cuda"], DeviceError),
    ],
)
def test_what_cannot_be_measured_leaves_no_note(words: list[str], error: type[Exception], tmp_path: Path) -> None:
    if error is DeviceError and load_predictor("unified", device="cuda", allow_fallback=True).provider != CPU:
        pytest.skip("a GPU is here")
    out = tmp_path / "note.md"
    assert isinstance(CliRunner().invoke(app, [*words, "--out", str(out)]).exception, error)
    assert not out.exists()


def test_ratios_are_formed_within_a_round(tmp_path: Path) -> None:
    ours, theirs, other = Arm("ours", "unified", 1, 10), Arm("rtmlib", "unified", 1, 10), Arm("other", "", 1, 10)
    wall = {ours: [1.0, 4.0, 2.0], theirs: [2.0, 4.0, 6.0], other: [4.0, 4.0, 4.0]}
    steps, calls = {"unified": {"network": 1.0}}, {("unified", 1): {8: 1.0}}
    measured = Measured({"unified": load_predictor("unified", threads=1)}, wall, wall, steps, calls, 3, 3)
    text = note(measured, {"unified": 27.8}, "a machine", "poseunion bench", tmp_path / "plot.png")
    same = "1.00 (1.00–1.00)"
    row = (
        f"| 10 | 1 | ours | unified | 2.00 (1.00–4.00) | 2.00 | 2.00 (1.00–3.00) | 2.00 (1.00–3.00) | {same} | {same} |"
    )
    assert row in text
    assert "| 10 | 1 | other | its own | 4.00 (4.00–4.00) | – | – | 1.00 (0.50–1.50) | 0.50 (0.25–1.00) | – |" in text
    assert "AP 27.8" in text
    plot_latency(measured, {"unified": 27.8}, tmp_path / "plot.png")
    assert read_image(tmp_path / "plot.png").std() > 1


def test_rtmlib_is_only_asked_what_it_can_run() -> None:
    pytest.importorskip("rtmlib")
    assert runs_in_rtmlib(load_predictor("unified", threads=1))
