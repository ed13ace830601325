"""P(in the picture) and P(right | in the picture) against the outcome, on people of test sets whole and cut.

Labelled people of the test sets are predicted whole and in a picture that ends between two of their joints, so that the
joints beyond are known to be absent. *with labels*: joints are hidden in rounds and predicted given the others, as
`annotate extend` does. *picture alone*: as `Predictor` does.

    python benchmarks/annotation/absence.py --data DATA --model FILE --plot benchmarks/notes/DATE-absence.png

Shapes: S keypoints of all people.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from trust import BINS, SETS, calibration_error

from poseunion.export.timing import commit, machine
from poseunion.models.calibration.schema import EVIDENCE_FEATURES, KeypointLogistic
from poseunion.models.conditioning.prior import load_prior
from poseunion.models.errors import BadArgumentError
from poseunion.models.inference.predictor import load_predictor
from poseunion.training.calibration.fit_calibration import (
    Samples,
    Source,
    confidence_of,
    evidence_samples,
    picture_samples,
    views_of,
)
from poseunion.training.calibration.masking import predict_masked
from poseunion.training.calibration.samples import ViewPredictions, predict_views

LIMITS = (0.0, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 1.0)


@dataclass(frozen=True)
class Outcome:
    """(S,) probabilities of one part, and what was true.

    Attributes:
        inside: the keypoint is in the picture. right: and the proposal within its OKS-.5 radius.
        unlimited: the confidence before it is limited by `in_picture`.
    """

    in_picture: NDArray[np.float64]
    confidence: NDArray[np.float64]
    unlimited: NDArray[np.float64]
    inside: NDArray[np.bool_]
    right: NDArray[np.bool_]
    cut: NDArray[np.bool_]
    dataset: NDArray[np.str_]

    @property
    def right_in_picture(self) -> NDArray[np.float64]:
        """(S,) as a record has it."""
        return np.minimum(self.confidence / np.maximum(self.in_picture, 1e-9), 1)


def outcome(part: KeypointLogistic, samples: Samples, predicted: ViewPredictions) -> Outcome:
    """Probabilities of samples; raises BadArgumentError where the model lacks `in_picture`."""
    if part.in_picture is None or samples.presence is None:
        raise BadArgumentError("This model's calibration has no in_picture: run poseunion calibrate.")
    confidence = confidence_of(part, samples)
    unlimited = confidence_of(part.model_copy(update={"in_picture": None}), samples)
    in_picture = part.in_picture.probability(samples.presence, samples.keypoint)
    if part.features == EVIDENCE_FEATURES:
        in_picture = np.maximum(in_picture, confidence)
    cut = np.array([v.window_xyxy is not None for v in predicted.views])[samples.view]
    dataset = np.array([v.dataset for v in predicted.views])[samples.view]
    return Outcome(in_picture, confidence, unlimited, ~samples.absent, samples.right, cut, dataset)


def summary(parts: dict[str, Outcome]) -> list[str]:
    """Calibration errors by group of people."""
    lines = [
        "| people | | keypoints | absent, % | P(in picture) | P(right \\| in picture) | confidence | not limited |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, m in parts.items():
        groups = {"all": np.ones(len(m.right), bool), "whole": ~m.cut, "cut": m.cut}
        groups |= {f"{s}/test, cut": m.cut & (m.dataset == f"{s}/test") for s in SETS}
        groups |= {"in_picture below .95": m.in_picture < 0.95}
        for group, g in groups.items():
            here = g & m.inside
            errors = [
                calibration_error(m.in_picture[g], m.inside[g]),
                calibration_error(m.right_in_picture[here], m.right[here]),
                calibration_error(m.confidence[g], m.right[g]),
                calibration_error(m.unlimited[g], m.right[g]),
            ]
            cells = " | ".join(f"{error:.3f}" for error in errors)
            lines.append(f"| {group} | {name} | {g.sum()} | {100 * (~m.inside[g]).mean():.1f} | {cells} |")
    return lines


def reliability(parts: dict[str, Outcome]) -> list[str]:
    """Stated and true share in the picture, by ranges of P(in picture)."""
    heads = " | ".join(f"{name}: keypoints | stated, % | in the picture, %" for name in parts)
    lines = [f"| P(in picture) | {heads} |", "|---|" + "--:|" * (3 * len(parts))]
    for low, high in itertools.pairwise(LIMITS):
        cells = []
        for m in parts.values():
            g = (m.in_picture >= low) & (m.in_picture < high if high < 1 else m.in_picture <= 1)
            shares = (100 * m.in_picture[g].mean(), 100 * m.inside[g].mean()) if g.any() else (np.nan, np.nan)
            cells.append(f"{g.sum()} | {shares[0]:.1f} | {shares[1]:.1f}")
        lines.append(f"| {low:g} to {high:g} | {' | '.join(cells)} |")
    return lines


def plot(path: Path, parts: dict[str, Outcome]) -> None:
    """Reliability diagrams, bins of equal mass."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 4.2))
    for name, m in parts.items():
        here = m.inside
        drawn = (
            ("in the picture", m.in_picture, m.inside),
            ("right, if in the picture", m.right_in_picture[here], m.right[here]),
            ("in the picture and right (confidence)", m.confidence, m.right),
        )
        for axis, (title, stated, true) in zip(axes, drawn, strict=True):
            bins = np.array_split(np.argsort(stated, kind="stable"), BINS)
            error = calibration_error(stated, true)
            label = f"{name}: ECE {error:.3f}"
            axis.plot([stated[b].mean() for b in bins], [true[b].mean() for b in bins], "o-", ms=3, label=label)
            axis.set(title=title, xlabel="stated probability", xlim=(0, 1), ylim=(0, 1))
    for axis in axes:
        axis.plot([0, 1], [0, 1], color="0.7", linewidth=1, zorder=0)
        axis.legend(loc="upper left", fontsize=8)
    axes[0].set(ylabel="share that is true")
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of coco/ and lspet/")
    parser.add_argument("--model", default="unified", help="shipped model's name, or an .onnx file")
    parser.add_argument("--plot", type=Path, help="reliability diagrams, .png")
    given = parser.parse_args()
    predictor = load_predictor(given.model, threads=1)
    calibration = predictor.metadata.calibration
    if calibration is None or calibration.evidence is None:
        raise BadArgumentError(f"{given.model} is not calibrated: run poseunion calibrate.")
    sources = [Source(given.data / s / "test.json", given.data / s / "test") for s in SETS]
    views = views_of(sources, predictor.skeleton, everyone=True)
    skeleton, grid, bounds = predictor.skeleton, predictor.metadata.grid, calibration.size_bounds
    predicted = predict_views(predictor, views, logits=True)
    hidden = predict_masked(predicted, grid, skeleton, load_prior(), calibration.tempering, bounds)
    alone = picture_samples(predicted, skeleton, bounds, calibration.picture.features, grid)
    parts = {
        "with labels": outcome(calibration.evidence, evidence_samples(predicted, skeleton, hidden), predicted),
        "picture alone": outcome(calibration.picture, alone, predicted),
    }
    cut = sum(v.window_xyxy is not None for v in predicted.views)
    note = [
        "# Is the keypoint in the picture, and is its place right if it is?",
        "",
        f"Date: {datetime.date.today().isoformat()}  ",
        f"Command: `{shlex.join(['python', *sys.argv])}`  ",
        f"Machine: {machine()}  ",
        f"Commit: {commit(Path(__file__))}  ",
        f"Model: {predictor.name}  ",
        f"Fitted on {calibration.people}.  ",
        f"Measured on {len(predicted.views) - cut} people of {' and '.join(f'{s}/test' for s in SETS)} whole and "
        f"{cut} cut at a border.",
        "",
        f"## Expected calibration error, {BINS} bins of equal mass",
        "",
        *summary(parts),
        "",
        *([f"![Reliability diagrams]({given.plot.name})", ""] if given.plot else []),
        "## Stated and true share in the picture",
        "",
        *reliability(parts),
    ]
    print("\n".join(note))
    if given.plot:
        plot(given.plot, parts)


if __name__ == "__main__":
    main()
