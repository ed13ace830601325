"""What is killed: commands that write, what has to hold whenever they die, and what has to be there in the end."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.samples import TESTS, load

WHEN = "2026-01-31T12:00:{:02d}+00:00"


@dataclass(frozen=True)
class Case:
    """One command.

    Attributes:
        prepare: fill a folder with its inputs.
        do: the command; done again, it goes on or begins anew.
        holds: raises AssertionError where something human or answered is lost; called after each kill.
        result: what has to be equal in the end.
        share: of all kills; what takes seconds gets fewer.
    """

    name: str
    prepare: Callable[[Path], None]
    do: Callable[[Path], None]
    holds: Callable[[Path, Path], None]
    result: Callable[[Path], Any]
    share: float


def cases() -> list[Case]:
    """All of them."""
    annotate = load(TESTS / "fixtures" / "annotate_fixtures.py")
    return [_extend(annotate), *_reviews(annotate), _release(annotate), _train(), _export()]


def _bytes(folder: Path) -> dict[str, str]:
    """Every file of a folder but hidden ones: its path and checksum."""
    files = [p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _whole_or_absent(name: str) -> Callable[[Path, Path], None]:
    def holds(folder: Path, ended: Path) -> None:
        if (folder / name).exists():
            assert (folder / name).read_bytes() == (ended / name).read_bytes(), f"{name} is neither whole nor absent"

    return holds


def _extend(annotate: ModuleType) -> Case:
    from poseunion.annotate.extend import plan
    from poseunion.annotate.extend import run as module
    from poseunion.annotate.formats import read_annotations

    plan.CHUNK = 5

    def prepare(folder: Path) -> None:
        made = annotate.Folder(folder)
        made.write(annotate.coco_document(60, per_image=3))

    def do(folder: Path) -> None:
        records = read_annotations(folder / "in.json")
        options = module.Options(resume=True)
        module.extend(records, folder / "images", annotate.FakePredictor(), folder / "out.json", options)

    def result(folder: Path) -> Any:
        assert not list(folder.glob(".*.part")), "a part file stays"
        assert not (folder / "out.json.journal.jsonl").exists(), "the journal stays"
        return {**_bytes(folder), "out.json.run.json": ""}  # date and host

    return Case("extend", prepare, do, _whole_or_absent("out.json"), result, 0.3)


def _extended(annotate: ModuleType, folder: Path) -> list[dict[str, Any]]:
    """in.json, images and out.json, its extension, in a folder; returns its records."""
    from poseunion.annotate.extend.run import Options, extend
    from poseunion.annotate.formats import read_annotations

    made = annotate.Folder(folder)
    made.write(annotate.coco_document(8))
    extend(read_annotations(made.file), made.images, annotate.FakePredictor(), made.out, Options(fill_gaps=True))
    records: list[dict[str, Any]] = json.loads(made.out.read_text())["annotations"]
    return [record for record in records if record.get("proposals")]


class TagBase:
    """The part of FiftyOne's dataset that `pull` uses, on a file of its own: saved at once, as its database is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        content = json.loads(path.read_text())
        self.info, self.tags = content["info"], content["tags"]

    def values(self, _: list[str]) -> tuple[list[Any], list[Any], list[Any]]:
        """Times, ids and tags, one person a label."""
        when = datetime.datetime(2026, 1, 31, tzinfo=datetime.timezone.utc)
        return [when] * len(self.tags), [[name] for name in self.tags], [[tag] for tag in self.tags.values()]

    def match_tags(self, _: list[str]) -> list[Any]:
        """Nobody is tagged himself."""
        return []

    def save(self) -> None:
        """Replace the file."""
        from poseunion.models.files import write_json

        write_json(self.path, {"info": self.info, "tags": self.tags})


