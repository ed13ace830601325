"""Simulated audits of people whose truth is known: false certificates, inspections needed, width.

Held-out people's labelled keypoints are hidden and predicted again (`annotate.audit.self_check.mask`); what reaches
even odds, or the thresholds of `--risk 0.05`, is the file's added points. Each simulated audit draws another order and
inspects up to 1,000 points.

    python benchmarks/annotation/audit.py --model unified --annotations coco/train.json --images coco/train \\
        --runs 1000 --picture docs/certificate.png

Settings: `honest`, the predictions as they are; `shifted`, so many right points made wrong that errors triple;
`adverse`, the same number of errors on the points with the highest confidence, which are drawn least; `people`, the
same number of errors on as few people as possible; `few`, 60 of the points.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from poseunion.annotate.audit import confidence_sequence as cs
from poseunion.annotate.audit.sample import BANDS, RARE
from poseunion.annotate.audit.self_check import Masked, mask
from poseunion.annotate.extend.acceptance import acceptance_rule
from poseunion.annotate.formats import read_annotations
from poseunion.annotate.formats.extension_view import subset
from poseunion.models.inference.conditioned import ConditionedPredictor
from poseunion.models.inference.predictor import load_predictor
from poseunion.training.data.splits import is_held_out

ALPHA = 0.05
INSPECTED = 240  # at which widths are compared
MOST = 1000  # inspections of an audit
SETTINGS = ("honest", "shifted", "adverse", "people", "few")


def arguments() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="unified")
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--people", type=int, default=10_000, help="at most so many held-out people")
    parser.add_argument("--runs", type=int, default=1000, help="simulated audits of a setting")
    parser.add_argument("--picture", type=Path, help="PNG of bounds against inspections, at even odds")
    parser.add_argument("--masked", type=Path, help="npz that keeps the predictions; read if it is there")
    return parser.parse_args()


def predictions(options: argparse.Namespace, predictor: ConditionedPredictor) -> Masked:
    """Hidden keypoints of held-out people, predicted again."""
    if options.masked is not None and options.masked.is_file():
        return Masked(**{name: values for name, values in np.load(options.masked).items()})
    annotations = read_annotations(options.annotations)
    rows = [
        i for i, image in enumerate(annotations.image_index) if is_held_out(annotations.images[int(image)].file_name)
    ]
    found = mask(subset(annotations, rows), options.images, predictor, options.people)
    if options.masked is not None:
        arrays = {name: getattr(found, name) for name in ("person", "keypoint", "confidence", "wrong")}
        np.savez(options.masked, **arrays)
    return found


def weights(keypoint: NDArray[np.int64], confidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """As `sample.population` weighs a file's points."""
    band = np.searchsorted([b[1] for b in BANDS], confidence, side="right")
    _, kind, count = np.unique(keypoint, return_inverse=True, return_counts=True)
    fair = len(keypoint) / len(count)
    return np.asarray(np.array([b[2] for b in BANDS])[band] * np.maximum(1, RARE * fair / count[kind]))


