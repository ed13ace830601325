"""A run that is stopped anywhere loses nothing and ends in the same bytes; a journal of other work is refused."""

from __future__ import annotations

import base64
import errno
import io
import json
import os
import signal
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rich.console import Console

from poseunion.annotate.extend import plan
from poseunion.annotate.extend.run import Options, extend, journal_path, run_path
from poseunion.annotate.formats import read_annotations
from poseunion.models.errors import BadArgumentError, BadFileError, ModelError

RESUME = Options(resume=True)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "CHUNK", 5)


def whole(folder: Any, fake: Any, document: Any) -> bytes:
    """The bytes of a run that was not stopped."""
    folder.write(document)
    extend(read_annotations(folder.file), folder.images, fake(), folder.out)
    content: bytes = folder.out.read_bytes()
    folder.out.unlink()
    run_path(folder.out).unlink()
    return content


@pytest.mark.parametrize("stops", [[0], [1], [3], [4, 0, 1, 0], [2, 2, 2]])
def test_stopped_and_resumed_is_byte_identical(stops: list[int], folder: Any, coco: Any, fake: Any) -> None:
    expected = whole(folder, fake, coco(37, per_image=3))
    for calls in stops:
        with pytest.raises(KeyboardInterrupt):
            extend(read_annotations(folder.file), folder.images, fake(fail_at=calls), folder.out, RESUME)
        assert not folder.out.exists()
        assert journal_path(folder.out).exists()
    predictor = fake()
    report = extend(read_annotations(folder.file), folder.images, predictor, folder.out, RESUME)
    assert folder.out.read_bytes() == expected
    assert predictor.calls == 8 - sum(stops)
    assert report.resumed == 5 * sum(stops)
    assert report.predicted == 37
    assert sorted(p.name for p in folder.root.iterdir()) == ["images", "in.json", "out.json", "out.json.run.json"]


@pytest.mark.parametrize("cut", [1, 7, 200])
def test_a_line_cut_off_by_a_crash_is_done_again(cut: int, folder: Any, coco: Any, fake: Any) -> None:
    expected = whole(folder, fake, coco(20))
    with pytest.raises(KeyboardInterrupt):
        extend(read_annotations(folder.file), folder.images, fake(fail_at=3), folder.out)
    journal = journal_path(folder.out)
    journal.write_bytes(journal.read_bytes()[:-cut])
    extend(read_annotations(folder.file), folder.images, fake(), folder.out, RESUME)
    assert folder.out.read_bytes() == expected


def test_a_journal_cut_off_in_its_first_line_starts_again(folder: Any, coco: Any, fake: Any) -> None:
    expected = whole(folder, fake, coco(6))
    journal_path(folder.out).write_text('{"poseunion_jour')
    extend(read_annotations(folder.file), folder.images, fake(), folder.out, RESUME)
    assert folder.out.read_bytes() == expected


def sealed(line: Any) -> bytes:
    """A line as the journal writes it, whatever it holds."""
    content = line if isinstance(line, bytes) else json.dumps(line).encode()
    return b"%08x %s\n" % (zlib.crc32(content), content)


def flipped(line: bytes) -> bytes:
    """One bit of it."""
    return bytes([*line[:60], line[60] ^ 1, *line[61:]])


def test_damaged_chunks_are_done_again_and_counted(folder: Any, coco: Any, fake: Any) -> None:
    expected = whole(folder, fake, coco(20))
    with pytest.raises(KeyboardInterrupt):
        extend(read_annotations(folder.file), folder.images, fake(fail_at=3), folder.out)
    journal = journal_path(folder.out)
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == 4
    record = json.loads(lines[2][9:])

    def posed(at: int, value: float) -> dict[str, Any]:
        pose = np.frombuffer(base64.b64decode(record["pose"]), "<f4").copy()
        pose[at] = value
        return {**record, "pose": base64.b64encode(pose.tobytes()).decode()}

    for damaged in (
        b"#####\n",
        b"\0" * 100 + b"\n",
        flipped(lines[2]),
        lines[2].replace(b'"records":[', b'"records":[ '),
        json.dumps(record).encode() + b"\n",
        *map(sealed, (posed(0, np.nan), posed(1, np.inf), posed(2, 5.0), posed(2, -1.0), [], None, b"[" * 100_000)),
        *(
            sealed({**record, **change})
            for change in (
                {"pose": "AAAA"},
                {"records": [0, 1]},
                {"records": [10**30]},
                {"chunk": 99},
                {"chunk": -1},
                {"chunk": [1]},
                {"size": [[0, 1]] * 5},
                {"size": [[2**40, 1]] * 5},
                {"stamps": 1},
                {"stamps": {"a": 1}},
            )
        ),
        sealed({"no": 1}),
    ):
        journal.write_bytes(b"".join([*lines[:2], damaged, *lines[3:]]))
        predictor = fake()
        report = extend(read_annotations(folder.file), folder.images, predictor, folder.out, RESUME)
        assert folder.out.read_bytes() == expected
        assert (report.redone, predictor.calls) == (1, 2)  # that chunk, and the one that was never done
        folder.out.unlink()
        run_path(folder.out).unlink()