def _reviews(annotate: ModuleType) -> list[Case]:
    from poseunion.annotate.review.apply import apply
    from poseunion.annotate.review.decisions import Decision, save
    from poseunion.annotate.review.fiftyone.dataset import PULLED, SHOWN
    from poseunion.annotate.review.fiftyone.pull import pull
    from poseunion.app.demo.guard.saver import Saver, fold

    def decisions(folder: Path) -> list[Decision]:
        people = json.loads((folder / "out.json").read_text())["annotations"]
        named = [(p["id"], q["name"]) for p in people for q in (p.get("proposals") or [])[:3]]
        verbs = ("accept", "reject")
        return [
            Decision(who, name, verbs[i % 2], "ann", WHEN.format(i), None) for i, (who, name) in enumerate(named[:12])
        ]

    def prepare(folder: Path) -> None:
        people = _extended(annotate, folder)
        proposals = [(p["id"], q) for p in people for q in p["proposals"][:3]]
        shown = {f"l{i}": [who, q["name"], q["x"], q["y"]] for i, (who, q) in enumerate(proposals)}
        tags = {name: ["accept"] for name in shown}
        (folder / "tags.json").write_text(json.dumps({"info": {SHOWN: shown, PULLED: {}}, "tags": tags}))

    def decided(folder: Path) -> None:
        prepare(folder)
        save(folder / "out.json", decisions(folder))

    def pull_tags(folder: Path) -> None:
        pull(TagBase(folder / "tags.json"), folder / "out.json", "ann")

    def before_or_after(folder: Path, ended: Path) -> None:
        content = (folder / "out.json").read_bytes()
        former = (folder / "former").read_bytes()
        assert content in (former, (ended / "out.json").read_bytes()), "the file is neither as it was nor as it will be"

    def kept(make: Callable[[Path], None]) -> Callable[[Path], None]:
        def made(folder: Path) -> None:
            make(folder)
            (folder / "former").write_bytes((folder / "out.json").read_bytes())

        return made

    def content(folder: Path) -> dict[str, str]:
        found = _bytes(folder)
        return {name: found[name] for name in ("in.json", "out.json", "tags.json")}

    def answer(folder: Path) -> None:
        fold(folder / "out.json")  # what opening a file for review does
        saver, real = Saver(folder / "out.json"), os.open
        for decision in decisions(folder):
            saver.add([decision])
            with os.fdopen(real(folder / "answered", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), "ab") as said:
                said.write(f"{decision.annotation_id} {decision.keypoint}\n".encode())
        saver.finish()

    def answers_kept(folder: Path, _: Path) -> None:
        fold(folder / "out.json")
        people = json.loads((folder / "out.json").read_text())["annotations"]
        there = {f"{p['id']} {entry['keypoint']}" for p in people for entry in p.get("review") or []}
        said = (folder / "answered").read_text().splitlines() if (folder / "answered").exists() else []
        assert set(said) <= there, "an answered decision is lost"

    return [
        Case("apply", kept(decided), lambda f: void(apply(f / "out.json")), before_or_after, content, 0.1),
        Case("pull", kept(prepare), pull_tags, before_or_after, content, 0.15),
        Case("review", prepare, answer, answers_kept, content, 0.25),
    ]


def void(_: object) -> None:
    """A command's result is not looked at."""


def _release(annotate: ModuleType) -> Case:
    from poseunion.annotate.release import Request, release

    def prepare(folder: Path) -> None:
        _extended(annotate, folder)

    def do(folder: Path) -> None:
        request = Request(folder / "out.json", folder / "images", folder / "set", folder / "in.json", ("mpii", "yolo"))
        release(dataclasses.replace(request, overwrite=True))

    def holds(folder: Path, ended: Path) -> None:
        for name in ("in.json", "out.json"):
            assert (folder / name).read_bytes() == (ended / name).read_bytes(), f"{name} changed"
        if (folder / "set").exists():
            assert _bytes(folder / "set") == _bytes(ended / "set"), "the release is neither whole nor absent"

    return Case("release", prepare, do, holds, lambda folder: _bytes(folder / "set"), 0.1)


def _train() -> Case:
    from poseunion.training.config.overrides import changed

    loop = load(TESTS / "training" / "loop" / "test_train.py")
    drawn = load(TESTS / "training" / "conftest.py")
    recipe = changed(loop.TINY, steps=5)

    def prepare(folder: Path) -> None:
        drawn.draw_dataset(folder)

    def do(folder: Path) -> None:
        from poseunion.training.loop.train import fit

        fit(recipe, drawn.prepare(folder, folder / "cache"), folder / "run", resume=True, accelerator="cpu")

    def holds(folder: Path, _: Path) -> None:
        from poseunion.training.loop.checkpoint import load_checkpoint

        if (folder / "run" / "last.ckpt").exists():
            load_checkpoint(folder / "run" / "last.ckpt")

    def result(folder: Path) -> Any:
        state = loop.final_state(folder / "run")
        return {name: hashlib.sha256(value.numpy().tobytes()).hexdigest() for name, value in state.items()}

    return Case("train", prepare, do, holds, result, 0.06)


def _export() -> Case:
    samples = load(TESTS / "export" / "conftest.py")

    def prepare(folder: Path) -> None:
        samples.small_weights(folder / "w.safetensors", backbone="mobilenetv4_conv_small_050")

    def do(folder: Path) -> None:
        from poseunion.export.run import ExportRequest, export

        export(ExportRequest(folder / "w.safetensors", folder / "m.onnx", overwrite=True))

    def result(folder: Path) -> Any:
        return (folder / "m.onnx").read_bytes()

    return Case("export", prepare, do, _whole_or_absent("m.onnx"), result, 0.04)
