"""What is fuzzed: of each kind of input a sound file, its mutations, and the commands that must withstand them."""

from __future__ import annotations

import io
import json
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.fuzz.mutate import (
    document_bytes,
    mutate_bytes,
    mutate_document,
    mutate_network,
    mutate_png,
    mutate_structs,
    mutate_text,
    mutate_xml,
)
from tests.samples import TESTS, load

Command = list[str]
# Writes a mutated input into the folder and says which commands are to read it; every output goes to folder/"out…".
Mutation = Callable[[Path, random.Random], list[Command]]
BACKBONE = "mobilenetv4_conv_small_050"  # the smallest that the tests build


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    Attributes:
        weight: how often it is drawn, against 1. MATLAB files are read in a process of their own, which takes a second.
    """

    name: str
    mutate: Mutation
    weight: float = 1.0


def kinds(seeds: Path) -> list[Kind]:
    """All kinds; their sound files are written to `seeds`."""
    formats = load(TESTS / "fixtures" / "format_fixtures.py")
    annotate = load(TESTS / "fixtures" / "annotate_fixtures.py")
    seeds.mkdir(parents=True, exist_ok=True)
    model = annotate.write_tiny_model(seeds / "tiny.onnx")
    picture = seeds / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)).save(picture)
    return [
        *(_annotations(formats, name, seeds / name, model) for name in formats.SAMPLES),
        *_reviewed(seeds / "extended", annotate, model),
        *_pictures(seeds / "pictures", model),
        *_models(seeds, model, picture),
        *_texts(seeds, model),
    ]


def _extend(file: Path, images: Path, out: Path, model: Path, *more: str) -> Command:
    where = ["--annotations", str(file), "--images", str(images), "--out", str(out), "--model", str(model)]
    return ["annotate", "extend", *where, "--max-bad", "1", *more]


def _annotations(formats: Any, name: str, folder: Path, model: Path) -> Kind:
    folder.mkdir(parents=True, exist_ok=True)
    sample = formats.SAMPLES[name]
    k = len(formats.load_skeleton(sample.skeleton))
    xy = np.arange(3 * k * 2).reshape(3, k, 2) % 37 + 4.5
    images = [0, 1, 2] if sample.single else [0, 0, 1]
    people = formats.People(sample.skeleton, xy, np.full((3, k), 2), images, 3 if sample.single else 2)
    root = formats.write_pictures(folder, sample, people.pictures)
    file: Path = sample.write(folder, people)

    def mutate(place: Path, rng: random.Random) -> list[Command]:
        target, pictures = place / file.name, root
        if file.suffix == ".mat":
            target.write_bytes(_mat(file, rng))
        elif file.suffix in (".json", ".xml"):
            target.write_bytes(_damaged(file, rng))
        elif file.is_dir():  # a format of one file a picture
            shutil.copytree(file, target)
            victim = rng.choice(sorted(path for path in target.rglob("*") if path.is_file()))
            victim.write_bytes(_damaged(victim, rng))
        else:  # YOLO: its labels lie beside the pictures
            pictures = target.parent
            shutil.copytree(folder, place, dirs_exist_ok=True)
            victim = rng.choice([target, *sorted(place.rglob("*.txt"))])
            victim.write_bytes(_damaged(victim, rng))
        told = ["--format", name] if rng.random() < 0.5 else []
        said = ["--format", name] if rng.random() < 0.3 else []
        ending = formats.FORMATS[name].ending if said else ".json"
        return [
            ["annotate", "check", str(target), "--images", str(pictures), *told],
            _extend(target, pictures, place / f"out{ending}", model, *said, *rng.choice(([], ["--unlabelled"]))),
        ]

    return Kind(name, mutate, 0.3 if file.suffix == ".mat" else 1.0)


def _damaged(file: Path, rng: random.Random) -> bytes:
    """The file's content, changed as its kind of text allows."""
    if file.suffix == ".json":
        return document_bytes(mutate_document(json.loads(file.read_text()), rng), rng)
    if file.suffix == ".xml":
        return mutate_xml(file.read_text(), rng)
    return mutate_text(file.read_text(), rng)


