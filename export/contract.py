"""Accuracy contract of an export: limits on its difference from the trained network in logits, bins and AP.

Two kinds of figures. *Agreement* compares outputs crop by crop and needs no labels. *Accuracy* is AP (or PCKh, or PCK,
where a data set has no AP) of both on the same labelled people; the loss of the export must not exceed `max_drop`.

Shapes: N crops, K keypoints, W and H bins, h by w cells, C = h w.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from poseunion.export.onnx.graph_export import TOLERANCE
from poseunion.models.codec import heatmap, simcc
from poseunion.models.errors import ModelError
from poseunion.models.inference.predictor import Predictor
from poseunion.models.runtime.base import PoseModel
from poseunion.models.runtime.description import ModelDescription
from poseunion.training.evaluation.evaluate import Task, measure

# Of a single-precision export: only bins whose neighbours are equal to the last digit may differ.
EQUAL_BINS = 0.999
# Of weights stored in half precision, as a share of the logits' range: five times the measured value of `unified` and
# `unified-64` on 64 people of coco/test, with convolutions rescaled at random (and batch norms with them) so that no
# weight was a half-precision number before: .0038 of 1.40 and .0018 of 1.03, keypoints apart by .006 px in the median.
ROUNDING = 0.015
MOVED_PX = 4.0  # crop pixels; a person's torso is about 70 of them


class Agreement(BaseModel):
    """Agreement of an exported file's outputs with the trained network's, on the same crops.

    Attributes:
        people: number of crops.
        crops: their source: "noise", or a file's name.
        logit_difference: the largest, on the beta-10 scale (a sharp distribution peaks at 1, as a heatmap does).
        logit_range: the largest absolute logit of the trained network.
        equal_bins, bins_within_one: share of maxima, over keypoints and axes; of a heatmap its cells.
        median_px: median distance of the refined keypoints, crop pixels.
        moved: share of keypoints that moved by more than `MOVED_PX`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    people: int
    crops: str
    logit_difference: float
    logit_range: float
    equal_bins: float
    bins_within_one: float
    median_px: float
    moved: float


class Accuracy(BaseModel):
    """AP, PCKh or PCK of export and trained network on labelled people, in percent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    people: int
    measure: str
    trained: float
    exported: float

    @property
    def drop(self) -> float:
        """Accuracy lost by the export, in points."""
        return self.trained - self.exported


def agreement(trained: PoseModel, exported: PoseModel, pixel_NHW3: NDArray[np.uint8], crops: str) -> Agreement:
    """Agreement of two networks on crops, 8 at a time."""
    parts = [
        (trained.run(pixel_NHW3[i : i + 8]), exported.run(pixel_NHW3[i : i + 8])) for i in range(0, len(pixel_NHW3), 8)
    ]
    want, got = ([np.concatenate(axis) for axis in zip(*answers, strict=True)] for answers in zip(*parts, strict=True))
    (bin_want, xy_want), (bin_got, xy_got) = (_peaks(outputs, trained.description) for outputs in (want, got))
    apart_bins = np.abs(bin_want - bin_got)
    apart_px = np.linalg.norm(xy_want - xy_got, axis=-1)
    return Agreement(
        people=len(pixel_NHW3),
        crops=crops,
        logit_difference=max(float(np.abs(a - b).max()) for a, b in zip(want, got, strict=True)),
        logit_range=max(float(np.abs(a).max()) for a in want),
        equal_bins=float((apart_bins == 0).mean()),
        bins_within_one=float((apart_bins <= 1).mean()),
        median_px=float(np.median(apart_px)),
        moved=float((apart_px > MOVED_PX).mean()),
    )


def _peaks(
    outputs: list[NDArray[np.float32]], description: ModelDescription
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Argmax bins (or heatmap cells) along x and y, and the refined keypoints in crop pixels: (N, K, 2)."""
    if description.head.kind == "heatmap":
        (heat_NKhw,) = outputs
        flat_NKC = heat_NKhw.reshape(*heat_NKhw.shape[:2], -1)
        row_NK, column_NK = np.divmod(flat_NKC.argmax(-1), heat_NKhw.shape[-1])
        xy_NK2, _ = heatmap.decode(heat_NKhw, description.head, description.size_wh)
        return np.stack([column_NK, row_NK], -1), xy_NK2
    x_NKW, y_NKH = outputs
    xy_NK2, _ = simcc.decode(x_NKW, y_NKH, description.grid, refine=True)
    return np.stack([x_NKW.argmax(-1), y_NKH.argmax(-1)], -1), xy_NK2


