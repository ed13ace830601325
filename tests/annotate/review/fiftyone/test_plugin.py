"""The plugin `@poseunion/complete` in the real FiftyOne: its operators on own datasets and reviews, and its panel."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fiftyone_app import app_page
from PIL import Image

from poseunion.annotate.review.decisions import Decision, read_extended, record
from poseunion.annotate.review.fiftyone import database
from poseunion.models.errors import install_command
from poseunion.models.inference.predictor import load_predictor
from poseunion.models.skeleton import load_skeleton

ROOT = Path(__file__).parents[4]
ZOO = ROOT / "annotate" / "fiftyone_plugin" / "zoo"
NAMES = list(load_skeleton("mpii16").keypoints)
LABELLED = {"left_shoulder": (0.575, 0.37), "right_shoulder": (0.425, 0.37), "left_hip": (0.55, 0.67)}
PLUGIN = "@poseunion/complete"
PATIENCE_S = 600  # for a busy machine
UPRIGHT_TAG, TURNED = 0x0112, 6  # EXIF: the stored picture has to be turned by 90 degrees to the right


def points(shift: float = 0.0) -> list[list[float]]:
    """A person with three labelled keypoints."""
    return [[LABELLED[n][0] + shift, LABELLED[n][1]] if n in LABELLED else [math.nan, math.nan] for n in NAMES]


@pytest.fixture(scope="module")
def mine(dataset: Any, opened: Any) -> Any:
    """A user's own dataset of whole pictures, in the database that is open."""
    import fiftyone as fo

    made = fo.Dataset("mine", overwrite=True)
    for name, shifts in (("plain.png", (0.0, 0.1)), ("turned.jpg", (-0.1,))):
        people = [fo.Keypoint(label="person", points=points(shift)) for shift in shifts]
        made.add_sample(fo.Sample(str(opened.of.images / name), people=fo.Keypoints(keypoints=people)))
    made.default_skeleton = fo.KeypointSkeleton(labels=NAMES, edges=[[0, 1]])
    made.save()
    return made


