"""A running page for the tests of the demo: the real server, with the first shipped model."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from poseunion.models.zoo import shipped_models

pytest.importorskip("gradio", reason="the page needs gradio (extra `demo`)")
pytest.importorskip("onnxruntime")


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