@pytest.mark.parametrize("head", [b"[]\n", b"[" * 100_000 + b"\n", b"\0\n"])
def test_what_is_no_journal_is_refused(head: bytes, folder: Any, coco: Any, fake: Any) -> None:
    folder.write(coco(6))
    journal_path(folder.out).write_bytes(head + b"{}\n")
    with pytest.raises(BadFileError, match=r"not a journal.*--overwrite"):
        extend(read_annotations(folder.file), folder.images, fake(), folder.out, RESUME)
    assert journal_path(folder.out).read_bytes() == head + b"{}\n"


def test_a_picture_exchanged_between_run_and_resume_is_done_again(folder: Any, coco: Any, fake: Any) -> None:
    folder.write(coco(20))
    with pytest.raises(KeyboardInterrupt):
        extend(read_annotations(folder.file), folder.images, fake(fail_at=3), folder.out)
    document = json.loads(folder.file.read_text())
    picture = folder.images / document["images"][0]["file_name"]
    pixels = cv2.imread(str(picture))
    assert pixels is not None
    cv2.imwrite(str(picture), np.ascontiguousarray(255 - pixels))
    os.utime(picture, ns=(1, 1))
    report = extend(read_annotations(folder.file), folder.images, fake(), folder.out, RESUME)
    resumed = folder.out.read_bytes()
    assert report.redone == 1
    extend(read_annotations(folder.file), folder.images, fake(), folder.out, Options(overwrite=True))
    assert folder.out.read_bytes() == resumed


@pytest.mark.parametrize(("first", "then", "notices"), [(0, 0, False), (1, 0, True), (0, 1, True), (1, 1, True)])
def test_strict_notices_a_picture_exchanged_under_the_same_size_and_time(
    first: int, then: int, notices: bool, folder: Any, coco: Any, fake: Any
) -> None:
    folder.write(coco(20))
    with pytest.raises(KeyboardInterrupt):
        extend(read_annotations(folder.file), folder.images, fake(fail_at=3), folder.out, Options(strict=bool(first)))
    picture = folder.images / json.loads(folder.file.read_text())["images"][0]["file_name"]
    content, found = picture.read_bytes(), picture.stat()
    picture.write_bytes(content[:-1] + b"?")  # in a PNG's or JPEG's last mark: still decoded
    os.utime(picture, ns=(found.st_atime_ns, found.st_mtime_ns))
    resume = Options(resume=True, strict=bool(then))
    predictor = fake()
    report = extend(read_annotations(folder.file), folder.images, predictor, folder.out, resume)
    # Sizes and times are no proof for one who is strict: all three are done again.
    redone = 0 if not notices else 1 if first else 3
    assert (report.redone, predictor.calls) == (redone, 1 + redone)
    console = Console(record=True, width=200, file=io.StringIO())
    report.print(console)
    assert ("done again:" in console.export_text()) == notices


def test_a_run_that_cannot_begin_leaves_nothing(folder: Any, coco: Any, fake: Any) -> None:
    class Broken(type(fake())):  # type: ignore[misc]
        def predict_crops(self, *_: Any) -> Any:
            raise ModelError("broken")

    folder.write(coco(6))
    with pytest.raises(ModelError):
        extend(read_annotations(folder.file), folder.images, Broken(), folder.out)
    assert sorted(p.name for p in folder.root.iterdir()) == ["images", "in.json"]


@pytest.mark.parametrize("change", [[], None, {"zzz": 1}, {"work": 3}, {"report": 1}, {"report": {"zzz": 1}}])
def test_a_damaged_note_of_a_finished_run_is_refused(change: Any, folder: Any, coco: Any, fake: Any) -> None:
    folder.write(coco(6))
    extend(read_annotations(folder.file), folder.images, fake(), folder.out)
    note = json.loads(run_path(folder.out).read_text())
    run_path(folder.out).write_text(json.dumps({**note, **change} if change else change))
    if change == {"zzz": 1}:  # what nobody asks for does no harm
        assert extend(read_annotations(folder.file), folder.images, fake(), folder.out, RESUME).predicted == 6
        return
    with pytest.raises(BadFileError, match="--overwrite"):
        extend(read_annotations(folder.file), folder.images, fake(), folder.out, RESUME)


def test_a_journal_of_other_work_is_refused(folder: Any, coco: Any, fake: Any) -> None:
    folder.write(coco(12))
    with pytest.raises(KeyboardInterrupt):
        extend(read_annotations(folder.file), folder.images, fake(fail_at=1), folder.out)
    kept = journal_path(folder.out).read_bytes()
    other = fake()
    other.sha256 = "1" * 64
    with pytest.raises(BadFileError, match=r"belongs to other work \(another model"):
        extend(read_annotations(folder.file), folder.images, other, folder.out, RESUME)
    elsewhere = fake()
    elsewhere.provider = "CUDAExecutionProvider"
    with pytest.raises(BadFileError, match="another provider"):
        extend(read_annotations(folder.file), folder.images, elsewhere, folder.out, RESUME)
    with pytest.raises(BadFileError, match="another limit"):
        extend(read_annotations(folder.file), folder.images, fake(), folder.out, Options(resume=True, limit=3))
    folder.write(coco(12, seed=1))
    with pytest.raises(BadFileError, match="another annotations"):
        extend(read_annotations(folder.file), folder.images, fake(), folder.out, RESUME)
    assert journal_path(folder.out).read_bytes() == kept
    journal_path(folder.out).write_bytes(sealed({"something": "else"}))
    with pytest.raises(BadFileError, match="not a journal"):
        extend(read_annotations(folder.file), folder.images, fake(), folder.out, RESUME)