def _mat(file: Path, rng: random.Random) -> bytes:
    import scipy.io

    if rng.random() < 0.3:
        return mutate_bytes(file.read_bytes(), rng)
    variables = {k: v for k, v in scipy.io.loadmat(file).items() if not k.startswith("__")}
    buffer = io.BytesIO()
    try:
        scipy.io.savemat(buffer, mutate_structs(variables, rng), do_compression=False, long_field_names=True)
    except Exception:  # not everything that mutation makes can be stored
        return mutate_bytes(file.read_bytes(), rng)
    # Uncompressed, so that a damaged byte is a damaged number and not a broken stream.
    return mutate_bytes(buffer.getvalue(), rng) if rng.random() < 0.4 else buffer.getvalue()


def _reviewed(folder: Path, annotate: Any, model: Path) -> list[Kind]:
    """An extended file with decisions, its journal, its slice for CVAT: what the commands of a review read."""
    from poseunion.annotate.extend.run import Options, extend
    from poseunion.annotate.formats import read_annotations
    from poseunion.annotate.review.cvat import export_slice
    from poseunion.annotate.review.decisions import Decision, now, read_extended, save

    made = annotate.Folder(folder)
    made.write(annotate.coco_document(4))
    records, fake = read_annotations(made.file), annotate.FakePredictor()
    extend(records, made.images, fake, made.out, Options(fill_gaps=True))
    first = json.loads(made.out.read_text())["annotations"][0]
    proposal = first["proposals"][0]
    save(made.out, [Decision(first["id"], proposal["name"], "accept", "ann", now())])
    export_slice(read_extended(made.out), list(range(4)), folder / "slice.zip")
    text, original = made.out.read_text(), made.file.read_text()

    def reviewed(place: Path, rng: random.Random) -> list[Command]:
        file = place / "file.json"
        file.write_bytes(document_bytes(mutate_document(json.loads(text), rng), rng))
        (place / "in.json").write_text(original)
        images, out = ["--images", str(made.images)], ["--out", str(place / "out")]
        of_it: list[Command] = [
            ["apply", str(file), "--out", str(place / "out.json")],
            ["show", str(file), *images, *out],
            ["check", str(file), *images],
            ["next", str(file)],
            ["release", str(file), *images, *out, "--original", str(place / "in.json"), "--format", "mpii"],
            ["release", str(file), *images, *out, "--original", str(place / "in.json"), "--format", "yolo"],
            ["cvat-export", str(file), "--out", str(place / "out.zip")],
            ["apply", str(made.out), "--from", str(file), "--out", str(place / "out-taken.json")],
        ]
        return [["annotate", *words] for words in rng.sample(of_it, 3)]

    def slice_(place: Path, rng: random.Random) -> list[Command]:
        file, back = place / "file.json", place / "back.zip"
        file.write_text(text)
        with zipfile.ZipFile(folder / "slice.zip") as archive:
            name = archive.namelist()[0]
            document = json.loads(archive.read(name))
        with zipfile.ZipFile(back, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, document_bytes(mutate_document(document, rng), rng))
        if rng.random() < 0.3:
            back.write_bytes(mutate_bytes(back.read_bytes(), rng))
        return [["annotate", "cvat-import", str(file), str(back), "--exported", str(folder / "slice.zip")]]

    kept = _journal(folder, made.file, made.images, model)

    def journal(place: Path, rng: random.Random) -> list[Command]:
        out = place / "out.json"
        out.with_name(out.name + ".journal.jsonl").write_bytes(mutate_bytes(kept, rng))
        return [_extend(made.file, made.images, out, model, "--resume")]

    return [Kind("extended", reviewed, 3.0), Kind("cvat", slice_), Kind("journal", journal, 0.5)]


