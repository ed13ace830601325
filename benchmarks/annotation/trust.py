"""Calibration errors of a model's confidences, and what `annotate extend --risk` guarantees against the outcome.

Measured on people that neither the student nor its prior, tempering or calibration was fitted on: test sets, everyone
whole and cut at a border, so that some joints are truly absent. `picture` is the output of `Predictor`; for `evidence`
joints are hidden in rounds and predicted given the others, as `annotate extend` does. People with a face are
measured twice: in their file's own form, and in MPII's (`training.calibration.mpii_form`), which counts for the face's
guarantees.

    python benchmarks/annotation/trust.py --data DATA --plot benchmarks/notes/DATE-trust.png \\
        > benchmarks/notes/DATE-trust.md
"""

from __future__ import annotations

import argparse
import datetime
import functools
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.extend.risk_control import CONFIDENCE, guarantee
from poseunion.export.timing import commit, machine
from poseunion.models.calibration.schema import KeypointLogistic
from poseunion.models.errors import BadArgumentError
from poseunion.models.inference.predictor import load_predictor
from poseunion.models.skeleton import Skeleton
from poseunion.training.calibration.fit_calibration import (
    Samples,
    Source,
    acceptable,
    as_lacking,
    confidence_of,
    try_out,
    views_of,
)
from poseunion.training.calibration.samples import MPII, ViewPredictions

SETS = ("coco", "lspet")
BINS = 15
DRAWS = 300
RISKS = (0.05, 0.1, 0.2)


@dataclass(frozen=True)
class Measured:
    """Confidences of one part, and what came of them; (S,) each.

    Attributes:
        mpii: in MPII's form.
        counts: in the form of the files that lack this keypoint.
        group: number of the picture, for the bootstrap.
    """

    part: KeypointLogistic
    confidence: NDArray[np.float64]
    right: NDArray[np.bool_]
    placed: NDArray[np.bool_]
    keypoint: NDArray[np.intp]
    dataset: NDArray[np.str_]
    cut: NDArray[np.bool_]
    mpii: NDArray[np.bool_]
    counts: NDArray[np.bool_]
    group: NDArray[np.intp]


def measured(part: KeypointLogistic, samples: Samples, predicted: ViewPredictions, skeleton: Skeleton) -> Measured:
    """Confidences of samples."""
    views = predicted.views
    kept = as_lacking(samples, views, skeleton)
    lacking = set(zip(kept.view.tolist(), kept.keypoint.tolist(), strict=True))
    pictures = np.unique([str(v.person.image) for v in views], return_inverse=True)[1]
    return Measured(
        part,
        confidence_of(part, samples),
        samples.right,
        samples.placed,
        samples.keypoint,
        np.array([v.dataset for v in views])[samples.view],
        np.array([v.window_xyxy is not None for v in views])[samples.view],
        np.array([v.form == MPII for v in views])[samples.view],
        np.array([pair in lacking for pair in zip(samples.view.tolist(), samples.keypoint.tolist(), strict=True)]),
        pictures[samples.view],
    )


def calibration_error(confidence_S: NDArray[np.floating], right_S: NDArray[np.bool_]) -> float:
    """Expected calibration error over bins of equal mass."""
    order = np.argsort(confidence_S, kind="stable")
    bins = np.array_split(order, min(BINS, len(order)))
    return float(sum(len(b) * abs(confidence_S[b].mean() - right_S[b].mean()) for b in bins) / len(order))


def by_chance(confidence_S: NDArray[np.floating], rng: np.random.Generator) -> float:
    """What `calibration_error` would be, in the mean, if the confidences were the true probabilities."""
    draws = [calibration_error(confidence_S, rng.random(len(confidence_S)) < confidence_S) for _ in range(50)]
    return float(np.mean(draws)) if len(confidence_S) else 0.0


def with_interval(m: Measured, chosen: NDArray[np.bool_], rng: np.random.Generator) -> str:
    """ECE of some samples, with the 95 % interval over draws of pictures."""
    confidence, right, group = m.confidence[chosen], m.right[chosen], m.group[chosen]
    if not len(right):
        return "–"
    pictures = np.unique(group)
    rows = [np.flatnonzero(group == p) for p in pictures]
    draws = []
    for _ in range(DRAWS):
        drawn = np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))])
        draws.append(calibration_error(confidence[drawn], right[drawn]))
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{calibration_error(confidence, right):.3f} ({low:.3f}–{high:.3f})"


def whole_file(m: Measured, *, name: str) -> NDArray[np.bool_]:
    """Samples of a test file as it is."""
    return np.asarray(~m.mpii & (m.dataset == name))