def setting(name: str, masked: Masked, taken: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """(wrong, weight) of the added points of a setting."""
    rng = np.random.default_rng(0)
    index = np.flatnonzero(taken)
    if name == "few":
        index = rng.choice(index, 60, replace=False)
    wrong, confidence, person = masked.wrong[index].copy(), masked.confidence[index], masked.person[index]
    errors = int(wrong.sum())
    if name == "shifted":
        right = np.flatnonzero(~wrong)
        wrong[rng.choice(right, min(2 * errors, len(right)), replace=False)] = True
    elif name == "adverse":
        wrong = np.argsort(np.argsort(-confidence)) < errors
    elif name == "people":
        wrong = np.argsort(np.argsort(person, kind="stable")) < errors
    return wrong, weights(masked.keypoint[index], confidence)


def simulate(wrong: NDArray[np.bool_], weight: NDArray[np.float64], runs: int) -> dict[str, float]:
    """Audits of one file.

    Returns:
        `false`: share that certify fewer errors than there are, at any time. `need`, `median`: inspections until twice
        the true share (at least 2 %) is certified. `ours`, `clopper`, `exact`: mean upper bounds after `INSPECTED`:
        this one, and of a simple random sample of fixed size that of Clopper and Pearson and the hypergeometric one.
    """
    n, errors = len(wrong), int(wrong.sum())
    target = max(0.02, 2 * errors / n)
    false, need, ours, clopper, exact = 0, [], [], [], []
    size = min(INSPECTED, n // 2)
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        order = np.argsort(rng.exponential(size=n) / weight)[:MOST]
        draws = cs.draws_of(weight, order, wrong[order])
        false += cs.most_evidence(draws, errors) >= -math.log(ALPHA)
        reached = cs.evidence(draws, math.floor(target * n) + 1) >= -math.log(ALPHA)
        need.append(int(np.argmax(reached)) + 1 if reached.any() else len(order))
        if seed < 100:
            part = cs.draws_of(weight, order[:size], wrong[order[:size]])
            ours.append(cs.upper_bound(part, ALPHA) / n)
            seen = int(wrong[rng.permutation(n)[:size]].sum())
            clopper.append(stats.beta.ppf(1 - ALPHA, seen + 1, size - seen))
            possible = np.arange(seen, n - (size - seen) + 1)
            exact.append(possible[stats.hypergeom.cdf(seen, n, possible, size) > ALPHA].max() / n)
    means = {"ours": ours, "clopper": clopper, "exact": exact}
    return {
        "points": n,
        "errors": errors / n,
        "false": false / runs,
        "target": target,
        "need": float(np.mean(need)),
        "median": float(np.median(need)),
        "size": size,
        **{name: float(np.mean(values)) for name, values in means.items()},
    }


def draw(
    path: Path, wrong: NDArray[np.bool_], weight: NDArray[np.float64], false: dict[str, float], audits: int = 20
) -> None:
    """Picture of upper bounds of simulated audits of one file, and of the false certificates of all settings.

    Args:
        false: row of the table -> share of audits with a false certificate.
    """
    from matplotlib.figure import Figure

    n, share = len(wrong), 100 * wrong.mean()
    steps = np.unique(np.geomspace(10, min(MOST, n), 40).astype(int))
    figure = Figure(figsize=(9, 3.6), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    for seed in range(audits):
        order = np.argsort(np.random.default_rng(seed).exponential(size=n) / weight)
        parts = [cs.draws_of(weight, order[:t], wrong[order[:t]]) for t in steps]
        bounds = [100 * cs.upper_bound(part, ALPHA) / n for part in parts]
        left.plot(steps, bounds, color="#0072B2", alpha=0.35, linewidth=1, label="certified" if seed == 0 else None)
    fixed = [100 * stats.beta.ppf(1 - ALPHA, round(t * wrong.mean()) + 1, t - round(t * wrong.mean())) for t in steps]
    left.plot(steps, fixed, color="#D55E00", linestyle="--", label="Clopper-Pearson, size fixed beforehand")
    left.axhline(share, color="black", linewidth=1, label=f"gross errors in truth: {share:.1f} %")
    left.set(xscale="log", xlabel="inspected points", ylabel="upper bound of gross errors, %", ylim=(0, 60))
    left.set_xticks([10, 30, 100, 300, 1000], ["10", "30", "100", "300", "1000"])
    left.set_title(f"{audits} audits of a file with {n} added points", fontsize=10)
    left.legend(fontsize=8)
    names = list(false)
    right.barh(range(len(names)), [100 * false[name] for name in names], color="#0072B2", alpha=0.7)
    right.axvline(100 * ALPHA, color="#D55E00", linestyle="--")
    right.set_yticks(range(len(names)), names, fontsize=8)
    right.invert_yaxis()
    right.set_xlabel("% of audits (nominal: at most 5)")
    right.set_title("False certificates", fontsize=10)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Software": None})


def main() -> None:
    """Print one table a threshold."""
    options = arguments()
    predictor = ConditionedPredictor(load_predictor(options.model, threads=1))
    masked = predictions(options, predictor)
    rules = {"even odds": acceptance_rule(predictor), "--risk 0.05": acceptance_rule(predictor, risk=0.05)}
    people = len(np.unique(masked.person))
    print(f"{len(masked.wrong)} hidden keypoints of {people} held-out people of {options.annotations.name}")
    print(
        f"expected errors {1 - masked.confidence.mean():.1%}, errors {masked.wrong.mean():.1%}; {options.runs} audits "
        f"a row, nominal false certificates at most {ALPHA:.0%}\n"
    )
    print(
        "| accepted at | setting | points | errors | false certificates | target | inspections, mean (median) "
        "| inspected | bound | Clopper-Pearson | hypergeometric |"
    )
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    false: dict[str, float] = {}
    for how, rule in rules.items():
        taken = masked.confidence >= rule.threshold_K[masked.keypoint]
        for name in SETTINGS:
            row = simulate(*setting(name, masked, taken), options.runs)
            print(
                f"| {how} | {name} | {row['points']} | {row['errors']:.1%} | {row['false']:.1%} | {row['target']:.1%} "
                f"| {row['need']:.0f} ({row['median']:.0f}) | {row['size']} | {row['ours']:.1%} | {row['clopper']:.1%} "
                f"| {row['exact']:.1%} |"
            )
            sys.stdout.flush()
            false[f"{how}: {name}"] = row["false"]
    if options.picture is not None:
        taken = masked.confidence >= rules["even odds"].threshold_K[masked.keypoint]
        draw(options.picture, *setting("honest", masked, taken), false)


if __name__ == "__main__":
    main()
