"""Everything about TensorRT that can be tried where it is not: names, evidence, refusals."""

from __future__ import annotations

import ast
import importlib.metadata
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from poseunion.export.cli import main as export_cli
from poseunion.export.cli import tensorrt as cli_tensorrt
from poseunion.export.tensorrt import build as tensorrt
from poseunion.export.tensorrt.build import build_engine
from poseunion.export.tensorrt.precheck import Evidence, check
from poseunion.models.codec.heads import SimccOutput
from poseunion.models.errors import BadArgumentError, BadFileError, DeviceError
from poseunion.models.files import sha256_of, write_json
from poseunion.models.inference.predictor import load_predictor
from poseunion.models.runtime import tensorrt as runtime_tensorrt
from poseunion.models.runtime.description import METADATA_KEY, ModelDescription
from poseunion.models.runtime.engine_record import EngineRecord, Gpu, read_record, record_path, refuse_elsewhere

SIZE_WH = (32, 48)
DESCRIPTION = ModelDescription(name="tiny", skeleton="union21", size_wh=SIZE_WH, head=SimccOutput(split=2))


def tiny(*, before: list[onnx.NodeProto] | None = None, gain: float = 1.0, batch: str | int = "batch") -> Any:
    """A network of four layers: 1x1 convolution, log-sum-exp over rows and columns, each bin twice."""
    rng = np.random.default_rng(0)
    constants: dict[str, Any] = {
        "w": rng.normal(0, gain, (21, 3, 1, 1)).astype(np.float32),
        "rows": np.array([2], np.int64),
        "columns": np.array([3], np.int64),
    }
    nodes = [
        *(before or []),
        helper.make_node("Conv", ["shown" if before else "input", "w"], ["heat"]),
        helper.make_node("ReduceLogSumExp", ["heat", "rows"], ["x"], keepdims=0),
        helper.make_node("ReduceLogSumExp", ["heat", "columns"], ["y"], keepdims=0),
        helper.make_node("Concat", ["x", "x"], ["simcc_x"], axis=2),
        helper.make_node("Concat", ["y", "y"], ["simcc_y"], axis=2),
    ]
    width, height = SIZE_WH
    shown = helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, height, width])
    outputs = [
        helper.make_tensor_value_info(f"simcc_{axis}", TensorProto.FLOAT, [batch, 21, 2 * side])
        for axis, side in (("x", width), ("y", height))
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    tensors += [numpy_helper.from_array(np.array(0.02, np.float32), "scale")]
    tensors += [numpy_helper.from_array(np.array(128, np.uint8), "zero")]
    graph = helper.make_graph(nodes, "tiny", [shown], outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(model, {METADATA_KEY: DESCRIPTION.model_dump_json()})
    return model


def evidence_of(model: Any, folder: Path) -> Evidence:
    onnx.save(model, folder / "tiny.onnx")
    return check(folder / "tiny.onnx", (1, 2, 4))


def refused(evidence: Evidence) -> list[str]:
    return [finding.question for finding in evidence.findings if finding.passed is False]


def test_nothing_speaks_against_a_plain_network(tmp_path: Path) -> None:
    evidence = evidence_of(tiny(), tmp_path)
    assert refused(evidence) == []
    assert evidence.passed
    assert "evidence" in evidence.text()
    assert "no engine was built" in evidence.text()


QUANTISED = [
    helper.make_node("QuantizeLinear", ["input", "scale", "zero"], ["bytes"]),
    helper.make_node("DequantizeLinear", ["bytes", "scale", "zero"], ["shown"]),
]
DYNAMIC = [
    helper.make_node("DynamicQuantizeLinear", ["input"], ["bytes", "its_scale", "its_zero"]),
    helper.make_node("DequantizeLinear", ["bytes", "its_scale", "its_zero"], ["shown"]),
]


@pytest.mark.parametrize(
    ("changes", "question"),
    [
        ({"before": DYNAMIC}, "operators"),
        ({"before": QUANTISED}, "quantisation is signed, around zero"),
        ({"gain": 1e5}, "values fit half precision"),
        ({"batch": 1}, "only the batch is dynamic"),
    ],
)
def test_what_tensorrt_would_refuse_is_found(changes: dict[str, Any], question: str, tmp_path: Path) -> None:
    evidence = evidence_of(tiny(**changes), tmp_path)
    assert question in refused(evidence)
    assert not evidence.passed


def test_an_old_opset_and_a_resize_that_tensorrt_lacks_are_found(tmp_path: Path) -> None:
    scales = numpy_helper.from_array(np.ones(4, np.float32), "scales")
    model = tiny(before=[helper.make_node("Resize", ["input", "", "scales"], ["shown"], mode="cubic")])
    model.graph.initializer.append(scales)
    assert refused(evidence_of(model, tmp_path)) == ["modes of Resize"]
    model = tiny()
    model.opset_import[0].version = 25
    assert "opset" in {f.question for f in evidence_of(model, tmp_path).findings if not f.passed}


def _tensorrt_is_here() -> bool:
    try:
        runtime_tensorrt.gpu_of(runtime_tensorrt.load_libraries()[1])
    except DeviceError:
        return False
    return True


@pytest.mark.skipif(_tensorrt_is_here(), reason="TensorRT and a GPU are here")
def test_without_tensorrt_one_sentence_and_nothing_written(tmp_path: Path) -> None:
    onnx.save(tiny(), tmp_path / "tiny.onnx")
    with pytest.raises(DeviceError, match=r"TensorRT .* NVIDIA GPU") as error:
        build_engine(tmp_path / "tiny.onnx", tmp_path / "out" / "tiny.engine", timing_cache=tmp_path / "cache")
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.onnx"]
    engine = tmp_path / "tiny.engine"
    engine.write_bytes(b"engine")
    write_json(record_path(engine), record_of(engine).model_dump(mode="json"))
    with pytest.raises(DeviceError, match="TensorRT"):
        load_predictor(engine)


def test_what_must_not_become_an_engine_is_refused_first(tmp_path: Path) -> None:
    path, out = tmp_path / "tiny.onnx", tmp_path / "tiny.engine"
    onnx.save(tiny(before=QUANTISED), path)
    with pytest.raises(BadFileError, match="onnx-int8-symmetric"):
        build_engine(path, out)
    model = tiny()
    del model.metadata_props[:]
    onnx.save(model, path)
    with pytest.raises(BadFileError, match="has no description"):
        build_engine(path, out)
    with pytest.raises(BadArgumentError, match=r"\.engine"):
        build_engine(path, tmp_path / "tiny.plan")
    with pytest.raises(BadArgumentError, match="profile"):
        build_engine(path, out, batch=(4, 2, 8))
    path.write_text("text")
    with pytest.raises(BadFileError, match="not an ONNX file"):
        build_engine(path, out)


def test_the_command_lines(tmp_path: Path) -> None:
    onnx.save(tiny(), tmp_path / "tiny.onnx")
    good = CliRunner().invoke(export_cli.app, ["export", "--check", "tensorrt", "--model", str(tmp_path / "tiny.onnx")])
    assert (good.exit_code, "evidence" in good.output) == (0, True)
    onnx.save(tiny(batch=1), tmp_path / "tiny.onnx")
    bad = CliRunner().invoke(export_cli.app, ["export", "--check", "tensorrt", "--model", str(tmp_path / "tiny.onnx")])
    assert (bad.exit_code, "it will not build" in bad.output) == (2, True)
    unknown = CliRunner().invoke(export_cli.app, ["export", "--check", "tensorrt", "--model", "nothing"])
    assert isinstance(unknown.exception, BadArgumentError)
    words = [str(tmp_path / "tiny.onnx"), "--out", str(tmp_path / "tiny.plan")]
    assert isinstance(CliRunner().invoke(cli_tensorrt.app, words).exception, BadArgumentError)


HERE = Gpu(name="NVIDIA L4", compute_capability=(8, 9))


def record_of(engine: Path) -> EngineRecord:
    return EngineRecord(
        description=DESCRIPTION,
        precision="fp16",
        sha256=sha256_of(engine),
        source="tiny.onnx",
        source_sha256="0" * 64,
        batch=(1, 8, 32),
        workspace_mb=1024,
        tensorrt="11.4.0.106",
        gpu=HERE,
    )


def test_an_engine_runs_only_where_it_was_built(tmp_path: Path) -> None:
    engine = tmp_path / "tiny.engine"
    engine.write_bytes(b"engine")
    with pytest.raises(BadFileError, match=r"no tiny\.engine\.json"):
        read_record(engine)
    write_json(record_path(engine), record_of(engine).model_dump(mode="json"))
    record = read_record(engine)
    assert record == record_of(engine)
    refuse_elsewhere(engine, record, record.sha256, "11.4.0.106", HERE)
    with pytest.raises(DeviceError, match=r"TensorRT 11\.4\.0\.106, here is 10\.9"):
        refuse_elsewhere(engine, record, record.sha256, "10.9", HERE)
    for other in ({"name": "NVIDIA H100"}, {"compute_capability": (9, 0)}):
        with pytest.raises(DeviceError, match=r"was built for NVIDIA L4 \(8\.9\), here is"):
            refuse_elsewhere(engine, record, record.sha256, "11.4.0.106", HERE.model_copy(update=other))
    with pytest.raises(BadFileError, match="is not the engine"):
        refuse_elsewhere(engine, record, "1" * 64, "11.4.0.106", HERE)
    record_path(engine).write_text(json.dumps({"tensorrt": 11}))
    with pytest.raises(BadFileError, match="does not describe an engine"):
        read_record(engine)


# --- names ------------------------------------------------------------------------------------------------------------


def names_on(path: Path, roots: set[str]) -> set[str]:
    """Attributes used on `roots`, and on everything that is assigned from them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    known = set(roots)

    def target(node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            return node.id
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            return f"self.{node.attr}"
        return None

    def rooted(node: ast.expr) -> bool:
        while not (name := target(node)):
            if isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred)):
                node = node.value
            elif isinstance(node, ast.Call):
                node = node.func
            else:
                return False
        return name in known

    def walk() -> Iterator[str]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and rooted(node.value):
                known.update(filter(None, map(target, node.targets)))
            if isinstance(node, ast.Attribute) and not target(node) and rooted(node.value):
                yield node.attr
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in known:
                yield node.attr

    found: set[str] = set()
    while not (now := set(walk())) <= found:  # an assignment may come to be known only later
        found |= now
    return found


def bindings() -> bytes:
    """The vendor's bindings, compiled and Python; they cannot be imported without TensorRT's libraries."""
    try:
        files = importlib.metadata.files("tensorrt-cu13-bindings") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("tensorrt-cu13-bindings is not installed (it is for Linux on x86-64)")
    wanted = [
        Path(str(f.locate())) for f in files if f.name in ("tensorrt.so", "__init__.py") and "plugin" not in f.parts
    ]
    assert len(wanted) == 2
    return b"".join(path.read_bytes() for path in wanted)


def is_in(name: str, symbols: bytes) -> bool:
    """A compiled name ends in a zero byte (its beginning may be the end of a longer one); a Python one is defined."""
    return f"{name}\0".encode() in symbols or f"def {name}(".encode() in symbols or f"\n{name} =".encode() in symbols


def used_names() -> set[str]:
    modules = (Path(str(tensorrt.__file__)), Path(str(runtime_tensorrt.__file__)))
    return set().union(*(names_on(path, {"trt"}) for path in modules))


def test_every_name_of_tensorrt_exists_in_its_bindings() -> None:
    symbols, names = bindings(), used_names()
    # What the walk has to find, or it finds too little.
    assert {"create_network", "STRONGLY_TYPED", "set_shape", "execute_async_v3", "WORKSPACE", "nptype"} <= names
    assert [name for name in sorted(names) if not is_in(name, symbols)] == []


@pytest.mark.parametrize(
    "gone", ["IInt8EntropyCalibrator2", "set_calibration_profile", "build_cuda_engine", "max_workspace_size"]
)
def test_names_that_tensorrt_lost_are_not_in_its_bindings(gone: str) -> None:
    assert not is_in(gone, bindings())


def test_every_name_of_cuda_exists() -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime")
    names = names_on(Path(str(runtime_tensorrt.__file__)), {"cuda"})
    calls = {name for name in names if name.startswith("cuda")}
    assert {"cudaMalloc", "cudaStreamCreate"} <= calls
    found = {*dir(runtime), *dir(runtime.cudaMemcpyKind), *dir(runtime.cudaError_t)}
    assert calls <= found
