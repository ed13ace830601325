"""The command line, with a tiny real network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from poseunion.annotate.cli import main as cli
from poseunion.models.errors import install_command

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call `annotate` in this process: exit code, standard output, standard error."""

    def call(*words: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["annotate", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as error:
            code = int(error.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_extend_from_end_to_end(run: Run, folder: Any, coco: Any, coco_kept: Any, tiny_model: Path) -> None:
    document = coco(9)
    folder.write(document)
    where = ("--annotations", folder.file, "--images", folder.images, "--out", folder.out, "--model", tiny_model)
    code, out, err = run("extend", *where, "--dry-run", "--json")
    assert code == 0, err
    said = json.loads(out)
    assert (said["to_predict"], said["pictures"], said["pictures_missing"]) == (9, 5, 0)
    assert said["added"] == ["pelvis", "thorax", "upper_neck", "head_top"]
    code, out, err = run("extend", *where, "--dry-run")
    assert code == 0
    assert "Would complete 9 of 9 people" in out
    assert sorted(p.name for p in folder.root.iterdir()) == ["images", "in.json"]

    code, out, err = run("extend", *where, "--json", "--overlay", folder.root / "overlays")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report["provider"] == "CPUExecutionProvider"
    assert report["predicted"] == 9
    assert len(list((folder.root / "overlays").iterdir())) == 5
    coco_kept(document, folder.result())
    first = folder.out.read_bytes()

    code, out, err = run("extend", *where)
    assert code == 2
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    code, out, err = run("extend", *where, "--overwrite", "--threads", "1")
    assert code == 0
    for word in ("head_top", "human", "derived", "threshold", "accepted", "none", "9 of 9 people"):
        assert word in out
    assert folder.out.read_bytes() == first

    assert run("check", folder.out, "--images", folder.images)[0] == 0
    code, out, err = run("show", folder.out, "--images", folder.images, "--out", folder.root / "shown", "--rejected")
    assert code == 0
    assert "5 overlays" in out


def test_mpii_from_the_data_folder(
    run: Run, folder: Any, mpii: Any, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSEUNION_DATA", str(folder.root))
    monkeypatch.chdir(folder.root)
    code, _, err = run("extend", "--dataset", "mpii", "--model", tiny_model)
    assert code == 2
    assert str(folder.root / "mpii/annotations/mpii_train.json") in err
    assert str(folder.root / "mpii/images") in err
    folder.file, folder.images = folder.root / "mpii/annotations/mpii_train.json", folder.root / "mpii/images"
    folder.write(mpii(4))
    code, _, err = run("extend", "--dataset", "mpii", "--model", tiny_model)
    assert code == 0, err
    extended = json.loads((folder.root / "mpii_train.extended.json").read_text())
    assert len(extended["categories"][0]["keypoints"]) == 21
    code, _out, err = run("extend", "--dataset", "mpii", "--model", tiny_model, "--format", "mpii", "--out", "own.json")
    assert code == 0, err
    assert "joints_union" in json.loads((folder.root / "own.json").read_text())[0]


def test_check_lists_what_is_wrong_and_leaves_with_2(run: Run, folder: Any, coco: Any) -> None:
    document = coco(4)
    document["annotations"][0]["keypoints"][2] = 9
    document["annotations"][1]["keypoints"] = [1]
    folder.write(document, pictures=False)
    code, out, _ = run("check", folder.file)
    assert code == 2
    assert out.count("wrong: ") == 2
    code, out, _err = run("check", folder.file, "--json")
    assert code == 2
    said = json.loads(out)
    assert not said["usable"]
    assert sum(p["fatal"] for p in said["problems"]) == 2


BAD_CALLS: list[tuple[str, list[str], str]] = [
    ("unknown dataset", ["extend", "--dataset", "nope"], "No dataset 'nope'"),
    ("nothing given", ["extend"], "Which data"),
    ("unknown model", ["extend", "--annotations", "F", "--images", "I", "--model", "nope"], "No model 'nope'"),
    ("no such model file", ["extend", "--annotations", "F", "--images", "I", "--model", "no.onnx"], "no.onnx"),
    ("threshold", ["extend", "--annotations", "F", "--images", "I", "--model", "M", "--threshold", "3"], "--threshold"),
    ("max-bad", ["extend", "--annotations", "F", "--images", "I", "--model", "M", "--max-bad", "7"], "--max-bad"),
    (
        "format",
        ["extend", "--annotations", "F", "--images", "I", "--model", "M", "--format", "yolo"],
        "cannot be written",
    ),
    ("device", ["extend", "--annotations", "F", "--images", "I", "--model", "M", "--device", "tpu"], "No device 'tpu'"),
    ("engine", ["extend", "--annotations", "F", "--images", "I", "--model", "M", "--engine", "spark"], "'spark'"),
    ("workers", ["extend", "--annotations", "F", "--images", "I", "--model", "M", "--workers", "0"], "--workers 0"),
    ("threads", ["extend", "--annotations", "F", "--images", "I", "--model", "M", "--threads", "0"], "--threads 0"),
    (
        "many threads",
        ["extend", "--annotations", "F", "--images", "I", "--model", "M", "--threads", "9999999999"],
        "most",
    ),
    ("long name", ["extend", "--annotations", "F", "--images", "I", "--model", "M", "--out", "o" * 300], "too long"),
    ("long model", ["extend", "--annotations", "F", "--images", "I", "--model", "o" * 300], "too long"),
    (
        "overlays on pictures",
        ["extend", "--annotations", "F", "--images", "I", "--model", "M", "--overlay", "I"],
        "holds the pictures",
    ),
    ("no pictures", ["show", "F", "--images", "nowhere", "--out", "o"], "--images nowhere is no folder"),
    ("no pictures to check", ["check", "F", "--images", "nowhere"], "--images nowhere is no folder"),
    ("show nothing", ["show", "F", "--images", "I", "--out", "o", "--limit", "-1"], "--limit -1"),
    ("no file", ["show", "nothing.json", "--images", "I", "--out", "o"], "nothing.json"),
    ("skeleton", ["check", "F", "--skeleton", "nope"], "No skeleton 'nope'"),
    ("unknown option", ["extend", "--wrong"], "No such option"),
    ("not a number", ["extend", "--limit", "many"], "--limit"),
]


@pytest.mark.parametrize(("words", "message"), [b[1:] for b in BAD_CALLS], ids=[b[0] for b in BAD_CALLS])
def test_a_bad_argument_is_said_and_leaves_with_2(
    words: list[str],
    message: str,
    run: Run,
    folder: Any,
    coco: Any,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder.root)
    monkeypatch.setenv("NO_COLOR", "1")
    folder.write(coco(2))
    known = {"F": str(folder.file), "I": str(folder.images), "M": str(tiny_model)}
    code, out, err = run(*(known.get(w, w) for w in words))
    assert code == 2
    assert out == ""
    assert message in err
    assert "Traceback" not in err
    assert err.count("\n") == 1 or err.startswith("Usage: ")
    assert sorted(p.name for p in folder.root.iterdir()) == ["images", "in.json"]


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_wrong_folder_of_pictures_is_recognised_before_any_work(
    more: tuple[str, ...], run: Run, folder: Any, coco: Any, tiny_model: Path
) -> None:
    folder.write(coco(9))
    wrong = folder.root / "wrong"
    wrong.mkdir()
    where = ("--annotations", folder.file, "--images", wrong, "--out", folder.out, "--model", tiny_model)
    code, _, err = run("extend", *where, *more)
    assert (code, "0 of the first 5 pictures" in err) == (2, True), err
    assert sorted(p.name for p in folder.root.iterdir()) == ["images", "in.json", "wrong"]


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_device_that_is_not_there_is_said(
    device: str, run: Run, folder: Any, coco: Any, tiny_model: Path, recwarn: pytest.WarningsRecorder
) -> None:
    folder.write(coco(2))
    where = ("--annotations", folder.file, "--images", folder.images, "--out", folder.out, "--model", tiny_model)
    code, out, err = run("extend", *where, "--device", device)
    if code == 0:
        pytest.skip(f"{device} is there")
    assert (code, out) == (2, "")
    assert "was requested, but tiny.onnx would run on CPUExecutionProvider" in err
    assert install_command("gpu") in err
    assert err.count("\n") == 1
    assert not recwarn.list
    assert not folder.out.exists()
    code, out, err = run("extend", *where, "--device", device, "--allow-fallback")
    assert code == 0, err
    assert "CPUExecutionProvider" in out  # where it ran is said


@pytest.mark.parametrize("command", ["extend", "show", "check"])
def test_help_has_examples(command: str, run: Run) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"annotate {command} " in out.split("Examples", 1)[1]


def test_an_interrupt_says_how_to_go_on(
    run: Run, folder: Any, coco: Any, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(coco(4))
    monkeypatch.setattr("poseunion.models.inference.joint.load_predictor", lambda *a, **k: fake(fail_at=0))
    code, _, err = run("extend", "--annotations", folder.file, "--images", folder.images, "--out", folder.out)
    assert code == 130
    assert "--resume" in err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.parametrize("old", [b"", b'{"what was": "there"}'], ids=["nothing", "an old file"])
@pytest.mark.parametrize("size", ["8k", "40k"], ids=["journal", "output"])  # what no longer fits
def test_a_really_full_disk(size: str, old: bytes, folder: Any, coco: Any, tiny_model: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk is not allowed here")
    try:
        folder.write(coco(40))
        command = [sys.executable, "-m", "poseunion.annotate.cli.main", "extend", "--annotations", str(folder.file)]
        command += ["--images", str(folder.images), "--model", str(tiny_model), "--out", str(disk / "out.json")]
        if old:
            (disk / "out.json").write_bytes(old)
            command.append("--overwrite")
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 2
        assert "No space left on device" in result.stderr
        assert result.stderr.count("\n") == 1
        assert (disk / "out.json").exists() == bool(old)
        assert not old or (disk / "out.json").read_bytes() == old
        assert ("journal" in result.stderr) == (size == "8k")
        assert not list(disk.glob(".*"))  # no part files
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_name_that_is_half_a_character_is_carried_along(run: Run, folder: Any, coco: Any, tiny_model: Path) -> None:
    document = coco(4)
    document["annotations"][0]["my field"] = "\ud800 ü"
    document["images"][1]["file_name"] = "\udcff\ud800.png"  # a picture that cannot exist
    folder.write(coco(4))
    folder.write(document, pictures=False)
    where = ("--annotations", folder.file, "--images", folder.images, "--out", folder.out, "--model", tiny_model)
    code, out, err = run("extend", *where, "--max-bad", "1", "--json")
    assert code == 0, err
    assert len(json.loads(out)["bad"]) == 2
    assert folder.result()["annotations"][0]["my field"] == "\ud800 ü"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [
        sys.executable,
        "-m",
        "poseunion.annotate.cli.main",
        "check",
        str(folder.out),
        "--images",
        str(folder.images),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 2
    assert result.stderr == ""
    assert r"\ud800" in result.stdout


def test_routes_that_are_not_there_are_refused(run: Run, folder: Any, coco: Any, tiny_model: Path) -> None:
    folder.write(coco(3))
    where = ("--annotations", folder.file, "--images", folder.images, "--out", folder.out, "--model", tiny_model)
    for route, says in (("fast", "No route 'fast': choose off or auto."), ("auto", "has no route")):
        code, _, err = run("extend", *where, "--route", route)
        assert code == 2
        assert says in err
        assert not folder.out.exists()
    code, _, err = run("extend", *where, "--route", "off")
    assert code == 0, err
    assert "route" not in folder.result()["poseunion"]
