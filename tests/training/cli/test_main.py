"""What a user can get wrong on `poseunion train`'s command line is one sentence and exit code 2."""

from __future__ import annotations

import json
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from typer.testing import CliRunner

from poseunion.app.cli import main
from poseunion.export.onnx.graph_export import export_onnx
from poseunion.models.codec.heads import SimccOutput
from poseunion.models.errors import BadFileError
from poseunion.models.networks.build import build_network
from poseunion.models.networks.weights import NetworkSpec, read_weights, save_weights
from poseunion.models.runtime.description import ModelDescription
from poseunion.models.skeleton import load_skeleton
from poseunion.models.zoo import model_path, weights_path
from poseunion.training.cli.main import app
from poseunion.training.data.crop_store import open_store
from poseunion.training.data.data_file import DatasetEntry
from poseunion.training.data.read_people import read_people
from poseunion.training.data.splits import is_held_out
from poseunion.training.loop.checkpoint import save_checkpoint
from poseunion.training.loop.prepare import Prepared

UNION = load_skeleton("union21")


@pytest.fixture
def data(drawn_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data file of one data set, named coco."""
    monkeypatch.setenv("POSEUNION_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "data.yaml"
    path.write_text(f"datasets: [{{name: coco, annotations: {drawn_dataset}/coco17.json, images: {drawn_dataset}}}]\n")
    return path


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Runs the command line; returns the one sentence it must end with."""
    monkeypatch.setattr(sys, "argv", ["poseunion", "train", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    errors = capsys.readouterr().err
    assert ended.value.code == 2, errors
    assert "Traceback" not in errors
    (sentence,) = [line for line in errors.splitlines() if line.startswith("Error: ")]
    assert sentence.endswith(".")
    return sentence


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["unified"], "needs a RECIPE, --data FILE and --out DIR"),
        (["unifed", "{data}"], "No recipe 'unifed'"),
        (["unified", "{data}", "colour=red"], "'colour'"),
        (["unified", "{data}", "augmentation.colour=1"], "'augmentation.colour'"),
        (["unified", "{data}", "augmentation=none"], "augmentation.low_res_prob"),
        (["unified", "{data}", "augmentation.low_res_prob=2"], "up to 1"),
        (["unified", "{data}", "augmentation.scale=1.4,0.6"], "lower bound first"),
        (["unified", "{data}", "augmentation.scale=1"], "more values"),
        (["unified", "{data}", "lr"], "write key=value"),
        (["unified", "{data}", "lr=fast"], "give a number"),
        (["unified", "{data}", "lr=nan"], "finite number"),
        (["unified", "{data}", "steps=0"], "from 1"),
        (["unified", "{data}", "seed=-1"], "from 0"),
        (["unified", "{data}", "alpha=1.5"], "up to 1"),
        (["unified", "{data}", "task_loss=l2"], "'kl' or 'position'"),
        (["unified", "{data}", "network=resnet"], "equivariant, lite-hrnet, lite-hrnet-pair, rtmpose-t"),
        (["unified", "{data}", "betas=1"], "write a recipe"),
        (["unified", "{data}", "stages=1"], "stages.batch_size"),
        (["unified", "{data}", "stages.batch_size=0"], "from 1"),
        (["unified", "{data}", "skeleton=nobody"], "nobody"),
        (["unified", "{data}", "alpha=1", "datasets=coco,street"], "trains on street"),
        (["unified", "{data}", "alpha=1", "--init", "nowhere.safetensors"], "not a safetensors file"),
        (["unified", "{data}", "alpha=1", "--init", "nowhere.onnx"], "No model file nowhere.onnx"),
        (["unified", "{data}", "alpha=1", "--init", "nobody"], "No weights 'nobody'"),
        (["unified", "{data}", "--nodes", "2"], "MASTER_ADDR"),
        (["unified", "--data", "nowhere.yaml", "--out", "{out}"], "nowhere.yaml"),
    ],
)
def test_a_wrong_argument_is_one_sentence(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    filled: list[str] = []
    for argument in arguments:
        out = ["--out", str(tmp_path / "run")]
        filled += ["--data", str(data), *out] if argument == "{data}" else [argument.format(out=tmp_path / "run")]
    assert sentence in refused(monkeypatch, capsys, *filled)
    assert not list((tmp_path / "run").glob("*")), "nothing half-written"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("datasets: [{name: a, annotations: gone.json, images: .}]", "gone.json, which does not exist"),
        ("datasets: [{name: a, annotations: {here}, images: ., colour: red}]", "colour"),
        ("datasets: [{name: a, annotations: {here}, images: ., weight: 0}]", "weight 0"),
        ("datasets: [{name: a, annotations: {here}, images: .}, {name: a, annotations: {here}, images: .}]", "twice"),
        ("datasets: [{name: a, annotations: {here}, images: .}]\nteachers: [{model: gone.onnx}]", "gone.onnx"),
        ("datasets: [{name: a, annotations: {boxes}, images: ., kind: boxes}]", "kind boxes is a list"),
        ("datasets: [{name: a, annotations: {empty}, images: ., kind: boxes}]", "no people to train on"),
        ("datasets: [{name: a, annotations: {here}, images: .}]", "could be read"),
        ("- just a list", "data.yaml"),
    ],
)
def test_a_wrong_data_file_is_one_sentence(
    data: Path,
    drawn_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
    sentence: str,
) -> None:
    (tmp_path / "boxes.json").write_text(json.dumps([{"file_name": "a.png", "boxes": [[1, 2, 3]]}]))
    (tmp_path / "empty.json").write_text("[]")
    for name, path in (("here", drawn_dataset / "coco17.json"), ("boxes", "boxes.json"), ("empty", "empty.json")):
        text = text.replace("{" + name + "}", str(path))
    data.write_text(text)
    assert sentence in refused(
        monkeypatch, capsys, "unified", "alpha=1", "--data", str(data), "--out", str(tmp_path / "run")
    )