def without_loop(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call in a thread of its own: where a loop runs, as Playwright's does, FiftyOne only schedules an operator."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *arguments, **options).result()


def outcome(name: str, **context: Any) -> Any:
    """Run an operator as the App does, and wait for its outcome."""
    import fiftyone.operators as foo

    assert foo.get_operator(f"{PLUGIN}/{name}").config.label.startswith("poseunion: ")
    return without_loop(foo.execute_operator, f"{PLUGIN}/{name}", context)


def execute(name: str, **context: Any) -> Any:
    """Result of an operator; a generator's is None."""
    return outcome(name, **context).result


def selected(dataset: Any, keypoint: str, person: str) -> list[dict[str, Any]]:
    return [
        {"label_id": label.id, "sample_id": sample.id, "field": "proposals"}
        for sample in dataset
        for label in (sample.proposals.keypoints if sample.proposals else ())
        if (label.label, label.person) == (keypoint, person)
    ]


@pytest.fixture(scope="module")
def completed(mine: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`mine` after the operator `complete`; the folder is the one that its form was given."""
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("completed")
    before = mine.values("people.keypoints.points")
    execute("complete", dataset=mine, params={"field": "people", "fill_gaps": True, "folder": str(folder)})
    mine.reload()
    assert repr(mine.values("people.keypoints.points")) == repr(before)
    return mine


def file_of(dataset: Any) -> Path:
    return Path(dataset.info["poseunion"]["file"])


def test_people_of_a_dataset_are_completed(completed: Any) -> None:
    annotations = read_extended(file_of(completed))
    people = completed.values("people.keypoints.id", unwind=True)
    assert [r["id"] for r in annotations.records] == people
    proposals = {(r["id"], p["name"]): (p["x"], p["y"]) for r in annotations.records for p in r["proposals"]}
    assert {name for _, name in proposals} >= {"nose", "left_knee", "head_top"}
    assert not {name for _, name in proposals} & set(LABELLED)
    shown = 0
    for sample in completed:
        for label in sample.proposals.keypoints:
            xy = proposals[label.person, label.label]
            size = (sample.metadata.width, sample.metadata.height)
            assert [a * b for a, b in zip(label.points[0], size, strict=True)] == pytest.approx(xy, abs=1e-6)
            shown += 1
    assert shown


def test_a_decision_is_the_record_that_every_tool_writes(completed: Any) -> None:
    file = file_of(completed)
    before = read_extended(file)
    (first, *_) = completed.values("people.keypoints.id", unwind=True)
    expected = {"nose": "accept", "left_knee": "reject", "head_top": "needs-fix"}
    for keypoint, decision in expected.items():
        labels = selected(completed, keypoint, first)
        name = decision.replace("-", "_")
        said = execute(name, dataset=completed, selected_labels=labels, params={"reviewer": "ann"})
        assert said["recorded"] == {decision: 1}
        completed.reload()
    (found,) = [r for r in read_extended(file).records if r["id"] == first]
    times = {e["keypoint"]: e["time"] for e in found["review"]}
    decisions = [Decision(first, k, d, "ann", times[k]) for k, d in expected.items()]
    (same,) = [r for r in record(before, decisions).document["annotations"] if r["id"] == first]
    assert found == same


def test_completing_again_keeps_decisions(completed: Any) -> None:
    file = file_of(completed)
    (before,) = [r["review"] for r in read_extended(file).records if r.get("review")]
    params = {"field": "people", "folder": str(file.parent)}
    execute("complete", dataset=completed, view=completed.limit(1), params={**params, "fill_gaps": True})
    completed.reload()
    records = read_extended(file).records
    assert len(records) == 3
    assert [r["review"] for r in records if r.get("review")] == [before]
    assert completed.count_label_tags() == {"accept": 1, "reject": 1, "needs-fix": 1}
    assert sorted(p.name for p in file.parent.iterdir()) == ["extended.json", "extended.json.run.json", "people.json"]


def test_next_opens_the_person_with_the_open_proposals_selected(completed: Any) -> None:
    from poseunion.annotate.review.priority import queue

    annotations = read_extended(file_of(completed))
    worst = annotations.records[queue(annotations)[0].row]["id"]
    said = execute("next", dataset=completed)
    assert said["annotation"] == worst
    assert {completed.info["shown"][label][0] for label in said["labels"]} == {worst}
    nothing = execute("next", dataset=completed, view=completed.match({"filepath": ""}))
    assert nothing == {"sentence": "No proposal of the view is left to decide."}


def test_certify_draws_then_bounds(completed: Any) -> None:
    drawn = execute("certify", dataset=completed, params={"budget": 3, "reviewer": "ann"})
    assert drawn["drawn"] >= 3
    completed.tag_labels("accept", label_fields="proposals")
    completed.untag_labels(["reject", "needs-fix"], label_fields="proposals")
    made = execute("certify", dataset=completed, params={"target": 0.5, "reviewer": "ann"})
    assert "with 95 % confidence" in made["sentence"]
    certificate = json.loads(file_of(completed).with_name("extended.json.certificate.json").read_text())
    assert certificate
    assert read_extended(file_of(completed)).source.document["poseunion"]["certificate"]


def test_completion_can_be_delegated(completed: Any) -> None:
    from fiftyone.operators.delegated import DelegatedOperationService

    context = {"dataset": completed, "params": {"field": "people", "folder": str(file_of(completed).parent)}}
    queued = outcome("complete", **context, request_delegation=True)
    assert queued.delegated
    service = DelegatedOperationService()
    without_loop(service.execute_queued_operations, operator=f"{PLUGIN}/complete")
    (run,) = [r for r in service.list_operations(operator=f"{PLUGIN}/complete") if r.id == queued.result["id"]]
    assert str(run.run_state) == "completed", run.result
    assert run.status.progress == 1


def test_a_review_is_complete_and_nothing_of_it_is_delegated(dataset: Any) -> None:
    import fiftyone.operators as foo

    with pytest.raises(Exception, match="people of an `annotate review` are complete"):
        execute("complete", dataset=dataset, params={"field": "human"})
    operator = foo.get_operator(f"{PLUGIN}/accept")
    options = operator.resolve_execution_options(foo.ExecutionContext({"dataset_name": dataset.name}))
    assert not options.allow_delegated_execution


def test_a_dataset_without_proposals_is_refused_in_a_sentence(mine: Any) -> None:
    import fiftyone as fo

    empty = fo.Dataset("empty", overwrite=True)
    with pytest.raises(Exception, match="This dataset has no proposals: run the operator `Complete people` first"):
        execute("accept", dataset=empty)


def test_the_panel_shows_provenance_and_confidence(opened: Any, dataset: Any) -> None:
    from poseunion.annotate.fiftyone_plugin.linked import linked
    from poseunion.annotate.fiftyone_plugin.panel import provenance_markdown

    dataset.reload()
    sample = dataset.match({"annotation": "7"}).first()
    whole = provenance_markdown(linked(dataset), [], sample.id)
    assert "**annotation 7**" in whole
    assert "| left_hip | human |" in whole
    assert "| pelvis | derived |" in whole
    (elbow,) = [k.id for k in sample.proposals.keypoints if k.label == "left_elbow"]
    one = provenance_markdown(linked(dataset), [elbow], sample.id)
    assert one.splitlines()[-1].startswith("| left_elbow | not accepted | 0.10 |")
    assert len(one.splitlines()) == 6


def own_fiftyone(tmp_path: Path) -> dict[str, str]:
    """Environment of a FiftyOne as a user has it, without its database."""
    return {
        **os.environ,
        **database.settings(tmp_path / "settings"),
        "FIFTYONE_PLUGINS_DIR": str(tmp_path / "plugins"),
        "FIFTYONE_MODEL_ZOO_DIR": str(tmp_path / "zoo"),
    }


def test_plugin_and_zoo_model_are_installed_for_the_users_own_fiftyone(tmp_path: Path, fiftyone: None) -> None:
    pytest.importorskip("onnxruntime")
    environment = own_fiftyone(tmp_path)
    script = (
        "import sys; from poseunion.annotate.cli.main import main\n"
        "sys.argv = ['annotate', 'review', '--install-plugin']\n"
        "for _ in range(2):\n"
        "    try: main()\n"
        "    except SystemExit as end: assert not end.code\n"
        "import fiftyone.plugins as fop, fiftyone.zoo as foz, numpy as np\n"
        "print([p.name for p in fop.list_plugins(builtin=False)])\n"
        "model = foz.load_zoo_model('poseunion-unified')\n"
        "print(len(model.skeleton.labels), len(model.predict(np.zeros((64, 64, 3), np.uint8)).keypoints))\n"
        "import poseunion; print(poseunion.complete.__module__)"
    )
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, env=environment, check=True, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.stdout.splitlines()[-3:] == [f"['{PLUGIN}']", "21 0", "poseunion.annotate.complete_file"]


def test_the_zoo_model_applied_to_a_dataset_gives_its_poses(tmp_path: Path, fiftyone: None) -> None:
    """The page's own lines: pictures, also one that its EXIF turns, get what the predictor finds in them."""
    pytest.importorskip("onnxruntime")
    cbook = pytest.importorskip("matplotlib.cbook")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    hopper = Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")
    hopper.save(pictures / "upright.jpg", quality=95)
    exif = Image.Exif()
    exif[UPRIGHT_TAG] = TURNED
    hopper.transpose(Image.Transpose.ROTATE_90).save(pictures / "turned.jpg", quality=95, exif=exif)
    hopper.crop((0, 0, 60, 60)).save(pictures / "nobody.png")

    page = (ROOT / "docs" / "integrations" / "fiftyone.md").read_text(encoding="utf-8")
    lines = page.rpartition("```python\n")[2].partition("```")[0]
    install = "from poseunion.annotate.fiftyone_plugin.install import install; install()\n"
    make = (
        f"import fiftyone as fo; dataset = fo.Dataset.from_images_dir({str(pictures)!r}, name='d', persistent=True)\n"
    )
    show = (
        "import fiftyone as fo, json; dataset = fo.load_dataset('d')\n"
        "people = {s.filename: [[k.points, k.confidence] for k in s.pose.keypoints] for s in dataset}\n"
        "print(json.dumps([people, dataset.skeletons['pose'].labels]))"
    )
    for script in (install + make + lines, show):  # the second process has the database alone
        words = [sys.executable, "-c", script]
        done = subprocess.run(
            words, env=own_fiftyone(tmp_path), check=True, capture_output=True, text=True, timeout=PATIENCE_S
        )
    people, labels = json.loads(done.stdout.splitlines()[-1])
    assert people.pop("nobody.png") == []
    assert people.keys() == {"upright.jpg", "turned.jpg"}
    predict = load_predictor("unified")
    assert labels == list(predict.skeleton.keypoints)
    for name, ((points, confidence),) in people.items():
        expected = predict(pictures / name)
        score = expected.score[0]
        xy = np.where(score[:, None] < 0.5, np.nan, expected.xy[0] / hopper.size)
        assert 0 < np.isnan(xy).sum() < xy.size
        np.testing.assert_allclose(points, xy, atol=1e-6)
        np.testing.assert_allclose(confidence, score, atol=1e-6)


@pytest.fixture
def archive_url(tmp_path: Path) -> Iterator[str]:
    """Address of an archive like the project's own: the zoo model, and manifests that are none of FiftyOne's."""
    archive = tmp_path / "www" / "poseunion-main.zip"
    archive.parent.mkdir()
    manifests = (ROOT / "models").rglob("manifest.json")
    with zipfile.ZipFile(archive, "w") as file:
        for path in [*ZOO.glob("*.*"), *manifests]:
            file.write(path, Path("poseunion-main") / path.relative_to(ROOT))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(archive.parent)))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(server.serve_forever)
        yield f"http://127.0.0.1:{server.server_port}/{archive.name}"
        server.shutdown()
    server.server_close()


