"""`extend --dry-run`: what a run would do, and what to expect of it; nothing is predicted and nothing written."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from poseunion.annotate.datasets import Dataset
from poseunion.annotate.extend.acceptance import AcceptanceRule, acceptance_rule
from poseunion.annotate.extend.plan import plan
from poseunion.annotate.extend.report import guarantee_text
from poseunion.annotate.extend.requested_keypoints import gaps_sentence
from poseunion.annotate.extend.run import Options
from poseunion.annotate.formats import AnnotationSet, writer_for
from poseunion.annotate.formats.point_states import PROPOSED
from poseunion.annotate.formats.skeleton_match import output_skeleton
from poseunion.models.inference.interface import PosePredictor
from poseunion.models.picture_paths import picture_path, refuse_wrong_folder
from poseunion.models.skeleton import Visibility, derive_midpoints, project

if TYPE_CHECKING:
    from rich.console import Console


# Column of the table -> key of `expected`.
COLUMNS = {
    PROPOSED: "missing",
    "of these left\nout by annotators": "left_out",
    "expected:\naccepted": "accepted",
    "of these\ngross errors": "wrong",
}


@dataclass(frozen=True)
class DryRunReport:
    """What a run would do.

    Attributes:
        passed: reason -> records that would be passed through.
        keypoints: how many a person would have; added: those the file lacks.
        expected: keypoint -> `missing` people who get a proposal, of them `left_out` by annotators who could have
            labelled it, and of a calibrated model how many to expect `accepted` and how many of the accepted `wrong`,
            as counted on the calibration people. Only requested keypoints.
        gaps: keypoint -> gaps that would be left, see `asked`; fill_gaps, asked: the requested keypoints.
        guarantee: see `AcceptanceRule.guarantee_block`.
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
    guarantee: dict[str, Any] | None
    gaps: dict[str, int]
    fill_gaps: bool = False
    asked: Sequence[str] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values; the guarantee has the key `promise`, as in `FILE.run.json`."""
        values = dataclasses.asdict(self)
        values["promise"] = values.pop("guarantee")
        return values

    def print(self, console: Console) -> None:
        """Print sentences and a table."""

        def show(text: str) -> None:
            console.print(text, soft_wrap=True, markup=False, highlight=False)

        how = "given the labelled keypoints" if self.evidence else "from the pictures alone"
        lines = [
            f"Would complete {self.to_predict} of {self.persons} people in {self.pictures} pictures "
            f"({self.pictures_missing} missing) with {self.model}, {how}, to {self.keypoints} keypoints "
            f"(adding {', '.join(self.added)}), and write {self.out}."
        ]
        lines += [f"  left as they are: {count} ({reason})" for reason, count in sorted(self.passed.items())]
        show("\n".join(lines) + "\n")
        show(self._table() + "\n")
        if sentence := gaps_sentence(self.gaps, self.asked, self.fill_gaps):
            show(sentence)
        if self._column("accepted"):
            show("Accepted and gross errors are what to expect if these people are like the calibration people.")
        if self.guarantee is not None:
            show("\n" + guarantee_text(self.guarantee, [n for n, row in self.expected.items() if row["missing"]]))

    def _table(self) -> str:
        from poseunion.models.tables import table

        columns = {head: key for head, key in COLUMNS.items() if self._column(key)}
        rows = {name: row for name, row in self.expected.items() if row["missing"]}
        summed = (str(sum(row.get(key, 0) for row in rows.values())) for key in columns.values())
        return table(
            ("keypoint", *columns),
            [(name, *(str(row.get(key, "·")) for key in columns.values())) for name, row in rows.items()],
            ("sum", *summed),
        )

    def _column(self, name: str) -> bool:
        return any(name in row for row in self.expected.values())


def forecast(
    records: AnnotationSet, found: Dataset, predictor: PosePredictor, out: Path, options: Options
) -> DryRunReport:
    """What `extend` would do with these arguments; raises as it would."""
    asked, model = options.asked, predictor.skeleton
    asked.check(records.skeleton, model, unlabelled=options.unlabelled)
    rule = acceptance_rule(predictor, options.threshold, options.risk)
    planned = plan(records, limit=options.limit, unlabelled=options.unlabelled)
    refuse_wrong_folder(found.images, planned.file_names(records), records.source.path)
    pictures = {int(records.image_index[i]) for i in planned.order}
    output = output_skeleton(records.skeleton, model)
    xy, visibility = project(records.xy[planned.order], records.visibility[planned.order], records.skeleton, output)
    _, _, derived = derive_midpoints(xy, visibility, output)
    missing = asked.asked(visibility, derived, output)
    left_out = (missing & (visibility == Visibility.ABSENT)).sum(0).tolist()
    counts = dict(zip(output.keypoints, zip(missing.sum(0).tolist(), left_out, strict=True), strict=True))
    gaps = dict(zip(output.keypoints, asked.gaps_left(visibility, derived, output).sum(0).tolist(), strict=True))
    return DryRunReport(
        annotations=str(found.annotations),
        images=str(found.images),
        out=str(out),
        format=writer_for(records, options.format)[0],
        model=predictor.name,
        evidence=predictor.uses_labels,
        persons=planned.people,
        to_predict=len(planned.order),
        pictures=len(pictures),
        pictures_missing=sum(not picture_path(found.images, records.images[i].file_name).is_file() for i in pictures),
        passed=planned.passed,
        keypoints=len(output),
        added=[n for n in output.keypoints if n not in records.skeleton.keypoints],
        expected={name: _expected(rule, k, *counts[name]) for k, name in enumerate(rule.keypoints)},
        guarantee=rule.guarantee_block(),
        gaps={name: gaps[name] for name in output.keypoints if gaps[name] and name in rule.keypoints},
        fill_gaps=options.fill_gaps,
        asked=options.keypoints,
    )


def _expected(rule: AcceptanceRule, k: int, missing: int, left_out: int) -> dict[str, int]:
    row, shares = {"missing": missing, "left_out": left_out}, rule.expected(k)
    if shares is None:
        return row
    accepted = (missing if rule.risk is None else missing - left_out) * shares[0]
    return {**row, "accepted": int(np.rint(accepted)), "wrong": int(np.rint(accepted * shares[1]))}