def test_a_data_file_that_is_a_picture_is_one_sentence(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data.write_bytes(b"\x89PNG\xff\xfe")
    assert "not a text file" in refused(monkeypatch, capsys, "unified", "--data", str(data), "--out", str(tmp_path))


def test_a_teacher_that_the_recipe_does_not_weigh_is_one_sentence(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data.write_text(f"{data.read_text()}teachers: [{{model: {model_path('unified')}}}]\n")
    for recipe, sentence in (
        ("paper_a_t", "a teacher of coco17 and one of mpii16"),
        ("unified", "a teacher of coco17"),
    ):
        arguments = (recipe, "--data", str(data), "--out", str(tmp_path / "run"))
        assert sentence in refused(monkeypatch, capsys, *arguments)


def test_without_teachers_labels_train_alone_and_held_out_people_are_measured(
    drawn_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command of the README, three steps long; its text in a pipe."""
    monkeypatch.setenv("POSEUNION_CACHE", str(tmp_path / "cache"))
    names = ("coco17", "lsp14")
    entries = [f"{{name: {n}, annotations: {drawn_dataset}/{n}.json, images: {drawn_dataset}}}" for n in names]
    (tmp_path / "data.yaml").write_text(f"datasets: [{', '.join(entries)}]\n")
    command = ["train", "unified", "--data", str(tmp_path / "data.yaml"), "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(app, [*command, "steps=3", "minutes=0", "stages.batch_size=2"])
    assert done.exit_code == 0, done.output
    text = done.stderr
    assert "names no teachers: unified is trained on labels alone" in text
    # What differs from the recipe, and no more: the rest is in a file.
    assert "schedule.steps=3 (" in text
    assert "weight_decay" not in text
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["schedule"]["steps"] == 3
    assert re.search(r"step 3 of 3, loss [\d.]+ \(.*heatmap [\d.]+\), \d+ people/s, 0 min left", text), text
    assert "distil" not in text.split("step 1 of")[1]
    table = text.split("PCK@.2 of held-out people")[1].splitlines()
    held_out = {name: sum(is_held_out(f"{name}-{i}.png") for i in range(12)) for name in names}
    for name, people in held_out.items():
        assert any(line.split()[:2] == [name, str(people)] for line in table) == (people > 0), text


@pytest.fixture(scope="module")
def hand_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX teacher of five keypoints that no body skeleton has."""
    folder = tmp_path_factory.mktemp("hand")
    skeleton = folder / "hand5.toml"
    skeleton.write_text(
        'name = "hand5"\ntitle = "A hand"\nsource = "this test"\nlinks = [["thumb", "index"]]\n'
        'keypoints = ["thumb", "index", "middle", "ring", "little"]\nsigmas = [0.05, 0.05, 0.05, 0.05, 0.05]\n'
        'sigma_origin = "this test"\n'
    )
    description = ModelDescription(name="hand", skeleton=str(skeleton), size_wh=(64, 64), head=SimccOutput())
    torch.manual_seed(0)
    spec, weights = NetworkSpec(network="rtmpose-t", backbone=""), folder / "w.safetensors"
    save_weights(weights, build_network("rtmpose-t", "", 5, description.grid).state_dict(), spec, description)
    export_onnx(weights, folder / "hand.onnx")
    return folder / "hand.onnx"


def test_a_teacher_that_cannot_teach_is_one_sentence(
    data: Path, hand_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["unified", "--data", str(data), "--out", str(tmp_path / "run")]
    datasets = data.read_text()
    data.write_text(datasets + f"teachers: [{{model: {hand_teacher}}}]\n")
    assert "none of union21's keypoints" in refused(monkeypatch, capsys, *arguments)

    silent = onnx.load(hand_teacher)
    del silent.metadata_props[:]
    onnx.save(silent, tmp_path / "silent.onnx")
    data.write_text(datasets + "teachers: [{model: silent.onnx}]\n")
    assert "has no description" in refused(monkeypatch, capsys, *arguments)

    (tmp_path / "silent.toml").write_text("size = 3\n")
    assert "silent.toml" in refused(monkeypatch, capsys, *arguments)
    data.write_text(datasets + "teachers: [{model: data.yaml}]\n")
    assert "data.yaml" in refused(monkeypatch, capsys, *arguments)


def test_an_output_folder_in_the_way_is_one_sentence(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["unified", "alpha=1", "--data", str(data), "--out"]
    (tmp_path / "file").write_text("")
    assert "Cannot write the run's folder" in refused(monkeypatch, capsys, *arguments, str(tmp_path / "file"))
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "last.ckpt").write_bytes(b"not a checkpoint")
    assert "add --resume" in refused(monkeypatch, capsys, *arguments, str(tmp_path / "old"))
    assert not (tmp_path / "cache").exists(), "refused before hours of preparing"
    assert "not a checkpoint" in refused(monkeypatch, capsys, *arguments, str(tmp_path / "old"), "--resume")


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond 40 kB: the system call fails as it does on a full disk.

    Only around the call in question: pytest's own report may go to a file, too.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_no_half_store(drawn_dataset: Path, tmp_path: Path) -> None:
    entry = DatasetEntry(name="drawn", annotations=drawn_dataset / "coco17.json", images=drawn_dataset)
    with full_disk(), pytest.raises(BadFileError, match="free space"):
        open_store("drawn", read_people(entry, UNION), UNION, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, {"step": 1})
    before = path.read_bytes()
    with full_disk(), pytest.raises(BadFileError, match="free space"):
        save_checkpoint(path, {"step": 2, "network": {"w": torch.zeros(100_000)}})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_a_run_without_a_checkpoint_begins_at_its_start(
    resume: list[str], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with `--resume`, as after a kill before the first checkpoint."""
    began: dict[str, Any] = {}
    monkeypatch.setattr("poseunion.training.loop.prepare.prepare", lambda *_: Prepared([], [], []))
    monkeypatch.setattr("poseunion.training.loop.train.fit", lambda *_, **given: began.update(given))
    out = str(tmp_path / "run")
    done = CliRunner().invoke(app, ["train", "unified", "--data", str(data), "--out", out, *resume])
    assert done.exit_code == 0, done.output
    state, _, description = read_weights(weights_path("unified"))
    assert began["init"].keys() == state.keys()
    assert began["origin"].licence == description.licence
