"""State of a run of `extend`: predictions of all records, finished chunks, and records that could not be used."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from poseunion.annotate.extend.acceptance import AcceptanceRule
from poseunion.annotate.extend.chunks import ChunkResult
from poseunion.annotate.extend.complete import complete
from poseunion.annotate.extend.image_reader import Pictures
from poseunion.annotate.extend.plan import Plan
from poseunion.annotate.extend.predictions import Predictions
from poseunion.annotate.extend.report import KeypointCounts
from poseunion.annotate.extend.requested_keypoints import Asked
from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.extension import Completion
from poseunion.annotate.formats.types import name_of
from poseunion.models.errors import BadFileError, ItemError
from poseunion.models.images import image_size
from poseunion.models.skeleton import Skeleton


class RunState:
    """State of a run; takes chunks in any order.

    Args:
        keypoints: of the model.
        max_bad: see `run.Options`.
    """

    def __init__(self, annotations: AnnotationSet, planned: Plan, keypoints: int, max_bad: float) -> None:
        self.annotations, self.planned, self.max_bad = annotations, planned, max_bad
        self.predictions = Predictions.empty(len(annotations), keypoints)
        self.models: dict[int, str] = {}
        self.size_wh = np.zeros((len(annotations), 2), np.int32)
        self.bad: dict[int, str] = {}
        self.chunks: set[int] = set()
        self.people = 0

    def check_belongs(self, result: ChunkResult, path: Path) -> None:
        """A chunk of the journal must hold exactly the plan's records."""
        expected = self.planned.chunk(result.chunk) if 0 <= result.chunk < self.planned.chunks else np.zeros(0)
        if sorted([*result.record.tolist(), *(index for index, _ in result.bad)]) != sorted(expected.tolist()):
            raise BadFileError(f"{path} is damaged (chunk {result.chunk}): start again with --overwrite.")

    def add(self, result: ChunkResult) -> None:
        """Take in a chunk."""
        self.predictions.put(result.record, result.predictions)
        if result.predictions.model is not None:
            self.models.update(zip(result.record.tolist(), result.predictions.model, strict=True))
        self.size_wh[result.record] = result.size_wh
        self.bad.update(result.bad)
        self.chunks.add(result.chunk)
        self.people += len(result.record) + len(result.bad)

    def refuse_too_many(self, journal: Path) -> None:
        """Raise BadFileError as soon as the share of bad people must end above the allowed one."""
        unusable = self.planned.unusable
        total = len(self.planned.order) + unusable
        if len(self.bad) + unusable <= self.max_bad * total:
            return
        if self.bad:
            first = self.bad_list()[0]
            example = f"first: record {first['record']}, id {first['id']}: {first['reason']}"
        else:
            example = self.planned.reasons()
        raise BadFileError(
            f"{len(self.bad) + unusable} of {total} persons could not be used, more than --max-bad {self.max_bad:g} "
            f"allows ({example}): mend them or raise --max-bad"
            + (f", then go on with --resume; finished work is kept in {journal}." if self.chunks else ".")
        )

    def bad_list(self) -> list[dict[str, Any]]:
        """The bad records in the file's order, to be read by people."""
        records, images = self.annotations.records, self.annotations.images
        return [
            {
                "record": index,
                "id": name_of(records[index], index),
                "image": images[int(self.annotations.image_index[index])].file_name,
                "reason": reason,
            }
            for index, reason in sorted(self.bad.items())
        ]

    def completer(
        self,
        rule: AcceptanceRule,
        model: Skeleton,
        output: Skeleton,
        counts: KeypointCounts,
        asked: Asked,
        base: str = "",
    ) -> Callable[[int, int], Completion]:
        """The function that gives writers the completion of records [start, stop), and counts them.

        Args:
            asked: what is proposed.
            base: model of the records that were not predicted, where a route chose among several.
        """
        annotations = self.annotations

        def rows(start: int, stop: int) -> Completion:
            part = slice(start, stop)
            completion = complete(
                start,
                annotations.xy[part],
                annotations.visibility[part],
                self.predictions.rows(part),
                self.size_wh[part].astype(np.float64),
                rule.threshold_K,
                annotations.skeleton,
                model,
                output,
                asked=asked,
                undefined_only=rule.risk is not None,
                labelling=rule.labelling,
            )
            counts.add(completion, self.predictions.rows(part).done)
            if not self.models:
                return completion
            names = (self.models.get(row, base) for row in range(start, stop))
            return dataclasses.replace(completion, model=tuple(names))

        return rows

    def sizer(self, pictures: Pictures) -> Callable[[int], tuple[int, int] | None]:
        """The function that gives a picture's size: as decoded, else from its header; None where it cannot be read."""
        images = self.annotations.images
        rows = np.flatnonzero(self.size_wh[:, 0])
        decoded = np.zeros((len(images), 2), np.int32)
        decoded[self.annotations.image_index[rows]] = self.size_wh[rows]

        def size_of(index: int) -> tuple[int, int] | None:
            width, height = decoded[index].tolist()
            if width:
                return width, height
            try:
                return image_size(pictures.path(images[index]), exif=False)
            except ItemError:
                return None

        return size_of
