"""However many work on a file, and whoever they are, its bytes are the same."""

from __future__ import annotations

import json
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poseunion.annotate.extend import plan as work
from poseunion.annotate.extend.chunks import Task, task_of
from poseunion.annotate.extend.executor import run_local, share_cores
from poseunion.annotate.extend.executor_ray import _Worker, mark_of, shards_path
from poseunion.annotate.extend.image_reader import Pictures
from poseunion.annotate.extend.plan import plan
from poseunion.annotate.extend.run import Options, describe_work, extend, journal_path, run_path
from poseunion.annotate.formats import read_annotations
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.inference.predictor import load_predictor
from poseunion.models.inference.size_routing import RoutedPredictor
from poseunion.models.runtime.base import cores


def bytes_of(folder: Any, predictor: Any, **options: Any) -> bytes:
    extend(read_annotations(folder.file), folder.images, predictor, folder.out, Options(overwrite=True, **options))
    content: bytes = folder.out.read_bytes()
    return content


@pytest.mark.parametrize("style", ["coco", "mpii"])
def test_workers_and_threads_do_not_change_the_result(
    style: str, folder: Any, request: pytest.FixtureRequest, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(request.getfixturevalue(style)(150))
    expected = bytes_of(folder, load_predictor(tiny_model, threads=1))
    assert bytes_of(folder, load_predictor(tiny_model, threads=2)) == expected
    monkeypatch.setattr(
        work, "CHUNK", 7
    )  # batches of other sizes: these two differ from the first, not from each other
    small = bytes_of(folder, load_predictor(tiny_model, threads=1))
    assert bytes_of(folder, load_predictor(tiny_model, threads=1), workers=3) == small


def test_several_workers_stopped_and_resumed(
    folder: Any, coco: Any, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "CHUNK", 5)
    folder.write(coco(60, per_image=3))
    expected = bytes_of(folder, fake())
    for path in (folder.out, run_path(folder.out)):
        path.unlink()
    annotations = read_annotations(folder.file)
    with pytest.raises(KeyboardInterrupt):
        extend(annotations, folder.images, fake(fail_at=9), folder.out, Options(workers=3))
    assert journal_path(folder.out).exists()
    report = extend(annotations, folder.images, fake(), folder.out, Options(resume=True, workers=2))
    assert 10 <= report.resumed < 60  # at most 6 chunks are begun beyond the oldest unfinished one
    assert folder.out.read_bytes() == expected
    assert not [t for t in threading.enumerate() if t.name.startswith("people")]


def test_workers_take_only_a_few_chunks_ahead(folder: Any, coco: Any, fake: Any) -> None:
    """Memory stays flat: pictures and crops of at most a few chunks exist at once."""
    folder.write(coco(6))
    annotations = read_annotations(folder.file)
    whole = task_of(annotations, 0, plan(annotations).order)
    for workers, ahead in ((1, 1), (3, 6)):
        given = 0

        def tasks() -> Any:
            nonlocal given
            for chunk in range(20):
                given += 1
                yield Task(chunk, whole.persons)

        for done, result in enumerate(run_local(tasks(), folder.images, fake(), workers)):
            assert result.chunk == done
            assert given <= done + 1 + ahead


def test_a_task_and_a_predictor_travel(folder: Any, coco: Any, tiny_model: Path) -> None:
    folder.write(coco(40))
    annotations = read_annotations(folder.file)
    task = task_of(annotations, 0, plan(annotations).order)
    predictor = load_predictor(tiny_model, threads=1, flip=True, batch_size=3)
    assert len(pickle.dumps(task)) < 40 * 200
    again = pickle.loads(pickle.dumps(predictor))
    assert (again.flip, again.batch_size, again.sha256) == (True, 3, predictor.sha256)
    (a,), (b,) = (run_local([task], folder.images, p) for p in (predictor, again))
    assert a.predictions.to_bytes() == b.predictions.to_bytes()
    assert Pictures(folder.images).read(task.persons[0].image).shape == (48, 64, 3)


def test_cores_are_shared() -> None:
    n = cores()
    assert share_cores(None, None) == (min(n, 16), max(1, n // min(n, 16)))
    assert share_cores(None, n) == (1, n)
    assert share_cores(3, None) == (3, max(1, n // 3))
    assert share_cores(3, 5) == (3, 5)
    assert share_cores(2, None, on_cpu=False) == (2, None)
    for workers, threads in ((0, None), (None, 0)):
        with pytest.raises(BadArgumentError, match="at least 1"):
            share_cores(workers, threads)
    for options in ({"workers": 0}, {"engine": "spark"}):
        with pytest.raises(BadArgumentError):
            Options(**options)


def test_where_it_runs_is_not_in_the_file(folder: Any, coco: Any, fake: Any) -> None:
    folder.write(coco(6))
    block = json.loads(bytes_of(folder, fake(), workers=2))["poseunion"]
    assert not {"workers", "engine", "provider"} & {*block, *block["options"]}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_ray_job_gives_the_same_bytes(folder: Any, coco: Any, tiny_model: Path) -> None:
    pytest.importorskip("ray")
    folder.write(coco(64 * 5 + 9))
    expected = bytes_of(folder, load_predictor(tiny_model, threads=1))
    assert bytes_of(folder, load_predictor(tiny_model, threads=1), engine="ray", workers=2) == expected
    assert sorted(p.name for p in folder.root.iterdir()) == ["images", "in.json", "out.json", "out.json.run.json"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_goes_wrong_in_a_ray_job_is_said_in_one_sentence(folder: Any, coco: Any, tiny_model: Path) -> None:
    pytest.importorskip("ray")
    folder.write(coco(6))
    shards_path(folder.out).write_text("a file where the folder should be")
    with pytest.raises(BadFileError, match=r"^Cannot write .*chunk-00000000\.json: .*$"):
        bytes_of(folder, load_predictor(tiny_model, threads=1), engine="ray", workers=2)
    assert not folder.out.exists()


def test_shards_left_by_a_job_are_taken(folder: Any, coco: Any, fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "CHUNK", 5)
    folder.write(coco(23))
    expected = bytes_of(folder, fake())
    for path in (folder.out, run_path(folder.out)):
        path.unlink()
    annotations, predictor = read_annotations(folder.file), fake()
    mark = mark_of(describe_work(annotations, predictor, Options()))
    shards = shards_path(folder.out)
    write = _Worker(predictor, folder.images, shards, mark, strict=False)
    planned = plan(annotations)
    for chunk in (3, 1):
        write({"task": pickle.dumps(task_of(annotations, chunk, planned.chunk(chunk)))})
    other = json.loads((shards / "chunk-00000001.json").read_text()) | {"mark": "of other work", "chunk": 0}
    (shards / "chunk-00000000.json").write_text(json.dumps(other))
    before = predictor.calls
    extend(annotations, folder.images, predictor, folder.out, Options(resume=True))
    assert predictor.calls - before == 3
    assert folder.out.read_bytes() == expected
    assert not shards.exists()


def test_small_people_go_to_another_model_which_the_file_names(
    folder: Any, coco: Any, tiny_model: Path, tmp_path: Path
) -> None:
    """Every person of a routed run is what that one model alone makes of them; without small people nothing changes."""
    document = coco(30)
    for number, person in enumerate(document["annotations"]):
        person["bbox"][2:] = [14 + number, 40 - number]
    folder.write(document)
    base, student = load_predictor(tiny_model, threads=1), load_predictor(smaller(tiny_model, tmp_path), threads=1)
    annotations = read_annotations(folder.file)
    side = np.nanmax(annotations.box_xywh[:, 2:], 1)
    middle = float(np.median(side))
    alone = [json.loads(bytes_of(folder, one))["annotations"] for one in (base, student)]
    routed = json.loads(bytes_of(folder, RoutedPredictor(base, [(student, middle)])))
    assert [row["below_px"] for row in routed["poseunion"]["route"]] == [middle, None]
    names = set()
    for person, (large, small) in enumerate(zip(*alone, strict=True)):
        ours = routed["annotations"][person]
        own = small if side[person] < middle else large
        name = ours.pop("proposed_by", None)
        assert name == (("smaller" if side[person] < middle else "tiny") if own["proposals"] else None)
        assert [p["name"] for p in ours["proposals"]] == [p["name"] for p in own["proposals"]]
        for a, b in zip(ours["proposals"], own["proposals"], strict=True):
            assert (a["x"], a["y"]) == pytest.approx((b["x"], b["y"]), abs=0.02)
        names.add(name)
    assert {"smaller", "tiny"} <= names
    nobody = json.loads(bytes_of(folder, RoutedPredictor(base, [(student, 1e-3)])))
    assert [{k: v for k, v in one.items() if k != "proposed_by"} for one in nobody["annotations"]] == alone[0]


def test_a_routed_run_resumes_and_guarantees_nothing(folder: Any, coco: Any, tiny_model: Path, tmp_path: Path) -> None:
    folder.write(coco(30))
    base, student = load_predictor(tiny_model, threads=1), load_predictor(smaller(tiny_model, tmp_path), threads=1)
    routed = RoutedPredictor(base, [(student, 40.0)])
    expected = bytes_of(folder, routed)
    assert bytes_of(folder, routed, workers=3) == expected
    work_of = [describe_work(read_annotations(folder.file), one, Options()) for one in (base, routed)]
    assert "route" not in work_of[0]
    assert work_of[1] == {**work_of[0], "route": list(routed.route)}
    with pytest.raises(BadArgumentError, match="--risk is guaranteed for one model"):
        bytes_of(folder, routed, risk=0.1)


def smaller(tiny_model: Path, folder: Path) -> Path:
    """The tiny model under another name, for crops of another size."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(tiny_model)
    description = json.loads(model.metadata_props[0].value)
    half = [side // 2 for side in description["size_wh"]]
    # The same bins on half the pixels.
    head = {"kind": "simcc", "split": 4.0}
    onnx.helper.set_model_props(
        model, {"poseunion": json.dumps({**description, "name": "smaller", "size_wh": half, "head": head})}
    )
    for dimension, side in zip(model.graph.input[0].type.tensor_type.shape.dim[2:], half[::-1], strict=True):
        dimension.dim_value = side
    path = folder / "smaller.onnx"
    onnx.save(model, str(path))
    return path
