"""What the tests of `predict` share: a detector that finds what shines on black, and clips of people on black."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

from poseunion.app.cli_predict import app

SIDE = 256  # of every frame
PERSON = 100  # side of a person's picture in it

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="session")
def shining(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX detector: the box of what is not black in the left half of the picture, and in the right half.

    The score is the brightest value there, so that a dim person is a doubtful one. Threshold .5.
    """
    from onnx import TensorProto, helper, numpy_helper

    constants: list[Any] = []
    nodes: list[Any] = []

    def value(name: str, content: Any, kind: Any = np.float32) -> str:
        constants.append(numpy_helper.from_array(np.asarray(content, kind), name))
        return name

    def node(operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    half = SIDE // 2
    least, far, zero = value("least", 40 / 255), value("far", 9999.0), value("zero", 0.0)
    bright = node("ReduceMax", ["input", value("channels", [1], np.int64)], "bright", keepdims=0)
    people = []
    for side, start in (("left", 0), ("right", half)):
        bounds = [value(f"{side}_{n}", [v], np.int64) for n, v in (("from", start), ("to", start + half))]
        part = node("Slice", [bright, *bounds, value(f"{side}_axis", [2], np.int64)], f"{side}_part")
        edges: dict[str, str] = {}
        for axis, other, first, length in (("x", 1, start, half), ("y", 2, 0, SIDE)):
            line = node("ReduceMax", [part, value(f"{side}_{axis}_o", [other], np.int64)], f"{side}_{axis}", keepdims=0)
            there = node("Greater", [line, least], f"{side}_{axis}_there")
            place = np.arange(first, first + length)[None]
            low = node("Where", [there, value(f"{side}_{axis}_p", place), far], f"{side}_{axis}_low")
            high = node("Where", [there, value(f"{side}_{axis}_q", place + 1), zero], f"{side}_{axis}_high")
            edges[f"{axis}0"] = node("ReduceMin", [low], f"{side}_{axis}0", keepdims=0)
            edges[f"{axis}1"] = node("ReduceMax", [high], f"{side}_{axis}1", keepdims=0)
        score = node("ReduceMax", [part], f"{side}_score", keepdims=0)
        shape = value(f"{side}_shape", [1], np.int64)
        five = [
            node("Reshape", [name, shape], f"{name}_1")
            for name in (*(edges[e] for e in ("x0", "y0", "x1", "y1")), score)
        ]
        people.append(node("Concat", five, f"{side}_person", axis=0))
    both = node("Concat", people, "both", axis=0)
    node("Reshape", [both, value("shape", [1, 2, 5], np.int64)], "dets")
    graph = helper.make_graph(
        nodes,
        "shining",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("dets", TensorProto.FLOAT, [1, 2, 5])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    description = {
        "kind": "detector",
        "name": "shining",
        "size_wh": [SIDE, SIDE],
        "mean": [0, 0, 0],
        "std": [1, 1, 1],
        "border": 0,
        "score_threshold": 0.5,
        "head": {"kind": "boxes", "labels": None},
    }
    helper.set_model_props(model, {"poseunion": json.dumps(description)})
    path = tmp_path_factory.mktemp("detector") / "shining.onnx"
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="session")
def astronaut() -> NDArray[np.uint8]:
    """(PERSON, PERSON, 3) a person; no pixel is as dark as what the detector takes for nothing."""
    skimage = pytest.importorskip("skimage.data")
    small = Image.fromarray(np.asarray(skimage.astronaut())[:400, :400]).resize((PERSON, PERSON))
    return np.maximum(np.asarray(small), 64)


@pytest.fixture(scope="session")
def stage(astronaut: NDArray[np.uint8]) -> Callable[..., NDArray[np.uint8]]:
    """`stage((10, 30), None)`: a frame with a person at x, y in its left half, and none in the right half."""

    def make(*places: tuple[int, int] | None, brightness: float = 1.0) -> NDArray[np.uint8]:
        frame = np.zeros((SIDE, SIDE, 3), np.uint8)
        for half, place in enumerate(places):
            if place is not None:
                x, y = place[0] + half * SIDE // 2, place[1]
                frame[y : y + PERSON, x : x + PERSON] = astronaut * (brightness if half == 0 else 1)
        return frame

    return make


@pytest.fixture(scope="session")
def write_clip() -> Callable[..., Path]:
    """Write frames as a lossless video of 10 frames a second."""
    av = pytest.importorskip("av")

    def write(path: Path, frames: Sequence[NDArray[np.uint8]], rotation_deg: int = 0) -> Path:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264rgb", rate=10, options={"crf": "0"})
            stream.width, stream.height, stream.pix_fmt = frames[0].shape[1], frames[0].shape[0], "rgb24"
            if rotation_deg:
                stream.set_display_rotation(rotation_deg)
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))
        return path

    return write


@pytest.fixture
def two_people(
    tmp_path: Path, stage: Callable[..., NDArray[np.uint8]], write_clip: Callable[..., Path]
) -> tuple[Path, list[NDArray[np.uint8]]]:
    """A clip of two people who move, and its frames."""
    frames = [stage((i, 20 + i), (20 - 2 * i, 100)) for i in range(10)]
    return write_clip(tmp_path / "clip.mp4", frames), frames


@pytest.fixture(scope="session")
def picture() -> Callable[..., Path]:
    """Write a picture and return its path."""

    def write(path: Path, image: NDArray[np.uint8], **options: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path, **options)
        return path

    return write


@pytest.fixture(scope="session")
def predict() -> Callable[..., Result]:
    """Run `poseunion predict` in this process."""
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="session")
def done(predict: Callable[..., Result]) -> Callable[..., dict[str, Any]]:
    """The report of a run that went well."""

    def run(*words: Any) -> dict[str, Any]:
        result = predict(*words, "--json")
        assert result.exit_code == 0, result.output + repr(result.exception)
        report: dict[str, Any] = json.loads(result.stdout)
        return report

    return run
