"""A packed set trains as what it was packed from; it is whole or refused, and the same bytes each time."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from poseunion.app.cli import main
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.files import write_json
from poseunion.models.zoo import model_path
from poseunion.training import pack as packing
from poseunion.training.config.overrides import changed
from poseunion.training.config.recipe import Recipe, Stage
from poseunion.training.data.data_file import DataFile, PackedEntry, read_data_file
from poseunion.training.loop.prepare import Prepared, prepare
from poseunion.training.loop.train import fit
from poseunion.training.pack import PLAN, pack
from poseunion.training.shards.packed import INDEX, read_index
from poseunion.training.shards.samples import write_shard
from poseunion.training.teachers import cached_targets

RECIPE = changed(
    Recipe("packed"),
    pretrained=False,
    backbone="mobilenetv4_conv_small_050",
    stages=(Stage((32, 64), 4.0, 1.0, 4),),
    steps=20,
    warmup_steps=2,
    log_every=1,
    alpha=0.5,
    betas=(("union21", 1.0),),
    agreement_mask=False,
    validate_minutes=1e9,
    checkpoint_minutes=1e9,
)


@pytest.fixture(scope="module")
def data(drawn_dataset: Path) -> DataFile:
    """Two skeletons, one of them as boxes too, and a teacher of all keypoints."""
    pictures = [{"file_name": f"lsp14-{i}.png", "boxes": [[20, 20, 120, 160]]} for i in range(12)]
    (drawn_dataset / "boxes.json").write_text(json.dumps(pictures))
    path = drawn_dataset / "data.yaml"
    lines = [f"  - {{name: {n}, annotations: {n}.json, images: .}}" for n in ("coco17", "lsp14")]
    lines += ["  - {name: street, annotations: boxes.json, images: ., kind: boxes, weight: 0.5}"]
    teacher = f"teachers: [{{model: {model_path('unified')}, keypoints: [nose, upper_neck, head_top, left_hip]}}]"
    path.write_text("\n".join(["datasets:", *lines, teacher]))
    return read_data_file(path)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the teacher's answers are kept from one test to the next."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def lossless(data: DataFile, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set, packed without loss."""
    folder = tmp_path_factory.mktemp("lossless") / "packed"
    pack(data, RECIPE, folder, cache, quality=100, height_px=256)
    return folder


def only(folder: Path) -> DataFile:
    return DataFile(packed=[PackedEntry(packed=folder)])


def losses(prepared: Prepared, out: Path) -> np.ndarray:
    fit(RECIPE, prepared, out, accelerator="cpu")
    rows = [row for row in map(json.loads, (out / "log.jsonl").read_text().splitlines()) if "total" in row]
    return np.array([row["total"] for row in rows])


@pytest.mark.parametrize("mend_sides", [False, True])
@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_packed_is_prepared_as_unpacked(
    data: DataFile, lossless: Path, cache: Path, tmp_path: Path, mend_sides: bool, alpha: float
) -> None:
    recipe = changed(RECIPE, mend_sides=mend_sides, alpha=alpha)
    plain, packed = prepare(data, recipe, cache), prepare(only(lossless), recipe, tmp_path)
    assert [len(one.distilled) for one in packed.train] == [int(alpha < 1)] * 3
    for ours, theirs in zip(packed.train + packed.held_out, plain.train + plain.held_out, strict=True):
        assert ours.store.dataset == theirs.store.dataset
        assert (ours.sampling, ours.exchanged) == (theirs.sampling, theirs.exchanged)
        assert (ours.rows == theirs.rows).all()
        assert (ours.store.person_id == theirs.store.person_id).all()
        assert [Path(n).name for n in theirs.store.image_name] == list(ours.store.image_name)
        assert (ours.weight == theirs.weight).all()
        np.testing.assert_allclose(ours.xy, theirs.xy, atol=1e-4)
        for one, other in zip(ours.distilled, theirs.distilled, strict=True):
            assert (one.agrees == other.agrees).all()
            assert (one.peaks.skeleton, one.peaks.teacher) == (other.peaks.skeleton, other.peaks.teacher)
            known = other.peaks.modes.weight > 0
            assert (one.peaks.modes.weight == other.peaks.modes.weight).all()
            np.testing.assert_allclose(one.peaks.modes.xy[known], other.peaks.modes.xy[known], atol=1e-3)
            np.testing.assert_allclose(one.peaks.modes.cov[known], other.peaks.modes.cov[known], rtol=1e-4)
        for i in range(len(ours.store)):
            assert (ours.store.pixels(i) == theirs.store.pixels(i)).all()


def test_twenty_steps_have_the_same_losses(data: DataFile, lossless: Path, cache: Path, tmp_path: Path) -> None:
    plain = losses(prepare(data, RECIPE, cache), tmp_path / "plain")
    assert len(plain) == RECIPE.schedule.steps
    np.testing.assert_allclose(losses(prepare(only(lossless), RECIPE, cache), tmp_path / "same"), plain, rtol=1e-3)
    pack(data, RECIPE, tmp_path / "packed", cache)
    lossy = losses(prepare(only(tmp_path / "packed"), RECIPE, cache), tmp_path / "lossy")
    assert np.abs(lossy / plain - 1).mean() < 0.02, "one seed draws the same people"


