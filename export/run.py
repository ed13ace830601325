"""Export of one weights file to every format, each verified against the trained network before anything is written."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from poseunion.export.calibration_crops import Crops, read_crops
from poseunion.export.contract import Accuracy, AccuracyContract, Agreement, agreement, check_exact, check_stored
from poseunion.export.machine import installed_versions, processor
from poseunion.export.manifest import NOT_MEASURED, Manifest, write_manifest
from poseunion.export.onnx.end_to_end import FORMS, Form, twin_graph
from poseunion.export.onnx.end_to_end_check import check_twin
from poseunion.export.onnx.fp16 import halve
from poseunion.export.onnx.graph import described, facts_of
from poseunion.export.onnx.graph_export import PROVEN_BATCHES, network_graph, packed_graph, prove
from poseunion.export.onnx.int8 import Quantised, computed_in, quantise
from poseunion.export.torch_model import TorchModel
from poseunion.models.errors import BadArgumentError
from poseunion.models.files import refuse_existing, sha256_of, write_bytes
from poseunion.models.runtime.description import METADATA_KEY
from poseunion.models.runtime.engine_record import ENGINE_SUFFIX, record_path
from poseunion.models.runtime.onnx import OnnxModel
from poseunion.training.evaluation.evaluate import Task, read_task

# Format -> suffix of its file's name.
FORMATS = {
    "onnx": ".onnx",
    "onnx-fp32": "-fp32.onnx",
    "onnx-fp16": "-fp16.onnx",
    "onnx-int8": "-int8.onnx",
    "onnx-int8-symmetric": "-int8-symmetric.onnx",
    "tensorrt": ENGINE_SUFFIX,
}
# Computed in single precision: outputs equal those of the stored weights.
SINGLE = ("onnx", "onnx-fp32")
NEEDS_CROPS = ("onnx-fp16", "onnx-int8", "onnx-int8-symmetric", "tensorrt")
# People that ranges are taken from; ranges settle after a few dozen.
CALIBRATION_PEOPLE = 100
# People whose outputs are compared crop by crop.
COMPARED_PEOPLE = 100
# Points of AP or PCK.
MAX_DROP = 0.5


@dataclass(frozen=True)
class Labelled:
    """Labelled people: an annotation file and the folder of its pictures."""

    annotations: Path
    images: Path

    @property
    def name(self) -> str:
        """Name for the manifest: file and folder without the rest of the path."""
        return "/".join(self.annotations.parts[-2:])


@dataclass(frozen=True)
class ExportRequest:
    """Export request: weights, formats, and people for accuracy and calibration.

    Attributes:
        weights: a weights file.
        out: the file to write, or the folder where there are several.
        formats: of `FORMATS`.
        twin: also write the file with preprocessing in the graph.
        measured: labelled people for the contract; none: accuracy is not measured.
        calibration: people to take ranges from; None: the first of `measured`.
        sensitivity: measure each layer's divergence in eight bits even where none has to stay float.
        command: for the manifest.
    """

    weights: Path
    out: Path
    formats: tuple[str, ...] = ("onnx",)
    twin: Form | None = None
    measured: tuple[Labelled, ...] = ()
    calibration: Labelled | None = None
    max_drop: float = MAX_DROP
    sensitivity: bool = False
    revision: str = ""
    command: str = ""
    overwrite: bool = False


@dataclass
class _Made:
    """Finished file at its temporary path, with its figures."""

    content: bytes
    manifest: Manifest
    beside: dict[Path, bytes] = field(default_factory=dict)


@dataclass
class _Export:
    """Working state of the export of one weights file."""

    request: ExportRequest
    trained: TorchModel
    folder: Path
    float_model: onnx.ModelProto
    float_path: Path
    contract: AccuracyContract
    crops: Crops | None
    compared: Crops | None
    made: dict[Path, _Made] = field(default_factory=dict)


def targets(request: ExportRequest, name: str) -> dict[str, Path]:
    """Output path of each format, and of `twin`, the end-to-end file.

    Raises:
        BadArgumentError: unknown format, one file for several formats, or a wrong ending. BadFileError: a file exists.
    """
    if unknown := [f for f in request.formats if f not in FORMATS]:
        raise BadArgumentError(f"No format {unknown[0]!r}: choose of {', '.join(FORMATS)}.")
    if request.twin is not None and request.twin not in FORMS:
        raise BadArgumentError(f"No form {request.twin!r} of preprocessing: choose {' or '.join(FORMS)}.")
    wanted = {f: FORMATS[f] for f in request.formats} | ({"twin": f"-{request.twin}.onnx"} if request.twin else {})
    if request.out.suffix in (".onnx", ENGINE_SUFFIX):
        if len(request.formats) > 1:
            raise BadArgumentError(f"{len(request.formats)} formats do not fit into {request.out}: give a folder.")
        ending = Path(f"model{FORMATS[request.formats[0]]}").suffix
        if request.out.suffix != ending:
            raise BadArgumentError(f"--out {request.out} would hold {request.formats[0]}: end its name in {ending}.")
        found = {f: request.out for f in request.formats}
        if request.twin:
            found["twin"] = request.out.with_name(f"{request.out.stem}-{request.twin}.onnx")
    else:
        found = {f: request.out / f"{name}{ending}" for f, ending in wanted.items()}
    refuse_existing(*found.values(), overwrite=request.overwrite)
    return found


def export(request: ExportRequest) -> list[tuple[Path, Manifest]]:
    """Export every format of `request`: make, verify and write all of them or none.

    Raises:
        BadArgumentError: see `targets`, a format needs crops and there are none, or does not support heatmaps.
        ModelError: the contract is broken.
    """
    lossy = [f for f in request.formats if f in NEEDS_CROPS]
    source = request.calibration or next(iter(request.measured), None)
    if lossy and source is None:
        raise BadArgumentError(
            f"{lossy[0]} is made with real people before it: give --calibration ANNOTATIONS IMAGES, "
            "or --annotations and --images."
        )
    trained = TorchModel(request.weights)
    description = trained.description.model_copy(update={"revision": request.revision or trained.description.revision})
    trained.description = description
    paths = targets(request, description.name)
    if description.head.kind == "heatmap" and (lossy or request.twin):
        raise BadArgumentError(
            f"{description.name} has a heatmap head: {lossy[0] if lossy else 'preprocessing in the file'} is for SimCC "
            "networks; export it as onnx."
        )
    crops = read_crops(source.annotations, source.images, description, CALIBRATION_PEOPLE) if source and lossy else None
    compared = crops
    if request.measured:
        first = request.measured[0]
        compared = read_crops(first.annotations, first.images, description, COMPARED_PEOPLE)
    tasks: list[Task] = [read_task(pair.annotations, pair.images) for pair in request.measured]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = network_graph(trained.network, description)
        onnx.save(model, folder / "float.onnx")
        contract = AccuracyContract(trained, tasks, [pair.name for pair in request.measured], request.max_drop)
        work = _Export(request, trained, folder, model, folder / "float.onnx", contract, crops, compared)
        for kind, path in paths.items():
            work.made[path] = _make(work, kind, path)
    for path, made in work.made.items():
        for other, content in made.beside.items():
            write_bytes(other, content)
        write_bytes(path, made.content)
        write_manifest(path, made.manifest)
    return [(path, made.manifest) for path, made in work.made.items()]


def _make(work: _Export, kind: str, path: Path) -> _Made:
    details: dict[str, Any] = {"batches_tried": list(PROVEN_BATCHES)}
    if kind == "twin":
        return _twin(work, path)
    if kind == "tensorrt":
        return _engine(work, path)
    made = work.float_path
    if kind == "onnx":
        made = work.folder / "packed.onnx"
        onnx.save(packed_graph(work.trained.network, work.trained.spec, work.trained.description), made)
        details |= {"weights_stored_in": "half precision, batch norms and biases in single; computed in single"}
    elif kind == "onnx-fp32":
        made = work.folder / f"{kind}.onnx"
        onnx.save(_named(work.float_model, work, path), made)
    else:
        assert work.crops is not None
        made = work.folder / f"{kind}.onnx"
        reference = OnnxModel(work.float_path, threads=1)
        if kind == "onnx-fp16":
            halved = halve(work.float_model, work.trained.description, reference, work.crops.pixels)
            onnx.save(_named(halved.model, work, path), made)
            details |= {"largest_value": halved.largest, "layers_kept_single_by_their_range": list(halved.too_large)}
        else:
            symmetric = kind == "onnx-int8-symmetric"
            quantised = quantise(
                work.float_model,
                work.trained.description,
                work.crops.pixels,
                symmetric=symmetric,
                sensitivity=work.request.sensitivity,
            )
            onnx.save(_named(quantised.model, work, path), made)
            details |= _int8_details(work, quantised) | ({} if symmetric else {"run_on_this_cpu": computed_in(made)})
    found, scores = _judged(work, kind, made)
    return _Made(made.read_bytes(), _manifest(work, path, kind, made, found, scores, details))


def _named(model: onnx.ModelProto, work: _Export, path: Path) -> onnx.ModelProto:
    """Copy of the model named as its file, to distinguish `unified-int8` from `unified` in tables."""
    own = work.trained.description.model_copy(update={"name": path.stem})
    return described(model, {**facts_of(model), METADATA_KEY: own.model_dump_json()})


def _judged(work: _Export, kind: str, made: Path) -> tuple[list[Agreement], list[Accuracy]]:
    """Agreement and accuracy of a file; raises ModelError where it breaks the contract."""
    name, exported = work.trained.description.name, OnnxModel(made, threads=None)
    crops: list[tuple[np.ndarray, str]] = [(_noise(work), "noise")] if kind in SINGLE else []
    if work.compared is not None:
        source = work.request.measured[0] if work.request.measured else work.request.calibration
        assert source is not None
        crops.append((work.compared.pixels, source.name))
    found = [agreement(work.trained, exported, *one) for one in crops]
    if kind in SINGLE:
        # Rounding of stored weights is no error of the graph, which has to equal the weights read back from it.
        stored = TorchModel(made) if kind == "onnx" else work.trained
        prove(stored, exported)
        for figures in [agreement(stored, exported, *one) for one in crops] if stored is not work.trained else found:
            check_exact(figures, name)
        for figures in found:
            check_stored(figures, name)
    return found, work.contract.accuracy(exported, f"{name} as {kind}")


def _noise(work: _Export) -> np.ndarray:
    width, height = work.trained.description.size_wh
    return np.random.default_rng(0).integers(0, 256, (8, height, width, 3), np.uint8)


def _int8_details(work: _Export, quantised: Quantised) -> dict[str, Any]:
    source = work.request.calibration or work.request.measured[0]
    assert work.crops is not None
    return {
        "calibrated_on": f"{len(work.crops)} people of {source.name}",
        "divergence_nats": quantised.nats,
        "float_layers": list(quantised.float_layers),
        "sensitivity_nats": {cost.layer: round(cost.nats, 7) for cost in quantised.costs},
    }


def _twin(work: _Export, path: Path) -> _Made:
    form = work.request.twin
    assert form is not None
    model = twin_graph(work.trained.network, work.trained.description, form)
    made = work.folder / "twin.onnx"
    onnx.save(model, made)
    pairs = [(pair.annotations, pair.images) for pair in work.request.measured]
    details = check_twin(made, form, OnnxModel(work.float_path), pairs)
    return _Made(made.read_bytes(), _manifest(work, path, f"onnx with preprocessing ({form})", made, [], [], details))


def _engine(work: _Export, path: Path) -> _Made:
    """TensorRT engine from the half-precision ONNX file, which has to keep the contract."""
    from poseunion.export.tensorrt.build import build_engine

    assert work.crops is not None
    reference = OnnxModel(work.float_path, threads=1)
    halved = halve(work.float_model, work.trained.description, reference, work.crops.pixels)
    source, engine = work.folder / f"{work.trained.description.name}-fp16.onnx", work.folder / path.name
    onnx.save(halved.model, source)
    found, scores = _judged(work, "tensorrt", source)
    details = {"tensorrt": build_engine(source, engine), "figures_are_of": "the fp16 ONNX file it was built from"}
    manifest = _manifest(work, path, "tensorrt", engine, found, scores, details)
    return _Made(engine.read_bytes(), manifest, {record_path(path): record_path(engine).read_bytes()})


def _manifest(
    work: _Export,
    path: Path,
    kind: str,
    made: Path,
    found: list[Agreement],
    scores: list[Accuracy],
    details: dict[str, Any],
) -> Manifest:
    return Manifest(
        file=path.name,
        format=kind,
        sha256=sha256_of(made),
        bytes=made.stat().st_size,
        weights_sha256=work.trained.sha256,
        command=work.request.command,
        versions=installed_versions(),
        device=f"CPUExecutionProvider, {processor()}",
        agreement=found,
        accuracy=scores or NOT_MEASURED,
        max_drop=work.request.max_drop,
        details=details,
    )
