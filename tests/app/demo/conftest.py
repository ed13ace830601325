"""A running page for the tests of the demo: the real server, with the first shipped model."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from poseunion.annotate.example import example_dataset
from poseunion.annotate.extend.run import extend
from poseunion.annotate.formats import read_annotations
from poseunion.models import load_predictor
from poseunion.models.zoo import shipped_models

if TYPE_CHECKING:
    from poseunion.app.demo.review_actions import ReviewActions

pytest.importorskip("gradio", reason="the page needs gradio (extra `demo`)")
pytest.importorskip("onnxruntime")


WAIT_MS = 300_000  # patience for a busy machine; a quiet one needs a second


@dataclass
class FixedDetector:
    """Finds the same people in every picture, whatever a real one would find."""

    box_xywh: NDArray[np.float32]
    name: str = "fixed"
    provider: str = "none"

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return self.box_xywh, np.ones(len(self.box_xywh), np.float32)


@pytest.fixture(scope="session")
def fixed_detector() -> type[FixedDetector]:
    return FixedDetector


@pytest.fixture(scope="session")
def serve_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Start a page: `serve_page(detector=…, limits=…)` gives its address."""
    import os

    os.environ["GRADIO_TEMP_DIR"] = str(tmp_path_factory.mktemp("uploads"))
    from poseunion.app.demo.guard.limits import Limits
    from poseunion.app.demo.inference import PoseEstimator
    from poseunion.app.demo.page import PageSettings, build, serve

    with contextlib.ExitStack() as stack:

        def start(detector: Any = None, limits: Limits | None = None, **more: Any) -> str:
            settings = PageSettings(port=0, limits=limits or Limits(), **more)
            page = build(PoseEstimator(shipped_models()[:1], detector, threads=1), settings)
            stack.callback(page.close, verbose=False)
            return serve(page, settings)

        yield start


@pytest.fixture(scope="session")
def photo() -> bytes:
    """The astronaut, as PNG."""
    skimage = pytest.importorskip("skimage.data")
    return png(np.asarray(skimage.astronaut()))


def png(image: NDArray[np.uint8]) -> bytes:
    """A picture as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def upload_file(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def write(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.fixture(scope="session")
def extended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The bundled example, completed, and its pictures."""
    folder = tmp_path_factory.mktemp("extended")
    labels, images = example_dataset(folder / "images")
    out = folder / "extended.json"
    extend(read_annotations(labels), images, load_predictor(shipped_models()[0], threads=1), out)
    return out, images


@pytest.fixture
def actions(extended: tuple[Path, Path], tmp_path: Path) -> ReviewActions:
    """A copy of the file under review."""
    path = tmp_path / "extended.json"
    shutil.copy(extended[0], path)
    from poseunion.app.demo.review_actions import ReviewActions

    return ReviewActions([path], extended[1])


@pytest.fixture
def tab(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Open an address; what the browser was asked to fetch is in `page.asked`."""
    contexts = []

    def open_page(address: str, width: int = 1280, height: int = 900, **more: Any) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": height}, **more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(address)
        page.wait_for_selector("#result .canvas-status, #review .canvas-status")
        return page

    yield open_page
    for context in contexts:
        context.close()