def test_fiftyone_takes_the_zoo_model_from_an_archive(tmp_path: Path, archive_url: str, fiftyone: None) -> None:
    """As a remote source, without `--install-plugin`; where the package is missing, the error states it."""
    pytest.importorskip("onnxruntime")
    script = (
        "import sys; sys.modules['poseunion'] = None\n"
        "import fiftyone.zoo as foz, numpy as np\n"
        f"foz.register_zoo_model_source({archive_url!r})\n"
        "try: foz.load_zoo_model('poseunion-unified')\n"
        "except ImportError as error: print('found:', error)\n"
        "del sys.modules['poseunion']\n"
        f"model = foz.load_zoo_model({archive_url!r}, 'poseunion-unified')\n"
        "print('found:', foz.list_zoo_model_sources())\n"
        "print('found:', len(model.skeleton.labels), len(model.predict(np.zeros((64, 64, 3), np.uint8)).keypoints))\n"
        "import poseunion; print('found:', poseunion.complete.__module__)"
    )
    words = [sys.executable, "-c", script]
    done = subprocess.run(
        words, env=own_fiftyone(tmp_path), check=True, capture_output=True, text=True, timeout=PATIENCE_S
    )
    refused, *found = [line.removeprefix("found: ") for line in done.stdout.splitlines() if line.startswith("found: ")]
    assert refused.startswith("The model runs in the package poseunion, which is not installed")
    assert found == [f"['{archive_url}']", "21 0", "poseunion.annotate.complete_file"]