def _journal(folder: Path, file: Path, images: Path, model: Path) -> bytes:
    """The journal of a run that was killed before it wrote its file; a process of its own leaves no session here."""
    out = folder / "killed.json"
    script = (
        "import os, signal, sys; import poseunion.annotate.extend.journal as j\n"
        "from poseunion.annotate.cli.main import main\n"
        "j.Journal.remove = lambda self: os.kill(os.getpid(), signal.SIGKILL); main()"
    )
    command = _extend(file, images, out, model)
    subprocess.run([sys.executable, "-c", script, *command[1:]], capture_output=True, check=False)
    return out.with_name(out.name + ".journal.jsonl").read_bytes()


def _pictures(folder: Path, model: Path) -> list[Kind]:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(1).integers(0, 255, (40, 56, 3), np.uint8)
    sound: dict[str, bytes] = {}
    for ending, more in (("png", {}), ("jpg", {"quality": 80}), ("webp", {}), ("gif", {}), ("bmp", {}), ("tif", {})):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, {"jpg": "JPEG", "tif": "TIFF"}.get(ending, ending.upper()), **more)
        sound[ending] = buffer.getvalue()
    points = [10, 10, 2] * 17

    def kind(ending: str) -> Kind:
        def mutate(place: Path, rng: random.Random) -> list[Command]:
            images = place / "images"
            images.mkdir()
            names = [f"0.{ending}", "sound.png"]
            structured = ending == "png" and rng.random() < 0.7
            change = mutate_png if structured else mutate_bytes
            (images / names[0]).write_bytes(change(sound[ending], rng))
            (images / names[1]).write_bytes(sound["png"])
            box = [5, 5, 30, 30]
            records = [
                {"id": i, "image_id": i, "category_id": 1, "bbox": box, "keypoints": points, "num_keypoints": 17}
                for i in range(2)
            ]
            pictures = [{"id": i, "file_name": name, "width": 56, "height": 40} for i, name in enumerate(names)]
            category = {"id": 1, "name": "person", "keypoints": _coco_names(), "skeleton": []}
            file, boxes = place / "in.json", place / "boxes.json"
            file.write_text(json.dumps({"images": pictures, "annotations": records, "categories": [category]}))
            boxes.write_text(json.dumps([{"file_name": name, "boxes": [box]} for name in names]))
            found = ["--out", str(place / "out"), "--model", str(model), "--boxes", str(boxes)]
            return [
                ["poseunion", "predict", str(images), *found],
                _extend(file, images, place / "out.json", model, "--overlay", str(place / "out-drawn")),
            ]

        return Kind(f"picture-{ending}", mutate, 1.0)

    return [kind(ending) for ending in sound]


def _coco_names() -> list[str]:
    from poseunion.models.skeleton import load_skeleton

    return list(load_skeleton("coco17").keypoints)


def _models(seeds: Path, model: Path, picture: Path) -> list[Kind]:
    import onnx

    from poseunion.models.zoo import DETECTORS

    sound, detector = onnx.load(str(model)), onnx.load(str(DETECTORS / "person.onnx"))
    boxes = seeds / "boxes.json"
    boxes.write_text(json.dumps([{"file_name": picture.name, "boxes": [[2, 2, 40, 40]]}]))

    def described(source: Any, rng: random.Random) -> bytes:
        result = type(source)()
        result.CopyFrom(source)
        entry = next(e for e in result.metadata_props if e.key == "poseunion")
        content = document_bytes(mutate_document(json.loads(entry.value), rng), rng)
        entry.value = content.decode("utf-8", "replace")
        return bytes(result.SerializeToString())

    def pose(place: Path, rng: random.Random) -> list[Command]:
        file = place / "m.onnx"
        file.write_bytes(described(sound, rng) if rng.random() < 0.5 else mutate_network(sound, rng))
        given = ["--model", str(file), "--boxes", str(boxes), "--out", str(place / "out")]
        said = ["poseunion", "export", "--check", "tensorrt", "--model", str(file)]
        return [["poseunion", "predict", str(picture), *given], *([said] if rng.random() < 0.3 else [])]

    def finder(place: Path, rng: random.Random) -> list[Command]:
        file = place / "d.onnx"
        file.write_bytes(described(detector, rng) if rng.random() < 0.8 else mutate_network(detector, rng))
        given = ["--model", str(model), "--detector", str(file), "--out", str(place / "out")]
        return [["poseunion", "predict", str(picture), *given]]

    return [Kind("model", pose, 3.0), Kind("detector", finder), *_weights(seeds)]


