"""Every format's sample, extended and written in a tool's format, for the programs that read it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import FORMATS, AnnotationSet, read_annotations


@dataclass(frozen=True)
class Written:
    """A file that was written, and what its reader has to find in it.

    Attributes:
        path: the file; of YOLO-pose the unpacked data.yaml, with the pictures beside its labels.
        images: the folder of pictures.
        coco: the same people in the extended COCO-style file.
        left_out: why people and points were left out -> how many, as `extend` says it.
    """

    path: Path
    images: Path
    coco: AnnotationSet
    left_out: dict[str, int]

    @property
    def pictures(self) -> int:
        """Pictures of the file."""
        return len(self.coco.images)

    @property
    def people(self) -> int:
        """Its people."""
        return len(self.coco)

    @property
    def points(self) -> int:
        """Their points."""
        return int((self.coco.visibility > 0).sum())


@pytest.fixture
def write(kit: SimpleNamespace, make: Any, fake: Any, tmp_path: Path) -> Callable[[str, str], Written]:
    """(name of a format, output) -> its sample, extended and written."""

    def build(name: str, output: str) -> Written:
        path, _ = make(name)
        images = tmp_path / kit.SAMPLES[name].images
        annotations = read_annotations(path)
        extend(annotations, images, fake(), tmp_path / "c" / "all.json", Options(format="coco", fill_gaps=True))
        coco = read_annotations(tmp_path / "c" / "all.json")
        if output == "coco":
            return Written(tmp_path / "c" / "all.json", images, coco, {})
        out = kit.written_name(tmp_path / "o", output)
        report = extend(annotations, images, fake(), out, Options(format=output, fill_gaps=True))
        if output == "yolo-pose":  # unpacked beside the pictures, as its documentation says
            shutil.copytree(images, out.parent if name == output else out.parent / "images", dirs_exist_ok=True)
        return Written(kit.unpacked(out), images, coco, dict(report.left_out))

    return build


NAMES = [name for name in FORMATS if name not in ("coco-results",)]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """Every format that holds people of a dataset."""
    return str(request.param)