def pooled_table(parts: dict[str, Measured], raw: Measured) -> list[str]:
    """ECE of everything, of each set, of whole and of cut people."""
    groups: dict[str, Callable[[Measured], NDArray[np.bool_]]] = {"all": lambda m: np.ones(len(m.right), bool)}
    groups |= {name: functools.partial(whole_file, name=name) for name in (f"{s}/test" for s in SETS)}
    groups |= {"coco/test in MPII's form": lambda m: m.mpii}
    groups |= {"its faces": lambda m: m.mpii & m.counts}
    groups |= {"whole": lambda m: ~m.cut, "cut at a border": lambda m: m.cut}
    rng = np.random.default_rng(0)
    lines = ["| people | keypoints | right, % | raw score | picture | evidence |", "|---|--:|--:|--:|--:|--:|"]
    for name, of in groups.items():
        cells = [with_interval(m, of(m), rng) for m in (raw, *parts.values())]
        chosen = of(raw)
        lines.append(f"| {name} | {chosen.sum()} | {100 * raw.right[chosen].mean():.1f} | {' | '.join(cells)} |")
    return lines


def ranking(m: Measured) -> tuple[float, float]:
    """Area under the ROC curve, and the share of the samples that can be accepted with one in twenty of them wrong."""
    from scipy.stats import rankdata

    right, n = m.right.sum(), len(m.right)
    area = (rankdata(m.confidence)[m.right].sum() - right * (right + 1) / 2) / (right * (n - right))
    wrong = np.cumsum(~m.right[np.argsort(-m.confidence, kind="stable")]) / np.arange(1, n + 1)
    good = np.flatnonzero(wrong <= 0.05)
    return float(area), float((good[-1] + 1) / n if len(good) else 0.0)


def ranking_table(parts: dict[str, Measured]) -> list[str]:
    """Separation of right and wrong proposals by confidence, as a table."""
    lines = ["| | area under ROC | accepted where one of 20 accepted is wrong, % |", "|---|--:|--:|"]
    for name, m in parts.items():
        area, share = ranking(m)
        lines.append(f"| {name} | {area:.3f} | {100 * share:.1f} |")
    return lines


def keypoint_table(parts: dict[str, Measured], names: tuple[str, ...]) -> list[str]:
    """ECE keypoint by keypoint in the form that counts, and what the plain threshold of even odds accepts."""
    rng = np.random.default_rng(1)
    columns = " | ".join(f"{p}: ECE | by chance | accepted, % | wrong, %" for p in parts)
    lines = [f"| keypoint | samples | {columns} |", "|---|--:|" + "--:|" * (4 * len(parts))]
    for k, name in enumerate(names):
        cells: list[str] = []
        for m in parts.values():
            mine = m.counts & (m.keypoint == k)
            taken = mine & m.placed & (m.confidence >= 0.5)
            wrong = f"{100 * (1 - m.right[taken].mean()):.1f}" if taken.any() else "–"
            share = f"{100 * taken.sum() / mine.sum():.0f}" if mine.any() else "–"
            cells += [with_interval(m, mine, rng), f"{by_chance(m.confidence[mine], rng):.3f}", share, wrong]
        first = next(iter(parts.values()))
        count = int((first.counts & (first.keypoint == k)).sum())
        lines.append(f"| {name} | {count} | {' | '.join(cells)} |")
    return lines


def risk_table(m: Measured, names: tuple[str, ...], risk: float) -> list[str]:
    """Guaranteed at a risk, and the outcome."""
    groups = [m.dataset == f"{name}/test" for name in SETS] + [~m.cut, m.cut, np.ones(len(m.right), bool)]
    lines = [
        "| keypoint | threshold | bound, % | accepted, % | "
        + " | ".join(f"{g}: wrong of accepted" for g in (*(f"{s}/test" for s in SETS), "whole", "cut", "all"))
        + " | measured, % |",
        "|---|--:|--:|--:|" + "--:|" * (len(groups) + 1),
    ]
    total = np.zeros((len(groups), 2), int)
    for k, name in enumerate(names):
        guaranteed = guarantee(m.part.ladders[k], risk)
        if guaranteed.bound is None:
            lines.append(f"| {name} | – | – | 0 |" + " – |" * (len(groups) + 1))
            continue
        mine = m.counts & (m.keypoint == k)
        taken = mine & m.placed & (m.confidence >= guaranteed.threshold)
        counts = np.array([[(taken & g & ~m.right).sum(), (taken & g).sum()] for g in groups])
        total += counts
        share = 100 * taken.sum() / max(1, mine.sum())
        cells = " | ".join(f"{wrong} of {n}" for wrong, n in counts)
        rate = f"{100 * counts[-1, 0] / counts[-1, 1]:.1f}" if counts[-1, 1] else "–"
        start = f"| {name} | {guaranteed.threshold:.4f} | {100 * guaranteed.bound:.1f} | {share:.0f}"
        lines.append(f"{start} | {cells} | {rate} |")
    share = 100 * total[-1, 1] / m.counts.sum()
    rate = f"{100 * total[-1, 0] / total[-1, 1]:.1f}" if total[-1, 1] else "–"
    return [*lines, f"| all | | | {share:.0f} | {' | '.join(f'{w} of {n}' for w, n in total)} | {rate} |"]