def check_exact(found: Agreement, name: str) -> None:
    """Check that the outputs of a single-precision export equal the trained network's.

    Raises:
        ModelError: logits differ by more than `TOLERANCE` of their range, or on pictures fewer bins than
            `EQUAL_BINS` agree (bins on noise are arbitrary and do not count).
    """
    if found.logit_difference > TOLERANCE * max(1.0, found.logit_range):
        raise ModelError(
            f"The export of {name} is refused: its logits differ from the trained network's by up to "
            f"{found.logit_difference:.1e}, over {TOLERANCE:g}; nothing was written."
        )
    if found.crops != "noise" and found.equal_bins < EQUAL_BINS:
        raise ModelError(
            f"The export of {name} is refused: {100 * found.equal_bins:.2f} % of its bins equal the trained network's, "
            f"under {100 * EQUAL_BINS:g} %; nothing was written."
        )


def check_stored(found: Agreement, name: str) -> None:
    """Check the effect of storing weights in half precision; an export in single precision must not differ.

    Raises:
        ModelError: logits differ by more than `ROUNDING` of their range.
    """
    if found.logit_difference > ROUNDING * max(1.0, found.logit_range):
        raise ModelError(
            f"The export of {name} is refused: with weights in half precision its logits differ from the trained "
            f"network's by up to {found.logit_difference:.1e}; export it as onnx-fp32."
        )


class AccuracyContract:
    """Accuracy of the trained network, measured once, and of every export against it.

    Args:
        tasks: labelled people; none: accuracy is not measured.
        names: name of each task's file.
        max_drop: points.
    """

    def __init__(self, trained: PoseModel, tasks: Sequence[Task], names: Sequence[str], max_drop: float) -> None:
        self.trained, self.tasks, self.names, self.max_drop = trained, tasks, names, max_drop
        self._scores: list[dict[str, Any]] | None = None

    def accuracy(self, exported: PoseModel, name: str) -> list[Accuracy]:
        """Accuracy of trained network and export on every task.

        Raises:
            ModelError: the export loses more than `max_drop` on one.
        """
        if self._scores is None:
            self._scores = [measure(Predictor(self.trained), task).scores for task in self.tasks]
        result = []
        for file, task, before in zip(self.names, self.tasks, self._scores, strict=True):
            after = measure(Predictor(exported), task).scores
            label, trained = main_score(before)
            found = Accuracy(
                file=file, people=before["people"], measure=label, trained=trained, exported=main_score(after)[1]
            )
            if found.drop > self.max_drop:
                raise ModelError(
                    f"The export of {name} is refused: on {file} it has {label} {found.exported:.2f}, the trained "
                    f"network {found.trained:.2f}, and --max-drop allows {self.max_drop:g}; nothing was written."
                )
            result.append(found)
        return result


def main_score(scores: dict[str, Any]) -> tuple[str, float]:
    """Main metric of a data set (AP, PCKh or PCK), and its value in percent; raises ModelError where it has none."""
    for group, key, label in (("coco", "AP", "AP"), ("pckh", "PCKh@.5", "PCKh@.5"), ("pck", "PCK", "PCK@.2")):
        value = scores.get(group, {}).get(key)
        if value is not None:
            return label, float(value)
    raise ModelError(f"Nothing could be measured on {scores['dataset']}: its people have no labels to score.")