def test_two_runs_write_the_same_bytes_and_nothing_of_the_machine(
    data: DataFile, lossless: Path, tmp_path: Path
) -> None:
    pack(data, RECIPE, tmp_path / "packed", tmp_path / "cache", quality=100, height_px=256)
    names = sorted(path.name for path in lossless.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "packed").iterdir())
    for name in names:
        content = (lossless / name).read_bytes()
        assert (tmp_path / "packed" / name).read_bytes() == content
        assert str(data.datasets[0].images).encode() not in content


@pytest.fixture
def copy(lossless: Path, tmp_path: Path) -> Path:
    """A packed set to be harmed."""
    return shutil.copytree(lossless, tmp_path / "copy")


def _flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("name", "harm", "says"),
    [
        ("*00000.tar.gz", Path.unlink, "is missing"),
        ("*00000.tar.gz", _flip_a_byte, "is damaged"),
        ("*00000.tar.gz", lambda path: path.write_bytes(path.read_bytes()[:3000]), "is damaged"),
        (INDEX, Path.unlink, "no packed set"),
        (INDEX, lambda path: path.write_text("{}"), "pack anew"),
        (INDEX, lambda path: path.write_text(path.read_text().replace('"file": "', '"file": "../')), "pack anew"),
    ],
)
def test_a_damaged_set_is_one_sentence(
    copy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    harm: object,
    says: str,
) -> None:
    harm(next(iter(sorted(copy.glob(name)))))  # type: ignore[operator]
    (tmp_path / "data.yaml").write_text("datasets: [{packed: copy}]")
    monkeypatch.setenv("POSEUNION_CACHE", str(tmp_path / "cache"))
    words = ["train", "unified_imagenet", "pretrained=false", "alpha=1", "--data", str(tmp_path / "data.yaml")]
    monkeypatch.setattr(sys, "argv", ["poseunion", *words, "--out", str(tmp_path / "run")])
    with pytest.raises(SystemExit) as ended:
        main()
    errors = capsys.readouterr().err
    assert ended.value.code == 2, errors
    (sentence,) = [line for line in errors.splitlines() if line.startswith("Error: ")]
    assert says in sentence
    assert str(copy) in sentence
    assert not list((tmp_path).glob("cache/*.npz"))


def test_a_killed_packing_goes_on(data: DataFile, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "PEOPLE_PER_SHARD", 5)
    out, whole = tmp_path / "out", tmp_path / "whole"
    pack(data, RECIPE, whole, cache)
    written: list[object] = []

    def stopped(*args: object) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(args)
        write_shard(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(packing, "write_shard", stopped)
    with pytest.raises(KeyboardInterrupt):
        pack(data, RECIPE, out, cache)
    first = {path.name: path.stat().st_mtime_ns for path in out.glob("*.tar.gz")}
    assert len(first) == 2
    with pytest.raises(BadFileError, match="poseunion pack to its end"):
        prepare(only(out), RECIPE, cache)
    with pytest.raises(BadArgumentError, match="beginning of another packing"):
        pack(data, RECIPE, out, cache, quality=20)
    monkeypatch.setattr(packing, "write_shard", write_shard)
    (out / f".{min(first)}.k1ll3d.part").write_bytes(b"half")
    pack(data, RECIPE, out, cache)
    assert {name: (out / name).stat().st_mtime_ns for name in first} == first
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        path.name: path.read_bytes() for path in whole.iterdir()
    }