def plot(path: Path, parts: dict[str, Measured], raw: Measured) -> None:
    """Reliability diagrams: the share that is right against what was said, in bins of equal mass."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 4.2), sharey=True)
    for axis, (title, m) in zip(axes, {"raw score": raw, **parts}.items(), strict=True):
        axis.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        for label, chosen in (("all", np.ones(len(m.right), bool)), ("whole", ~m.cut), ("cut at a border", m.cut)):
            bins = np.array_split(np.argsort(np.where(chosen, m.confidence, 2.0), kind="stable")[: chosen.sum()], BINS)
            axis.plot(
                [m.confidence[b].mean() for b in bins], [m.right[b].mean() for b in bins], "o-", ms=3, label=label
            )
        axis.set(title=f"{title}: ECE {calibration_error(m.confidence, m.right):.3f}", xlabel="confidence", xlim=(0, 1))
    axes[0].set(ylabel="in the picture and within the OKS-.5 radius", ylim=(0, 1))
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of coco/ and lspet/")
    parser.add_argument("--model", default="unified", help="shipped model's name, or an .onnx file")
    parser.add_argument("--flip", action="store_true", help="average with the mirrored crop")
    parser.add_argument("--plot", type=Path, help="reliability diagrams, .png")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    said, where = machine(), commit(Path(__file__))
    predictor = load_predictor(given.model, flip=given.flip, threads=given.threads)
    calibration = predictor.metadata.calibration
    if calibration is None or calibration.evidence is None:
        raise BadArgumentError(f"{given.model} is not calibrated: run poseunion calibrate.")
    views = views_of(
        [Source(given.data / s / "test.json", given.data / s / "test") for s in SETS], predictor.skeleton, everyone=True
    )
    features = calibration.picture.features
    tried, _ = try_out(predictor, views, calibration.tempering, calibration.size_bounds, features)
    assert tried.evidence is not None
    evidence = acceptable(calibration.evidence, tried.evidence, predictor.skeleton)
    parts = {
        "picture": measured(calibration.picture, tried.picture, tried.predicted, predictor.skeleton),
        "evidence": measured(calibration.evidence, evidence, tried.predicted, predictor.skeleton),
    }
    raw_score = tried.predicted.raw_score[tried.picture.view, tried.picture.keypoint]
    raw = Measured(**{**vars(parts["picture"]), "confidence": raw_score})
    names, m = calibration.keypoints, parts["evidence"]
    formed = sum(v.form == MPII and v.window_xyxy is None for v in tried.predicted.views)
    note = [
        "# Confidences and guarantees against the outcome",
        "",
        f"Date: {datetime.date.today().isoformat()}  ",
        f"Command: `{shlex.join(['python', *sys.argv])}`  ",
        f"Machine: {said}  ",
        f"Commit: {where}  ",
        f"Model: {predictor.name}, sha256 {predictor.sha256[:12]}{', flip test' if given.flip else ''}  ",
        f"Fitted on {calibration.people}.  ",
        f"The guarantees rest on {calibration.guarantee_people}.  ",
        f"Measured on {sum(v.window_xyxy is None for v in views)} people of "
        f"{' and '.join(f'{s}/test' for s in SETS)}, each whole and cut at a border; {formed} of them "
        "also in MPII's form.",
        "",
        "Right: the keypoint is in the picture, and the proposal within its OKS-.5 radius. *picture*: from the "
        "picture alone. *evidence*: with the person's other labelled joints, as `annotate extend` does.",
        "",
        f"## Expected calibration error, {BINS} bins of equal mass (95 % interval, {DRAWS} draws of pictures)",
        "",
        *pooled_table(parts, raw),
        "",
        *([f"![Reliability diagrams]({given.plot.name})", ""] if given.plot else []),
        "## Separation of right and wrong",
        "",
        *ranking_table({"raw score": raw, **parts}),
        "",
        "## Keypoint by keypoint",
        "",
        "The face in MPII's form, the rest in the people's own. Accepted: confidence of at least .5, inside the "
        "picture. By chance: what would be measured of this many "
        "samples if the confidences were perfect.",
        "",
        *keypoint_table(parts, names),
    ]
    for risk in RISKS:
        note += ["", f"## `--risk {risk:g}`, with evidence ({100 * CONFIDENCE:g} % confidence a keypoint)", ""]
        note += risk_table(m, names, risk)
    note += ["", f"## `--risk {RISKS[1]:g} --no-evidence`", "", *risk_table(parts["picture"], names, RISKS[1])]
    print("\n".join(note))
    if given.plot:
        plot(given.plot, parts, raw)


if __name__ == "__main__":
    main()
