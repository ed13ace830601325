"""What benchmarks of small people share: each person's score by each model, and how sure a mean is.

Shapes: N people, K keypoints of the data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.models.inference.predictor import Predictor
from poseunion.models.metrics import oks, pck_hits, torso_diagonals
from poseunion.training.data.splits import is_held_out
from poseunion.training.evaluation.evaluate import Task, read_task
from poseunion.training.evaluation.predictions import Predictions, person_areas, predict_people

DRAWS = 2000
# Mean OKS in percent, and the share of keypoints within a fifth of the torso.
MEASURES = ("OKS", "PCK@.2")


@dataclass(frozen=True)
class Scores:
    """One model's answers, person by person.

    Attributes:
        oks: (N,) in percent; NaN where no keypoint is labelled.
        hits, counted: (N,) keypoints within a fifth of the torso, and those that count.
    """

    oks: NDArray[np.float64]
    hits: NDArray[np.float64]
    counted: NDArray[np.float64]

    def mean(self, measure: str, rows: NDArray[np.integer] | NDArray[np.bool_]) -> float:
        """A measure over some people."""
        if measure == "OKS":
            return float(np.nanmean(self.oks[rows]))
        counted = self.counted[rows].sum()
        return float(100 * self.hits[rows].sum() / counted) if counted else float("nan")


def held_out(task: Task) -> Task:
    """The people of a training set that no student was trained on; the others are passed over."""
    annotations = task.annotations
    seen = {
        row: "trained on"
        for row, image in enumerate(annotations.image_index)
        if not is_held_out(annotations.images[int(image)].file_name)
    }
    return replace(task, annotations=replace(annotations, skip={**seen, **annotations.skip}))


def scores_of(task: Task, predictions: Predictions) -> Scores:
    """Person by person what `poseunion evaluate` gives for all."""
    annotations, rows = task.annotations, predictions.rows
    truth, visibility = annotations.xy[rows], annotations.visibility[rows]
    similarity = oks(
        predictions.xy, truth, visibility, person_areas(annotations, rows), annotations.skeleton.sigma_array
    )
    torso = torso_diagonals(truth, visibility, annotations.skeleton)
    hits, counted = pck_hits(predictions.xy, truth, visibility, torso, 0.2)
    return Scores(100 * similarity, hits.sum(1).astype(np.float64), counted.sum(1).astype(np.float64))


def measured(task: Task, predictors: Sequence[Predictor]) -> tuple[NDArray[np.float64], dict[str, Scores]]:
    """(N,) longer sides of the people's boxes in px, and each model's scores of the same people.

    Args:
        task: labelled people with their own boxes.
    """
    found = {predictor.name: predict_people(predictor, task.annotations, task.images) for predictor in predictors}
    rows = next(iter(found.values())).rows
    if any(not np.array_equal(one.rows, rows) for one in found.values()):
        raise SystemExit("The models did not see the same people.")
    side = task.annotations.box_xywh[rows, 2:].max(1)
    return side, {name: scores_of(task, one) for name, one in found.items()}


def interval(ours: Scores, theirs: Scores | None, measure: str, rows: NDArray[np.intp]) -> tuple[float, float, float]:
    """A measure over `rows`, or what it exceeds another model's by: value, and 95 % of a bootstrap over people."""

    def value(chosen: NDArray[np.intp]) -> float:
        return ours.mean(measure, chosen) - (theirs.mean(measure, chosen) if theirs is not None else 0.0)

    rng = np.random.default_rng(0)
    drawn = [value(rng.choice(rows, len(rows))) for _ in range(DRAWS)]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return value(rows), float(low), float(high)


def open_task(folder: Path, name: str) -> Task:
    """`folder` holds `name.json` and the pictures in `name/`."""
    return read_task(folder / f"{name}.json", folder / name)