def test_a_packing_that_is_killed_again_and_again_ends_with_the_same_bytes(
    data: DataFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each start writes three files and is killed at the fourth: stores, answers, plan, shards, index."""
    monkeypatch.setattr(packing, "PEOPLE_PER_SHARD", 5)
    monkeypatch.setattr(cached_targets, "BATCHES_A_PART", 1)
    small = data.model_copy(update={"datasets": data.datasets[:2]})
    real, left = os.replace, [0]

    def until_killed(source: object, target: object) -> None:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        real(source, target)  # type: ignore[arg-type]

    out, starts = tmp_path / "out", 0
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", until_killed)
        while True:
            left[0], starts = 3, starts + 1
            assert starts < 40
            try:
                pack(small, RECIPE, out, tmp_path / "cache")
            except KeyboardInterrupt:
                with pytest.raises(BadFileError, match="poseunion pack to its end"):
                    read_index(out)
            else:
                break
    assert starts > 5
    pack(small, RECIPE, tmp_path / "whole", tmp_path / "cache")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()
    }


def test_a_packing_that_was_killed_after_its_index_ends(data: DataFile, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def killed_after_index(path: Path, *args: object, **kwargs: object) -> None:
        write_json(path, *args, **kwargs)  # type: ignore[arg-type]
        if path.name == INDEX:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "write_json", killed_after_index)
        with pytest.raises(KeyboardInterrupt):
            pack(data, RECIPE, out, cache)
    assert (out / INDEX).exists()
    assert (out / PLAN).exists()
    before = (out / INDEX).read_bytes()
    pack(data, RECIPE, out, cache)
    assert (out / INDEX).read_bytes() == before
    assert not (out / PLAN).exists()


def test_everyone_is_packed_or_counted_with_a_reason(
    drawn_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((drawn_dataset / "coco17.json").read_text())
    content["annotations"][0]["iscrowd"] = 1
    content["annotations"][1] |= {"keypoints": [0] * 51, "num_keypoints": 0}
    content["images"][2]["file_name"] = "absent.png"
    shutil.copytree(drawn_dataset, tmp_path / "pictures")
    (tmp_path / "pictures" / "coco.json").write_text(json.dumps(content))
    (tmp_path / "data.yaml").write_text("datasets: [{name: coco, annotations: pictures/coco.json, images: pictures}]")
    monkeypatch.setenv("POSEUNION_CACHE", str(tmp_path / "cache"))
    words = ["pack", "unified", "--data", str(tmp_path / "data.yaml"), "--out", str(tmp_path / "packed")]
    monkeypatch.setattr(sys, "argv", ["poseunion", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)
    report = " ".join(capsys.readouterr().err.split())
    assert "coco: 9 of 12 people" in report
    assert "1 not packed: iscrowd" in report
    assert "1 not packed: no human keypoint" in report
    assert "not packed: absent.png: " in report
    (dataset,) = read_index(tmp_path / "packed").datasets
    assert sum(shard.people for shard in dataset.shards) + len(dataset.skipped) + sum(dataset.left_out.values()) == 12


def test_a_packed_set_is_augmented_on_the_device(lossless: Path, cache: Path, tmp_path: Path) -> None:
    recipe = changed(RECIPE, augment_on="device", steps=3)
    weights = fit(recipe, prepare(only(lossless), recipe, cache), tmp_path / "run", accelerator="cpu")
    assert weights.exists()
    rows = [row for row in map(json.loads, (tmp_path / "run/log.jsonl").read_text().splitlines()) if "total" in row]
    assert len(rows) == 3
    assert all(np.isfinite(row["total"]) and row["total"] > 0 for row in rows)


def test_a_folder_is_replaced_only_when_asked(data: DataFile, cache: Path, copy: Path, tmp_path: Path) -> None:
    with pytest.raises(BadArgumentError, match="--overwrite"):
        pack(data, RECIPE, copy, cache)
    before = (copy / INDEX).read_bytes()
    (copy / "holidays.tar").write_text("mine")
    pack(data, RECIPE, copy, cache, overwrite=True)
    assert (copy / "holidays.tar").read_text() == "mine"
    assert (copy / INDEX).read_bytes() != before
    assert not (copy / PLAN).exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / INDEX).write_text('{"mine": 1}')
    (other / "holidays.tar").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(BadArgumentError, match="other files"):
            pack(data, RECIPE, other, cache, overwrite=overwrite)
    with pytest.raises(BadArgumentError, match="packed already"):
        pack(only(copy), RECIPE, tmp_path / "new", cache)


def test_a_packed_set_of_another_skeleton_or_without_the_teacher_is_refused(lossless: Path, cache: Path) -> None:
    with pytest.raises(BadArgumentError, match="skeleton=union21"):
        prepare(only(lossless), changed(RECIPE, skeleton="coco17"), cache)
    with pytest.raises(BadArgumentError, match="a teacher of mpii16"):
        prepare(only(lossless), changed(RECIPE, betas=(("mpii16", 1.0),)), cache)
    with pytest.raises(BadArgumentError, match="twice"):
        prepare(DataFile(packed=[PackedEntry(packed=lossless)] * 2), RECIPE, cache)


def test_a_detector_wants_whole_pictures(lossless: Path, tmp_path: Path) -> None:
    from poseunion.training.detector.prepare import prepare_pictures

    with pytest.raises(BadArgumentError, match="whole pictures"):
        prepare_pictures(only(lossless), tmp_path)


def test_a_set_and_pictures_are_trained_on_together(data: DataFile, lossless: Path, tmp_path: Path) -> None:
    path = tmp_path / "data.yaml"
    entry = data.datasets[0]
    path.write_text(
        f"datasets: [{{packed: {lossless}, weight: 2}}, "
        f"{{name: more, annotations: {entry.annotations}, images: {entry.images}}}]"
    )
    prepared = prepare(read_data_file(path), changed(RECIPE, alpha=1, pseudo_weight=0), tmp_path)
    assert [(one.store.dataset, one.sampling) for one in prepared.train] == [
        ("more", 1),
        ("coco17", 2),
        ("lsp14", 2),
        ("street", 1),
    ]
