"""`annotate extend` for Python: complete an annotation file, and hold the result as an object with a table.

    >>> import poseunion
    >>> done = poseunion.complete(dataset="example", progress=False)  # or complete("train.json", "train/")
    >>> done
    CompletedFile(3 of 3 people, 13 of 15 proposed keypoints accepted, labels.json)
    >>> done.to_dataframe().value_counts("source").to_dict()
    {'none': 29, 'human': 21, 'proposed': 13}

Shapes: N records, K keypoints of the completed file.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from poseunion.annotate.datasets import find_dataset
from poseunion.annotate.extend.executor import share_cores
from poseunion.annotate.extend.proposer import load_proposer
from poseunion.annotate.extend.report import ExtendReport
from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import AnnotationSet, read_annotations
from poseunion.annotate.formats.extension import ORIGIN_NAMES
from poseunion.annotate.formats.extension_view import extension_of
from poseunion.annotate.formats.types import name_of
from poseunion.models.errors import BadFileError
from poseunion.models.files import atomic_writer
from poseunion.models.poses.data_frame import data_frame
from poseunion.models.progress import progress_bar
from poseunion.models.skeleton import load_skeleton


def complete(
    annotations: str | Path | None = None,
    images: str | Path | None = None,
    *,
    dataset: str | None = None,
    out: str | Path | None = None,
    model: str | Path | Sequence[str | Path] = "unified",
    skeleton: str | None = None,
    threshold: float | None = None,
    risk: float | None = None,
    keypoints: Sequence[str] | None = None,
    fill_gaps: bool = False,
    unlabelled: bool = False,
    limit: int | None = None,
    flip: bool = False,
    device: str = "cpu",
    overwrite: bool = False,
    progress: bool = True,
) -> CompletedFile:
    """Add the keypoints that a file's people lack, as `annotate extend` does; change nothing that is there.

    Args:
        annotations: file in any of the formats that docs/formats.md lists.
        images: folder of its pictures.
        dataset: mpii, coco, lsp, example or a dataset .toml, instead of both.
        out: COCO-style file to write; None: a temporary one, which goes with the result (`CompletedFile.save`).
        model: shipped model or described .onnx file; several propose as one.
        skeleton: of a file whose keypoints have no names.
        threshold: accept proposals from this confidence on.
        risk: accept so that of each keypoint at most this share are gross errors.
        keypoints: propose only these.
        fill_gaps: also propose what annotators could have labelled and left out.
        unlabelled: also complete people without any labelled keypoint.
        limit: complete only so many people.
        flip: average with the mirrored picture.
        device: cpu, cuda or tensorrt.
        overwrite: replace `out` where it exists.
        progress: a bar, in a notebook below the cell, else on standard error where that is a terminal.

    Raises:
        PoseUnionError: as the command, with its sentence.
    """
    temporary = None if out is not None else tempfile.TemporaryDirectory(prefix="poseunion-")
    folder = Path(temporary.name) if temporary else Path(str(out)).parent
    found = find_dataset(dataset, _path(annotations), _path(images), scratch=folder)
    target = Path(str(out)) if out is not None else folder / f"{found.annotations.stem}.extended.json"
    records = read_annotations(
        found.annotations, found.format, load_skeleton(skeleton) if skeleton else found.skeleton, lean=True
    )
    workers, threads = share_cores(None, None, on_cpu=device == "cpu")
    options = Options(
        format="coco",
        threshold=threshold,
        risk=risk,
        keypoints=None if keypoints is None else tuple(keypoints),
        fill_gaps=fill_gaps,
        unlabelled=unlabelled,
        limit=limit,
        overwrite=overwrite,
        workers=workers,
    )
    models = [model] if isinstance(model, (str, Path)) else list(model)
    predictor = load_proposer(models, _notice, flip=flip, device=device, threads=threads)
    with progress_bar("people") as bar:
        report = extend(records, found.images, predictor, target, options, progress=bar if progress else None)
    return CompletedFile(target, found.images, report, temporary)


@dataclass(frozen=True, repr=False)
class CompletedFile:
    """A completed annotation file.

    Attributes:
        path: the COCO-style file, which `annotate review`, `apply` and `release` read.
        images: folder of the pictures.
        report: counts of keypoints and of people, and who could not be completed.
    """

    path: Path
    images: Path
    report: ExtendReport
    _temporary: tempfile.TemporaryDirectory[str] | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        counts = self.report.keypoints.values()
        accepted, proposed = sum(c["accepted"] for c in counts), sum(c["proposed"] for c in counts)
        return (
            f"CompletedFile({self.report.predicted} of {self.report.persons} people, {accepted} of {proposed} proposed "
            f"keypoints accepted, {Path(self.report.annotations).name})"
        )

    @cached_property
    def annotations(self) -> AnnotationSet:
        """The file, read."""
        return read_annotations(self.path)

    def to_dataframe(self) -> Any:
        """`pandas.DataFrame` with a row a person and keypoint.

        Columns: image, annotation_id, keypoint, x, y (image pixels, 0-based; of a proposal that was not accepted, where
        it is), visibility (COCO's v), source (human, derived, proposed: accepted; none) and confidence of a proposal.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        found = self.annotations
        n, k = len(found), len(found.skeleton)
        added = extension_of(found, lambda _: None).rows(0, n)
        stands_NK = found.visibility > 0
        empty_NK = ~stands_NK & np.isnan(added.confidence)
        xy_NK2 = np.where(empty_NK[..., None], np.nan, added.xy)
        names = [found.images[i].file_name if i >= 0 else None for i in found.image_index]
        ids = [name_of(record, row) for row, record in enumerate(found.records)]
        return data_frame(
            {
                "image": np.repeat(np.array(names, object), k),
                "annotation_id": np.repeat(np.array(ids, object), k),
                "keypoint": np.tile(np.array(found.skeleton.keypoints, object), n),
                "x": xy_NK2[..., 0].ravel(),
                "y": xy_NK2[..., 1].ravel(),
                "visibility": np.maximum(found.visibility, 0).ravel(),
                "source": np.array(ORIGIN_NAMES, object)[added.origin].ravel(),
                "confidence": added.confidence.ravel(),
            }
        )

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Copy of the file at `path`; raises BadFileError where something is there."""
        target = Path(path)
        if target.exists() and not overwrite:
            raise BadFileError(f"{target} exists: give another name, or overwrite=True.")
        with self.path.open("rb") as source, atomic_writer(target) as file:
            shutil.copyfileobj(source, file)
        return target


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)


def _notice(text: str) -> None:
    print(text, file=sys.stderr)