def test_what_is_there_is_not_replaced_unasked(folder: Any, coco: Any, fake: Any) -> None:
    folder.write(coco(12))
    annotations = read_annotations(folder.file)
    with pytest.raises(KeyboardInterrupt):
        extend(annotations, folder.images, fake(fail_at=1), folder.out)
    with pytest.raises(BadFileError, match="left by an interrupted run"):
        extend(annotations, folder.images, fake(), folder.out)
    extend(annotations, folder.images, fake(), folder.out, Options(overwrite=True))
    before = folder.out.read_bytes()
    with pytest.raises(BadFileError, match=r"exists: choose another --out, or replace it with --overwrite"):
        extend(annotations, folder.images, fake(), folder.out)
    predictor = fake()
    report = extend(annotations, folder.images, predictor, folder.out, RESUME)  # already done: nothing to do
    assert (predictor.calls, report.predicted) == (0, 12)
    with pytest.raises(BadFileError, match="not made by this command"):
        extend(annotations, folder.images, predictor, folder.out, Options(resume=True, threshold=0.9))
    assert folder.out.read_bytes() == before
    with pytest.raises(BadArgumentError, match="annotation file itself"):
        extend(annotations, folder.images, fake(), folder.file, Options(overwrite=True))
    with pytest.raises(BadArgumentError, match="is a folder"):
        extend(annotations, folder.images, fake(), folder.images)


def test_two_runs_at_once_are_refused(folder: Any, coco: Any, fake: Any) -> None:
    folder.write(coco(12))
    annotations = read_annotations(folder.file)

    def second(done: int, total: int) -> None:
        with pytest.raises(BadArgumentError, match="in use by another run"):
            extend(annotations, folder.images, fake(), folder.out, RESUME)

    extend(annotations, folder.images, fake(), folder.out, progress=second)
    assert folder.out.exists()


def test_date_and_host_are_not_in_the_extended_file(folder: Any, coco: Any, fake: Any) -> None:
    folder.write(coco(3))
    extend(read_annotations(folder.file), folder.images, fake(), folder.out, command=["annotate", "extend"])
    block = folder.result()["poseunion"]
    assert set(block) == {"version", "original_sha256", "model", "skeleton", "thresholds", "options"}
    run = json.loads(run_path(folder.out).read_text())
    assert {"started", "command", "host", "provider", "work", "report"} <= set(run)
    assert run["command"] == ["annotate", "extend"]


@pytest.mark.parametrize("call", ["write", "fsync"])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_full_disk_keeps_finished_work(
    call: str, after: int, folder: Any, coco: Any, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = whole(folder, fake, coco(20))
    real, calls = getattr(os, call), 0

    def full(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            if call == "write":  # a part still fits
                real(args[0], args[1][:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(BadFileError, match="No space left on device") as caught:
            extend(read_annotations(folder.file), folder.images, fake(), folder.out)
    assert "\n" not in str(caught.value)
    assert not folder.out.exists()
    assert journal_path(folder.out).exists() == (after > 1)  # the first line alone is no work
    predictor = fake()
    extend(read_annotations(folder.file), folder.images, predictor, folder.out, RESUME)
    assert folder.out.read_bytes() == expected
    assert predictor.calls == 4 - max(after - 1, 0)


SCRIPT = """
import os, signal, sys
sys.path.insert(0, {folder!r})
from pathlib import Path
from annotate_fixtures import FakePredictor
from poseunion.annotate.extend import plan
from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import read_annotations
plan.CHUNK = 5
class Killed(FakePredictor):
    def predict_crops(self, *args):
        if self.calls == {calls}:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict_crops(*args)
root = Path(sys.argv[1])
extend(read_annotations(root / "in.json"), root / "images", Killed(), root / "out.json", Options(resume=True))
"""


def test_a_killed_process_loses_nothing(folder: Any, coco: Any, fake: Any) -> None:
    expected, calls = whole(folder, fake, coco(60, per_image=3)), 4
    script = SCRIPT.format(folder=str(Path(__file__).parents[1] / "fixtures"), calls=calls)
    done = subprocess.run([sys.executable, "-c", script, str(folder.root)], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert journal_path(folder.out).read_bytes().count(b"\n") == 1 + calls
    assert not folder.out.exists()
    predictor = fake()
    extend(read_annotations(folder.file), folder.images, predictor, folder.out, RESUME)
    assert folder.out.read_bytes() == expected
    assert predictor.calls == 12 - calls