def test_without_fiftyone_the_installation_is_refused_in_one_sentence() -> None:
    script = "import sys; sys.modules['fiftyone'] = None; from poseunion.annotate.cli.main import main; main()"
    words = [sys.executable, "-c", script, "review", "--install-plugin"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2
    assert done.stderr == f"Error: This needs fiftyone, which is not installed: {install_command('review')}.\n"


def test_an_operator_runs_on_the_current_view_of_the_app(opened: Any, dataset: Any, chromium: Any) -> None:
    page = app_page(chromium)
    page.goto(f"{opened.url}?view=left-eye")
    page.locator("[data-cy=looker]").first.wait_for()
    page.wait_for_timeout(3000)  # the key is listened to some time after the pictures are there
    page.keyboard.press("`")
    page.get_by_placeholder("Search").last.fill("poseunion: reject")
    page.get_by_text("poseunion: Reject proposals").first.click()
    page.get_by_text("3 proposals").wait_for()
    page.get_by_role("button", name="Execute").click()
    page.get_by_text("Recorded: 3 reject").first.wait_for()
    page.close()
    last = {key: entries[-1]["decision"] for key, entries in opened.of.entries().items() if key[1] == "left_eye"}
    assert last == {(annotation, "left_eye"): "reject" for annotation in (5, 6, 7)}