def _weights(seeds: Path) -> list[Kind]:
    """Files of a training: safetensors, and checkpoints of other people."""
    import torch
    from safetensors.torch import save

    from poseunion.models.codec.simcc import SimccGrid
    from poseunion.models.networks.build import build_network

    network = build_network("equivariant", BACKBONE, 21, SimccGrid((32, 64), 2.0))
    described = {"name": "x", "skeleton": "union21", "size_wh": [32, 64], "head": {"kind": "simcc"}}
    facts = {
        "network": json.dumps({"network": "equivariant", "backbone": BACKBONE}),
        "poseunion": json.dumps(described),
    }
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    buffer = io.BytesIO()
    torch.save({"state_dict": {name: weights[name] for name in list(weights)[:3]}}, buffer)
    contents = {".safetensors": save(weights, facts), ".pth": buffer.getvalue()}

    def mutate(place: Path, rng: random.Random) -> list[Command]:
        ending = rng.choice(list(contents))
        file, out = place / f"w{ending}", place / "out"
        file.write_bytes(mutate_bytes(contents[ending], rng))
        if ending == ".pth":
            return [["poseunion", "convert", str(file), "--out", str(out)]]
        average = ["poseunion", "average", str(file), str(file), "--out", f"{out}.safetensors"]
        export = ["poseunion", "export", "--model", str(file), "--out", f"{out}.onnx"]
        return [average, *([export] if rng.random() < 0.1 else [])]  # an export takes seconds

    return [Kind("weights", mutate)]


def _texts(seeds: Path, model: Path) -> list[Kind]:
    """Small files that a person writes: a data set's and a skeleton's TOML, a training's YAML, boxes."""
    images = seeds / "coco" / "images"
    known = next((seeds / "coco").glob("*.json"))
    dataset = f'format = "coco"\nannotations = "{known}"\nimages = "{images}"\nskeleton = "coco17"\n'
    training = (
        f"datasets:\n  - name: a\n    annotations: {known}\n    images: {images}\n    weight: 1.0\nteachers: []\n"
    )
    boxes = json.dumps([{"file_name": "p0.png", "boxes": [[2, 2, 40, 40]]}, {"file_name": "p1.png", "boxes": []}])
    from poseunion.models.skeleton import FOLDER

    skeleton = (FOLDER / "coco17.toml").read_text()

    def mutate(place: Path, rng: random.Random) -> list[Command]:
        what, out = rng.choice(("dataset", "skeleton", "training", "boxes")), place / "out.json"
        if what == "dataset":
            (place / "d.toml").write_bytes(mutate_text(dataset, rng))
            given = ["--dataset", str(place / "d.toml"), "--out", str(out), "--model", str(model)]
            return [["annotate", "extend", *given, "--max-bad", "1"]]
        if what == "skeleton":
            (place / "s.toml").write_bytes(mutate_text(skeleton, rng))
            return [_extend(known, images, out, model, "--skeleton", str(place / "s.toml"))]
        if what == "training":
            (place / "d.yaml").write_bytes(mutate_text(training, rng))
            return [
                ["poseunion", "train", "unified", "--data", str(place / "d.yaml"), "--out", str(place / "out"), "x=1"]
            ]
        (place / "b.json").write_bytes(document_bytes(mutate_document(json.loads(boxes), rng), rng))
        given = ["--boxes", str(place / "b.json"), "--model", str(model), "--out", str(place / "out")]
        return [["poseunion", "predict", str(images), *given]]

    return [Kind("texts", mutate, 2.0)]
