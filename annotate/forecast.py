"""`extend --dry-run`: what a run would do, and what to expect of it; nothing is predicted and nothing written."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from poseunion.annotate.acceptance import Rule, decide
from poseunion.annotate.datasets import Dataset
from poseunion.annotate.extend import Options
from poseunion.annotate.formats import AnnotationSet, writer_for
from poseunion.annotate.formats.names import output_skeleton
from poseunion.annotate.report import print_promise
from poseunion.annotate.work import PosePredictor, known_joints, plan
from poseunion.models.router import is_told
from poseunion.models.skeleton import Visibility

if TYPE_CHECKING:
    from rich.console import Console


COLUMNS = ("missing", "left_out", "accepted", "wrong")


@dataclass(frozen=True)
class Forecast:
    """What a run would do.

    Attributes:
        passed: reason -> records that would be passed through.
        keypoints: how many a person would have; added: those the file lacks.
        expected: keypoint -> `missing` people who get a proposal, of them `left_out` by annotators who could have
            labelled it, and of a calibrated model how many to expect `accepted` and how many of the accepted `wrong`,
            as counted on the calibration people.
        promise: see `acceptance.Rule.promise`.
    """

    annotations: str
    images: str
    out: str
    format: str
    model: str
    evidence: bool
    persons: int
    to_predict: int
    pictures: int
    pictures_missing: int
    passed: dict[str, int]
    keypoints: int
    added: list[str]
    expected: dict[str, dict[str, int]]
    promise: dict[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)

    def print(self, console: Console) -> None:
        """In words and a table."""
        from rich.table import Table

        how = "told what is labelled" if self.evidence else "from the pictures alone"
        said = [
            f"Would complete {self.to_predict} of {self.persons} persons in {self.pictures} pictures "
            f"({self.pictures_missing} missing) with {self.model}, {how}, to {self.keypoints} keypoints "
            f"(adding {', '.join(self.added)}), and write {self.out}."
        ]
        said += [f"  passed through: {count} ({reason})" for reason, count in sorted(self.passed.items())]
        console.print("\n".join(said), soft_wrap=True, markup=False, highlight=False)
        columns = [h for h in COLUMNS if self._column(h)]
        table = Table("keypoint", *(h.replace("_", " ") for h in columns))
        for name, row in self.expected.items():
            table.add_row(name, *(str(row.get(h, "·")) for h in columns))
        console.print(table)
        if self._column("accepted"):
            console.print(
                "Accepted and wrong are what to expect if these people are like the calibration people.",
                soft_wrap=True,
                highlight=False,
            )
        if self.promise is not None:
            print_promise(console, self.promise)

    def _column(self, name: str) -> bool:
        return any(name in row for row in self.expected.values())


def forecast(records: AnnotationSet, found: Dataset, predictor: PosePredictor, out: Path, options: Options) -> Forecast:
    """What `extend` would do with these arguments; raises as it would."""
    rule = decide(predictor, options.threshold, options.risk)
    planned = plan(records, limit=options.limit, unlabelled=options.unlabelled)
    pictures = {int(records.image_index[i]) for i in planned.order}
    names = output_skeleton(records.skeleton, predictor.skeleton).keypoints
    visibility = known_joints(records, planned.order, predictor.skeleton)[..., 2]
    counts = zip((visibility <= 0).sum(0).tolist(), (visibility == Visibility.ABSENT).sum(0).tolist(), strict=True)
    return Forecast(
        annotations=str(found.annotations),
        images=str(found.images),
        out=str(out),
        format=writer_for(records, options.format)[0],
        model=predictor.name,
        evidence=is_told(predictor),
        persons=len(records),
        to_predict=len(planned.order),
        pictures=len(pictures),
        pictures_missing=sum(not (found.images / records.images[i].file_name).is_file() for i in pictures),
        passed=planned.passed,
        keypoints=len(names),
        added=[n for n in names if n not in records.skeleton.keypoints],
        expected={rule.keypoints[k]: _expected(rule, k, *pair) for k, pair in enumerate(counts)},
        promise=rule.promise(),
    )


def _expected(rule: Rule, k: int, missing: int, left_out: int) -> dict[str, int]:
    row, shares = {"missing": missing, "left_out": left_out}, rule.expected(k)
    if shares is None:
        return row
    accepted = (missing if rule.risk is None else missing - left_out) * shares[0]
    return {**row, "accepted": int(np.rint(accepted)), "wrong": int(np.rint(accepted * shares[1]))}
